"""Threads as a backend: plain functions, in workers that are kept for the next call."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import itertools
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any, Self, TypeAlias
from weakref import WeakSet

from atonce._backends.contract import Capabilities, Desk, Receiver, Running
from atonce._backends.thread_job import Job, Replies
from atonce._backends.thread_lane import Lane
from atonce._backends.thread_lanes import ThreadLanes
from atonce._model.checks import count
from atonce._model.errors import MisuseError
from atonce._runtime.aside import here

#: Seconds that a worker without work waits before it ends.
IDLE = 5.0
#: Seconds that a stopped function is given to notice `cancelled()` before it is abandoned.
PATIENCE = 0.1
#: The most threads that one backend has at once; further calls wait in its queue.
MOST_THREADS = 512


@dataclass(frozen=True, slots=True)
class ThreadStatistics:
    """Threads alive, calls running and queued, and calls abandoned: given up, and still running."""

    threads: int
    running: int
    queued: int
    abandoned: int


_Work: TypeAlias = "Job | Lane"


class _Worker:
    """A thread of the backend, and the bell that wakes it when it is idle and was given work."""

    __slots__ = ("bell", "work")

    def __init__(self, work: _Work | None) -> None:
        self.work = work
        self.bell = threading.Lock()
        self.bell.acquire()


class ThreadBackend:
    """Runs functions in threads; its workers are daemons, so that interpreter exit never waits for one.

    **Bounded**: at most `max_threads` threads; further calls wait in a queue. A thread cannot be ended from outside: a
    timeout or a stop asks (`atonce.cancelled()` turns True in the function), and what does not look is *abandoned*:
    its place is free at once, its late result is dropped, and `statistics()` counts it until it ends. An `async def`
    runs in its thread in a loop of its own. A thread that waits in a verb of `atonce.blocking` does not count among
    `max_threads` meanwhile, and a stream inside a call, which that thread waits for, gets one thread in any case:
    nested calls and streams never wait for each other's threads.

    >>> async def main():
    ...     async with ThreadBackend() as threads:
    ...         return await spawn(sum, [1, 2], on=threads)
    >>> asyncio.run(main())
    3
    """

    capabilities: Capabilities = Capabilities(
        name="thread",
        stops="asked",
        ends=False,
        shares_memory=True,
        default_concurrency=32,
        patience=PATIENCE,
        turns=0,
        holds=True,
    )

    def __init__(self, *, max_threads: int = MOST_THREADS) -> None:
        self._most = count("max_threads", max_threads)
        self._pid = os.getpid()
        self._lock = threading.Lock()
        #: What waits for a thread, because there are too many.
        self.waiting: deque[_Work] = deque()
        self._idle: list[_Worker] = []
        self._threads: set[threading.Thread] = set()
        self._numbers = itertools.count(1)
        self._queued = 0
        self._running = 0
        self._abandoned = 0
        #: Threads that wait in a blocking verb for work that may need a thread itself.
        self._aside = 0
        self._open = True
        self._replies: dict[asyncio.AbstractEventLoop, Replies] = {}
        self._runs: WeakSet[ThreadLanes] = WeakSet()

    def start(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        is_async: bool,
        context: Context | None,
        to: Receiver,
    ) -> Running:
        """Give one call to a worker that is idle or new; when there are too many it waits in a queue."""
        replies = self._replies.get(to.loop) or self._replies_to(to.loop)
        job = Job(self, fn, args, is_async, copy_context() if context is None else context, to, replies)
        self._give(job, must=False)
        return job

    def lanes(self, desk: Desk, bound: int, over: Callable[[], None]) -> ThreadLanes:
        """Serve a stream by workers that pull item after item."""
        lanes = ThreadLanes(self, desk, bound, over)
        with self._lock:
            self._runs.add(lanes)
        return lanes

    def lend(self, lane: Lane, *, must: bool) -> None:
        """Let a worker serve in `lane`; `must`: with a new thread if no worker is idle, however many there are."""
        self._give(lane, must=must)

    def statistics(self) -> ThreadStatistics:
        """Counts of this moment, the items of streams included."""
        with self._lock:
            runs = [run.counts() for run in self._runs]
            running, queued, abandoned = (sum(one) for one in zip((0, 0, 0), *runs, strict=True))
            return ThreadStatistics(
                threads=len(self._threads),
                running=running + self._running,
                queued=queued + self._queued,
                abandoned=abandoned + self._abandoned,
            )

    def withdraw(self, work: _Work) -> bool:
        """Take what has not started out of the queue; a call that runs counts as abandoned until it ends."""
        with self._lock:
            if work.state == "queued" and (work.is_call or work in self.waiting):
                with contextlib.suppress(ValueError):
                    self.waiting.remove(work)
                self._queued -= work.is_call
                work.state = "withdrawn"
                return True
            if work.state == "running" and work.is_call:
                work.state = "abandoned"
                self._abandoned += 1
            return False

    def begin(self, work: _Work) -> bool:
        """A worker is about to do it; False when it was withdrawn."""
        with self._lock:
            if work.state != "queued":
                return False
            work.state = "running"
            self._queued -= work.is_call
            self._running += work.is_call
            return True

    def close(self) -> None:
        """End the idle workers and drop what is queued; a worker that is busy ends after its call. Never waits long."""
        with self._lock:
            self._open = False
            dropped = tuple(self.waiting)
            self.waiting.clear()
            for work in dropped:
                work.state = "withdrawn"
                self._queued -= work.is_call
            threads = tuple(self._threads)
            runs = tuple(self._runs)
            is_busy = len(threads) > len(self._idle)
            for worker in self._idle:
                worker.bell.release()
            self._idle.clear()
        for work in dropped:
            work.dropped()
        for run in runs:
            run.close()
        until = time.monotonic() + 0.5
        for thread in threads if not is_busy else ():
            if thread is not threading.current_thread():
                thread.join(max(0.0, until - time.monotonic()))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _replies_to(self, loop: asyncio.AbstractEventLoop) -> Replies:
        replies = self._replies.get(loop)
        if replies is None:
            for old in [one for one in self._replies if one.is_closed()]:
                del self._replies[old]
            replies = self._replies[loop] = Replies(loop)
        return replies

    def _give(self, work: _Work, *, must: bool) -> None:
        """Give it to an idle worker, to a new one, or to the queue."""
        if self._pid != os.getpid():
            raise MisuseError(
                "this thread backend belongs to the process that forked: make a new one in the child"
            )
        with self._lock:
            if not self._open:
                raise MisuseError("this thread backend is closed: open a new one, or leave `on=` out")
            work.state = "queued"
            self._queued += work.is_call
            if self._idle:
                self._wake(work)
                return
            if not must and len(self._threads) - self._aside >= self._most:
                self.waiting.append(work)
                return
            thread = self._thread_for(work)
        try:
            thread.start()
        except RuntimeError:
            if not self._without(thread, work, must=must):
                raise

    def stand_aside(self, threads: int) -> None:
        """So many more of its threads wait for others' work (-1: one goes on), and do not count meanwhile."""
        with self._lock:
            self._aside += threads
            if threads < 0 or not self.waiting or len(self._threads) - self._aside >= self._most:
                return
            work = self.waiting.popleft()
            thread = self._thread_for(work)
        try:
            thread.start()
        except RuntimeError:
            self._without(thread, work, must=False)  # True: the thread that asks is one to wait for

    def _wake(self, work: _Work) -> None:
        """Give it to an idle worker; the lock is held."""
        worker = self._idle.pop()
        worker.work = work
        worker.bell.release()

    def _thread_for(self, work: _Work) -> threading.Thread:
        """A new thread, counted, that begins with `work`."""
        thread = threading.Thread(
            target=self._serve,
            args=(_Worker(work),),
            name=f"atonce-thread-{next(self._numbers)}",
            daemon=True,
        )
        self._threads.add(thread)
        return thread

    def _without(self, thread: threading.Thread, work: _Work, *, must: bool) -> bool:
        """A thread could not be started: its work waits for another; False when it must not wait, or there is none."""
        with self._lock:
            self._threads.discard(thread)
            if self._idle:
                self._wake(work)
                return True
            if not must and self._threads:
                self.waiting.append(work)
                return True
            self._queued -= work.is_call
            work.state = "withdrawn"
            return False

    def _serve(self, worker: _Worker) -> None:
        """A worker's life. It is at disposal again before it tells the end of a call, whose owner may have another."""
        work, worker.work = worker.work, None
        here.pool = self
        try:
            while work is not None:
                if self.begin(work):
                    work.work()
                is_idle, following = self._next(worker, work)
                work.tell()
                work = None
                work = self._await_call(worker) if is_idle else following
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _next(self, worker: _Worker, done: _Work) -> tuple[bool, _Work | None]:
        """Whether the worker is idle now that it has `done` that; else its next work, None when it should end."""
        with self._lock:
            if done.is_call and done.state != "withdrawn":
                self._running -= 1
                self._abandoned -= done.state == "abandoned"
                done.state = "done"
            if self.waiting:
                return False, self.waiting.popleft()
            if not self._open or len(self._threads) - self._aside > self._most:
                # It takes no more: others may have its place while it tells its last end.
                self._threads.discard(threading.current_thread())
                return False, None
            self._idle.append(worker)
            return True, None

    def _await_call(self, worker: _Worker) -> _Work | None:
        """Be idle until there is work or the backend closes; None when that took too long."""
        if not worker.bell.acquire(timeout=IDLE):
            with self._lock:
                if worker in self._idle:
                    self._idle.remove(worker)
                    self._threads.discard(threading.current_thread())
                    return None
            worker.bell.acquire()  # it was given work in the last moment
        work, worker.work = worker.work, None
        return work


_default: ThreadBackend | None = None


@atexit.register
def _close() -> None:
    """Registered at import, so that what a program registers after it may still use threads."""
    if _default is not None:
        _default.close()


_making = threading.Lock()


def default_backend() -> ThreadBackend:
    """The thread backend that the interpreter owns; a forked child gets one of its own."""
    global _default
    with _making:
        if _default is None or _default._pid != os.getpid():
            _default = ThreadBackend()
        return _default
