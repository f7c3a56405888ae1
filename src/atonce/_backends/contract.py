"""What every backend promises to the verbs, and what it may ask of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from atonce._runtime.clock import Clock


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend honestly promises.

    `stops` says when a timeout or a stop takes effect: at the next await, when the function looks (`asked`), at once
    (`killed`), or `never`, where nobody can tell the function. `ends` is False where the work may go on after it was
    given up. `patience` is how many seconds a stopped task is waited for before it is abandoned (None: the grace of its
    owner). `turns` is how many turns of the loop a timed-out task gets to end by itself before its place is free again.
    `holds` says that its lanes take items before they start them, and keep the bound on those that run by themselves.
    `carries_context` is False where calls do not see the context variables of who made them.
    """

    name: str
    stops: Literal["at the next await", "asked", "killed", "never"]
    ends: bool
    shares_memory: bool
    default_concurrency: int
    patience: float | None
    turns: int
    holds: bool = False
    carries_context: bool = True


class Receiver(Protocol):
    """Who is told how one call went; all methods are called on the owner's loop, `began` is set from anywhere, to
    what `clock()` says when the call starts."""

    began: float | None
    clock: Clock
    loop: asyncio.AbstractEventLoop

    def returned(self, value: Any) -> None:
        """The call returned, and is over."""
        ...

    def gave(self, value: Any) -> None:
        """A plain function returned what may be an awaitable, to be awaited on the owner's loop before all is over."""
        ...

    def raised(self, error: BaseException) -> None:
        """The call raised, and is over; `CancelledError` when it was cancelled."""
        ...


class Running(Protocol):
    """A handle on one call that was started."""

    def cancel(self) -> object:
        """Ask for its end; what that means is in the capabilities. Safe to repeat."""
        ...


@runtime_checkable
class Remote(Running, Protocol):
    """A call in another process, which `cancel` kills."""

    def look(self) -> float | None:
        """When it began, None when it waits; nobody is told when that happens."""
        ...

    def ask(self, grace: float) -> None:
        """Ask it to end, and kill it after `grace` seconds; at once where it has never asked whether it should end."""
        ...


class Desk(Protocol):
    """One run of a stream, as its lanes see it. All methods are called on the owner's loop."""

    fn: Callable[..., Any]
    is_async: bool
    clock: Clock
    context: Context
    timeout: float | None
    #: Whoever runs now puts itself here; a lane that still finds itself after its item knows that nobody else ran.
    current: object

    def take(self) -> tuple[int, Any] | None:
        """The next (index, item) to run now, or None: then `wake` is called when there may be one."""
        ...

    def may_take_more(self) -> bool:
        """Whether one more lane would find a free place."""
        ...

    def returned(self, index: int, item: Any, value: Any, began: float, ended: float) -> None:
        """An attempt at an item returned."""
        ...

    def raised(self, index: int, item: Any, error: BaseException, began: float, ended: float) -> None:
        """An attempt at an item failed."""
        ...

    def timed_out(self, index: int, *, abandoned: bool) -> BaseException:
        """The error for an item whose time is up."""
        ...

    def arm(self, began: float, /) -> None:
        """An item with a time limit runs since `began`."""
        ...


class Lanes(Protocol):
    """What serves one run of a stream."""

    def wake(self) -> None:
        """There may be something to take."""
        ...

    def running(self) -> list[tuple[float, Any]]:
        """The (start, key) of all that runs now and has a time limit."""
        ...

    def still(self, began: float, key: Any) -> bool:
        """Whether that very attempt is still running."""
        ...

    def find(self, index: int) -> Any:
        """The key of the item with `index`, or None when it does not run."""
        ...

    def expire(self, key: Any) -> None:
        """The time of `key` ran out: end it, and tell the desk `TaskTimeout`."""
        ...

    def stop(self) -> None:
        """Take nothing more, and ask all that runs to end."""
        ...

    def is_over(self) -> bool:
        """Whether nothing runs any more."""
        ...

    def abandon(self) -> int:
        """Give up on what still runs; gives how many."""
        ...


class Backend(Protocol):
    """A place where work runs."""

    capabilities: Capabilities

    def start(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        is_async: bool,
        context: Context | None,
        to: Receiver,
    ) -> Running:
        """Start one call; `context` None means a copy of the current one."""
        ...

    def lanes(self, desk: Desk, bound: int, over: Callable[[], None]) -> Lanes:
        """Serve a stream; `over()` is called when, after a stop, nothing runs any more."""
        ...
