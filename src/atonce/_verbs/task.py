"""`Task`: work that was started, can be awaited and stopped, and ends exactly once."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
import time
from asyncio import Future
from collections.abc import Callable, Generator
from contextvars import Context, copy_context
from typing import Any, TypeVar

from atonce._backends.contract import Remote, Running
from atonce._model.checks import seconds_or_none, shown
from atonce._model.errors import MisuseError, TaskStopped, TaskTimeout
from atonce._model.outcome import make_failed, make_ok
from atonce._runtime import telemetry
from atonce._runtime.aside import standing_aside
from atonce._runtime.awaited_by import shows_await
from atonce._runtime.notes import annotate, as_raised
from atonce._runtime.owner import GRACE, current_task, scope_var
from atonce._runtime.waiting import after_turns, start_awaiting
from atonce._verbs.ending import Ending

T_co = TypeVar("T_co", covariant=True)

#: How often, in seconds, a thread that waits for a task looks whether its loop still lives.
LOOK = 0.5


def _discard(value: Any) -> None:
    """Drop a result that nobody will have; a coroutine is closed, so that nobody is told that it was never awaited."""
    if inspect.iscoroutine(value):
        value.close()


class Task(Ending[T_co]):
    """Work that was started by `spawn`. `await task` gives its value or raises its error, as often as you like.

    It ends exactly once. Cancelling one who waits ends the waiter alone; `stop()` ends the task. Its owner (the
    innermost `scope`, else the asyncio task that spawned it) stops it when it ends.
    """

    __slots__ = ()

    def begin(self, args: tuple[Any, ...], is_async: bool, context: Context | None = None) -> Task[T_co]:
        """Hand it to its owner and to its backend, with its timer; an eager backend may end it here already."""
        owner = self.owner
        if owner.is_scope:
            owner.adopt(self)
            context = context or copy_context()
        else:
            owner.children.add(self)
        if telemetry.handlers:
            telemetry.emit("task.start", {"time": self.clock()}, {"name": self.name, "id": self.id})
        if context is not None:
            context.run(scope_var.set, None)
        try:
            running = self.backend.start(self.fn, args, is_async, context, self)
        except BaseException:
            owner.release(self)
            raise
        if not self._done:
            self._running = running
            if self._odd:
                self._begun_oddly(running)
        try:
            return self
        finally:
            del self  # the traceback of an error in an eager first step keeps this frame, which must not keep the task

    def _begun_oddly(self, running: Running) -> None:
        """It has a time limit, or was asked to end in its first step."""
        if self._timeout is not None:
            self._arm()
        if self._why is not None:
            running.cancel()

    # -- looking at it ------------------------------------------------------------------------------------------

    @shows_await
    def __await__(self) -> Generator[Any, None, T_co]:
        if self._done:
            self.check_loop()
        else:
            if self._running is current_task(self.loop):
                raise MisuseError(
                    f"{self} awaits itself and would wait for ever; return, or await what it spawned"
                )
            waiter: asyncio.Future[None] = Future(loop=self.loop)
            if self._waiter is None:
                self._waiter = waiter
            else:
                self._add_waiter(waiter)
            try:
                yield from waiter
            except RuntimeError:
                self.check_loop()
                raise
        if self._outcome is None:
            value: T_co = self._value
            return value
        unwrap = self._unwrapper()
        del self  # the traceback of what is raised keeps this frame, and the frame must not keep the task
        try:
            return unwrap()
        finally:
            del unwrap

    def _unwrapper(self) -> Callable[[], T_co]:
        """What gives the value or raises, and holds on to the outcome alone; it has ended."""
        outcome = self.outcome()
        assert outcome is not None
        return outcome.unwrap

    def result(self, timeout: float | None = None) -> T_co:
        """Wait in a plain thread for the value, at most `timeout` seconds, and give it or raise the error.

        For `atonce.blocking` and for other threads; on the task's own loop, where waiting would stop everything, a
        task that has not ended raises `RuntimeError`: await it there. When the time runs out the task is stopped and
        `TaskTimeout` is raised.
        """
        limit = seconds_or_none("timeout", timeout, zero=True)
        if not self._done:
            if asyncio._get_running_loop() is self.loop:
                raise MisuseError(
                    f"{self} has not ended, and result() would stop the loop that runs it: await it instead"
                )
            if self.owner.pid != os.getpid():
                raise MisuseError(f"{self} belongs to the process that forked: only there can it end")
            with standing_aside():
                self._wait_in_thread(limit)
        unwrap = self._unwrapper()
        del self
        try:
            return unwrap()
        finally:
            del unwrap

    def patience(self, grace: float | None) -> float:
        """How long to wait for its end: `grace`, else the backend's patience, else an owner's grace."""
        capabilities = self.backend.capabilities
        if capabilities.stops == "killed":
            return GRACE + (grace or 0.0)  # its end is certain, and takes a moment
        if grace is not None:
            return grace
        patience = capabilities.patience
        return GRACE if patience is None else patience

    def __repr__(self) -> str:
        state = (
            shown(self.outcome())
            if self._done and self._unseen is None
            else "failed"
            if self._done
            else "running"
        )
        return f"<Task {self.id} {self.name!r} {state}>"

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError(
            "a Task belongs to its event loop and cannot be copied or pickled; send its outcome() instead"
        )

    # -- ending it ----------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Ask it to end, and return at once; it ends as `Failed(TaskStopped)` unless a result lands first.

        From any thread. On the loop the end comes at the next await. A function in a thread is asked and, unless it
        looks at `cancelled()`, abandoned a moment later.
        """
        if asyncio._get_running_loop() is self.loop:
            self.end(TaskStopped(f"{self} was stopped"), self.backend.capabilities.patience)
        elif not self.loop.is_closed():
            self.loop.call_soon_threadsafe(
                self.end, TaskStopped(f"{self} was stopped"), self.backend.capabilities.patience
            )

    def end(self, why: TaskTimeout | TaskStopped, patience: float | None, grace: float = 0.0) -> None:
        """Ask it to end because of `why`; after `patience` seconds (None: without limit) it is abandoned.

        What would be killed at once, and has shown that it looks, gets `grace` seconds to end by itself.

        One that is in its first, eager step has no handle yet: it is ended when that step is done.
        """
        if self._done:
            return
        self._odd = True
        if self._why is None:
            self._why = why
        if self._running is None:
            return
        if self._not_begun():
            self._running.cancel()
            self._settle(make_failed(self._why, None, None, 1, 0.0))
            self._over()
            return
        # To ask what kind it is costs more than all the rest; what is killed at once is remote, or was.
        if grace and self.backend.capabilities.stops == "killed" and isinstance(self._running, Remote):
            self._running.ask(grace)
        else:
            self._running.cancel()
        if patience is not None and not self._done:
            self.loop.call_later(patience, self.abandon)

    def _not_begun(self) -> bool:
        """Whether it is a coroutine before its first step, which a cancel would end without a trace."""
        running = self._running
        if not isinstance(running, asyncio.Task):
            return False
        steps = running.get_coro()
        return inspect.iscoroutine(steps) and inspect.getcoroutinestate(steps) == inspect.CORO_CREATED

    def expire(self) -> None:
        """Its time ran out: end it, and settle it two turns of the loop later even if it swallows the cancel."""
        if self._done:
            return
        limit = self._timeout
        text = f"{self} took longer than timeout={limit:g} s" if limit is not None else f"{self} timed out"
        self.end_as_timeout(TaskTimeout(text, timeout=limit))

    def end_as_timeout(self, why: TaskTimeout) -> None:
        """End it with `why`, settled within a few turns of the loop whatever it does."""
        self.end(why, None)
        if not self._done:
            after_turns(self.loop, self.backend.capabilities.turns, self._force)

    def abandon(self) -> None:
        """Give up on its end: settle it, and let go of it."""
        if self._why is None:
            self._why = TaskStopped(f"{self} was stopped")
        self._force()
        self._over()

    def _force(self) -> None:
        if not self._done and self._why is not None:
            self._why.abandoned = self.backend.capabilities.stops != "killed"
            self._settle(make_failed(self._why, None, None, 1, self._elapsed()))
            if not self.backend.capabilities.ends:
                self._over()

    # -- what the backend says ----------------------------------------------------------------------------------

    def returned(self, value: Any) -> None:
        """The call returned."""
        if self._odd or telemetry.handlers:
            self._returned_oddly(value)
            return
        self._value = value
        clock = self.clock  # `self.clock()` would look for a method first, and cost twice as much
        self._ended = clock()
        self._done = True
        self._running = None
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        owner = self.owner
        owner.children.discard(self)
        if owner.empty is not None:
            owner.release(self)

    def _returned_oddly(self, value: Any) -> None:
        """The call returned, and somebody is to be told, or it was asked to end: a time limit beats the result then."""
        if self._done:
            _discard(value)
        elif isinstance(self._why, TaskTimeout):
            _discard(value)
            self._settle(make_failed(self._why, None, None, 1, self._elapsed()))
        else:
            self._settle(make_ok(value, None, None, 1, self._elapsed()))
        self._over()

    def gave(self, value: Any) -> None:
        """The call returned what may have to be awaited: a lambda around an `async def` is one task with it."""
        if not inspect.isawaitable(value) or self._done or self._why is not None:
            self.returned(value)
            return

        self._running = awaiting = start_awaiting(self.loop, value)
        awaiting.add_done_callback(self._awaited)

    def _awaited(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            self.raised(asyncio.CancelledError())
        elif (error := task.exception()) is not None:
            self.raised(error)
        else:
            self.returned(task.result())

    def raised(self, error: BaseException) -> None:
        """The call raised."""
        if not self._done:
            why = as_raised(error)
            if self._why is not None and (
                isinstance(error, asyncio.CancelledError) or isinstance(self._why, TaskTimeout)
            ):
                why = self._why
                if not isinstance(error, asyncio.CancelledError):
                    why.__cause__ = error
            elif isinstance(error, asyncio.CancelledError):
                why = self._why = TaskStopped(f"{self} was cancelled, or raised CancelledError by itself")
            self._fail(why)
        self._over()

    def _fail(self, error: BaseException) -> None:
        annotate(error, f"atonce: {self}")
        self._settle(make_failed(error, None, None, 1, self._elapsed()))

    def _wait_in_thread(self, limit: float | None) -> None:
        """Wait for the end in a plain thread; when the time runs out, end it. A loop that is closed ends nothing."""
        ended = threading.Event()
        until = None if limit is None else time.monotonic() + limit
        try:
            self.loop.call_soon_threadsafe(self.add_done_callback, lambda task: ended.set())
            while until is None or time.monotonic() < until:
                left = LOOK if until is None else min(LOOK, until - time.monotonic())
                if ended.wait(max(0.0, left)):
                    return
                if self.loop.is_closed():
                    raise RuntimeError
            why = TaskTimeout(f"{self} did not end within result(timeout={limit:g})", timeout=limit)
            self.loop.call_soon_threadsafe(self.end_as_timeout, why)
        except RuntimeError:
            raise TaskStopped(f"{self} can never end: its event loop is closed", abandoned=True) from None
        if not ended.wait(1.0):
            raise why

    def _arm(self) -> None:
        """Set the timer of its time limit, which counts from its start and not from its place in a queue."""
        assert self._timeout is not None
        # Just handed over, it has not begun before now; to ask what kind it is would cost more than to start it.
        began = self.looked() if self._timer is not None and self.began is None else self.began
        now = self.clock()
        due = (now if began is None else began) + self._timeout
        if due <= now:
            self.expire()
        else:
            self._odd = True
            self._timer = self.loop.call_at(due, self._arm)
