"""Threads as a backend: plain functions, in workers that are kept for the next call."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import inspect
import itertools
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any, Self

from atonce._backends.contract import Capabilities, Desk, Receiver, Running
from atonce._backends.pushed import PushedLanes
from atonce._model.checks import count
from atonce._model.errors import MisuseError, TaskStopped
from atonce._runtime.token import Token, token_var

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


class _Replies:
    """The way back to one loop: ends that come together are handed over together."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._ends: deque[tuple[_Job, bool, Any]] = deque()

    def put(self, job: _Job, ok: bool, result: Any) -> None:
        """From a worker: `job` ended."""
        ends = self._ends
        ends.append((job, ok, result))
        if len(ends) == 1:
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        ends = self._ends
        try:
            for _ in range(len(ends)):
                job, ok, result = ends[0]
                try:
                    job.settle(ok, result)
                finally:
                    ends.popleft()
        finally:
            if ends:
                self.loop.call_soon(self._deliver)


class _Job:
    """One call for a worker, and the handle on it."""

    __slots__ = ("args", "backend", "context", "fn", "is_async", "replies", "state", "to", "token")

    def __init__(
        self,
        backend: ThreadBackend,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        is_async: bool,
        context: Context,
        to: Receiver,
        replies: _Replies,
    ) -> None:
        self.backend: ThreadBackend = backend
        self.fn: Callable[..., Any] = fn
        self.args: tuple[Any, ...] = args
        self.is_async: bool = is_async
        self.context: Context = context
        self.to: Receiver | None = to
        self.replies: _Replies = replies
        self.token: Token = Token()
        self.state: str = "queued"

    def cancel(self) -> None:
        """Take it out of the queue; ask it to stop when it runs."""
        self.token.asked = True
        if self.backend.withdraw(self) and self.to is not None:
            to, self.to = self.to, None
            to.raised(asyncio.CancelledError())

    def work(self) -> None:
        """In a worker: make the call and send its end back."""
        to = self.to
        if to is not None:
            to.began = to.clock()
        del to
        try:
            result, ok = self.context.run(self._call), True
        except BaseException as error:
            result, ok = error, False
        self.backend.done(self)
        self.replies.put(self, ok, result)
        del result  # its traceback keeps this frame

    def _call(self) -> Any:
        token_var.set(self.token)
        if self.is_async:
            return asyncio.run(self.fn(*self.args))
        return self.fn(*self.args)

    def settle(self, ok: bool, result: Any) -> None:
        """On the loop: tell the receiver."""
        to, self.to = self.to, None
        if to is None:
            if inspect.iscoroutine(result):
                result.close()
        elif ok:
            to.gave(result)
        else:
            to.raised(result)


class ThreadBackend:
    """Runs functions in threads; its workers are daemons, so that interpreter exit never waits for one.

    **Bounded**: at most `max_threads` threads; further calls wait in a queue. A thread cannot be ended from outside: a
    timeout or a stop asks (`atonce.cancelled()` turns True in the function), and what does not look is *abandoned*:
    its place is free at once, its late result is dropped, and `statistics()` counts it until it ends. An `async def`
    runs in its thread in a loop of its own.

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
    )

    def __init__(self, *, max_threads: int = MOST_THREADS) -> None:
        self._most = count("max_threads", max_threads)
        self._pid = os.getpid()
        self._ready = threading.Condition(threading.Lock())
        self._queue: deque[_Job] = deque()
        self._idle = 0
        self._threads: set[threading.Thread] = set()
        self._numbers = itertools.count(1)
        self._running = 0
        self._abandoned = 0
        self._open = True
        self._replies: dict[asyncio.AbstractEventLoop, _Replies] = {}

    def start(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        is_async: bool,
        context: Context | None,
        to: Receiver,
    ) -> Running:
        """Queue one call, with a worker for it unless one is idle or there are too many."""
        if self._pid != os.getpid():
            raise MisuseError(
                "this thread backend belongs to the process that forked: make a new one in the child"
            )
        replies = self._replies_to(to.loop)
        job = _Job(self, fn, args, is_async, copy_context() if context is None else context, to, replies)
        with self._ready:
            if not self._open:
                raise MisuseError("this thread backend is closed: open a new one, or leave `on=` out")
            self._queue.append(job)
            if self._idle >= len(self._queue):
                self._ready.notify()
            elif len(self._threads) < self._most:
                self._hire()
        return job

    def lanes(self, desk: Desk, bound: int, over: Callable[[], None]) -> PushedLanes:
        """Serve a stream, one call an item."""
        return PushedLanes(self, desk, over)

    def statistics(self) -> ThreadStatistics:
        """Counts of this moment."""
        with self._ready:
            return ThreadStatistics(len(self._threads), self._running, len(self._queue), self._abandoned)

    def withdraw(self, job: _Job) -> bool:
        """Take a call that has not started out of the queue; one that runs counts as abandoned until it ends."""
        with self._ready:
            if job.state == "queued":
                self._queue.remove(job)
                job.state = "withdrawn"
                return True
            if job.state == "running":
                job.state = "abandoned"
                self._abandoned += 1
            return False

    def done(self, job: _Job) -> None:
        """A worker has made its call."""
        with self._ready:
            self._running -= 1
            if job.state == "abandoned":
                self._abandoned -= 1
            job.state = "done"

    def close(self) -> None:
        """End the idle workers and drop what is queued; a worker that is busy ends after its call. Never waits long."""
        with self._ready:
            self._open = False
            dropped = tuple(self._queue)
            self._queue.clear()
            for job in dropped:
                job.state = "withdrawn"
            threads = tuple(self._threads)
            busy = self._running
            self._ready.notify_all()
        for job in dropped:
            job.replies.put(job, False, TaskStopped("the thread backend was closed before this call began"))
        until = time.monotonic() + 0.5
        for thread in threads if not busy else ():
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

    def _replies_to(self, loop: asyncio.AbstractEventLoop) -> _Replies:
        replies = self._replies.get(loop)
        if replies is None:
            for old in [one for one in self._replies if one.is_closed()]:
                del self._replies[old]
            replies = self._replies[loop] = _Replies(loop)
        return replies

    def _hire(self) -> None:
        thread = threading.Thread(
            target=self._serve, name=f"atonce-thread-{next(self._numbers)}", daemon=True
        )
        self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError:
            self._threads.discard(thread)
            if not self._threads:
                self._queue.pop()
                raise

    def _serve(self) -> None:
        try:
            while (job := self._next()) is not None:
                job.work()
                del job
        finally:
            with self._ready:
                self._threads.discard(threading.current_thread())

    def _next(self) -> _Job | None:
        """Wait for a call; None when this worker should end."""
        with self._ready:
            while not self._queue:
                if not self._open or not self._await_call():
                    return None
            job = self._queue.popleft()
            job.state = "running"
            self._running += 1
            return job

    def _await_call(self) -> bool:
        """Be idle until there is a call or the backend closes; False when that took too long."""
        self._idle += 1
        try:
            return self._ready.wait(IDLE) or bool(self._queue)
        finally:
            self._idle -= 1


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
