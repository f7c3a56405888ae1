"""The end of a task: one outcome, stored once, and told to all who wait for it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar

from atonce._backends.contract import Backend, Remote, Running
from atonce._model.call import fn_name
from atonce._model.errors import MisuseError, TaskStopped, TaskTimeout
from atonce._model.outcome import Failed, Outcome, make_ok
from atonce._runtime import telemetry
from atonce._runtime.awaited_by import shows_waiter
from atonce._runtime.clock import Clock
from atonce._runtime.owner import GRACE, Owner, log
from atonce._runtime.site import Site, shown_site
from atonce._runtime.waiting import resolve

T_co = TypeVar("T_co", covariant=True)

#: Numbers of tasks and of children, each used once in this process.
ids = itertools.count(1)


class _Unseen:
    """Logs a failure that nobody looked at, once, when the last reference to its task goes away."""

    __slots__ = ("error", "text")

    def __init__(self, text: str, error: BaseException) -> None:
        self.text = text
        self.error: BaseException | None = error

    def __del__(self) -> None:
        if self.error is not None:
            log.error("%s failed and nobody awaited it", self.text, exc_info=self.error)


class Ending(Generic[T_co]):
    """What a task is, who waits for its end, and how it ended."""

    # What every task has is in slots; what few have is in the dict, and the class holds its default. `_odd` says that
    # something of the second kind matters, so that the common begin and end test one thing.
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
    _value: T_co
    _ended: float
    _id = 0
    _name: str | None = None
    _timeout: float | None = None
    _linked = True
    #: Seconds that its supervisor gives it to end by itself.
    _grace = GRACE
    _callbacks: list[Callable[[Self], object] | asyncio.Future[None]] | None = None
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
        self.fn: Callable[..., Any] = fn
        self.backend: Backend = backend
        self.owner: Owner = owner
        self._site = site
        self.loop: asyncio.AbstractEventLoop = loop
        self.clock: Clock = owner.clock or owner.read_clock(loop)
        self.began: float | None = None
        self._done = self._odd = False
        self._outcome: Outcome[T_co] | None = None
        self._running: Running | None = None
        self._waiter: asyncio.Future[None] | None = None
        if timeout is not None:
            self._timeout = timeout
            self._odd = True
        if name is not None:
            self._name = name

    @property
    def id(self) -> int:
        """A number of its own in this process."""
        if not self._id:
            self._id = next(ids)
        return self._id

    @property
    def name(self) -> str:
        """The name given to `spawn`, else the function's."""
        return self._name or fn_name(self.fn)

    def looked(self) -> float | None:
        """When it began, where nobody was told that: whoever runs it is asked."""
        if isinstance(self._running, Remote):
            self.began = self._running.look()
        return self.began

    def done(self) -> bool:
        """Whether it has ended."""
        return self._done

    def stop(self) -> None:
        """Ask it to end."""
        raise NotImplementedError

    def abandon(self) -> None:
        """Give up on its end."""
        raise NotImplementedError

    def failed(self) -> bool:
        """Whether it has ended, and badly."""
        return self._outcome is not None and not self._outcome.ok

    def is_over(self) -> bool:
        """Whether it has ended and nothing of it runs any more, or it was let go."""
        return self._done and self._running is None

    def outcome(self) -> Outcome[T_co] | None:
        """How it ended, None before that; never waits."""
        if self._unseen is not None:
            self._seen()
        if self._outcome is None and self._done:
            self._outcome = make_ok(
                self._value, None, None, 1, self._ended - (self._ended if self.began is None else self.began)
            )
        return self._outcome

    def add_done_callback(self, callback: Callable[[Self], object]) -> None:
        """Call `callback(task)` on the owner's loop when it has ended; soon, when it has already. From any thread."""
        if self._is_elsewhere():
            self.loop.call_soon_threadsafe(self.add_done_callback, callback)
        elif self._done:
            self.loop.call_soon(self._call_back, callback)
        else:
            self._odd = True
            self._callbacks = [*(self._callbacks or ()), callback]

    def remove_done_callback(self, callback: Callable[[Self], object]) -> None:
        """Take back what `add_done_callback` was given, if it was not called yet."""
        if self._is_elsewhere():
            self.loop.call_soon_threadsafe(self.remove_done_callback, callback)
        elif self._callbacks is not None:
            self._callbacks = [one for one in self._callbacks if one != callback]

    def when_over(self, callback: Callable[[], None]) -> None:
        """Call `callback()` when it is over."""
        if self.is_over():
            self.loop.call_soon(callback)
        else:
            self._odd = True
            self._over_callbacks = [*(self._over_callbacks or ()), callback]

    def parts(self) -> list[asyncio.Task[Any]]:
        """The asyncio task that runs it, where one does."""
        running = self._running
        return [running] if isinstance(running, asyncio.Task) else []

    @shows_waiter
    def wait(self) -> asyncio.Future[None]:
        """A future of its own for one waiter, resolved when the task has ended."""
        self.check_loop()
        waiter: asyncio.Future[None] = self.loop.create_future()
        if self._done:
            waiter.set_result(None)
        else:
            self._add_waiter(waiter)
        return waiter

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

    def _settle(self, outcome: Outcome[Any]) -> None:
        """It has ended, badly or not by itself."""
        self._outcome = outcome
        self._done = True
        if isinstance(outcome, Failed) and not isinstance(outcome.error, TaskStopped):
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

    def _add_waiter(self, waiter: asyncio.Future[None]) -> None:
        """Enter a waiter, and forget those that were cancelled."""
        kept = [one for one in self._callbacks or () if not (isinstance(one, asyncio.Future) and one.done())]
        self._odd = True
        self._callbacks = [*kept, waiter]

    def _call_back(self, callback: Callable[[Any], object]) -> None:
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
        error = self._outcome.error if isinstance(self._outcome, Failed) else None
        event = "task.stop" if error is None else "task.exception"
        telemetry.emit(
            event, {"elapsed": self._elapsed()}, {"name": self.name, "id": self.id, "error": error}
        )

    def _is_elsewhere(self) -> bool:
        """Whether the caller is on another thread or loop than those that run it."""
        try:
            return asyncio.get_running_loop() is not self.loop
        except RuntimeError:
            return True

    def _other_loop(self) -> MisuseError:
        return MisuseError(
            f"{self} belongs to another event loop: await it there, or call task.result() from a plain thread"
        )
