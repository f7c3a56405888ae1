"""One private event loop in a thread, through which code without a loop uses the async verbs."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from atonce._model.errors import MisuseError
from atonce._runtime.aside import standing_aside
from atonce._runtime.owner import GRACE, Owner, scope_var
from atonce._runtime.scope import Scope
from atonce._runtime.site import site_of, site_var

T = TypeVar("T")

EXIT_GRACE = 0.4
#: How often, in seconds, a thread that waits makes sure that the loop has seen its call.
LOOK = 0.25


class _Visit(Generic[T]):
    """One call that a thread makes into the loop, and waits for."""

    __slots__ = ("_arrived", "error", "task", "value")

    def __init__(self) -> None:
        self.task: asyncio.Task[Any] | None = None
        self.error: BaseException | None = None
        self.value: Any = None
        self._arrived = threading.Lock()
        self._arrived.acquire()

    def cancel(self) -> None:
        """The one who waits went away: on the loop, end what it waits for; what never arrived has ended."""
        if self.task is not None:
            self.task.add_done_callback(self._ended)
            self.task.cancel()
        else:
            self._ended(None)

    def _ended(self, task: asyncio.Task[Any] | None) -> None:
        """Nothing runs any more; a task that was cancelled before its first step has told nobody."""
        if self._arrived.locked():
            self.finish(None, None)

    def finish(self, value: T | None, error: BaseException | None) -> None:
        self.value, self.error = value, error
        self._arrived.release()

    def wait(self, seconds: float = -1) -> bool:
        """Wait for the end; False when `seconds` went by first."""
        return self._arrived.acquire(timeout=seconds)

    def result(self) -> Any:
        error = self.error
        if error is None:
            return self.value
        try:
            raise error
        finally:
            del error
            self.error = None


class Portal:
    """The private loop of this process, started when it is first needed and closed at interpreter exit."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.owner = Owner()
        self.loop = asyncio.new_event_loop()
        self._calls: deque[Callable[[], None]] = deque()
        self._open = True
        self._thread = threading.Thread(target=self._serve, name="atonce-loop", daemon=True)
        self._thread.start()

    def run(self, verb: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> T:
        """Run an async verb on the private loop and give its result.

        On Ctrl-C in the waiting thread the verb is cancelled, given a moment to end, and the interrupt goes on.
        """
        visit: _Visit[T] = _Visit()
        context = self._context()

        async def body() -> None:
            try:
                visit.finish(await verb(*args, **kwargs), None)
            except BaseException as error:
                visit.finish(None, error)
                if isinstance(error, (KeyboardInterrupt, SystemExit)):
                    return

        def start() -> None:
            visit.task = self.loop.create_task(body(), context=context)

        return self._visit(visit, start)

    def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run a verb that does not wait on the private loop's thread and give its result."""
        visit: _Visit[T] = _Visit()
        context = self._context()

        def start() -> None:
            try:
                visit.finish(context.run(function, *args, **kwargs), None)
            except BaseException as error:
                visit.finish(None, error)

        return self._visit(visit, start)

    def post(self, function: Callable[[], None]) -> None:
        """Run `function` on the loop's thread soon, without waiting; posts that come together cost one wake-up."""
        calls = self._calls
        calls.append(function)
        if len(calls) == 1:
            self.kick()

    def kick(self) -> None:
        """Let the loop look at what was posted: Ctrl-C between the two steps of a post loses its wake-up."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._drain)

    def is_inside(self) -> bool:
        """Whether the calling thread is the loop's own."""
        return threading.current_thread() is self._thread

    def close(self) -> None:
        """Stop all that the interpreter owns, then the loop: bounded, and silent."""
        if not self._open or self.pid != os.getpid():
            return
        self._open = False
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._finish)
        self._thread.join(EXIT_GRACE * 2)

    def _visit(self, visit: _Visit[T], start: Callable[[], None]) -> T:
        self.check_outside()
        if not self._open:
            raise MisuseError("atonce.blocking is closed: the interpreter is exiting")
        try:
            self.post(start)
            with standing_aside():
                while not visit.wait(LOOK):
                    self.kick()
        except BaseException:
            self.post(visit.cancel)
            self.kick()
            visit.wait(EXIT_GRACE)
            raise
        result: T = visit.result()
        return result

    def check_outside(self) -> None:
        """Raise in the loop's own thread, where to wait for the loop would be to wait for ever."""
        if self.is_inside():
            raise MisuseError(
                "atonce.blocking was called on its own event loop, where waiting would stop everything: "
                "inside an `async def` use the same verb of `atonce` and await it"
            )

    def _context(self) -> Context:
        """The caller's context; what it spawns belongs to its `with scope()` block, else to the interpreter."""
        context = copy_context()
        scope = context.get(scope_var)
        if scope is None or not scope.on_portal or scope.pid != self.pid:
            context.run(scope_var.set, self.owner)
        context.run(site_var.set, site_of(sys._getframe(2)))
        return context

    def _drain(self) -> None:
        calls = self._calls
        for _ in range(len(calls)):
            try:
                calls[0]()
            finally:
                calls.popleft()
        if calls:
            self.loop.call_soon(self._drain)

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            asyncio.set_event_loop(None)
            self.loop.close()

    def _finish(self) -> None:
        self._last = self.loop.create_task(self._end())

    async def _end(self) -> None:
        self.owner.closed = True
        self.owner.stop_children()
        with contextlib.suppress(Exception):
            await self.owner.wait_empty(EXIT_GRACE, quiet=True)
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=EXIT_GRACE / 4)
        for task in others:
            setattr(task, "_log_destroy_pending", False)  # noqa: B010  # asyncio's own switch; exit is silent
        self.loop.call_soon(self.loop.stop)


_portal: Portal | None = None


@atexit.register
def _close() -> None:
    """Registered at import, so that what a program registers after it may still use the loop."""
    if _portal is not None:
        _portal.close()


_making = threading.Lock()


def existing_portal() -> Portal | None:
    """The private loop of this process, if it was ever needed."""
    return _portal if _portal is not None and _portal.pid == os.getpid() else None


def portal() -> Portal:
    """The private loop of this process; a forked child gets one of its own."""
    global _portal
    if _portal is None or _portal.pid != os.getpid():
        with _making:
            if _portal is None or _portal.pid != os.getpid():
                _portal = Portal()
    return _portal


class _PortalScope(Scope):
    """A scope whose tasks run on the private loop."""

    __slots__ = ()
    on_portal = True


class BlockingScope:
    """`with scope():` for code without a loop: the block owns what is spawned in it.

    As the async `scope`, with one difference that threads impose: a failing task stops its siblings at once, and is
    raised at the latest at the end of the block, which cannot be interrupted between two calls.
    """

    __slots__ = ("_scope",)

    def __init__(self, *, grace: float = GRACE, name: str | None = None) -> None:
        self._scope = _PortalScope(grace=grace, name=name)

    def __enter__(self) -> Self:
        portal().check_outside()
        self._scope.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._scope.unbind()
        return portal().run(self._scope.leave, error)
