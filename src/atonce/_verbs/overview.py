"""Who runs what at this moment: owners, what they own, and in whose code they stand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from atonce._runtime.awaited_by import parts_of
from atonce._runtime.owner import Owner, host_of, owners
from atonce._verbs.behaviour import Behaviour
from atonce._verbs.server_life import Control
from atonce._verbs.stream_run import StreamRun
from atonce._verbs.supervisor_child import Child
from atonce._verbs.supervisor_crew import Crew
from atonce._verbs.supervisor_work import Link, Places
from atonce._verbs.task import Task


class Overview:
    """What all owners of the process own; made when somebody asks, from any thread."""

    def __init__(self) -> None:
        self.owners: list[Owner] = owners()
        #: What each owner owns; a link is no second task, and a stream that is being set up runs nothing.
        self.owned: dict[Owner, list[Any]] = {owner: _owned(owner) for owner in self.owners}
        self.crews: list[Crew] = [
            child for owner in self.owners for child in list(owner.children) if isinstance(child, Crew)
        ]
        #: Whose owners the supervisors' and streams' are.
        self.crew_of: dict[Owner, Crew] = {
            owner: crew
            for crew in self.crews
            for owner in (
                crew.work,
                crew.runs,
                *(one for one in list(crew.roster.entries) if isinstance(one, Places)),
            )
        }
        self.part_of: dict[asyncio.Task[Any], Any] = {
            part: child for child in self.work() for part in parts_of(child)
        }

    def work(self) -> Iterable[Task[Any] | StreamRun]:
        """Every task and every stream that runs, once."""
        seen: set[int] = set()
        for child in (child for owned in self.owned.values() for child in owned):
            if isinstance(child, Task | StreamRun) and id(child) not in seen:
                seen.add(id(child))
                yield child

    def host(self, owner: Owner) -> asyncio.Task[Any] | None:
        """The asyncio task in whose code an owner stands; None for code without a loop."""
        crew = self.crew_of.get(owner)
        return host_of(owner if crew is None else crew.block)

    def around(self, task: asyncio.Task[Any] | None) -> set[int]:
        """By identity: the task or the stream that an asyncio task is part of, what started that, and so on."""
        found: set[int] = set()
        while task is not None and (child := self.part_of.get(task)) is not None and id(child) not in found:
            found.add(id(child))
            task = self.host(child.owner)
        return found


def _owned(owner: Owner) -> list[Any]:
    if isinstance(owner, Places):
        return [] if owner.run is None else [owner.run]
    return [
        child
        for child in list(owner.children)
        if not isinstance(child, Link) and (not isinstance(child, StreamRun) or hasattr(child, "lanes"))
    ]


def served_by(task: Task[Any]) -> Any:
    """The service (a server, an agent, a supervisor) of which a task is one run, or None."""
    runs = getattr(task.fn, "__self__", None)
    control = getattr(runs, "_control", None)
    if isinstance(control, Control):
        return control.handle
    return runs if hasattr(runs, "serve") and hasattr(runs, "statistics") else None


def control_of(service: Any) -> Control | None:
    """What a server or an agent is besides its handlers; None for other services."""
    behaviour = getattr(service, "_holder", service)
    return behaviour._atonce if isinstance(behaviour, Behaviour) else None


def is_for_good(task: Task[Any], crews: Iterable[Crew]) -> bool:
    """Whether a task is the run of what goes on for ever: a service, or a permanent child."""
    if served_by(task) is not None:
        return True
    return any(
        isinstance(child, Child) and child.task is task and not child.is_work
        for crew in crews
        for child in list(crew.roster.entries)
    )
