"""Lanes for backends that are handed one call at a time: the stream is served by starting calls as places get free."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from atonce._backends.contract import Backend, Desk, Running
from atonce._model.errors import TaskStopped
from atonce._runtime.clock import Clock
from atonce._runtime.waiting import start_awaiting


class _Item:
    """One attempt at one item, as a receiver."""

    __slots__ = ("awaiting", "began", "clock", "given_up", "index", "item", "lanes", "loop", "running")

    def __init__(self, lanes: PushedLanes, index: int, item: Any) -> None:
        self.lanes: PushedLanes = lanes
        self.index: int = index
        self.item: Any = item
        self.began: float | None = None
        self.clock: Clock = lanes.desk.clock
        self.loop: asyncio.AbstractEventLoop = lanes.loop
        self.running: Running | None = None
        self.awaiting: asyncio.Task[Any] | None = None
        self.given_up: bool = False

    def returned(self, value: Any) -> None:
        self.lanes.ended(self, value, None)

    def gave(self, value: Any) -> None:
        if inspect.isawaitable(value) and self.lanes.wants(self):
            self.lanes.finish_on_loop(self, value)
        else:
            self.lanes.ended(self, value, None)

    def raised(self, error: BaseException) -> None:
        self.lanes.ended(self, None, error)

    def cancel(self) -> None:
        if self.awaiting is not None:
            self.awaiting.cancel()
        elif self.running is not None:
            self.running.cancel()


class PushedLanes:
    """Serves one run of a stream through `backend.start`, one call an item."""

    def __init__(self, backend: Backend, desk: Desk, over: Callable[[], None]) -> None:
        self.desk = desk
        self._backend = backend
        self._over = over
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self._items: set[_Item] = set()
        self._given_up: set[_Item] = set()
        self._stopping = False
        self._scheduled = False

    def wake(self) -> None:
        """Fill the free places at the end of this turn, once however often it is called."""
        if not self._scheduled and not self._stopping:
            self._scheduled = True
            self.loop.call_soon(self._fill)

    def _fill(self) -> None:
        self._scheduled = False
        desk, backend = self.desk, self._backend
        while not self._stopping and (taken := desk.take()) is not None:
            entry = _Item(self, *taken)
            self._items.add(entry)
            if desk.timeout is not None:
                desk.arm(desk.clock())
            try:
                entry.running = backend.start(
                    desk.fn, (entry.item,), desk.is_async, desk.context.copy(), entry
                )
            except Exception as error:
                self.ended(entry, None, error)

    def tasks(self) -> list[asyncio.Task[Any]]:
        """The asyncio tasks in which items run, where they do; for whoever wants to see."""
        entries = [*self._items.copy(), *self._given_up.copy()]
        parts = [part for entry in entries for part in (entry.running, entry.awaiting)]
        return [part for part in parts if isinstance(part, asyncio.Task)]

    def wants(self, entry: _Item) -> bool:
        """Whether the end of this call still matters."""
        return not self._stopping and not entry.given_up

    def finish_on_loop(self, entry: _Item, value: Any) -> None:
        """A plain function gave an awaitable (a lambda around an `async def`): await it here, in the item's place."""

        entry.awaiting = start_awaiting(self.loop, value, self.desk.context.copy())
        entry.awaiting.add_done_callback(lambda task: self._finished(entry, task))

    def _finished(self, entry: _Item, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            self.ended(entry, None, asyncio.CancelledError())
        elif (error := task.exception()) is not None:
            self.ended(entry, None, error)
        else:
            self.ended(entry, task.result(), None)

    def ended(self, entry: _Item, value: Any, error: BaseException | None) -> None:
        """A call is over."""
        self._items.discard(entry)
        self._given_up.discard(entry)
        if inspect.iscoroutine(value):
            value.close()
        if self._stopping:
            if self.is_over():
                self._over()
            return
        if not entry.given_up:
            now = self.desk.clock()
            began = now if entry.began is None else entry.began
            entry.began = None
            if error is None:
                self.desk.returned(entry.index, entry.item, value, began, now)
            else:
                self.desk.raised(entry.index, entry.item, self._named(error), began, now)
        self.wake()

    def _named(self, error: BaseException) -> BaseException:
        return TaskStopped("the item was cancelled") if isinstance(error, asyncio.CancelledError) else error

    def running(self) -> list[tuple[float, Any]]:
        """What has begun; a queued call's time has not started yet."""
        return [(entry.began, entry) for entry in self._items if entry.began is not None]

    def still(self, began: float, key: Any) -> bool:
        return key in self._items and key.began == began

    def find(self, index: int) -> Any:
        return next((entry for entry in self._items if entry.index == index), None)

    def expire(self, key: Any) -> None:
        """Give the item up at once: its place is free, and what cannot be ended is counted until it ends."""
        entry: _Item = key
        began = entry.began if entry.began is not None else self.desk.clock()
        entry.given_up = True
        self._items.discard(entry)
        self._given_up.add(entry)
        entry.cancel()
        abandoned = not self._backend.capabilities.ends and entry in self._given_up
        self.desk.raised(
            entry.index,
            entry.item,
            self.desk.timed_out(entry.index, abandoned=abandoned),
            began,
            self.desk.clock(),
        )
        self.wake()

    def stop(self) -> None:
        self._stopping = True
        for entry in (*self._items, *self._given_up):
            entry.cancel()
        if self.is_over():
            self.loop.call_soon(self._over)

    def is_over(self) -> bool:
        return not self._items and not (self._given_up and self._backend.capabilities.ends)

    def abandon(self) -> int:
        left = len(self._items)
        for entry in self._items:
            entry.given_up = True
        self._items.clear()
        return left

    @property
    def abandoned(self) -> int:
        """How many calls go on although their time is up."""
        return len(self._given_up)
