"""Lanes in threads: workers that pull item after item, and hand over all that is ready at once."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from atonce._backends.contract import Desk
from atonce._backends.thread_lane import (
    Awaited,
    Kinds,
    Lane,
    Taken,
    closed_before,
    discard,
    in_own_loop,
    named,
    without_lane,
)
from atonce._runtime.token import token_var

#: Seconds after its last turn for this run in which the loop is not called for one result while others may follow.
QUIET = 0.0005
#: Seconds after which the loop looks by itself for results that were held back.
WATCH = 0.001
#: Seconds that nobody tries to get one more thread after there was none to be had.
PAUSE = 0.1


class Pool(Protocol):
    """Where lanes get their threads."""

    #: What waits for a thread, because there are too many.
    waiting: deque[Any]

    def lend(self, lane: Lane, /, *, must: bool) -> None:
        """Let a thread call `lane.work()`, soon or when one is free; `must`: now, even if there are too many."""
        ...

    def withdraw(self, work: Lane, /) -> bool:
        """Take back one that waits for a thread; False when it has one."""
        ...


class ThreadLanes:
    """The lanes of one run of a stream.

    The loop puts all that may start into one queue and sees to one lane; a lane that leaves something in the queue
    calls the next before it begins. Results go back together: a lane holds them back while there is more to do and
    its items are short, and the loop looks for those that are held back by a longer one.

    What runs is in `_active`, by the identity of the attempt. Its end belongs to whoever takes it out: the lane that
    ran it, or the loop when its time is up. There are as many lanes as `_serving` says, never more than the bound; one
    whose item was given up is not counted, and ends after it.
    """

    def __init__(self, pool: Pool, desk: Desk, bound: int, over: Callable[[], None]) -> None:
        self.desk = desk
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self._pool = pool
        self._bound = bound
        self._over = over
        self._fn: Callable[[Any], Any] = in_own_loop(desk.fn) if desk.is_async else desk.fn
        #: A stream in a thread's call: that thread waits for it, so it must get on even if there are too many threads.
        self._is_nested = desk.context.get(token_var) is not None
        self._lock = threading.Lock()
        self._queue: deque[Taken] = deque()
        self._results: deque[tuple[Taken, str, Any, float, float]] = deque()
        self._active: dict[int, Lane | Awaited] = {}
        self._given_up: set[Lane | Awaited] = set()
        self._let_go: set[Lane | Awaited] = set()
        self._kinds = Kinds()
        self._serving = 0
        self._called: Lane | None = None
        self._not_before = self._quiet_until = 0.0
        self._scheduled = self._announced = self._watched = False
        self._stopping = self._closed = self._halted = False

    # -- on the loop ----------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Take what may start at the end of this turn, once however often it is called."""
        if not self._scheduled and not self._stopping:
            self._scheduled = True
            self.loop.call_soon(self._fill)

    def _fill(self) -> None:
        self._scheduled = False
        got = [] if self._stopping else list(iter(self.desk.take, None))
        if not got or self._stopping:
            return
        self._queue.extend(got)
        got.clear()  # the traceback of the input's end keeps this frame
        now = self.desk.clock()
        self._quiet_until = now + QUIET
        if self.desk.timeout is not None:
            self.desk.arm(now)
        if self._closed:
            self._refuse(closed_before)
            return
        if not self._watched:
            self._watched = True
            self.loop.call_later(WATCH, self._look)
        self._see_to_a_lane()

    def _see_to_a_lane(self) -> None:
        """Call a lane for what is in the queue; when there is none and none can be had, all in it fails."""
        try:
            self._call()
        except Exception as error:
            if not self._serving:
                self._refuse(partial(type(error), *error.args))

    def _refuse(self, error: Callable[[], BaseException]) -> None:
        """Let all in the queue fail, each with an error of its own."""
        while self._queue and not self._stopping:
            index, item = self._queue.popleft()
            now = self.desk.clock()
            self.desk.raised(index, item, error(), now, now)
        self.wake()

    def _look(self) -> None:
        """Deliver what was held back; from now on nothing is, until more is handed over."""
        self._watched = False
        if self._results or self._stopping:
            self._deliver()

    def _deliver(self) -> None:
        """Tell the desk all results that there are, and refill."""
        self._announced = False
        if self._stopping:
            self._drop()
            self._tell_if_over()
            return
        try:
            self._tell_results()
        except BaseException:
            self.loop.call_soon(self._deliver)  # the others have not been told yet
            raise
        self._fill()

    def _tell_results(self) -> None:
        results, desk = self._results, self.desk
        while results:
            taken, how, value, began, ended = results.popleft()
            index, item = taken
            if how == "returned":
                desk.returned(index, item, value, began, ended)
            elif how == "raised":
                desk.raised(index, item, named(value), began, ended)
            else:
                self._await(taken, value, began)

    def _await(self, taken: Taken, value: Any, began: float) -> None:
        self._active[id(taken)] = Awaited(self, taken, value, self.desk.context.copy(), began)

    def awaited(self, who: Awaited, value: Any, error: BaseException | None, /, *, abandoned: bool) -> None:
        """An awaitable has ended, or does not end by its cancel and loses its place (`abandoned`)."""
        desk, taken = self.desk, who.taken
        self._given_up.discard(who)
        self._let_go.discard(who)
        is_ours = self._active.pop(id(taken), None) is not None
        if self._stopping:
            self._tell_if_over()
        if self._stopping or not is_ours:
            return
        began, now = who.began or 0.0, desk.clock()
        if who.asked:
            desk.raised(*taken, desk.timed_out(taken[0], abandoned=abandoned), began, now)
        elif error is not None:
            desk.raised(*taken, named(error), began, now)
        else:
            desk.returned(*taken, value, began, now)
        if abandoned:
            self._given_up.add(who)
        self.replace()

    def replace(self) -> None:
        """A place is free, and may be needed."""
        with self._lock:
            self._serving -= 1
        if self._queue:
            self._see_to_a_lane()
        self.wake()

    def running(self) -> list[tuple[float, Any]]:
        return [(one.began, key) for key, one in self._active.copy().items() if one.began is not None]

    def still(self, began: float, key: Any) -> bool:
        one = self._active.get(key)
        return one is not None and one.began == began

    def find(self, index: int) -> Any:
        return next((key for key, one in self._active.copy().items() if one.taken[0] == index), None)

    def expire(self, key: Any) -> None:
        """Give the item up, unless its result is on its way; what goes on is counted until its function returns."""
        one = self._active.get(key)
        if isinstance(one, Awaited):
            one.give_up()
        elif one is not None and self._take_over(key, one, self._given_up):
            taken, began, now = one.taken, one.began, self.desk.clock()
            one.give_up()
            late = self.desk.timed_out(taken[0], abandoned=True)
            self.desk.raised(*taken, late, now if began is None else began, now)

    def stop(self) -> None:
        """Start nothing more, and ask all that runs."""
        self._stopping = self._halted = True
        self._queue.clear()
        called = self._called
        if called is not None and self._pool.withdraw(called):
            self._called = None
        for one in self._active.copy().values():
            one.ask()
        self._drop()
        if self.is_over():
            self.loop.call_soon(self._over)

    def is_over(self) -> bool:
        return not self._active

    def abandon(self) -> int:
        """Let go of what still runs."""
        return sum(self._take_over(key, one, self._let_go) for key, one in self._active.copy().items())

    def _take_over(self, key: int, one: Lane | Awaited, ranks: set[Lane | Awaited]) -> bool:
        """Make the end of an attempt the loop's; False when its lane was quicker.

        `one` joins the ranks first, so that a lane that ends right after finds itself there, and leaves them.
        """
        ranks.add(one)
        if self._active.pop(key, None) is not None:
            return True
        ranks.discard(one)
        return False

    @property
    def abandoned(self) -> int:
        """How many calls go on although their time is up."""
        return len(self._given_up)

    def counts(self) -> tuple[int, int, int]:
        """From any thread: how many items run, wait for a lane, and were abandoned and go on."""
        abandoned = len(self._given_up) + len(self._let_go)
        return len(self._active) + abandoned, len(self._queue), abandoned

    def close(self) -> None:
        """From any thread: the backend is closed, and what has not begun ends as stopped."""
        self._closed = self._halted = True
        self._post(partial(self._refuse, closed_before))

    def _tell_if_over(self) -> None:
        if self.is_over():
            self._over()

    def _drop(self) -> None:
        """Nobody will have these results."""
        while self._results:
            discard(self._results.popleft()[2])

    def _call(self) -> None:
        """Call one more lane for what is in the queue, unless one is on its way or all places are taken.

        In a nested stream, one that waits for a thread and would be the only lane gets a thread at once.
        """
        with self._lock:
            lane = self._called
            if lane is not None:
                if not self._is_nested or self._serving > 1 or not self._pool.withdraw(lane):
                    return
            elif self._serving < self._bound and (not self._serving or self.desk.clock() >= self._not_before):
                lane = self._called = Lane(self)
                self._serving += 1
            else:
                return
            must = self._is_nested and self._serving == 1
        self._lend(lane, must=must)

    def _lend(self, lane: Lane, *, must: bool) -> None:
        try:
            self._pool.lend(lane, must=must)
        except Exception:
            with self._lock:
                self._called = None
                self._serving -= 1
                self._not_before = self.desk.clock() + PAUSE
            raise

    def tell(self) -> None:
        """A lane comes, or has left, before which it holds back its results: the loop is to have what is there."""
        if self._results:
            self._announce()

    def _announce(self) -> None:
        """Call the loop, which delivers all that is there by then."""
        if not self._announced:
            self._announced = True
            self._post(self._deliver)

    def _post(self, function: Callable[[], None]) -> None:
        try:
            self.loop.call_soon_threadsafe(function)
        except RuntimeError:  # the loop is closed: nobody will ever look again
            self._stopping = self._halted = True
            self._queue.clear()
            self._drop()

    # -- in the lanes' threads ------------------------------------------------------------------------------------

    def serve(self, lane: Lane) -> None:
        """Run item after item until there is none, or until somebody else needs the thread more."""
        if self._called is lane:
            self._called = None
        self.tell()
        queue, results, active, plain = self._queue, self._results, self._active, self._kinds.plain
        clock, fn, waiting = self.desk.clock, self._fn, self._pool.waiting
        context = self.desk.context.copy()
        context.run(token_var.set, lane.token)
        fresh = context.copy
        while True:
            try:
                taken = lane.taken = queue.popleft()
            except IndexError:
                if self._leave():
                    return
                continue
            key = id(taken)
            lane.began = None
            active[key] = lane  # from here on a stop sees it; before, it sees the stop
            if self._halted:
                self._turn_away(taken)
                continue
            lane.began = began = clock()
            if queue and self._called is None and self._serving < self._bound:
                self._call_from_lane()
            try:
                value, how = fresh().run(fn, taken[1]), "returned"
            except BaseException as error:
                value, how = without_lane(error), "raised"
            ended = clock()
            if active.pop(key, None) is None:
                self._end_late(lane, value)
                return
            if id(type(value)) not in plain and how == "returned":
                how = self._kinds.of(value)
            results.append((taken, how, value, began, ended))
            value = None
            if ended > self._quiet_until or not self._watched:
                self._announce()
            if how == "gave" or (waiting and self._gives_way()):
                return

    def _call_from_lane(self) -> None:
        """Call another lane; one that cannot be had is nothing to an item: the run goes on with those that it has."""
        with contextlib.suppress(Exception):
            self._call()

    def _end_late(self, lane: Lane, value: Any) -> None:
        """The item was given up before its end, and the lane with it."""
        self._let_go.discard(lane)
        self._given_up.discard(lane)
        discard(value)

    def _turn_away(self, taken: Taken) -> None:
        """Do not run it: the run or the backend was stopped meanwhile."""
        self._active.pop(id(taken), None)
        now = self.desk.clock()
        self._results.append((taken, "raised", closed_before(), now, now))

    def _leave(self) -> bool:
        """Give the place back, unless something has come meanwhile."""
        with self._lock:
            if self._queue and not self._halted:
                return False
            self._serving -= 1
            return True

    def _gives_way(self) -> bool:
        """Whether this lane's thread goes to others that wait for one; the run then queues for another behind them.

        A nested stream keeps what it has: the thread that waits for it is one of the too many.
        """
        if self._is_nested or not self._queue or self._halted:
            return False
        with self._lock:
            if self._called is not None:
                if len(self._pool.waiting) < 2:
                    return False
                self._serving -= 1
                return True
            lane = self._called = Lane(self)
        with contextlib.suppress(Exception):
            self._lend(lane, must=False)
        return True
