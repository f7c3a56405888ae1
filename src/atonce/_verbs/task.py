"""`spawn` and the `Task` that it gives: work that was started, and ends exactly once."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import threading
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from types import FunctionType
from typing import Any, Generic, TypeVar, TypeVarTuple, cast, overload

from atonce._backends.choose import On, backend_for
from atonce._backends.contract import Backend, Running
from atonce._model.call import check_call, fn_name, is_async
from atonce._model.checks import label, seconds_or_none, shown
from atonce._model.errors import MisuseError, TaskStopped, TaskTimeout
from atonce._model.outcome import Outcome, make_failed, make_ok
from atonce._runtime import telemetry
from atonce._runtime.clock import clock_of
from atonce._runtime.notes import annotate
from atonce._runtime.owner import GRACE, Owner, current_owner, log, scope_var
from atonce._runtime.site import Site, shown_site, spawn_site
from atonce._runtime.waiting import resolve

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_ids = itertools.count(1)
_VAR_OR_KEYWORD = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS


class _Unseen:
    """Logs a failure that nobody looked at, once, when the last reference to its task goes away."""

    __slots__ = ("error", "text")

    def __init__(self, text: str, error: BaseException) -> None:
        self.text = text
        self.error: BaseException | None = error

    def __del__(self) -> None:
        if self.error is not None:
            log.error("%s failed and nobody awaited it", self.text, exc_info=self.error)


class Task(Generic[T]):
    """Work that was started by `spawn`. `await task` gives its value or raises its error, as often as you like.

    It ends exactly once. Cancelling one who waits ends the waiter alone; `stop()` ends the task. Its owner (the
    innermost `scope`, else the asyncio task that spawned it) stops it when it ends.
    """

    __slots__ = (
        "__weakref__",
        "_backend",
        "_callbacks",
        "_fn",
        "_linked",
        "_loop",
        "_name",
        "_outcome",
        "_over_callbacks",
        "_owner",
        "_running",
        "_site",
        "_timeout",
        "_timer",
        "_unseen",
        "_why",
        "began",
        "id",
    )

    def __init__(
        self, fn: Callable[..., Any], backend: Backend, owner: Owner, timeout: float | None, name: str | None, site: Site
    ) -> None:
        self.id = next(_ids)
        self.began: float | None = None
        self._fn = fn
        self._backend = backend
        self._owner: Owner | None = owner
        self._timeout = timeout
        self._name = name
        self._site = site
        self._loop = asyncio.get_running_loop()
        self._linked = True
        self._outcome: Outcome[T] | None = None
        self._over_callbacks: list[Callable[[], None]] | None = None
        self._callbacks: list[Callable[[Task[T]], object] | asyncio.Future[None]] | None = None
        self._running: Running | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._unseen: _Unseen | None = None
        self._why: TaskTimeout | TaskStopped | None = None

    # -- looking at it ------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name given to `spawn`, else the function's."""
        return self._name or fn_name(self._fn)

    def done(self) -> bool:
        """Whether it has ended."""
        return self._outcome is not None

    def outcome(self) -> Outcome[T] | None:
        """How it ended, None before that; never waits."""
        self._seen()
        return self._outcome

    def __await__(self) -> Generator[Any, None, T]:
        if self._outcome is None:
            yield from self.wait().__await__()
        elif asyncio.get_running_loop() is not self._loop:
            raise self._other_loop()
        if self._unseen is not None:
            self._seen()
        return cast("Outcome[T]", self._outcome).unwrap()

    def result(self, timeout: float | None = None) -> T:
        """Wait in a plain thread for the value, at most `timeout` seconds, and give it or raise the error.

        For `atonce.blocking` and for other threads; on the task's own loop, where waiting would stop everything, a
        task that has not ended raises `RuntimeError`: await it there. When the time runs out the task is stopped and
        `TaskTimeout` is raised.
        """
        limit = seconds_or_none("timeout", timeout, zero=True)
        if self._outcome is None:
            if asyncio._get_running_loop() is self._loop:
                raise MisuseError(f"{self} has not ended, and result() would stop the loop that runs it: await it instead")
            self._wait_in_thread(limit)
        self._seen()
        return cast("Outcome[T]", self._outcome).unwrap()

    def add_done_callback(self, callback: Callable[[Task[T]], object]) -> None:
        """Call `callback(task)` on the owner's loop when it has ended; soon, when it has already."""
        if self._outcome is not None:
            self._loop.call_soon(self._call_back, callback)
        elif self._callbacks is None:
            self._callbacks = [callback]
        else:
            self._callbacks.append(callback)

    def remove_done_callback(self, callback: Callable[[Task[T]], object]) -> None:
        """Take back what `add_done_callback` was given, if it was not called yet."""
        if self._callbacks is not None:
            self._callbacks = [one for one in self._callbacks if one is not callback]

    def failed(self) -> bool:
        """Whether it has ended, and badly."""
        return self._outcome is not None and not self._outcome.ok

    def is_over(self) -> bool:
        """Whether it has ended and nothing of it runs any more, or it was let go."""
        return self._owner is None

    def when_over(self, callback: Callable[[], None]) -> None:
        """Call `callback()` when it is over."""
        if self._owner is None:
            self._loop.call_soon(callback)
        else:
            self._over_callbacks = [*(self._over_callbacks or ()), callback]

    def patience(self, grace: float | None) -> float:
        """How long to wait for its end: `grace`, else the backend's patience, else an owner's grace."""
        if grace is not None:
            return grace
        patience = self._backend.capabilities.patience
        return GRACE if patience is None else patience

    def check_loop(self) -> None:
        """Raise unless this is the loop that runs it."""
        if asyncio.get_running_loop() is not self._loop:
            raise self._other_loop()

    def ignore(self) -> None:
        """Unlink it: a failure no longer touches its scope, and is not logged as unseen."""
        self._linked = False
        self._seen()

    def __str__(self) -> str:
        return f"task {self.name!r} (spawned at {shown_site(self._site)})"

    def __repr__(self) -> str:
        state = "running" if self._outcome is None else shown(self._outcome)
        return f"<Task {self.id} {self.name!r} {state}>"

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a Task belongs to its event loop and cannot be copied or pickled; send its outcome() instead")

    # -- ending it ----------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Ask it to end, and return at once; it ends as `Failed(TaskStopped)` unless a result lands first.

        From any thread. On the loop the end comes at the next await. A function in a thread is asked and, unless it
        looks at `cancelled()`, abandoned a moment later.
        """
        if asyncio._get_running_loop() is self._loop:
            self.end(TaskStopped(f"{self} was stopped"), self._backend.capabilities.patience)
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.end, TaskStopped(f"{self} was stopped"), self._backend.capabilities.patience)

    def end(self, why: TaskTimeout | TaskStopped, patience: float | None) -> None:
        """Ask it to end because of `why`; after `patience` seconds (None: without limit) it is abandoned."""
        if self._outcome is not None or self._running is None:
            return
        if self._why is None:
            self._why = why
        if self.began is None and isinstance(self._running, asyncio.Task):
            self._running.cancel()
            self._settle(make_failed(self._why, None, None, 1, 0.0))
            self._over()
            return
        self._running.cancel()
        if patience is not None and self._outcome is None:
            self._loop.call_later(patience, self.abandon)

    def expire(self) -> None:
        """Its time ran out: end it, and settle it two turns of the loop later even if it swallows the cancel."""
        if self._outcome is not None:
            return
        limit = self._timeout
        text = f"{self} took longer than timeout={limit:g} s" if limit is not None else f"{self} timed out"
        self.end_as_timeout(TaskTimeout(text, timeout=limit))

    def end_as_timeout(self, why: TaskTimeout) -> None:
        """End it with `why`, settled within a few turns of the loop whatever it does."""
        self.end(why, None)
        if self._outcome is None:
            if self._backend.capabilities.ticks:
                self._loop.call_soon(self._loop.call_soon, self._loop.call_soon, self._force)
            else:
                self._force()

    def abandon(self) -> None:
        """Give up on its end: settle it, and let go of it."""
        if self._why is None:
            self._why = TaskStopped(f"{self} was stopped")
        self._force()
        self._over()

    def _force(self) -> None:
        if self._outcome is None and self._why is not None:
            self._why.abandoned = True
            self._settle(make_failed(self._why, None, None, 1, self._elapsed()))
            if not self._backend.capabilities.ends:
                self._over()

    # -- what the backend says ----------------------------------------------------------------------------------

    def returned(self, value: Any) -> None:
        """The call returned."""
        if self._outcome is None:
            if self._why is not None and isinstance(self._why, TaskTimeout):
                self._settle(make_failed(self._why, None, None, 1, self._elapsed()))
            elif inspect.isawaitable(value) and self._backend.capabilities.name != "loop":
                self._finish_on_loop(value)
                return
            else:
                self._settle(make_ok(value, None, None, 1, self._elapsed()))
        elif inspect.iscoroutine(value):
            value.close()
        self._over()

    def raised(self, error: BaseException) -> None:
        """The call raised."""
        if self._outcome is None:
            why: BaseException = error
            if self._why is not None and (isinstance(error, asyncio.CancelledError) or isinstance(self._why, TaskTimeout)):
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

    def _finish_on_loop(self, value: Any) -> None:
        """A plain function gave an awaitable (a lambda around an `async def`): await it on the loop, as the same task."""

        async def finish() -> None:
            try:
                result = await value
            except BaseException as error:
                self.raised(error)
            else:
                self._settle(make_ok(result, None, None, 1, self._elapsed()))
                self._over()

        self._running = self._loop.create_task(finish())

    # -- inside -------------------------------------------------------------------------------------------------

    def _settle(self, outcome: Outcome[T]) -> None:
        """It has ended: the one place where an outcome is stored."""
        self._outcome = outcome
        timer, callbacks, owner = self._timer, self._callbacks, self._owner
        if timer is not None:
            timer.cancel()
            self._timer = None
        if not outcome.ok and not isinstance(outcome.error, TaskStopped) and owner is not None:
            self._failing(owner, outcome.error)
        if telemetry.handlers:
            self._emit(outcome)
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
        owner, callbacks = self._owner, self._over_callbacks
        self._running = None
        if owner is not None:
            self._owner = None
            owner.release(self)
        if callbacks is not None:
            self._over_callbacks = None
            for callback in callbacks:
                callback()

    def wait(self) -> asyncio.Future[None]:
        """A future of its own for one waiter, resolved when the task has ended."""
        if asyncio.get_running_loop() is not self._loop:
            raise self._other_loop()
        waiter: asyncio.Future[None] = self._loop.create_future()
        if self._outcome is not None:
            waiter.set_result(None)
        elif self._callbacks is None:
            self._callbacks = [waiter]
        else:
            self._callbacks = [one for one in self._callbacks if not (isinstance(one, asyncio.Future) and one.done())]
            self._callbacks.append(waiter)
        return waiter

    def _wait_in_thread(self, limit: float | None) -> None:
        ended = threading.Event()
        self._loop.call_soon_threadsafe(self.add_done_callback, lambda task: ended.set())
        if ended.wait(limit):
            return
        why = TaskTimeout(f"{self} did not end within result(timeout={limit:g})", timeout=limit)
        self._loop.call_soon_threadsafe(self.end_as_timeout, why)
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
        return clock_of(self._loop)() - self.began if self.began is not None else 0.0

    def _emit(self, outcome: Outcome[T]) -> None:
        event = "task.stop" if outcome.ok else "task.exception"
        metadata = {"name": self.name, "id": self.id, "error": None if outcome.ok else outcome.error}
        telemetry.emit(event, {"elapsed": self._elapsed()}, metadata)

    def _other_loop(self) -> MisuseError:
        return MisuseError(
            f"{self} belongs to another event loop: await it there, or call task.result() from a plain thread"
        )

    def _arm(self) -> None:
        """Set the timer of its time limit, which counts from its start and not from its place in a queue."""
        assert self._timeout is not None
        began = self.began
        now = clock_of(self._loop)()
        due = (now if began is None else began) + self._timeout
        if due <= now:
            self.expire()
        else:
            self._timer = self._loop.call_at(due, self._arm)


@overload
def spawn(
    fn: Callable[[*Ts], Coroutine[Any, Any, T]],
    *args: *Ts,
    on: On = None,
    timeout: float | None = None,
    name: str | None = None,
) -> Task[T]: ...
@overload
def spawn(
    fn: Callable[[*Ts], T], *args: *Ts, on: On = None, timeout: float | None = None, name: str | None = None
) -> Task[T]: ...
def spawn(
    fn: Callable[..., Any], *args: Any, on: On = None, timeout: float | None = None, name: str | None = None
) -> Task[Any]:
    """Start `fn(*args)` now and give its `Task`; go on with other work, and await the task when you need its value.

    An `async def` runs on the loop, any other function in a thread, unless `on` says otherwise. For keywords pass a
    `functools.partial` or a lambda. Prefer `stream` or `parallel_map` for many calls of one function: `spawn` puts no
    bound on how many run.

    `timeout`: seconds the task may take, from its start. **Fails**: `TypeError` here when `fn` cannot be called with
    `args`; what the task raises is raised where it is awaited, and logged once when it never is. **Cancelled**: the
    task belongs to the innermost `scope`, else to the current asyncio task, and is stopped when that ends. **Costs**
    about a quarter more than `asyncio.create_task`. Elixir: `Task.async/1`.

    >>> async def main() -> int:
    ...     task = spawn(sum, [1, 2, 3])
    ...     return await task
    >>> asyncio.run(main())
    6
    """
    if type(fn) is FunctionType and fn.__code__.co_argcount == len(args) and fn.__kwdefaults__ is None:
        code = fn.__code__
        coroutine = bool(code.co_flags & inspect.CO_COROUTINE)
        if code.co_kwonlyargcount or code.co_flags & _VAR_OR_KEYWORD:
            check_call("fn", fn, args)
    else:
        check_call("fn", fn, args)
        coroutine = is_async(fn)
    limit = None if timeout is None else seconds_or_none("timeout", timeout)
    task: Task[Any] = Task(fn, backend_for(on, coroutine), current_owner(), limit, label("name", name), spawn_site())
    return begin(task, args, coroutine)


def begin(task: Task[T], args: tuple[Any, ...], is_async: bool, context: Context | None = None) -> Task[T]:
    """Hand `task` to its owner and to its backend, with its timer."""
    owner = task._owner
    assert owner is not None
    owner.adopt(task)
    if telemetry.handlers:
        telemetry.emit("task.start", {"time": task._loop.time()}, {"name": task.name, "id": task.id})
    if context is None and scope_var.get() is not None:
        context = copy_context()
    if context is not None:
        context.run(scope_var.set, None)
    try:
        running = task._backend.start(task._fn, args, is_async, context, task)
    except BaseException:
        owner.release(task)
        raise
    if task._outcome is None:
        task._running = running
        if task._timeout is not None:
            task._arm()
    return task
