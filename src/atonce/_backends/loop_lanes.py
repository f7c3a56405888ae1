"""Lanes on the event loop: long-lived asyncio tasks that pull item after item."""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from functools import partial
from typing import Any

from atonce._backends.contract import Desk
from atonce._model.errors import TaskStopped
from atonce._runtime.awaited_by import show_until_done
from atonce._runtime.owner import children_over, task_owners
from atonce._runtime.waiting import after_turns

#: What goes through the loop, or is thrown by a loop that is gone: nothing can be waited for then.
AT_ONCE = (KeyboardInterrupt, GeneratorExit)
#: Seconds that items which never suspend may take together before other tasks of the loop get their turn.
SLICE = 0.001
#: How many others a lane calls when it comes on duty and there is more to take.
CALLS = 2
#: How many turns of the loop a cancelled item gets to end before its place is given to another.
TURNS = 3


def on_the_loop(fn: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """Make a plain function awaitable; what it returns is awaited when it is awaitable."""

    async def call(*args: Any) -> Any:
        value = fn(*args)
        return await value if inspect.isawaitable(value) else value

    return call


def variables(context: Context) -> object:
    """The immutable mapping in `context`: the same object as long as nobody has set a variable.

    The garbage collector is the only one who shows it. Were it to show something else, every item would look as if it
    had set a variable and would get a lane of its own: slower, and right.
    """
    return gc.get_referents(context)[-1]


class Lane:
    """One asyncio task that serves a stream, and the item that it is on."""

    __slots__ = ("began", "detached", "expired", "index", "item", "parked", "task")

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.parked: asyncio.Future[None] | None = None
        self.index = -1
        self.item: Any = None
        self.began: float | None = None
        self.expired = False
        self.detached = False


class LoopLanes:
    """The lanes of one run of a stream.

    An item that ends without suspending costs no task at all: its lane goes on with the next. Each item finds the
    consumer's context variables as they were; a lane whose item has set one retires, since its context is spent.
    """

    def __init__(self, desk: Desk, bound: int, over: Callable[[], None]) -> None:
        self.desk = desk
        self._bound = bound
        self._over = over
        self._loop = asyncio.get_running_loop()
        self._consumer = asyncio.current_task()
        self._lanes: set[Lane] = set()
        self._idle: list[Lane] = []
        self._detached: set[Lane] = set()
        self._called: set[Lane] = set()
        self._stopping = False
        self._slice_used = False
        self._fn = desk.fn if desk.is_async else on_the_loop(desk.fn)

    def wake(self) -> None:
        """Call a lane, unless one is on its way: it will call others if there is enough for them."""
        if not self._called:
            self._call()

    def _call(self) -> None:
        if self._stopping:
            return
        while self._idle:
            lane = self._idle.pop()
            if lane.parked is not None and not lane.parked.done():
                self._called.add(lane)
                lane.parked.set_result(None)
                return
        if len(self._lanes) < self._bound:
            self._open()

    def _open(self) -> None:
        lane = Lane()
        self._called.add(lane)
        self._lanes.add(lane)
        lane.task = self._loop.create_task(self._serve(lane), context=self.desk.context.copy())
        lane.task.add_done_callback(lambda task: self._gone(lane, task))
        show_until_done(lane.task, self._consumer)

    async def _serve(self, lane: Lane) -> None:
        """Be on duty until nothing is to be taken, park, and again."""
        fresh = variables(copy_context())
        try:
            while await self._duty(lane, fresh):
                if self._stopping:
                    return
                lane.item = None
                lane.parked = self._loop.create_future()
                self._idle.append(lane)
                await lane.parked
                lane.parked = None
        except asyncio.CancelledError:
            return

    async def _duty(self, lane: Lane, fresh: object) -> bool:
        """Run items until there are none to take; False when the lane is spent.

        Where more may be taken, a lane that comes on duty calls two others, so that the number running doubles.
        """
        desk, fn, task = self.desk, self._fn, lane.task
        take, returned, clock = desk.take, desk.returned, desk.clock
        self._called.discard(lane)
        calls = CALLS
        since = now = clock()
        while (taken := take()) is not None:
            index, item = taken
            lane.index, lane.item, lane.began = index, item, now
            if calls and desk.may_take_more():
                calls -= 1
                self._call()
            if desk.timeout is not None:
                desk.arm(now)
            desk.current = lane
            value = failure = None
            try:
                value = await fn(item)
            except BaseException as error:
                failure = error
            if task in task_owners and not isinstance(failure, AT_ONCE):
                await children_over(task)
            began, now = now, clock()
            if failure is None and not lane.expired and not lane.detached:
                lane.began = None
                returned(index, item, value, began, now)
            else:
                usable = self._failed(lane, failure, began, now)
                failure = None
                if not usable:
                    return False
            if variables(copy_context()) is not fresh:
                self._lanes.discard(lane)
                self._call()
                return False
            if self._slice_used or (desk.current is lane and now - since > SLICE):
                self._end_slice()
                await asyncio.sleep(0)
                since = now = clock()
            elif desk.current is not lane:
                since = now
        return True

    def _end_slice(self) -> None:
        """The time for this turn of the loop is used up: the other lanes run one item each in what is left of it."""
        if not self._slice_used:
            self._slice_used = True
            self._loop.call_soon(self._next_slice)

    def _next_slice(self) -> None:
        self._slice_used = False

    def _failed(self, lane: Lane, error: BaseException | None, began: float, ended: float) -> bool:
        """An item ended badly (None: its value came after its time was up); False when the lane must end."""
        lane.began = None
        if lane.detached or self._stopping:
            return False
        desk, task = self.desk, lane.task
        foreign = False
        if lane.expired:
            lane.expired = False
            while task is not None and task.cancelling():
                task.uncancel()
            late = error
            error = desk.timed_out(lane.index, abandoned=False)
            if late is not None and not isinstance(late, asyncio.CancelledError):
                error.__cause__ = late
        elif isinstance(error, asyncio.CancelledError):
            foreign = task is not None and task.cancelling() > 0
            error = TaskStopped(
                "the item was cancelled" if foreign else "the item raised CancelledError by itself"
            )
        assert error is not None
        desk.raised(lane.index, lane.item, error, began, ended)
        if isinstance(error, KeyboardInterrupt):
            raise error
        return not foreign

    def running(self) -> list[tuple[float, Any]]:
        return [(lane.began, lane) for lane in self._lanes if lane.began is not None and not lane.expired]

    def still(self, began: float, key: Any) -> bool:
        return key.began == began and not key.expired

    def find(self, index: int) -> Any:
        """The key of the item with `index`, or None when it does not run."""
        return next((lane for lane in self._lanes if lane.index == index and lane.began is not None), None)

    def expire(self, key: Any) -> None:
        """Cancel the item; one that has not ended two turns later keeps its lane and loses its place."""
        lane: Lane = key
        lane.expired = True
        assert lane.task is not None
        lane.task.cancel()
        after_turns(self._loop, TURNS, partial(self._detach, lane, lane.index))

    def _detach(self, lane: Lane, index: int) -> None:
        if self._stopping or not lane.expired or lane.index != index or lane.detached:
            return
        lane.detached = True
        began = lane.began if lane.began is not None else 0.0
        lane.began = None
        self._detached.add(lane)
        self._lanes.discard(lane)
        error = self.desk.timed_out(index, abandoned=True)
        self.desk.raised(index, lane.item, error, began, self.desk.clock())
        self.wake()

    def stop(self) -> None:
        """End the lanes: those that are parked leave, those on an item are cancelled."""
        self._stopping = True
        for lane in (*self._lanes, *self._detached):
            if lane.parked is not None and not lane.parked.done():
                lane.parked.set_result(None)
            elif lane.task is not None:
                lane.task.cancel()
        if self.is_over():
            self._loop.call_soon(self._over)

    def is_over(self) -> bool:
        return not self._lanes and not self._detached

    def abandon(self) -> int:
        """Let go of the lanes whose items swallow their cancel."""
        left = len(self._lanes) + len(self._detached)
        for lane in self._lanes:
            lane.detached = True
        self._lanes.clear()
        self._detached.clear()
        return left

    def tasks(self) -> list[asyncio.Task[Any]]:
        """The asyncio tasks in which items run, those that rest included; for whoever wants to see."""
        return [lane.task for lane in (*self._lanes.copy(), *self._detached.copy()) if lane.task is not None]

    @property
    def abandoned(self) -> int:
        """How many items go on although their time is up."""
        return len(self._detached)

    def _gone(self, lane: Lane, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()
        self._lanes.discard(lane)
        self._detached.discard(lane)
        self._called.discard(lane)
        if self._stopping and self.is_over():
            self._over()
        elif not self._stopping:
            self.wake()
