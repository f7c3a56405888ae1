"""`tree`: what runs in this process, who runs it, for how long, and where it was spawned."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import partial
from math import inf
from typing import Any

from atonce._backends.contract import Backend
from atonce._model.checks import count, shown
from atonce._model.tree import Node, Tree
from atonce._runtime.awaited_by import parts_of
from atonce._runtime.owner import Owner, TaskOwner
from atonce._runtime.portal import existing_portal
from atonce._runtime.scope import Scope
from atonce._runtime.site import shown_site
from atonce._verbs.overview import Overview, control_of, served_by
from atonce._verbs.stream_run import StreamRun
from atonce._verbs.supervisor_child import Child
from atonce._verbs.supervisor_crew import Crew
from atonce._verbs.supervisor_work import Block, Places
from atonce._verbs.task import Task

#: How many levels are shown below each other.
DEEPEST = 100


def tree(*, most: int = 100) -> Tree:
    """What runs in this process now, on all its event loops, as a frozen value; print it, or draw its `.mermaid()`.

    Scopes, tasks (how long, where spawned), streams (how many items run, wait and are done), supervisors with their
    children (state, restarts), servers and agents (what waits in the mailbox), and the threads and processes that work
    for them. The same from an event loop, from any thread, and in `atonce.blocking`; for a program that hangs, from a
    signal handler or a debug page. Elixir: the tree of `:observer`.

    **Bounded**: of more than `most` children of one parent the others are counted. It is a picture of about this
    moment: what other threads run goes on while it is taken. **Costs** some 10 us for each thing that is shown, when
    you ask, and nothing before.

    >>> async def main():
    ...     async with scope(name="pages"):
    ...         spawn(asyncio.sleep, 0.01, name="first")
    ...         return [node.kind for node in tree().walk() if node.name in ("pages", "first")]
    >>> asyncio.run(main())
    ['scope', 'task']
    """
    return Tree(_Drawing(count("most", most)).root())


class _Drawing:
    """One picture, from the outside in."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._overview = overview = Overview()
        self._backends: dict[int, Backend] = {}
        self._depth = 0
        #: Owners by the asyncio task in whose code they stand, and scopes by the scope around them.
        self._hosted: dict[asyncio.Task[Any], list[Owner]] = {}
        self._nested: dict[Owner, list[Owner]] = {}
        self._outermost: list[Owner] = []
        private = existing_portal()
        #: Where the children of an owner without an asyncio task run.
        self._private = None if private is None else private.loop
        open_scopes = {
            one for one in overview.owners if isinstance(one, Scope) and not _is_gone(one, overview)
        }
        for owner in overview.owners:
            if owner in overview.crew_of or _is_gone(owner, overview):
                continue
            outer = owner.outer() if isinstance(owner, Scope) else None
            host = overview.host(owner)
            if outer in open_scopes:
                self._nested.setdefault(outer, []).append(owner)
            elif host is not None:
                self._hosted.setdefault(host, []).append(owner)
            elif isinstance(owner, Scope) or (private is not None and owner is private.owner):
                self._outermost.append(owner)

    def root(self) -> Node:
        """The process, with its loops and its backends."""
        loops: dict[asyncio.AbstractEventLoop | None, list[Callable[[], list[Node]]]] = {}
        for task in self._hosted:
            if task not in self._overview.part_of:
                loops.setdefault(task.get_loop(), []).append(partial(self._bare, task))
        for owner in self._outermost:
            loops.setdefault(self._private, []).append(partial(self._of, owner))
        found = [
            Node("loop", _loop_name(loop), children=self._some(node for draw in draws for node in draw()))
            for loop, draws in loops.items()
        ]
        backends = [_backend(one) for one in self._backends.values() if hasattr(one, "statistics")]
        return Node("process", str(os.getpid()), children=(*found, *backends))

    # -- owners -------------------------------------------------------------------------------------------------

    def _of(self, owner: Owner) -> list[Node]:
        """An owner and what it owns; of one that has no name of its own, what it owns alone."""
        inside = [*self._overview.owned.get(owner, ()), *self._nested.get(owner, ())]
        if isinstance(owner, Block):
            crew = next((one for one in inside if isinstance(one, Crew)), None)
            return [] if crew is None else [self._supervisor(crew)]
        nodes = self._each(inside)
        if not isinstance(owner, Scope) or _holds_a_server(inside):
            return list(nodes)
        return [Node("scope", owner.name or "", "ending" if owner.closed else "", children=nodes)]

    def _bare(self, task: asyncio.Task[Any]) -> list[Node]:
        """An asyncio task that atonce did not start, and that owns something."""
        steps = getattr(task.get_coro(), "__qualname__", "")
        return [Node("asyncio task", task.get_name(), "running", detail=steps, children=self._in(task))]

    def _in(self, *tasks: asyncio.Task[Any]) -> tuple[Node, ...]:
        """What stands in the code of asyncio tasks."""
        owners = [owner for task in tasks for owner in self._hosted.get(task, ())]
        return self._some(node for owner in owners for node in self._of(owner))

    def _each(self, things: Iterable[Any]) -> tuple[Node, ...]:
        """What an owner owns, in no order of its own: blocks, then what runs longest."""
        nodes = [node for thing in things for node in self._node(thing)]
        return self._some(sorted(nodes, key=lambda node: inf if node.age is None else node.age, reverse=True))

    def _node(self, thing: Any) -> list[Node]:
        if self._depth >= DEEPEST:
            return [Node("...", "deeper")]
        self._depth += 1
        try:
            if isinstance(thing, Owner):
                return self._of(thing)
            if isinstance(thing, Task):
                return [self._task(thing)]
            if isinstance(thing, StreamRun):
                return [self._stream(thing)]
            return [self._supervisor(thing)] if isinstance(thing, Crew) else []
        finally:
            self._depth -= 1

    def _some(self, nodes: Iterable[Node]) -> tuple[Node, ...]:
        """As many as are shown, and how many more there are."""
        found = list(nodes)
        rest = len(found) - self._most
        return tuple(found) if rest <= 0 else (*found[: self._most], Node("...", f"{rest:,} more"))

    # -- what they own ------------------------------------------------------------------------------------------

    def _task(self, task: Task[Any], kind: str = "task", child: Child | None = None) -> Node:
        backend = task.backend
        self._backends[id(backend)] = backend
        where = backend.capabilities.name
        service = served_by(task)
        state, age = _progress(task)
        node = Node(
            kind,
            _quoted(task.name),
            state,
            age,
            0 if child is None else child.restarts,
            "" if where == "loop" else f"on {where}",
            f"spawned at {shown_site(task._site)}",
            self._in(*parts_of(task)),
        )
        return node if control_of(service) is None else self._server(node, service)

    def _server(self, run: Node, service: Any) -> Node:
        """A task that runs a server or an agent: what waits, and what its handlers have started."""
        control = control_of(service)
        assert control is not None
        counts = control.statistics()
        owned = [] if control.run is None else self._overview.owned.get(control.run.owner, [])
        state = "running" if control.run is None or control.run.end is None else "ending"
        name = type(control.handle).__name__ + (f" {control.options.name!r}" if control.options.name else "")
        kind = "agent" if control.handle is not control.behaviour else "server"
        detail = f"{counts.waiting} in the mailbox, {counts.handled} handled"
        children = (*run.children, *self._each(owned))
        return Node(kind, name, state, run.age, run.restarts, detail, run.site, children)

    def _stream(self, run: StreamRun) -> Node:
        self._backends[id(run.spec.backend)] = run.spec.backend
        counts = run.statistics()
        parts = [f"{counts.running} running", f"{counts.waiting} waiting", f"{counts.delivered:,} done"]
        parts += [f"{many} {how}" for how in ("failed", "abandoned") if (many := getattr(counts, how))]
        code = getattr(run.fn, "__code__", None)
        site = f"of {code.co_filename}:{code.co_firstlineno}" if code is not None else ""
        state = "ending" if run.closing else "running"
        return Node(
            "stream", _quoted(run.spec.name), state, None, 0, ", ".join(parts), site, self._in(*run.parts())
        )

    def _supervisor(self, crew: Crew) -> Node:
        counts, roster = crew.statistics(), crew.roster
        children: list[Node] = []
        for key in list(roster.entries):
            if isinstance(key, Child):
                children.append(self._child(key))
            elif isinstance(key, Places) and key.run is not None:
                children.append(self._stream(key.run))
        children += self._each(list(roster.work))
        children += [Node("waiting", str(key)) for key in list(roster.waiting)]
        name = crew.block.title.removeprefix("supervisor ") if crew.block.title != "supervisor" else ""
        limit = "" if crew.plan.max_children is None else f" of {crew.plan.max_children}"
        detail = f"{crew.plan.strategy}, {counts.running}{limit} running, {counts.waiting} waiting"
        age = crew.clock() - crew._began
        state = "ending" if roster.closed else "running"
        return Node("supervisor", name, state, age, counts.restarts, detail, "", self._some(children))

    def _child(self, child: Child) -> Node:
        """A child, with what its current run is."""
        run = child.task
        last = "" if child.last_error is None else f"last failed with {shown(child.last_error)}"
        site = f"spawned at {shown_site(child._site)}"
        if run is None or run.is_over():
            return Node("child", _quoted(child.name), child.state, None, child.restarts, last, site)
        inner = self._task(run, "child", child)
        if served_by(run) is child.service and [one.kind for one in inner.children] == ["supervisor"]:
            [inner] = inner.children
        detail = ", ".join(part for part in (child.restart, inner.detail, last) if part)
        name = inner.name if inner.kind == "child" else f"{inner.kind} {inner.name}"
        return Node("child", name, child.state, child.age, child.restarts, detail, site, inner.children)


def _is_gone(owner: Owner, overview: Overview) -> bool:
    """Whether a block is not entered yet, or over."""
    if isinstance(owner, Block):
        return not any(isinstance(child, Crew) and not child.is_over for child in list(owner.children))
    if isinstance(owner, TaskOwner):
        return owner.task.done() or not overview.owned.get(owner)
    return owner.closed and not overview.owned.get(owner)


def _holds_a_server(inside: list[Any]) -> bool:
    """Whether a scope is only the block of `async with Server()`."""
    return len(inside) == 1 and isinstance(inside[0], Task) and control_of(served_by(inside[0])) is not None


def _progress(task: Task[Any]) -> tuple[str, float | None]:
    """What a task does, and for how long."""
    try:
        began = task.looked() if task.began is None else task.began
    except ValueError:  # its worker is being buried
        began = None
    if began is None:
        return "waiting", None
    state = "ending" if task.done() or task._why is not None else "running"
    return state, max(0.0, task.clock() - began)


def _quoted(name: str) -> str:
    return name if name.isidentifier() or "." in name else repr(name)


def _loop_name(loop: asyncio.AbstractEventLoop | None) -> str:
    """Which thread runs it."""
    number = getattr(loop, "_thread_id", None)
    thread = next((one.name for one in threading.enumerate() if one.ident == number), None)
    return f"in {thread}" if thread else "that does not run"


def _backend(backend: Any) -> Node:
    """A backend that somebody uses, with its counts, and its workers where it can tell them."""
    counts = backend.statistics()
    detail = ", ".join(f"{getattr(counts, one.name)} {one.name}" for one in fields(counts))
    workers: Callable[[], list[Node]] = getattr(backend, "nodes", list)
    return Node("backend", backend.capabilities.name, detail=detail, children=tuple(workers()))
