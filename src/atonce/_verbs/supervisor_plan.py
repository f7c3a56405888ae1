"""What a supervisor is asked to do, checked, and what it counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from atonce._model.checks import choice, count, count_or_none, label, seconds, several, shown
from atonce._model.options import Retry
from atonce._policy.actions import Strategy
from atonce._policy.restarts import Intensity
from atonce._policy.roster import Roster
from atonce._verbs.supervisor_child import Child

OnFull: TypeAlias = Literal["raise", "wait"]


@dataclass(frozen=True, slots=True)
class SupervisorStatistics:
    """Counts of one run of a supervisor: `started` tasks and runs of children, of which `running` now; `waiting` for a
    place; `restarts` of children; `failed` runs; `abandoned`: what did not end in its grace and could not be killed."""

    started: int
    running: int
    waiting: int
    restarts: int
    failed: int
    abandoned: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The options of a supervisor."""

    max_children: int | None
    max_restarts: int
    max_seconds: float
    on_full: OnFull
    backoff: Retry | None
    name: str | None
    children: tuple[Child, ...]
    strategy: Strategy
    max_queue: int
    drain: float

    @classmethod
    def of(
        cls,
        max_children: int | None,
        max_restarts: int,
        max_seconds: float,
        on_full: OnFull,
        backoff: Retry | None,
        name: str | None,
        children: Iterable[Child],
        strategy: Strategy,
        max_queue: int,
        drain: float,
    ) -> Plan:
        """Check everything that a supervisor is told, before anything starts."""
        limit = count_or_none("max_children", max_children, least=0)
        line = tuple(several("children", children))
        for child in line:
            if not isinstance(child, Child):
                raise TypeError(f"children is a list of Child(fn, *args, ...); got {shown(child)}")
        _check_names(line)
        if limit is not None and len(line) > limit:
            raise ValueError(f"max_children={limit} has no room for the {len(line)} children in `children`")
        return cls(
            max_children=limit,
            max_restarts=count("max_restarts", max_restarts, least=0),
            max_seconds=seconds("max_seconds", max_seconds),
            on_full=choice("on_full", on_full, ("raise", "wait")),
            backoff=_checked_backoff(backoff),
            name=label("name", name),
            children=line,
            strategy=choice("strategy", strategy, ("one_for_one", "one_for_all", "rest_for_one")),
            max_queue=count("max_queue", max_queue),
            drain=seconds("drain", drain, zero=True),
        )

    def roster(self) -> Roster:
        """An empty roster that keeps to it."""
        return Roster(
            self.max_children,
            waits=self.on_full == "wait",
            max_queue=self.max_queue,
            intensity=Intensity(self.max_restarts, self.max_seconds),
            strategy=self.strategy,
            backoff=self.backoff,
        )


def _check_names(line: tuple[Child, ...]) -> None:
    seen: set[object] = set()
    for child in line:
        if child in seen or child.own_name in seen:
            raise ValueError(
                f"children holds {child!r} twice; names are unique, and each Child is there once"
            )
        seen.update((child, child.own_name) if child.own_name else (child,))


def _checked_backoff(backoff: object) -> Retry | None:
    if backoff is None:
        return None
    if not isinstance(backoff, Retry):
        raise TypeError(
            f"backoff is a Retry or None, e.g. backoff=Retry(base_delay=0.5, max_delay=30); got {shown(backoff)}"
        )
    if callable(backoff.base_delay):
        raise TypeError(
            "backoff takes seconds as base_delay, e.g. Retry(base_delay=0.5), not a wait object of tenacity"
        )
    return backoff
