"""Who is responsible for what was started: every task and every run of a stream is some owner's child."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Protocol
from weakref import ref

from atonce._model.errors import MisuseError
from atonce._runtime.awaited_by import shows_children
from atonce._runtime.clock import Clock, clock_of
from atonce._runtime.sigterm import heed as heed_sigterm
from atonce._runtime.waiting import resolve, wait_for_end

#: The current asyncio task of a loop. Before 3.12 `asyncio.current_task` is Python over this dict.
current_task: Callable[[asyncio.AbstractEventLoop], asyncio.Task[Any] | None] = (
    asyncio.current_task if sys.version_info >= (3, 12) else getattr(asyncio.tasks, "_current_tasks").get  # noqa: B009  # 3.11 only, and unknown to type checkers
)

GRACE = 5.0

log = logging.getLogger("atonce")


class Child(Protocol):
    """What an owner can do with what it owns."""

    def stop(self) -> None:
        """Ask for the end; the child calls `owner.release(self)` when it is over."""

    def abandon(self) -> None:
        """Give up waiting for the end: settle what can be settled."""

    def __str__(self) -> str: ...


class Owner:
    """A set of children that is emptied before the owner is gone."""

    #: Whether its children run on the private loop of the blocking face.
    on_portal = False
    #: Whether `owners` finds it by its asyncio task.
    has_task = False

    __slots__ = ("__weakref__", "children", "clock", "closed", "empty", "is_scope", "pid")

    def __init__(self) -> None:
        heed_sigterm()
        self.children: set[Any] = set()
        self.closed: bool = False
        #: Whether it came from the context, which a child must then not inherit: what a child starts is the child's.
        self.is_scope: bool = True
        self.pid: int = os.getpid()
        #: The clock of the loop that runs the children, known from the first child on.
        self.clock: Clock | None = None
        #: Resolved when the last child is gone, where somebody waits for that.
        self.empty: asyncio.Future[None] | None = None
        if not self.has_task:
            _others.add(ref(self, _others.discard))

    def read_clock(self, loop: asyncio.AbstractEventLoop) -> Clock:
        """Remember the clock of the loop that runs the children."""
        self.clock = clock_of(loop)
        return self.clock

    def adopt(self, child: Child) -> None:
        """Become responsible for `child`."""
        if self.closed:
            raise MisuseError("this owner is closed: what it started has ended, and it starts nothing more")
        self.children.add(child)

    def release(self, child: Child) -> None:
        """`child` is over."""
        children = self.children
        children.discard(child)
        if self.empty is not None and not children:
            resolve(self.empty)

    def child_failed(self, child: Child, error: BaseException) -> bool:
        """A linked child ended with `error`; True when the owner will raise it. An owner that is no scope goes on."""
        return False

    def stop_children(self) -> None:
        """Ask all children to end."""
        for child in tuple(self.children):
            child.stop()

    @shows_children
    async def wait_empty(self, grace: float, *, quiet: bool = False) -> None:
        """Wait until no child is left, at most `grace` seconds; what is left then is abandoned and logged.

        A cancel of the waiter does not cut the wait short: it is raised when the wait is over.
        """
        _, cancelled = await wait_for_end(lambda: not self.children, self._subscribe, grace)
        for child in tuple(self.children):
            log.log(
                logging.DEBUG if quiet else logging.WARNING,
                "abandoned after %g s: %s does not end",
                grace,
                child,
            )
            child.abandon()
            self.children.discard(child)
        if cancelled is not None:
            raise cancelled

    def _subscribe(self, empty: asyncio.Future[None]) -> None:
        self.empty = empty


#: Scopes, supervisors, servers, the interpreter: for whoever wants to see what there is.
_others: set[ref[Owner]] = set()


class TaskOwner(Owner):
    """The children of one asyncio task: when it ends, normally or not, they are stopped."""

    has_task = True

    __slots__ = ("loop", "task")

    def __init__(self, task: asyncio.Task[Any], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.is_scope = False
        self.task: asyncio.Task[Any] = task
        self.loop: asyncio.AbstractEventLoop = loop
        task.add_done_callback(_owner_ended)


#: The scope that owns what is spawned in this context; None: the current asyncio task does.
scope_var: ContextVar[Owner | None] = ContextVar("atonce_scope", default=None)

#: Owners by asyncio task; a lane looks here after each item, so it is a plain dict.
task_owners: dict[asyncio.Task[Any] | None, TaskOwner] = {}


def owners() -> list[Owner]:
    """Every owner of this process; from any thread, of about this moment."""
    pid = os.getpid()
    others = [found() for found in _others.copy()]  # a copy is made at once, whatever other threads do
    every = (*list(task_owners.values()), *others)
    return [owner for owner in every if owner is not None and owner.pid == pid]


def host_of(owner: Owner) -> asyncio.Task[Any] | None:
    """The asyncio task that an owner is, or in whose code its block stands."""
    return owner.task if isinstance(owner, TaskOwner) else getattr(owner, "host", None)


class _Here(threading.local):
    """The asyncio task that was last seen to start something in this thread, as an owner.

    Before 3.12 asking for the running loop is a system call (getpid). A task that starts one thing after another is
    known by this instead: whoever reads it asks whether it is still the current task of its loop.
    """

    owner: TaskOwner | None = None


here = _Here()


def current_owner(loop: asyncio.AbstractEventLoop) -> Owner:
    """The innermost scope of this context, else the current asyncio task."""
    return scope_var.get() or task_owner(loop)


def task_owner(loop: asyncio.AbstractEventLoop) -> TaskOwner:
    """The current asyncio task, as an owner."""
    task = current_task(loop)
    if task is None:
        raise no_loop()
    owner = task_owners.get(task)
    if owner is None:
        owner = task_owners[task] = TaskOwner(task, loop)
    here.owner = owner
    return owner


def no_loop() -> MisuseError:
    """The error of an async verb that was called where no event loop runs."""
    return MisuseError(
        "there is no running event loop task to own this; call it inside `async def`, "
        "or use the same verb of `atonce.blocking` in a script, a thread or a REPL"
    )


def running_loop() -> asyncio.AbstractEventLoop:
    """The running loop, or an error that says what to do."""
    loop = asyncio._get_running_loop()
    if loop is None:
        raise no_loop()
    return loop


async def children_over(task: asyncio.Task[Any] | None) -> None:
    """The code of `task` is over, its end is not told yet: stop what it spawned, and wait until that is over too.

    A cancel in the meantime changes nothing: the end is near, and bounded by the grace.
    """
    owner = _forget(task)
    if owner is None or task is None:
        return
    task.remove_done_callback(_owner_ended)
    if owner.children:
        owner.stop_children()
        with contextlib.suppress(asyncio.CancelledError):
            await owner.wait_empty(GRACE)


def _owner_ended(task: asyncio.Task[Any]) -> None:
    owner = _forget(task)
    if owner is not None:
        owner.stop_children()


def _forget(task: asyncio.Task[Any] | None) -> TaskOwner | None:
    """Let go of the owner of `task`, which starts nothing more."""
    owner = task_owners.pop(task, None)
    if owner is here.owner:
        here.owner = None
    return owner


def _forked() -> None:
    """No loop runs in a forked child, though the task that forked still looks current."""
    here.owner = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
