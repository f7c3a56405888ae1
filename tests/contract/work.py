"""Work of either kind, plain or `async def`, and what can be expected of it on a backend."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import Callable
from typing import Any

import atonce
from atonce import TaskStopped, TaskTimeout

SHORT = 0.02
"""Seconds that are long enough for work that should end, and short enough to wait for."""


class Work:
    """Makes functions of one kind; counts how many of them run, and remembers who was asked to stop."""

    def __init__(self, backend: Any, *, is_async: bool) -> None:
        self.backend = backend
        self.is_async = is_async
        self.let_go = threading.Event()
        self.calls: list[Any] = []
        self.asked = threading.Event()
        self.running = self.peak = 0
        self._lock = threading.Lock()

    @property
    def blocks(self) -> bool:
        """Whether the work blocks the loop: a plain function on a backend that runs it there."""
        return not self.is_async and bool(self.backend.capabilities.stops == "at the next await")

    @property
    def ends(self) -> bool:
        """Whether a stop ends the work for sure."""
        return bool(self.backend.capabilities.ends)

    def of(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        """`plain` as a function of this kind."""
        if not self.is_async:
            return plain

        @functools.wraps(plain)
        async def coroutine(*args: Any) -> Any:
            await asyncio.sleep(0)
            return plain(*args)

        return coroutine

    def counted(self, seconds: float) -> Callable[[Any], Any]:
        """A function that counts itself while it takes so long."""

        def enter(item: Any) -> None:
            with self._lock:
                self.calls.append(item)
                self.running += 1
                self.peak = max(self.peak, self.running)

        def leave() -> None:
            with self._lock:
                self.running -= 1

        def plain(item: Any) -> Any:
            enter(item)
            try:
                time.sleep(seconds)
                return item
            finally:
                leave()

        async def coroutine(item: Any) -> Any:
            enter(item)
            try:
                await asyncio.sleep(seconds)
                return item
            finally:
                leave()

        return coroutine if self.is_async else plain

    def endless(self, *args: Any) -> Any:
        """Go on until the test ends, asked or not; on a loop a cancel ends it."""
        return self._wait_async() if self.is_async else self.let_go.wait(30)

    async def _wait_async(self) -> None:
        while not self.let_go.is_set():
            await asyncio.sleep(0.001)

    def looking(self, *args: Any) -> Any:
        """Go on until asked to stop."""
        while not atonce.cancelled():
            time.sleep(0.001)
        self.asked.set()
        return None

    def endless_fn(self) -> Callable[..., Any]:
        """`endless` as a function whose kind can be seen."""
        if not self.is_async:
            return self.endless

        async def endless(*args: Any) -> None:
            await self._wait_async()

        return endless

    def check_ended(self, error: BaseException, kind: type[TaskTimeout | TaskStopped]) -> None:
        """Check that `error` says honestly whether the work could be ended."""
        assert type(error) is kind
        assert isinstance(error, (TaskTimeout, TaskStopped))
        assert error.abandoned == (not self.ends)
