"""`spawn` and the `Task` that it gives: work that was started, and ends exactly once."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import threading
from asyncio import Future
from collections.abc import Callable, Generator
from contextvars import Context, copy_context
from typing import Any, Generic, TypeVar

from atonce._backends.contract import Backend, Running
from atonce._model.call import fn_name
from atonce._model.checks import seconds_or_none, shown
from atonce._model.errors import MisuseError, TaskStopped, TaskTimeout
from atonce._model.outcome import Outcome, make_failed, make_ok
from atonce._runtime import telemetry
from atonce._runtime.notes import annotate
from atonce._runtime.owner import GRACE, Owner, log, scope_var
from atonce._runtime.site import Site, shown_site
from atonce._runtime.waiting import resolve, start_awaiting

T = TypeVar("T")

_ids = itertools.count(1)


class _Unseen:
    """Logs a failure that nobody looked at, once, when the last reference to its task goes away."""

    __slots__ = ("error", "text")

    def __init__(self, text: str, error: BaseException) -> None:
        self.text = text
        self.error: BaseException | None = error

    def __del__(self) -> None:
        if self.error is not None:
            log.error("%s failed and nobody awaited it", self.text, exc_info=self.error)


def _discard(value: Any) -> None:
    """Drop a result that nobody will have; a coroutine is closed, so that nobody is told that it was never awaited."""
    if inspect.iscoroutine(value):
        value.close()


class Task(Generic[T]):
    """Work that was started by `spawn`. `await task` gives its value or raises its error, as often as you like.

    It ends exactly once. Cancelling one who waits ends the waiter alone; `stop()` ends the task. Its owner (the
    innermost `scope`, else the asyncio task that spawned it) stops it when it ends.
    """

    # What every task has is in slots; what few have is in the dict, and the class holds its default. `_odd` says that
    # something of the second kind matters at the end, so that the common end tests one thing.
    __slots__ = (
        "__dict__",
        "__weakref__",
        "_done",
        "_ended",
        "_odd",
        "_outcome",
        "_running",
        "_site",
        "_value",
        "_waiter",
        "backend",
        "began",
        "clock",
        "fn",
        "loop",
        "owner",
    )
    _id = 0
    _name: str | None = None
    _timeout: float | None = None
    _linked = True
    _callbacks: list[Callable[[Task[T]], object] | asyncio.Future[None]] | None = None
    _over_callbacks: list[Callable[[], None]] | None = None
    _timer: asyncio.TimerHandle | None = None
    _unseen: _Unseen | None = None
    _why: TaskTimeout | TaskStopped | None = None

    def __init__(
        self,
        fn: Callable[..., Any],
        backend: Backend,
        owner: Owner,
        loop: asyncio.AbstractEventLoop,
        timeout: float | None,
        name: str | None,
        site: Site,
    ) -> None:
        self.fn = fn
        self.backend = backend
        self.owner = owner
        self._site = site
        self.loop = loop
        self.clock = owner.clock or owner.read_clock(loop)
        self.began: float | None = None
        self._done = self._odd = False
        self._outcome: Outcome[T] | None = None
        self._running: Running | None = None
        self._waiter: asyncio.Future[None] | None = None
        if timeout is not None:
            self._timeout = timeout
        if name is not None:
            self._name = name

    def begin(self, args: tuple[Any, ...], is_async: bool, context: Context | None = None) -> Task[T]:
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
            if self._timeout is not None:
                self._arm()
        return self

    # -- looking at it ------------------------------------------------------------------------------------------

    @property
    def id(self) -> int:
        """A number of its own in this process."""
        if not self._id:
            self._id = next(_ids)
        return self._id

    @property
    def name(self) -> str:
        """The name given to `spawn`, else the function's."""
        return self._name or fn_name(self.fn)

    def done(self) -> bool:
        """Whether it has ended."""
        return self._done

    def outcome(self) -> Outcome[T] | None:
        """How it ended, None before that; never waits."""
        if self._unseen is not None:
            self._seen()
        if self._outcome is None and self._done:
            self._outcome = make_ok(self._value, None, None, 1, self._ended - (self.began or self._ended))
        return self._outcome

    def __await__(self) -> Generator[Any, None, T]:
        if self._done:
            self.check_loop()
        else:
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
            value: T = self._value
            return value
        return self._unwrap()

    def _unwrap(self) -> T:
        """The value, or a raise; it has ended."""
        outcome = self._outcome
        if outcome is None:
            value: T = self._value
            return value
        self._seen()
        return outcome.unwrap()

    def result(self, timeout: float | None = None) -> T:
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
            self._wait_in_thread(limit)
        return self._unwrap()

    def add_done_callback(self, callback: Callable[[Task[T]], object]) -> None:
        """Call `callback(task)` on the owner's loop when it has ended; soon, when it has already."""
        if self._done:
            self.loop.call_soon(self._call_back, callback)
        else:
            self._odd = True
            self._callbacks = [*(self._callbacks or ()), callback]

    def remove_done_callback(self, callback: Callable[[Task[T]], object]) -> None:
        """Take back what `add_done_callback` was given, if it was not called yet."""
        if self._callbacks is not None:
            self._callbacks = [one for one in self._callbacks if one is not callback]

    def failed(self) -> bool:
        """Whether it has ended, and badly."""
        return self._outcome is not None and not self._outcome.ok

    def is_over(self) -> bool:
        """Whether it has ended and nothing of it runs any more, or it was let go."""
        return self._done and self._running is None

    def when_over(self, callback: Callable[[], None]) -> None:
        """Call `callback()` when it is over."""
        if self.is_over():
            self.loop.call_soon(callback)
        else:
            self._odd = True
            self._over_callbacks = [*(self._over_callbacks or ()), callback]

    def patience(self, grace: float | None) -> float:
        """How long to wait for its end: `grace`, else the backend's patience, else an owner's grace."""
        if grace is not None:
            return grace
        patience = self.backend.capabilities.patience
        return GRACE if patience is None else patience

    def check_loop(self) -> None:
        """Raise unless this is the loop that runs it."""
        if asyncio.get_running_loop() is not self.loop:
            raise self._other_loop()

    def ignore(self) -> None:
        """Unlink it: a failure no longer touches its scope, and is not logged as unseen."""
        self._linked = False
        self._seen()

    def __str__(self) -> str:
        return f"task {self.name!r} (spawned at {shown_site(self._site)})"

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

    def end(self, why: TaskTimeout | TaskStopped, patience: float | None) -> None:
        """Ask it to end because of `why`; after `patience` seconds (None: without limit) it is abandoned."""
        if self._done or self._running is None:
            return
        self._odd = True
        if self._why is None:
            self._why = why
        if self._not_begun():
            self._running.cancel()
            self._settle(make_failed(self._why, None, None, 1, 0.0))
            self._over()
            return
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
            if self.backend.capabilities.ticks:
                self.loop.call_soon(self.loop.call_soon, self.loop.call_soon, self._force)
            else:
                self._force()

    def abandon(self) -> None:
        """Give up on its end: settle it, and let go of it."""
        if self._why is None:
            self._why = TaskStopped(f"{self} was stopped")
        self._force()
        self._over()

    def _force(self) -> None:
        if not self._done and self._why is not None:
            self._why.abandoned = True
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
        self._ended = self.clock()
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
            why: BaseException = error
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

    # -- inside -------------------------------------------------------------------------------------------------

    def _settle(self, outcome: Outcome[T]) -> None:
        """It has ended, badly or not by itself."""
        self._outcome = outcome
        self._done = True
        if not outcome.ok and not isinstance(outcome.error, TaskStopped):
            self._failing(self.owner, outcome.error)
        self._settled()

    def _settled(self) -> None:
        """Tell all who wait for the end."""
        timer, callbacks = self._timer, self._callbacks
        if timer is not None:
            timer.cancel()
            self._timer = None
        if self._waiter is not None:
            resolve(self._waiter)
        if telemetry.handlers:
            self._emit()
        if callbacks is not None:
            self._callbacks = None
            for callback in callbacks:
                if isinstance(callback, asyncio.Future):
                    resolve(callback)
                else:
                    self._call_back(callback)

    def _failing(self, owner: Owner, error: BaseException) -> None:
        """Tell a linked owner, and see to it that a failure which nobody looks at is logged."""
        if self._linked:
            self._unseen = _Unseen(str(self), error)
            if owner.child_failed(self, error):
                self._seen()

    def _over(self) -> None:
        """Nothing of it runs any more, or nobody waits for that: the owner is free of it."""
        callbacks = self._over_callbacks
        self._running = None
        self.owner.release(self)
        if callbacks is not None:
            self._over_callbacks = None
            for callback in callbacks:
                callback()

    def wait(self) -> asyncio.Future[None]:
        """A future of its own for one waiter, resolved when the task has ended."""
        self.check_loop()
        waiter: asyncio.Future[None] = self.loop.create_future()
        if self._done:
            waiter.set_result(None)
        else:
            self._add_waiter(waiter)
        return waiter

    def _add_waiter(self, waiter: asyncio.Future[None]) -> None:
        """Enter a waiter, and forget those that were cancelled."""
        kept = [one for one in self._callbacks or () if not (isinstance(one, asyncio.Future) and one.done())]
        self._odd = True
        self._callbacks = [*kept, waiter]

    def _wait_in_thread(self, limit: float | None) -> None:
        ended = threading.Event()
        self.loop.call_soon_threadsafe(self.add_done_callback, lambda task: ended.set())
        if ended.wait(limit):
            return
        why = TaskTimeout(f"{self} did not end within result(timeout={limit:g})", timeout=limit)
        self.loop.call_soon_threadsafe(self.end_as_timeout, why)
        ended.wait(1.0)

    def _call_back(self, callback: Callable[[Task[T]], object]) -> None:
        try:
            callback(self)
        except Exception:
            log.exception("a done callback of %s raised", self)

    def _seen(self) -> None:
        if self._unseen is not None:
            self._unseen.error = None
            self._unseen = None

    def _elapsed(self) -> float:
        return 0.0 if self.began is None else self.clock() - self.began

    def _emit(self) -> None:
        error = None if self._outcome is None or self._outcome.ok else self._outcome.error
        event = "task.stop" if error is None else "task.exception"
        telemetry.emit(
            event, {"elapsed": self._elapsed()}, {"name": self.name, "id": self.id, "error": error}
        )

    def _other_loop(self) -> MisuseError:
        return MisuseError(
            f"{self} belongs to another event loop: await it there, or call task.result() from a plain thread"
        )

    def _arm(self) -> None:
        """Set the timer of its time limit, which counts from its start and not from its place in a queue."""
        assert self._timeout is not None
        began = self.began
        now = self.clock()
        due = (now if began is None else began) + self._timeout
        if due <= now:
            self.expire()
        else:
            self._odd = True
            self._timer = self.loop.call_at(due, self._arm)
