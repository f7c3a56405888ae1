"""`async with scope()`: a block that owns the tasks which are spawned in it."""

from __future__ import annotations

import asyncio
from contextvars import Token
from types import TracebackType
from typing import Any, Self

from atonce._model.checks import label, seconds
from atonce._model.errors import TaskStopped
from atonce._runtime.owner import GRACE, Child, Owner, log, scope_var


class Scope(Owner):
    """A block that owns what is spawned in it; leaving it leaves nothing running.

    When the block ends, normally or not, its unfinished tasks are stopped and awaited. When a task fails, the block
    and the sibling tasks are stopped at once and the failure is raised from the block: one failure as itself, several
    as an `ExceptionGroup`. A task that was passed to `ignore` does not count. Prefer `await_many` when the block would
    only wait for results.

    **Bounded**: `grace` seconds are given to children that swallow their cancel; after that they are abandoned, and
    logged. **Cancelled**: the children are stopped and awaited, then the cancel goes on. Like Elixir's links, and
    Trio's nurseries.

    >>> async def main():
    ...     async with scope():
    ...         task = spawn(asyncio.sleep, 0.01, "done")
    ...         return await task
    >>> asyncio.run(main())
    'done'
    """

    __slots__ = ("_cancelled_host", "_cancels", "_exiting", "_failures", "_host", "_token", "grace", "name")

    def __init__(self, *, grace: float = GRACE, name: str | None = None) -> None:
        super().__init__()
        self.grace: float = seconds("grace", grace, zero=True)
        self.name: str | None = label("name", name)
        self._host: asyncio.Task[Any] | None = None
        self._cancelled_host = False
        #: Cancels of the host that had been delivered before the block began: it may be part of a cleanup.
        self._cancels = 0
        self._exiting = False
        self._failures: list[BaseException] = []
        self._token: Token[Owner | None] | None = None

    async def __aenter__(self) -> Self:
        self._host = asyncio.current_task()
        self._cancels = self._host.cancelling() if self._host is not None else 0
        return self.enter()

    def enter(self) -> Self:
        """Begin to own what is spawned in this context."""
        if self._token is not None or self.closed:
            raise RuntimeError("a scope is entered once: make a new one with scope()")
        self._token = scope_var.set(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self.unbind()
        return await self.leave(error)

    def unbind(self) -> None:
        """Own nothing more of what this context spawns."""
        if self._token is not None:
            scope_var.reset(self._token)

    async def leave(self, error: BaseException | None) -> bool:
        """Stop and await the children, then say how the block ended; True when `error` was only our own cancel."""
        self._exiting = True
        self.closed = True
        # After a failure all have been asked already, and a second cancel would cut their cleanup.
        if not self._failures:
            self.stop_children()
        cancelled = error if isinstance(error, asyncio.CancelledError) else None
        for step in (self._settle_host(delivered=cancelled is not None), self.wait_empty(self.grace)):
            try:
                await step
            except asyncio.CancelledError as outer:
                cancelled = outer
        ours = self._cancelled_host and self._uncancel() <= self._cancels
        if cancelled is not None and not ours:
            for failure in self._failures:
                log.error("%s was cancelled when a task of it had failed", self, exc_info=failure)
            return False if cancelled is error else _raise(cancelled)
        body = None if error is None or error is cancelled else error
        return self._end(body)

    def outer(self) -> Owner | None:
        """The scope in whose block this one was entered."""
        old = self._token.old_value if self._token is not None else None
        return old if isinstance(old, Owner) else None

    @property
    def host(self) -> asyncio.Task[Any] | None:
        """The asyncio task that is in the block; None for code without a loop."""
        return self._host

    def adopt(self, child: Child) -> None:
        """Become responsible for `child`, unless a failure is ending the block already."""
        if self._failures and not self.closed:
            raise TaskStopped(f"{self} is ending because a task of it failed: it starts nothing more")
        super().adopt(child)

    def child_failed(self, child: Child, error: BaseException) -> bool:
        """Stop the block and the siblings at once, once; the error is raised from the block."""
        if any(known is error for known in self._failures):
            return True
        self._failures.append(error)
        if len(self._failures) > 1 or self._exiting:
            return True
        self.stop_children()
        host = self._host
        if host is not None and not host.done():
            self._cancelled_host = True
            host.cancel()
        return True

    async def _settle_host(self, delivered: bool) -> None:
        """Take up our own cancel when the block ended before it arrived, so that it hits nobody later."""
        if not self._cancelled_host or delivered:
            return
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            if self._host is not None and self._host.cancelling() > self._cancels + 1:
                raise

    def _uncancel(self) -> int:
        """Take back the cancel that we sent; gives how many cancels of others remain."""
        return self._host.uncancel() if self._host is not None else 0

    def _end(self, body: BaseException | None) -> bool:
        """Raise what failed: the block's own error and the children's, each once."""
        failures = [failure for failure in self._failures if failure is not body]
        if isinstance(body, (KeyboardInterrupt, SystemExit, GeneratorExit)):
            return False
        if body is not None and not (failures and isinstance(body, TaskStopped)):
            if not failures:
                return False
            failures.insert(0, body)
        if not failures:
            return True
        if len(failures) == 1:
            return _raise(failures[0])
        return _raise(BaseExceptionGroup("several tasks of the scope failed", failures))

    def __str__(self) -> str:
        return f"scope {self.name!r}" if self.name else "scope"


def _raise(error: BaseException) -> bool:
    """Raise `error` with the traceback that it has."""
    try:
        raise error
    finally:
        del error
