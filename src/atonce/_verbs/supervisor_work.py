"""What a supervisor owns beside its children: plain tasks, their ties to who spawned them, and streams."""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import Any, Protocol

from atonce._model.errors import TaskStopped
from atonce._runtime.owner import Child, Owner, TaskOwner, log
from atonce._runtime.scope import Scope
from atonce._verbs.stream_run import StreamRun
from atonce._verbs.task import Task

#: A block ends when its supervisor has stopped, which is bounded by the graces of all its children.
ENDLESS = 1e9


class Block(Scope):
    """The block of a supervisor: what fails in its name stops it at once, and is raised from it."""

    __slots__ = ("title",)

    def __init__(self, title: str, host: asyncio.Task[Any] | None) -> None:
        super().__init__(grace=ENDLESS)
        self.title = title
        self._host = host
        self._cancels = host.cancelling() if host is not None else 0

    def is_cancelled(self) -> bool:
        """Whether its host was asked to end, and has not taken that back."""
        host = self._host
        return host is not None and host.cancelling() > self._cancels

    def is_within(self, caller: Owner) -> bool:
        """Whether `caller` is the code of the block itself; the interpreter is, for code without a loop."""
        if isinstance(caller, TaskOwner):
            return caller.task is self._host
        return self._host is None and type(caller) is Owner

    def __str__(self) -> str:
        return self.title


class Ends(Protocol):
    """Who hears what becomes of a supervisor's tasks and streams."""

    def task_ended(self, task: Any) -> None:
        """A plain task is over."""
        ...

    def task_failed(self, task: Any, error: BaseException) -> bool:
        """A plain task failed; True when somebody will raise the error."""
        ...

    def places_over(self, places: Places) -> None:
        """A stream is over."""
        ...


class Work(Owner):
    """The plain tasks of a supervisor. Its set of them is the roster's own."""

    __slots__ = ("_ends",)

    def __init__(self, tasks: set[Any], ends: Ends) -> None:
        super().__init__()
        self.is_scope = False  # whoever starts a task sees to its context, and to whether there is a place
        self.children = tasks
        self._ends = ends

    def release(self, child: Child) -> None:
        """A task is over. One that simply returns does not tell, unless `empty` is set."""
        self.children.discard(child)
        self._ends.task_ended(child)

    def child_failed(self, child: Child, error: BaseException) -> bool:
        """A task failed."""
        return self._ends.task_failed(child, error)

    def watch(self, loop: asyncio.AbstractEventLoop, *, wanted: bool) -> None:
        """Be told of every end from now on, or only of those that are out of the ordinary."""
        if not wanted:
            self.empty = None
        elif self.empty is None:
            self.empty = loop.create_future()


class Link:
    """The tie between a task and who spawned it: when one of them ends badly, so does the other."""

    __slots__ = ("block", "caller", "task")

    def __init__(self, task: Task[Any], caller: Owner, block: Block) -> None:
        self.task = task
        self.caller = caller
        self.block = block

    def tie(self) -> None:
        """From now on the caller's end is the task's."""
        self.caller.adopt(self)

    def untie(self) -> None:
        """The task is over."""
        self.caller.release(self)

    def stop(self) -> None:
        """The caller ends."""
        self.task.stop()

    def abandon(self) -> None:
        """The caller does not wait any longer."""
        self.task.abandon()

    def failed(self, error: BaseException) -> bool:
        """The task failed: end its caller; True when the error is raised or logged there."""
        caller = self.caller
        if self.block.is_within(caller):
            return self.block.child_failed(self, error)
        if not isinstance(caller, TaskOwner):
            return caller.child_failed(self, error)
        log.error(
            "%s failed, and the asyncio task that it is linked to is cancelled", self.task, exc_info=error
        )
        caller.task.cancel(f"{self.task}, which it had spawned, failed")
        return True

    def __str__(self) -> str:
        return str(self.task)


class Queued:
    """Stands for the run of a task that waits for its place."""

    __slots__ = ("args", "context", "is_async", "task")

    def __init__(self, task: Task[Any], args: tuple[Any, ...], is_async: bool, context: Context) -> None:
        self.task = task
        self.args = args
        self.is_async = is_async
        self.context = context

    def cancel(self) -> None:
        """It was stopped before it began."""
        self.task.raised(asyncio.CancelledError())

    def begin(self) -> None:
        """Its place is free; a failure to hand it over is its end."""
        task = self.task
        task._running = None
        try:
            _ = task.begin(self.args, self.is_async, self.context)
        except Exception as error:
            task.raised(error)


class Places(Owner):
    """The places of one stream, which own its run."""

    __slots__ = ("_ends", "count", "name", "run", "seated", "was_stopped")

    def __init__(self, name: str, count: int, ends: Ends) -> None:
        super().__init__()
        self.name = name
        self.count = count
        self.run: StreamRun | None = None
        #: Resolved when they are free, where the stream has to wait for that.
        self.seated: asyncio.Future[None] | None = None
        self.was_stopped = False
        self._ends = ends

    def adopt(self, child: Any) -> None:
        """The run begins."""
        self.run = child

    def release(self, child: Any = None) -> None:
        """The run is over, or there will be none."""
        self._ends.places_over(self)

    def check(self, supervisor: object) -> None:
        """Raise when they were taken away before the run began."""
        if self.was_stopped:
            raise TaskStopped(f"{self} does not start: {supervisor} was stopped")

    def __str__(self) -> str:
        return f"stream {self.name!r}"
