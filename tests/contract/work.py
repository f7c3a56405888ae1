"""Work of either kind, plain or `async def`, and what can be expected of it on a backend."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import atonce
from atonce import TaskStopped, TaskTimeout
from tests.contract.ledger import LONG, Flag, Ledger

SHORT = 0.02
"""Seconds that are long enough for work that should end, and short enough to wait for."""

variable: ContextVar[str] = ContextVar("variable", default="unset")


def blocks(backend: Any, kind: str) -> bool:
    """Whether such work blocks the loop: a plain function on a backend that runs it there."""
    return kind == "plain" and bool(backend.capabilities.stops == "at the next await")


class Work:
    """Makes functions of one kind, which can be sent anywhere, and knows what they did."""

    def __init__(self, backend: Any, folder: Path, *, is_async: bool) -> None:
        self.backend = backend
        self.is_async = is_async
        self.ledger = Ledger(folder)
        self.let_go = self.ledger.let_go
        self.asked = self.ledger.asked

    @property
    def blocks(self) -> bool:
        """Whether the work blocks the loop."""
        return blocks(self.backend, "async" if self.is_async else "plain")

    @property
    def ends(self) -> bool:
        """Whether a stop ends the work for sure."""
        return bool(self.backend.capabilities.ends)

    @property
    def shares(self) -> bool:
        """Whether arguments, results and exceptions are the very objects."""
        return bool(self.backend.capabilities.shares_memory)

    @property
    def calls(self) -> list[Any]:
        """The items of the calls so far."""
        return self.ledger.calls

    @property
    def peak(self) -> int:
        """The most calls that ever ran at once."""
        return self.ledger.peak

    def seen(self, value: str) -> str:
        """What a call sees of `variable` where its caller has set it to `value`."""
        return value if self.backend.capabilities.carries_context else "unset"

    async def underway(self) -> None:
        """Wait until a call of `endless` or `looking` runs."""
        assert await _set(self.ledger.underway, LONG)

    def of(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        """`plain` as a function of this kind."""
        if not self.is_async:
            return plain

        @functools.wraps(plain)
        async def coroutine(*args: Any) -> Any:
            await asyncio.sleep(0)
            return plain(*args)

        return coroutine

    def counted(self, seconds: float, together: int = 1) -> Callable[[Any], Any]:
        """A function that counts itself while it takes so long, and waits until so many have run at once."""
        ledger = self.ledger

        def plain(item: Any) -> Any:
            ledger.enter(item)
            try:
                until = time.monotonic() + LONG / 3
                while ledger.peak < together and time.monotonic() < until:
                    time.sleep(0.002)
                time.sleep(seconds)
                return item
            finally:
                ledger.leave()

        async def coroutine(item: Any) -> Any:
            ledger.enter(item)
            try:
                until = time.monotonic() + LONG / 3
                while ledger.peak < together and time.monotonic() < until:
                    await asyncio.sleep(0.002)
                await asyncio.sleep(seconds)
                return item
            finally:
                ledger.leave()

        return coroutine if self.is_async else plain

    def flaky(self, failures: int) -> Callable[..., Any]:
        """A function that fails so often for each argument before it succeeds."""
        ledger = self.ledger

        def plain(item: Any = None) -> Any:
            if ledger.note(item) <= failures:
                raise ConnectionError(item)
            return item

        return self.of(plain)

    def endless_fn(self) -> Callable[..., Any]:
        """A function that goes on until the test ends, asked or not; on a loop a cancel ends it."""
        ledger = self.ledger

        def plain(*args: Any) -> Any:
            ledger.underway.set()
            return ledger.let_go.wait()

        async def coroutine(*args: Any) -> Any:
            ledger.underway.set()
            return await _set(ledger.let_go, LONG)

        return coroutine if self.is_async else plain

    def looking_fn(self) -> Callable[..., Any]:
        """A plain function that goes on until it is asked to stop."""
        ledger = self.ledger

        def plain(*args: Any) -> Any:
            while not atonce.cancelled():
                ledger.underway.set()
                time.sleep(0.001)
            ledger.asked.set()

        return plain

    def check_ended(self, error: BaseException, kind: type[TaskTimeout | TaskStopped]) -> None:
        """Check that `error` says honestly whether the work could be ended."""
        assert type(error) is kind
        assert isinstance(error, (TaskTimeout, TaskStopped))
        assert error.abandoned == (not self.ends)

    def check_same(self, got: BaseException, raised: BaseException) -> None:
        """Check that an exception is the one that was raised, or was rebuilt from it."""
        if self.shares:
            assert got is raised
        else:
            assert (type(got), got.args) == (type(raised), raised.args)


async def _set(flag: Flag, timeout: float) -> bool:
    until = time.monotonic() + timeout
    while not flag.is_set() and time.monotonic() < until:
        await asyncio.sleep(0.002)
    return flag.is_set()


# -- functions that are sent by their names -----------------------------------------------------------------------


def look_and_set() -> str:
    """What the variable is; then it is something else."""
    seen = variable.get()
    variable.set("the task's")
    return seen


def look_at(item: int) -> str:
    """The same, of an item."""
    return look_and_set()


def fail_at_three(n: int) -> int:
    """Fail at one number."""
    if n == 3:
        raise ValueError(n)
    return n
