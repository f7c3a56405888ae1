"""Where a stream's items come from: pulled in place when that cannot block, else by a helper, never ahead of need."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections import deque
from collections.abc import AsyncIterable, Callable, Generator, Iterable, Iterator
from contextvars import Context
from typing import Any, Protocol

from atonce._model.errors import TaskStopped
from atonce._runtime.owner import GRACE
from atonce._runtime.waiting import resolve, wait_for_end

#: Iterables whose iterators are C code over memory: pulling from them never blocks.
_SAMPLES: tuple[Iterable[object], ...] = (
    *([], (), range(0), range(10**30), "", "\xe9", b"", bytearray(), set(), frozenset(), deque()),
    *({}, {}.keys(), {}.values(), {}.items()),
)
_INSTANT = frozenset(
    [*(type(iter(one)) for one in _SAMPLES), *map(type, _SAMPLES), itertools.count, itertools.repeat]
)


class NothingYet(Exception):
    """The input has no item now; the feed wakes the stream when it has."""


class Feed(Protocol):
    """The input of one run of a stream."""

    def next(self) -> Any:
        """Take the next item: StopIteration at the end, NothingYet while there is none, else the input's own error."""

    def allow(self, limit: int) -> None:
        """Let it pull until `limit` items have been pulled in all."""

    def close(self) -> None:
        """Pull no more, and close the input; safe to repeat."""

    async def closed(self) -> asyncio.CancelledError | None:
        """Wait until the input is closed, within a bound; gives a cancel that came meanwhile."""


async def _wait_done(what: asyncio.Future[None], grace: float) -> asyncio.CancelledError | None:
    """Wait until `what` is done, at most `grace` seconds; a cancel does not cut the wait short."""

    def subscribe(ended: asyncio.Future[None]) -> None:
        what.add_done_callback(lambda _: resolve(ended))

    _, cancelled = await wait_for_end(what.done, subscribe, grace)
    return cancelled


class InstantFeed:
    """An input that can be pulled on the loop."""

    __slots__ = ("_close", "next")

    def __init__(self, items: Iterator[Any]) -> None:
        self.next = items.__next__
        self._close = items.close if isinstance(items, Generator) else None

    def allow(self, limit: int) -> None:
        """Nothing to do: the stream pulls by itself."""

    def close(self) -> None:
        """Close a generator that is pulled in place; memory needs no closing."""
        if self._close is not None:
            self._close()

    async def closed(self) -> None:
        """Closed from the start."""


class _Buffered:
    """What the helpers share: a deque that the helper fills, and how far it may go."""

    def __init__(self, wake: Callable[[], None], limit: int) -> None:
        self._items: deque[Any] = deque()
        self._wake = wake
        self._limit = limit
        self._pulled = 0
        self._ended: BaseException | None = None
        self._hungry = False
        self._closing = False

    def next(self) -> Any:
        if self._items:
            return self._items.popleft()
        self._hungry = True
        if self._items:
            return self._items.popleft()
        if self._ended is not None:
            raise self._ended
        if self._may_pull():
            self._rouse()
        raise NothingYet

    def _rouse(self) -> None:
        """Wake the helper if it waits for room."""
        raise NotImplementedError

    def _may_pull(self) -> bool:
        return self._pulled < self._limit and not self._closing

    def _worth_a_wake(self, limit: int) -> bool:
        """Wake a waiting helper for several items at once, but never let the stream run dry."""
        return not self._items or limit - self._pulled >= 16


class AsyncFeed(_Buffered):
    """An async iterable, pulled by a task of its own."""

    def __init__(
        self, items: AsyncIterable[Any], wake: Callable[[], None], limit: int, context: Context
    ) -> None:
        super().__init__(wake, limit)
        self._source = items
        self._room: asyncio.Future[None] | None = None
        self._task = asyncio.get_running_loop().create_task(self._pull(), context=context)

    def allow(self, limit: int) -> None:
        self._limit = limit
        if self._worth_a_wake(limit):
            self._rouse()

    def _rouse(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._items.clear()
            self._task.cancel()

    async def closed(self) -> asyncio.CancelledError | None:
        return await _wait_done(self._task, GRACE)

    async def _pull(self) -> None:
        iterator = None
        ended: BaseException = StopIteration()
        try:
            iterator = aiter(self._source)
            while not self._closing:
                while not self._may_pull():
                    self._room = asyncio.get_running_loop().create_future()
                    await self._room
                self._items.append(await anext(iterator))
                self._pulled += 1
                self._tell()
        except StopAsyncIteration:
            pass
        except asyncio.CancelledError:
            ended = TaskStopped("the input was cancelled")
        except BaseException as error:
            ended = error
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
        finally:
            broken = await self._close_source(iterator)
            self._ended = broken if broken is not None and isinstance(ended, StopIteration) else ended
            self._hungry = True
            self._tell()

    async def _close_source(self, iterator: Any) -> Exception | None:
        """Close it, and give what that raised."""
        aclose = getattr(iterator, "aclose", None)
        if aclose is None:
            return None
        try:
            await aclose()
        except (asyncio.CancelledError, StopAsyncIteration, RuntimeError):
            return None
        except Exception as error:
            return error
        return None

    def _tell(self) -> None:
        if self._hungry:
            self._hungry = False
            self._wake()


class ThreadFeed(_Buffered):
    """An iterable that may block, pulled from first to last in one thread of its own."""

    def __init__(self, items: Iterable[Any], wake: Callable[[], None], limit: int, context: Context) -> None:
        super().__init__(wake, limit)
        self._loop = asyncio.get_running_loop()
        self._source = items
        self._parked = False
        self._room = threading.Event()
        self._over = self._loop.create_future()
        threading.Thread(target=context.run, args=(self._pull,), name="atonce-input", daemon=True).start()

    def allow(self, limit: int) -> None:
        self._limit = limit
        if self._worth_a_wake(limit):
            self._rouse()

    def _rouse(self) -> None:
        if self._parked:
            self._room.set()

    def close(self) -> None:
        self._closing = True
        self._items.clear()
        self._room.set()

    async def closed(self) -> asyncio.CancelledError | None:
        """Wait until the thread is done; one that is blocked in the input is given a moment and then left."""
        return await _wait_done(self._over, 0.1)

    def _pull(self) -> None:
        iterator = None
        try:
            iterator = iter(self._source)
            while self._wait_for_room():
                self._items.append(next(iterator))
                self._pulled += 1
                if self._hungry:
                    self._hungry = False
                    self._post(self._wake)
        except BaseException as error:
            self._ended = error.with_traceback(error.__traceback__)
        finally:
            self._close_source(iterator)
            self._post(self._finish)

    def _wait_for_room(self) -> bool:
        while not self._may_pull():
            if self._closing:
                return False
            self._room.clear()
            self._parked = True
            if not self._may_pull() and not self._closing:
                self._room.wait()
            self._parked = False
        return True

    def _close_source(self, iterator: Any) -> None:
        ours = isinstance(iterator, Generator) or iterator is not self._source
        close = getattr(iterator, "close", None)
        if close is None or not ours or not self._closing:
            return
        try:
            close()
        except BaseException as error:
            self._ended = error

    def _finish(self) -> None:
        if not self._over.done():
            self._over.set_result(None)
        self._wake()

    def _post(self, function: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function)


def feed_of(
    items: Any, wake: Callable[[], None], limit: int, context: Context, *, inline: bool = False
) -> Feed:
    """Choose how to pull from `items`: async, in place (memory, or `inline`), else in a thread."""
    if isinstance(items, AsyncIterable):
        return AsyncFeed(items, wake, limit, context)
    if type(items) in _INSTANT or inline:
        return InstantFeed(iter(items))
    return ThreadFeed(items, wake, limit, context)
