"""Who gives calls to workers, and hears of their ends."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

from atonce._backends import wire
from atonce._backends.forkserver import NOT_STARTED
from atonce._backends.process_handle import Handle
from atonce._backends.process_values import check_reply, error_of, lost
from atonce._model.errors import TaskStopped

#: Seconds of work that a worker is given at once, beside the call that it is on.
AHEAD = 0.0015
#: The most calls that a worker has at once; where a frame is larger than this, it has no more than two.
MOST_CALLS = 128
HEAVY = 16_384
#: Seconds after which calls that wait behind another one in a worker are given to others.
PATIENCE = 0.01
#: Seconds of work that are worth to be taken from one worker and given to another.
WORTH = 0.0005
#: So many workers may die before they begin a call, until it is taken for the reason.
TRIES = 3


class Workers(Protocol):
    """Where a feeder gets workers from: the station of its loop."""

    loop: asyncio.AbstractEventLoop
    is_closing: bool

    def acquire(self, feeder: Feeder) -> Handle | None:
        """A worker for `feeder`, or None: then its `serve` is called when there may be one."""
        ...

    def release(self, worker: Handle) -> None:
        """`worker` is free."""

    def crowded(self, feeder: Feeder) -> bool:
        """Whether others wait for a worker that `feeder` has more of than its share."""
        ...

    def send(self, worker: Handle, frames: list[Any], calls: int) -> None:
        """Send frames to a worker."""

    def kill(self, worker: Handle) -> None:
        """Kill a worker; its feeder's `gone` is called when it is dead."""

    def drain(self, worker: Handle) -> None:
        """Tell the answers that are there already."""

    def forget(self, feeder: Feeder) -> None:
        """A feeder gives no further calls."""


def _nothing() -> None:
    """The source of a feeder to which entries are given."""


class Feeder:
    """Gives calls to as many workers as it may have, and hears of their ends.

    An entry is a call as its subclass likes it; `key` tells two of them apart.
    """

    def __init__(self, station: Workers, bound: int) -> None:
        self.station = station
        self.bound = bound
        self.workers: set[Handle] = set()
        self.dying: set[Handle] = set()
        #: What waits for a worker: new calls of tasks, and whatever was taken back from one.
        self.back: deque[Any] = deque()
        #: Keys of what is to end: its worker is killed when it comes to it.
        self.stopped: set[Any] = set()
        #: How many workers died before they began a call, by its key.
        self.deaths: dict[Any, int] = {}
        #: It gives no further calls.
        self.stopping = False
        #: Gives the next entry that was not given before; None when there is none now.
        self.fresh: Callable[[], Any] = _nothing
        self._duration: float | None = None
        self._watching: asyncio.TimerHandle | None = None

    # -- what a subclass says -----------------------------------------------------------------------------------

    def key(self, entry: Any) -> Any:
        """What tells an entry from others."""
        raise NotImplementedError

    def call_name(self, entry: Any) -> str:
        """What people call it."""
        raise NotImplementedError

    def take(self) -> Any:
        """The next entry, None when there is none now."""
        return self.back.popleft() if self.back else self.fresh()

    def encode(self, entries: list[Any], frames: list[Any]) -> tuple[list[Any], bool]:
        """Append the frames of `entries`; gives those that can travel, and whether one is heavy."""
        raise NotImplementedError

    def introduce(self, worker: Handle) -> list[Any]:
        """What a worker must be told before its first call."""
        return []

    def settle(self, entry: Any, reply: tuple[Any, ...]) -> None:
        """A call was answered: (kind, began, ended, pickle, buffers)."""
        raise NotImplementedError

    def fail(self, entry: Any, error: BaseException) -> None:
        """A call ended without an answer."""
        raise NotImplementedError

    def over(self) -> None:
        """Perhaps nothing runs any more."""

    # -- giving -------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Give what there is to as many workers as may be, and to those that have room."""
        while len(self.workers) < self.bound and not self.stopping:
            entry = self.take()
            if entry is None:
                return
            worker = self.station.acquire(self)
            if worker is None:
                self.back.appendleft(entry)
                break
            self.workers.add(worker)
            worker.feeder = self
            self._feed(worker, [entry], self.introduce(worker))
        most = self._depth() // 2
        for worker in tuple(self.workers):
            if not worker.slow and len(worker.outstanding) <= most:
                self._feed(worker, [], [])

    def _depth(self) -> int:
        """How many calls a worker may have: those that it is expected to make in `AHEAD` seconds."""
        if self._duration is None:
            return 1
        return min(MOST_CALLS, 1 + int(AHEAD / max(self._duration, 1e-7)))

    def _feed(self, worker: Handle, entries: list[Any], frames: list[Any]) -> None:
        """Give a worker calls up to the depth, beginning with `entries`."""
        outstanding = worker.outstanding
        depth = min(self._depth(), worker.calls_left)
        if worker.heavy > worker.runs:
            depth = min(depth, 2)
        while True:
            room = depth - len(outstanding) - len(entries)
            while room > 0 and (entry := self.take() if self.back else self.fresh()) is not None:
                entries.append(entry)
                room -= 1
            if not entries and not frames:
                return
            sent, heavy = self.encode(entries, frames)
            tokens = len(sent)
            if sent and not outstanding:
                frames.insert(0, wire.NO_TOKEN)
                tokens -= 1
                worker.since = monotonic()
            outstanding.extend(sent)
            if heavy:
                worker.heavy = worker.runs + len(outstanding)
            self.station.send(worker, frames, tokens)
            if len(outstanding) > 1:
                self._watch()
            if len(sent) == len(entries):
                return
            entries, frames = [], []

    # -- hearing ------------------------------------------------------------------------------------------------

    def replied(self, worker: Handle, replies: list[tuple[Any, ...]]) -> None:
        """Answers have come: tell them, and give more."""
        if not worker.ready:
            self._greeted(worker, replies)
        if replies:
            unasked = replies[len(worker.outstanding) :]
            self.told(worker, replies[: len(worker.outstanding)] if unasked else replies)
            if unasked:
                raise wire.Garbled("it sent back more replies than it had calls")
            worker.slow = False
            worker.since = replies[-1][2]
            self._learn(sum([reply[2] - reply[1] for reply in replies]) / len(replies))
        if not (worker.dying or worker.garbled):
            self._go_on(worker)

    def told(self, worker: Handle, replies: list[tuple[Any, ...]]) -> None:
        """Take the calls that were answered off a worker's list, and tell their ends."""
        for reply in replies:
            check_reply(*reply[:3])
            worker.runs += 1
            self.settle(worker.outstanding.popleft(), reply)

    def _greeted(self, worker: Handle, replies: list[tuple[Any, ...]]) -> None:
        """The first reply of a worker says whether its initializer went well."""
        kind, _, _, data, _ = replies.pop(0)
        if kind not in (wire.READY, wire.UNREADY):
            raise wire.Garbled("it did not begin with a greeting")
        worker.ready = kind == wire.READY
        worker.since = monotonic()
        if not worker.ready:
            worker.unready = kind, bytes(data)
            worker.failure = error_of(kind, data)

    def _learn(self, duration: float) -> None:
        """Slower calls count at once, faster ones little by little."""
        known = self._duration
        self._duration = duration if known is None or duration > known else 0.7 * known + 0.3 * duration

    def _go_on(self, worker: Handle) -> None:
        """What a worker does next, after its answers were told."""
        outstanding = worker.outstanding
        if outstanding and self.stopped and self.key(outstanding[0]) in self.stopped:
            self.kill(worker)
        elif len(outstanding) <= self._depth() // 2:
            must_leave = not outstanding and self._must_leave(worker)
            if not must_leave:
                self._feed(worker, [], [])
                if not outstanding:
                    self._share(worker)
            if not outstanding:
                self.leave(worker)
                if must_leave:
                    self.serve()  # what there is still to give needs another one

    def _must_leave(self, worker: Handle) -> bool:
        """Whether a worker without calls goes to somebody else."""
        return self.stopping or worker.calls_left <= 0 or self.station.crowded(self)

    def leave(self, worker: Handle) -> None:
        """Give a worker up that has no calls."""
        self.workers.discard(worker)
        self.station.release(worker)

    def _share(self, free: Handle) -> None:
        """Give a worker that found nothing to do what waits in another, where that is worth its way."""
        for worker in self.workers:
            waiting = len(worker.outstanding) - 1
            if waiting > 0 and worker is not free and waiting * (self._duration or 0.0) > WORTH:
                self.take_back(worker)
                self._feed(free, [], [])
                return

    def _watch(self) -> None:
        """See to it that calls which wait behind one that takes long are given to others."""
        if self._watching is None and any(len(worker.outstanding) > 1 for worker in self.workers):
            self._watching = self.station.loop.call_later(PATIENCE, self._rescue)

    def _rescue(self) -> None:
        self._watching = None
        if self.stopping:
            return
        late = self.station.loop.time() - PATIENCE
        for worker in self.workers:
            began = worker.counts_from()
            if len(worker.outstanding) > 1 and began is not None and began < late:
                self.take_back(worker)
                worker.slow = True
        if self.back:
            self.serve()
        self._watch()

    # -- ending -------------------------------------------------------------------------------------------------

    def take_back(self, worker: Handle) -> None:
        """Take back what a worker has not let in: it is the first to be given again."""
        self.back.extendleft(worker.take_back())

    def kill(self, worker: Handle) -> None:
        """End what a worker is on; what waits behind it is taken back."""
        self.take_back(worker)
        self.workers.discard(worker)
        self.dying.add(worker)
        worker.dying = True
        self.station.kill(worker)

    def end(self, worker: Handle | None, entry: Any) -> bool:
        """End a call that waits (in a worker or for one) or runs; True when nothing of it runs any more."""
        if worker is not None and not worker.dying:
            self.take_back(worker)
        if entry in self.back:
            self.back.remove(entry)
            self.serve()
            return True
        self.stopped.add(self.key(entry))
        if worker is not None and not worker.dying and worker.outstanding[0] is entry:
            self.kill(worker)
        self.serve()
        return False

    def refuse(self, why: Callable[[], BaseException]) -> None:
        """There is no worker for what waits for one: it ends."""
        while self.back:
            self.fail(self.back.popleft(), why())

    def gone(self, worker: Handle, ending: tuple[int, int]) -> None:
        """A worker is dead, and its last answers were told: what it had begun is lost, the others wait again."""
        self.workers.discard(worker)
        self.dying.discard(worker)
        waiting = worker.outstanding
        ended = worker.begun()
        if waiting and not ended:
            ended = int(self._is_the_reason(worker, ending))
        for entry in [waiting.popleft() for _ in range(min(ended, len(waiting)))]:
            self.fail(entry, self._why(worker, entry, ending))
        again = [entry for entry in waiting if not self.stopped or self.key(entry) not in self.stopped]
        for entry in waiting:
            if entry not in again:
                self.fail(entry, asyncio.CancelledError())
        waiting.clear()
        if not self.stopping:
            self.back.extendleft(reversed(again))
            self.serve()
        self.over()

    def _is_the_reason(self, worker: Handle, ending: tuple[int, int]) -> bool:
        """Whether a call that a dead worker had not begun ends with it: several died before it, or none can start."""
        if ending[0] == NOT_STARTED:
            return True
        key = self.key(worker.outstanding[0])
        self.deaths[key] = self.deaths.get(key, 0) + 1
        return self.deaths[key] >= TRIES or (worker.failure is not None and not worker.ready)

    def _why(self, worker: Handle, entry: Any, ending: tuple[int, int]) -> BaseException:
        if self.key(entry) in self.stopped:
            return asyncio.CancelledError()
        if self.station.is_closing:
            return TaskStopped("the process backend was closed while this call ran")
        if worker.failure is not None:
            return worker.failure
        return lost("that ran this call" if worker.ready else "that was to run this call", ending)
