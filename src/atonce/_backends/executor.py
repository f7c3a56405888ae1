"""Any `concurrent.futures.Executor` as a backend, as far as executors can keep the contract."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextvars import Context, copy_context
from typing import Any

from atonce._backends.contract import Capabilities, Desk, Receiver, Running
from atonce._backends.pushed import PushedLanes
from atonce._runtime.notes import as_raised
from atonce._runtime.token import Token, token_var

#: Seconds that a stopped call is given to notice `cancelled()` before it is abandoned.
PATIENCE = 0.1


class ExecutorBackend:
    """Runs calls in an executor that the user made, owns and closes; `on=executor` makes one of these.

    **Bounded** by the executor. It cannot end a call: a timeout or a stop takes what waits out of its queue; what runs
    is asked in threads (`atonce.cancelled()`), and abandoned. A `ThreadPoolExecutor` gets context variables and time
    limits that count from the start of a call. Any other executor is taken for one in other processes: functions and
    arguments must be what it can send, context variables stay here, nobody can ask a call to end, and a time limit
    counts from the hand-over, since executors do not tell when a call starts.

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> async def main():
    ...     with ThreadPoolExecutor(2) as pool:
    ...         return await parallel_map(["b", "a"], str.upper, on=pool)
    >>> asyncio.run(main())
    ['B', 'A']
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._in_threads = isinstance(executor, ThreadPoolExecutor)
        most = getattr(executor, "_max_workers", None)
        self.capabilities: Capabilities = Capabilities(
            name=type(executor).__name__,
            stops="asked" if self._in_threads else "never",
            ends=False,
            shares_memory=self._in_threads,
            default_concurrency=most if isinstance(most, int) and most > 0 else os.cpu_count() or 1,
            patience=PATIENCE,
            turns=0,
            carries_context=self._in_threads,
        )

    def start(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        is_async: bool,
        context: Context | None,
        to: Receiver,
    ) -> Running:
        """Submit one call; what `submit` raises is raised here."""
        job = _Job(to)
        if self._in_threads:
            job.future = self._executor.submit(
                job.work, fn, args, is_async, copy_context() if context is None else context
            )
        else:
            to.began = to.clock()
            job.future = self._executor.submit(_call_there, fn, args, is_async)
        job.future.add_done_callback(job.done)
        return job

    def lanes(self, desk: Desk, bound: int, over: Callable[[], None]) -> PushedLanes:
        """Serve a stream, one call an item."""
        return PushedLanes(self, desk, over)


def _run_async(fn: Callable[..., Any], *args: Any) -> Any:
    """Run an `async def` in a loop of its own."""
    return asyncio.run(fn(*args))


def _call_there(fn: Callable[..., Any], args: tuple[Any, ...], is_async: bool) -> Any:
    """Make a call wherever the executor has brought it, in a context of its own; what it gives must travel back."""
    context = copy_context()
    value = context.run(fn, *args)
    if not is_async and not isinstance(value, Coroutine):
        return value
    try:
        return context.run(asyncio.run, value)
    except RuntimeError as error:
        theirs = as_raised(error)
        if theirs is error:
            raise
        raise theirs from None  # not as a cause, which may not travel


class _Job:
    """One call, and the handle on it."""

    __slots__ = ("_to", "_token", "future")

    def __init__(self, to: Receiver) -> None:
        self._to: Receiver | None = to
        self._token: Token = Token()
        self.future: Future[Any] = Future()

    def work(self, fn: Callable[..., Any], args: tuple[Any, ...], is_async: bool, context: Context) -> Any:
        """In a thread of the executor: make the call."""
        to = self._to
        if to is not None:
            to.began = to.clock()
        del to
        return context.run(self._call, fn, args, is_async)

    def _call(self, fn: Callable[..., Any], args: tuple[Any, ...], is_async: bool) -> Any:
        token_var.set(self._token)
        return _run_async(fn, *args) if is_async else fn(*args)

    def cancel(self) -> None:
        """Take it out of the executor's queue, or ask it to end."""
        self._token.asked = True
        self.future.cancel()

    def done(self, future: Future[Any]) -> None:
        """In any thread: it is over."""
        to = self._to
        if to is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits any more
                to.loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        """On the loop: tell the receiver."""
        (to, self._to), future = (self._to, None), self.future
        if to is None:
            return
        if future.cancelled():
            to.raised(asyncio.CancelledError())
        elif (error := future.exception()) is not None:
            to.raised(error)
        else:
            to.gave(future.result())
