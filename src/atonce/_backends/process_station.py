"""The workers that serve one event loop: their pipes are watched by that loop itself, without a thread between."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from signal import SIGKILL
from typing import Any, Protocol

from atonce._backends import wire
from atonce._backends.process_feed import Feeder
from atonce._backends.process_handle import Handle
from atonce._backends.process_starts import Refusal
from atonce._backends.process_tasks import TaskFeeder
from atonce._model.errors import TaskStopped, WorkerLost

#: How often an orphaned worker is looked at, a hundredth of that apart, before it is taken for dead.
ORPHAN_LOOKS = 1_000
#: Seconds that a worker without work stays with its loop.
KEEP = 0.5
#: Seconds from the end of a worker's replies until it is killed, where its own end is not told first.
SILENCE = 0.1
#: How often a loop that waits for a worker looks for one itself: nobody tells it that another loop is closed.
LOOK = 0.1


class Pool(Protocol):
    """Where stations get workers from."""

    def acquire(self, station: Station) -> Handle | Refusal | None:
        """A worker that is free, or a new one; None when there may be no more: then `offer` is called later."""

    def release(self, worker: Handle) -> None:
        """A worker is free."""

    def kill(self, worker: Handle) -> None:
        """Have a worker killed; another one may take its place at once."""

    def keeps(self, worker: Handle) -> bool:
        """Whether a worker without work may stay at its loop for a moment."""
        ...

    def buried(self, worker: Handle, ending: tuple[int, int]) -> None:
        """A worker is dead."""

    def share(self, feeders: int) -> int | None:
        """How many workers each of so many feeders should have; None when nobody waits on another loop either."""


def _was_closed() -> BaseException:
    return TaskStopped("the process backend was closed before this call began")


class Station:
    """All that goes on between one loop and its workers; its methods are called on that loop."""

    def __init__(self, pool: Pool, loop: asyncio.AbstractEventLoop, most: int) -> None:
        self.loop = loop
        self.tasks: TaskFeeder = TaskFeeder(self, most)
        #: The backend is being closed: what its workers are on ends for that reason.
        self.is_closing: bool = False
        self._pool = pool
        self._waiting: deque[Feeder] = deque()
        self._busy: set[Handle] = set()
        self._dying: set[Handle] = set()
        #: Without work for a moment: still watched here, since the next call is likely to come from here.
        self._free: list[Handle] = []
        self._timer: asyncio.TimerHandle | None = None
        self._looking: asyncio.TimerHandle | None = None

    # -- what feeders call --------------------------------------------------------------------------------------

    def acquire(self, feeder: Feeder) -> Handle | None:
        """A worker for `feeder`, or None: then its `serve` is called when there may be one."""
        if self._free:
            worker = self._free.pop()
            self._busy.add(worker)
            return worker
        found = self._pool.acquire(self)
        if not isinstance(found, Handle):
            if feeder not in self._waiting:
                self._waiting.append(feeder)
            if found is not None:
                self.loop.call_soon(self._refuse, found)
            elif self._looking is None:
                self._looking = self.loop.call_later(LOOK, self._look)
            return None
        worker = found
        self._busy.add(worker)
        self.loop.add_reader(worker.replies, self._readable, worker)
        self.loop.add_reader(worker.end, self._ended, worker)
        return worker

    def release(self, worker: Handle) -> None:
        """`worker` is free: for a feeder here that waits, else for other loops, if not soon for this one again."""
        worker.feeder = None
        self._busy.discard(worker)
        if self._pool.keeps(worker):
            self._free.append(worker)
            if self._timer is None:
                self._timer = self.loop.call_later(KEEP, self._tidy)
        else:
            self.unwatch(worker)
            self._pool.release(worker)
        self._next()

    def crowded(self, feeder: Feeder) -> bool:
        """Whether others wait for a worker that `feeder` has more of than its share."""
        share = self._pool.share(len({worker.feeder for worker in self._busy} | set(self._waiting)))
        if share is None and not self._waiting:
            return False
        return len(feeder.workers) > (share or 0)

    def send(self, worker: Handle, frames: list[Any], calls: int) -> None:
        """Send frames to a worker, as its pipe takes them."""
        if not worker.send(frames, calls):
            self.loop.add_writer(worker.calls, self._writable, worker)

    def drain(self, worker: Handle) -> None:
        """Tell the answers that are there already."""
        while worker.feeder is not None and self._hear(worker):
            pass

    def kill(self, worker: Handle) -> None:
        """Kill a worker; its feeder's `gone` is called when it is dead."""
        self._dying.add(worker)
        self._pool.kill(worker)
        self.loop.call_soon(self._next)

    def forget(self, feeder: Feeder) -> None:
        """A feeder gives no further calls: what its function refers to is let go in the workers too."""
        with suppress(ValueError):
            self._waiting.remove(feeder)
        for worker in self._free:
            if worker.knows is feeder:
                worker.knows = None
                self.send(worker, [wire.FORGOTTEN], 0)

    def give_up(self) -> None:
        """Other loops wait for workers: those without work here are theirs."""
        while self._free:
            worker = self._free.pop()
            self.unwatch(worker)
            self._pool.release(worker)

    def _look(self) -> None:
        self._looking = None
        self._next()

    def _tidy(self) -> None:
        self._timer = None
        self.give_up()

    # -- what the loop and the pool call ------------------------------------------------------------------------

    def offer(self) -> None:
        """There may be a free worker."""
        self._next()

    def closed(self) -> None:
        """The backend was closed and all workers are dead: whatever they were on or was to come ends."""
        feeders = {self.tasks, *self._waiting, *(worker.feeder for worker in self._busy)}
        self._waiting.clear()
        for timer in (self._timer, self._looking):
            if timer is not None:
                timer.cancel()
        for worker in {*self._busy, *self._free, *self._dying}:
            self._ended(worker)
        for feeder in feeders:
            feeder.refuse(_was_closed)

    def _refuse(self, why: Refusal) -> None:
        """There is no worker now for those that wait; what comes later may find one."""
        waiting, self._waiting = self._waiting, deque()
        for feeder in waiting:
            feeder.refuse(why)
            feeder.serve()

    def _next(self) -> None:
        """Serve those that wait, until one of them has to wait again; some have been served in the meantime."""
        while self._waiting:
            feeder = self._waiting.popleft()
            feeder.serve()
            if feeder in self._waiting:
                return

    def _readable(self, worker: Handle) -> None:
        if not self._hear(worker) and worker.silent:
            self.loop.remove_reader(worker.replies)
            self.loop.call_later(SILENCE, self._silent, worker)

    def _hear(self, worker: Handle) -> bool:
        """Take in what a worker has sent; whether there was something."""
        try:
            replies = worker.receive()
            if replies and worker.feeder is None:
                raise wire.Garbled("it sent back a reply to no call")
            if replies:
                worker.feeder.replied(worker, replies)
            if worker.garbled:
                raise wire.Garbled("it sent back what is no reply")
            return bool(replies)
        except wire.Garbled as garbled:
            worker.garbled = True
            worker.failure = WorkerLost(f"the worker process was killed: {garbled}", signal=SIGKILL)
            self.loop.remove_reader(worker.replies)
            self._put_down(worker)
            return False

    def _put_down(self, worker: Handle) -> None:
        """Kill a worker that nobody can work with."""
        if worker in self._free:
            self._free.remove(worker)
            self.kill(worker)
        elif worker in self._busy and not worker.dying:
            worker.feeder.kill(worker)

    def _silent(self, worker: Handle) -> None:
        """It has closed its pipe, and its end was not told: it goes on, and nobody can hear it."""
        self._put_down(worker)

    def _writable(self, worker: Handle) -> None:
        if worker.flush():
            self.loop.remove_writer(worker.calls)

    def _ended(self, worker: Handle) -> None:
        """A worker is dead: tell its last answers, then what became of its calls."""
        if worker not in self._busy and worker not in self._dying and worker not in self._free:
            return
        ending = worker.end_of_life()
        if ending is None or (worker.orphaned and self._may_live(worker)):
            return
        feeder = worker.feeder
        worker.dying = True
        self.drain(worker)
        self.unwatch(worker)
        self._pool.buried(worker, ending)
        if feeder is not None:
            feeder.gone(worker, ending)
        worker.close()
        self._next()

    def _may_live(self, worker: Handle) -> bool:
        """Whether a worker whose forkserver is dead may still run: the kernel ends it too, but a moment later.

        Until its pipe is closed it could finish its call and begin the next, which must then not be given to another.
        """
        if self.is_closing or self.loop.is_closed():
            return False
        if not worker.dying:
            self._put_down(worker)
        self.loop.remove_reader(worker.end)
        self.drain(worker)
        if worker.silent or worker.looked >= ORPHAN_LOOKS:
            return False
        worker.looked += 1
        self.loop.call_later(SILENCE / 100, self._ended, worker)
        return True

    def unwatch(self, worker: Handle) -> None:
        """Hear no more of a worker."""
        self._busy.discard(worker)
        self._dying.discard(worker)
        if worker in self._free:
            self._free.remove(worker)
        if not self.loop.is_closed():
            self.loop.remove_reader(worker.replies)
            self.loop.remove_reader(worker.end)
            self.loop.remove_writer(worker.calls)
