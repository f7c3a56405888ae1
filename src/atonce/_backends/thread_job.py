"""One call in a thread, and the way back to the loop that waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any, Protocol

from atonce._backends.contract import Receiver
from atonce._model.errors import TaskStopped
from atonce._runtime.token import Token, token_var


class Pool(Protocol):
    """Where calls get their threads."""

    def withdraw(self, work: Job, /) -> bool:
        """Take a call that has not started out of the queue; one that runs counts as abandoned until it ends."""
        ...


class Replies:
    """The way back to one loop: ends that come together are handed over together."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._ends: deque[tuple[Job, bool, Any]] = deque()

    def put(self, job: Job, ok: bool, result: Any) -> None:
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


class Job:
    """One call for a worker, and the handle on it."""

    __slots__ = ("args", "backend", "context", "end", "fn", "is_async", "replies", "state", "to", "token")

    is_call = True

    def __init__(
        self,
        backend: Pool,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        is_async: bool,
        context: Context,
        to: Receiver,
        replies: Replies,
    ) -> None:
        self.backend: Pool = backend
        self.fn: Callable[..., Any] = fn
        self.args: tuple[Any, ...] = args
        self.is_async: bool = is_async
        self.context: Context = context
        self.to: Receiver | None = to
        self.replies: Replies = replies
        self.token: Token = Token()
        self.state: str = "queued"
        self.end: tuple[bool, Any] | None = None

    def cancel(self) -> None:
        """Take it out of the queue; ask it to stop when it runs."""
        self.token.asked = True
        if self.backend.withdraw(self) and self.to is not None:
            to, self.to = self.to, None
            to.raised(asyncio.CancelledError())

    def dropped(self) -> None:
        """The backend was closed before a thread was free."""
        self.replies.put(self, False, TaskStopped("the thread backend was closed before this call began"))

    def work(self) -> None:
        """In a worker: make the call."""
        to = self.to
        if to is not None:
            to.began = to.clock()
        del to
        try:
            self.end = True, self.context.run(self._call)
        except BaseException as error:
            self.end = False, error

    def tell(self) -> None:
        """In a worker, which may have got its next call by then: send the end back."""
        if self.end is not None:
            end, self.end = self.end, None
            self.replies.put(self, *end)
            del end  # the traceback of an error keeps this job

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
