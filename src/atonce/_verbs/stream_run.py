"""One run of a stream: the shell that carries out what its window decides."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any

from atonce._backends.contract import Lanes
from atonce._model.errors import TaskTimeout
from atonce._model.outcome import Failed, make_failed, make_ok
from atonce._policy.deadlines import Deadlines
from atonce._policy.rate import Pacer
from atonce._policy.window import Window
from atonce._runtime import telemetry
from atonce._runtime.clock import Clock, clock_of, is_virtual
from atonce._runtime.feed import Feed, InstantFeed, NothingYet, feed_of
from atonce._runtime.notes import annotate, as_raised, item_note
from atonce._runtime.owner import GRACE, Owner
from atonce._runtime.waiting import resolve, wait_for_end
from atonce._verbs.attempts import NONE_EARLIER, Attempts
from atonce._verbs.stream_spec import Bell, Showing, Spec, StreamStatistics


def _always() -> bool:
    """An item that rested and that lanes then hold takes the room that it had."""
    return True


class StreamRun:
    """A window, a feed and lanes, from the first pull to the last thing over.

    `bell` is rung on the loop when the consumer, having set `waiting`, should look again.
    """

    def __init__(self, spec: Spec, context: Context, owner: Owner, bell: Bell, fail_fast: bool) -> None:
        self.spec = spec
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.fn: Callable[..., Any] = spec.fn
        self.is_async: bool = spec.is_async
        self.timeout: float | None = spec.timeout
        self.clock: Clock = clock_of(self.loop)
        self.context = context
        self.current: object = None
        self.window: Window[Any] = Window(spec.bound, spec.buffer, spec.ordered)
        self.waiting: bool = False
        self.hungry: bool = False
        self.asked: bool = False
        self.closing: bool = False
        self.first_failure: Failed | None = None
        self.input_error: BaseException | None = None
        self.progress: Showing | None = None
        self.failed: int = 0
        self.abandoned: int = 0
        self._notify = bell.ring
        self._fail_fast = fail_fast
        self.owner: Owner = owner
        self._input_over = False
        self._pacer = Pacer(spec.rate) if spec.rate else None
        self._may_start, self._may_resume = self._rules()
        self._pace_timer: asyncio.TimerHandle | None = None
        self._deadlines: Deadlines[Any] | None = Deadlines(spec.timeout) if spec.timeout else None
        self._ring_timer: asyncio.TimerHandle | None = None
        self._attempts = Attempts(spec.retry, self.loop, self._resume, self._cut) if spec.retry else None
        self._again: deque[tuple[int, Any]] = deque()
        self._over_waiters: list[asyncio.Future[None]] = []
        self._ahead: list[Any] = []
        self._over = False
        owner.adopt(self)
        self.lanes: Lanes
        self.feed: Feed
        self.lanes, self.feed = self._opened()
        self.feeding: bool = not isinstance(self.feed, InstantFeed)
        self._next = self.feed.next if self._pacer is None else self._next_in_pace
        if telemetry.handlers:
            telemetry.emit("stream.start", {"time": self.clock()}, {"name": spec.name})
        self.lanes.wake()

    def _opened(self) -> tuple[Lanes, Feed]:
        """What serves this run, and its input; where one of them cannot be had, nothing is left of it."""
        spec, limit = self.spec, self.window.pull_limit()
        try:
            lanes = spec.backend.lanes(self, spec.bound, self._lanes_over)
            try:
                feed = feed_of(spec.items, self.refill, limit, self.context, inline=is_virtual(self.loop))
            except BaseException:
                lanes.stop()
                raise
        except BaseException:
            self.owner.release(self)
            raise
        return lanes, feed

    def _rules(self) -> tuple[Callable[[], bool], Callable[[], bool]]:
        """When an item may be handed out, and one that rested; what is paced is never held before its start."""
        window = self.window
        if self.spec.backend.capabilities.holds and self._pacer is None:
            return window.may_start_ahead, _always
        return window.may_start, window.may_resume

    # -- the desk: what lanes call ------------------------------------------------------------------------------

    def take(self) -> tuple[int, Any] | None:
        window = self.window
        if self.closing:
            return None
        if self._again:
            return self._take_again() if self._may_resume() and self._paced() else None
        if not self._may_start() or self._input_over:
            self.hungry = True
            return None
        if self._pacer is not None and not self._paced():
            self._look_ahead()
            return None
        try:
            item = self._next()
        except NothingYet:
            return None
        except BaseException as error:
            self._end_of_input(error)
            return None
        index = window.start()
        if self._pacer is not None:
            self._pacer.start(self.clock())
        if telemetry.handlers or self._attempts is not None:
            self._started(index)
        return index, item

    def may_take_more(self) -> bool:
        if self._again:
            return self._may_resume()
        return not self._input_over and self._may_start()

    def returned(self, index: int, item: Any, value: Any, began: float, ended: float) -> None:
        attempts = 1 if self._attempts is None else 1 + self._attempts.closed(index).count
        window = self.window
        window.give(index, make_ok(value, index, item, attempts, ended - began))
        if telemetry.handlers:
            self._emit("task.stop", index, {"elapsed": ended - began})
        if self.waiting and (window.ready or self.is_finished()):
            self.waiting = False
            self._notify()

    def raised(self, index: int, item: Any, error: BaseException, began: float, ended: float) -> None:
        error = as_raised(error)
        earlier = NONE_EARLIER
        if self._attempts is not None:
            try:
                is_again = not self.closing and self._attempts.again(index, item, error, began)
            except Exception as broken:  # `retry_on` itself raised
                error, is_again = as_raised(broken), False
            if is_again:
                self.window.rest()
                if telemetry.handlers:
                    self._emit("task.retry", index, {"elapsed": ended - began}, error=error)
                return
            earlier = self._attempts.closed(index)
        attempts = 1 + earlier.count
        annotate(
            error,
            item_note(self.spec.name, index, item, attempts, self.spec.retry.most if self.spec.retry else 1),
        )
        earlier.tell(error)
        outcome = make_failed(error, index, item, attempts, ended - began)
        self.failed += 1
        self.window.give(index, outcome)
        if telemetry.handlers:
            self._emit("task.exception", index, {"elapsed": ended - began}, error=error)
        if self._fail_fast and self.first_failure is None:
            self.first_failure = outcome
            self.stop()
        if self.waiting and (self.window.ready or self.first_failure or self.is_finished()):
            self.waiting = False
            self._notify()

    def timed_out(self, index: int, *, abandoned: bool) -> TaskTimeout:
        """The error of an item whose time is up."""
        cut = self._attempts.timeout(index) if self._attempts is not None else None
        if cut is not None:
            return cut
        how = " and goes on in spite of its stop" if abandoned else ""
        return TaskTimeout(
            f"the item took longer than timeout={self.timeout:g} s{how}",
            timeout=self.timeout,
            abandoned=abandoned,
        )

    def arm(self, began: float) -> None:
        if self._ring_timer is None and self.timeout is not None:
            self._ring_timer = self.loop.call_at(began + self.timeout, self._ring)

    # -- the consumer's side ------------------------------------------------------------------------------------

    def refill(self) -> None:
        """There may be room, or input, or an item whose pause is over."""
        self.hungry = False
        self.current = None
        self.lanes.wake()

    def after_leave(self) -> None:
        """A result has left, and the feed or a lane waits for that."""
        self.asked = False
        if self.feeding:
            self.feed.allow(self.window.pull_limit())
        if self.hungry:
            self.refill()

    def is_finished(self) -> bool:
        """Whether the input has ended and everything has been delivered."""
        return self._input_over and self.window.is_idle()

    def statistics(self) -> StreamStatistics:
        window = self.window
        retried = self._attempts.retried if self._attempts is not None else 0
        abandoned = self.abandoned + getattr(self.lanes, "abandoned", 0)
        return StreamStatistics.of(window, self.failed, retried, abandoned)

    def drain(self) -> None:
        """Take no further item; what has been started goes on to its end, further attempts included."""
        if not self._input_over:
            self.feed.close()
            self._end_of_input(None)

    def limit(self, timeout: float) -> None:
        """Give attempts so many seconds from now on, those that run included; for a run that has a timeout."""
        assert self._deadlines is not None
        self.timeout = self._deadlines.timeout = timeout
        if self._ring_timer is not None:
            self._ring_timer.cancel()
            self._ring()

    # -- the owner's side ---------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Start nothing more, ask what runs to end, close the input; `close` waits for it."""
        if self.closing:
            return
        self.closing = True
        for timer in (self._ring_timer, self._pace_timer):
            if timer is not None:
                timer.cancel()
        if self._attempts is not None:
            self._attempts.stop()
        self._again.clear()
        self.feed.close()
        self.lanes.stop()
        if self.progress is not None:
            self.progress.stop()
        if telemetry.handlers:
            self._emit("stream.stop", -1, {"delivered": self.window.left, "failed": self.failed})
        if self.waiting:
            self.waiting = False
            self._notify()

    def abandon(self) -> None:
        """Give up waiting for what swallows its cancel."""
        self.abandoned += self.lanes.abandon()
        self._lanes_over()

    async def close(self) -> None:
        """Stop, and wait until nothing runs and the input is closed; what does not end in its grace is abandoned.

        What has not been delivered is dropped. A cancel of the waiter is raised when the wait is over.
        """
        self.stop()
        patience = self.spec.backend.capabilities.patience
        over, cancelled = await wait_for_end(
            self._is_over, self._over_waiters.append, GRACE if patience is None else patience
        )
        if not over:
            self.abandon()
        self.window.ready.clear()
        cancelled = await self.feed.closed() or cancelled
        if cancelled is not None:
            raise cancelled

    def parts(self) -> list[asyncio.Task[Any]]:
        """The asyncio tasks in which its items run, where its backend tells."""
        tasks: Callable[[], list[asyncio.Task[Any]]] | None = getattr(self.lanes, "tasks", None)
        return tasks() if tasks is not None else []

    def when_over(self, callback: Callable[[], None]) -> None:
        """Call `callback()` when nothing of it runs any more."""
        waiter = self.loop.create_future()
        waiter.add_done_callback(lambda _: callback())
        self._over_waiters.append(waiter)
        if self._over:
            resolve(waiter)

    def __str__(self) -> str:
        return f"stream {self.spec.name!r} ({self.window.running} running)"

    # -- inside -------------------------------------------------------------------------------------------------

    def _lanes_over(self) -> None:
        if self._over:
            return
        self._over = True
        self.owner.release(self)
        for waiter in self._over_waiters:
            resolve(waiter)

    def is_closed(self) -> bool:
        """Whether it was stopped and nothing of it runs any more."""
        return self.closing and self._over

    def _is_over(self) -> bool:
        return self._over

    def _end_of_input(self, error: BaseException | None) -> None:
        self._input_over = True
        if error is not None and not isinstance(error, StopIteration):
            self.input_error = error
            annotate(error, f"atonce: the input of {self.spec.name} failed after {self.window.started} items")
        if self.waiting and self.is_finished():
            self.waiting = False
            self._notify()

    def _paced(self) -> bool:
        """Whether the rate allows a start now; if not, be woken when it does."""
        if self._pacer is None:
            return True
        wait = self._pacer.wait(self.clock())
        if wait <= 0.0:
            return True
        if self._pace_timer is None:
            self._pace_timer = self.loop.call_later(wait, self._pace_over)
        return False

    def _look_ahead(self) -> None:
        """Take the item in hand that the rate holds back: an input that has ended must not wait for its turn."""
        if not self._ahead:
            try:
                self._ahead.append(self.feed.next())
            except NothingYet:
                return
            except BaseException as error:
                self._end_of_input(error)

    def _next_in_pace(self) -> Any:
        return self._ahead.pop() if self._ahead else self.feed.next()

    def _pace_over(self) -> None:
        self._pace_timer = None
        self.lanes.wake()

    def _ring(self) -> None:
        """The deadline timer: end what is due, and set the timer to what is due next."""
        assert self._deadlines is not None
        self._ring_timer = None
        now = self.clock()
        for key in self._deadlines.due(now, self.lanes.running, self.lanes.still):
            self.lanes.expire(key)
        due = self._deadlines.next_ring(self.lanes.still)
        if due is None and self.window.running:
            due = now + self._deadlines.timeout
        if due is not None and not self.closing:
            self._ring_timer = self.loop.call_at(due, self._ring)

    def _started(self, index: int) -> None:
        if self._attempts is not None:
            self._attempts.started(index)
        if telemetry.handlers:
            self._emit("task.start", index, {"time": self.clock()})

    def _resume(self, index: int, item: Any) -> None:
        """An item's pause is over: it queues for a place, before new ones."""
        self._again.append((index, item))
        self.lanes.wake()

    def _take_again(self) -> tuple[int, Any] | None:
        """The next item that rested, unless its deadline went by while it waited for a place."""
        attempts = self._attempts
        assert attempts is not None
        while self._again and self._may_resume():
            index, item = self._again.popleft()
            self.window.resume()
            late = attempts.expired(index)
            if late is None:
                if self._pacer is not None:
                    self._pacer.start(self.clock())
                return index, item
            now = self.clock()
            self.raised(index, item, late, now, now)
        return None

    def _cut(self, index: int) -> None:
        """An item's deadline over all attempts is past: end the running one."""
        key = self.lanes.find(index)
        if key is not None:
            self.lanes.expire(key)

    def _emit(self, event: str, index: int, measurements: dict[str, Any], **metadata: Any) -> None:
        telemetry.emit(event, measurements, {"name": self.spec.name, "index": index, **metadata})
