"""Who awaits whom, told to asyncio where it can show it: `python -m asyncio pstree PID` on Python 3.14 and later.

asyncio sees a task that awaits an asyncio future. Between that future and the asyncio task that does the work lies
what is ours, so we tell it. Where asyncio cannot show it, the methods here are given back as they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator, Iterable
from functools import wraps
from typing import Any, ParamSpec, TypeAlias, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_Link: TypeAlias = Callable[[Any, Any], object]
_ADD: _Link | None = getattr(asyncio, "future_add_to_awaited_by", None)
_DISCARD: _Link | None = getattr(asyncio, "future_discard_from_awaited_by", None)


def parts_of(child: Any) -> list[asyncio.Task[Any]]:
    """The asyncio tasks that carry out a child of an owner, as far as it tells."""
    parts: Callable[[], list[asyncio.Task[Any]]] | None = getattr(child, "parts", None)
    return parts() if parts is not None else []


class Awaits:
    """What one wait is told as: the asyncio tasks that carry out `children` are awaited by the current one."""

    __slots__ = ("_discard", "_parts", "_waiter")

    def __init__(self, children: Iterable[Any], add: _Link, discard: _Link) -> None:
        self._discard = discard
        self._waiter = asyncio.current_task()
        parts = [part for child in children for part in parts_of(child)] if self._waiter is not None else []
        self._parts = [part for part in parts if part is not self._waiter]
        for part in self._parts:
            add(part, self._waiter)

    def over(self, _: object = None) -> None:
        """The wait is over."""
        parts, self._parts = self._parts, []
        for part in parts:
            self._discard(part, self._waiter)


def shows_await(
    plain: Callable[[Any], Generator[Any, None, T]],
    add: _Link | None = _ADD,
    discard: _Link | None = _DISCARD,
) -> Callable[[Any], Generator[Any, None, T]]:
    """For an `__await__`: while it waits, what runs `self` is awaited by the current task."""
    if add is None or discard is None:
        return plain

    @wraps(plain)
    def seen(self: Any) -> Generator[Any, None, T]:
        awaits = Awaits([self], add, discard)
        try:
            return (yield from plain(self))
        finally:
            awaits.over()
            del self  # the traceback of what is raised keeps this frame, and the frame must not keep the task

    return seen


def shows_waiter(
    plain: Callable[[Any], asyncio.Future[None]], add: _Link | None = _ADD, discard: _Link | None = _DISCARD
) -> Callable[[Any], asyncio.Future[None]]:
    """For a method that gives one waiter a future: as long as that is not done."""
    if add is None or discard is None:
        return plain

    @wraps(plain)
    def seen(self: Any) -> asyncio.Future[None]:
        waiter = plain(self)
        if not waiter.done():
            waiter.add_done_callback(Awaits([self], add, discard).over)
        return waiter

    return seen


def shows_children(
    plain: Callable[P, Coroutine[Any, Any, T]], add: _Link | None = _ADD, discard: _Link | None = _DISCARD
) -> Callable[P, Coroutine[Any, Any, T]]:
    """For a coroutine that waits for what its first argument is: a list of tasks, or an owner, for its children."""
    if add is None or discard is None:
        return plain

    @wraps(plain)
    async def seen(*args: P.args, **kwargs: P.kwargs) -> T:
        first: Any = args[0]
        awaits = Awaits(first if isinstance(first, list) else list(first.children), add, discard)
        try:
            return await plain(*args, **kwargs)
        finally:
            awaits.over()

    return seen


def show_until_done(part: object, waiter: asyncio.Task[Any] | None) -> None:
    """As long as it runs, the asyncio task `part` (a lane of a stream, a contender) is awaited by `waiter`."""
    discard = _DISCARD
    if _ADD is not None and discard is not None and waiter is not None and isinstance(part, asyncio.Task):
        _ADD(part, waiter)
        part.add_done_callback(lambda _: discard(part, waiter))
