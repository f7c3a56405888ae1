"""What holds a place in a stream that runs in threads: a thread's tour of duty, or what is awaited in its stead."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from contextvars import Context
from types import GeneratorType
from typing import Any, Protocol, TypeAlias

from atonce._model.errors import TaskStopped
from atonce._runtime.token import Token
from atonce._runtime.waiting import after_turns, start_awaiting

#: How many turns of the loop a cancelled awaitable gets to end before its place is given to another.
TURNS = 3
#: How many types of results a run remembers as not awaitable.
MOST_TYPES = 1_000

#: An item as the desk gives it; its identity is that of the attempt, since no two live ones are the same object.
Taken: TypeAlias = tuple[int, Any]


class Run(Protocol):
    """The lanes of one run of a stream, as who holds a place in it sees them."""

    loop: asyncio.AbstractEventLoop

    def serve(self, lane: Lane, /) -> None:
        """Run items in this thread until there is nothing to do."""

    def tell(self) -> None:
        """Let the loop fetch the results that are there."""

    def replace(self) -> None:
        """A place is free."""

    def awaited(self, who: Awaited, value: Any, error: BaseException | None, /, *, abandoned: bool) -> None:
        """`who` has ended, or had its time and the turns that it gets then."""


class Lane:
    """One thread's tour of duty in a run, with the token that its items see: whoever asks it ends the tour with it."""

    __slots__ = ("began", "run", "state", "taken", "token")

    #: For the pool's statistics, which ask the run itself.
    is_call = False

    def __init__(self, run: Run) -> None:
        self.run: Run = run
        self.token: Token = Token()
        self.state: str = "queued"
        self.taken: Taken = (-1, None)
        self.began: float | None = None

    def work(self) -> None:
        """In a thread: serve until there is nothing to do."""
        self.run.serve(self)

    def tell(self) -> None:
        """In a thread, which may have got its next work by then: let the loop fetch what is there."""
        self.run.tell()

    def dropped(self) -> None:
        """The backend was closed before a thread was free; it tells the run by itself."""

    def ask(self) -> None:
        """Let `cancelled()` be true in its item."""
        self.token.asked = True

    def give_up(self) -> None:
        """On the loop: the item that it is on is out of time, and no longer counts."""
        self.ask()
        self.run.replace()


class Awaited:
    """An item whose function gave an awaitable: it is awaited on the loop, in its lane's place."""

    __slots__ = ("asked", "began", "run", "taken", "task")

    def __init__(self, run: Run, taken: Taken, value: Any, context: Context, began: float) -> None:
        self.run: Run = run
        self.taken: Taken = taken
        self.began: float | None = began
        self.asked: bool = False
        self.task: asyncio.Task[Any] = start_awaiting(run.loop, value, context)
        self.task.add_done_callback(self._ended)

    def ask(self) -> None:
        """Cancel it."""
        self.asked = True
        self.task.cancel()

    def give_up(self) -> None:
        """Cancel it; its place is free when it has ended, and a few turns later at the latest."""
        self.ask()
        after_turns(self.run.loop, TURNS, self._detach)

    def _detach(self) -> None:
        if not self.task.done():
            self.run.awaited(self, None, None, abandoned=True)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        self.run.awaited(self, None if error else task.result(), error, abandoned=False)


class Kinds:
    """Tells results from awaitables, and remembers the types of those that are none."""

    __slots__ = ("plain",)

    def __init__(self) -> None:
        #: By identity: a type of types may not want to be hashed.
        self.plain: dict[int, type] = {}

    def of(self, value: Any) -> str:
        """`returned` or `gave`; a value whose type is in `plain` need not be asked."""
        kind = type(value)
        try:
            if inspect.isawaitable(value):
                return "gave"
        except (
            Exception
        ):  # a proxy for nothing: as it is the function's value, it is for the consumer to look at
            return "returned"
        if kind is not GeneratorType and len(self.plain) < MOST_TYPES:
            self.plain[id(kind)] = kind
        return "returned"


def in_own_loop(fn: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Make an `async def` a plain function that runs in a loop of its own."""

    def call(item: Any) -> Any:
        return asyncio.run(fn(item))

    return call


def without_lane(error: BaseException) -> BaseException:
    """Take the lane's own frame out of a traceback, which would keep the lane and all that it knows."""
    traceback = error.__traceback__
    error.__traceback__ = None if traceback is None else traceback.tb_next
    return error


def named(error: BaseException) -> BaseException:
    """What an item's error is for its consumer, to whom `CancelledError` would mean a cancel of his own."""
    return TaskStopped("the item was cancelled") if isinstance(error, asyncio.CancelledError) else error


def closed_before() -> TaskStopped:
    """The error of an item that found its backend closed."""
    return TaskStopped("the thread backend was closed before this item began")


def discard(value: Any) -> None:
    """Drop a result; a coroutine is closed, so that nobody is told that it was never awaited."""
    if inspect.iscoroutine(value):
        value.close()
