"""The small pieces of work that the tests of the verbs start, and what they look at afterwards."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import atonce
from atonce.testing import FakeBackend

T = TypeVar("T")


async def give(value: T, after: float = 0.0) -> T:
    """Return `value` in `after` seconds."""
    await asyncio.sleep(after)
    return value


async def fail(error: BaseException, after: float = 0.0) -> Any:
    """Raise `error` in `after` seconds."""
    await asyncio.sleep(after)
    raise error


async def forever() -> Any:
    """End only when cancelled."""
    await asyncio.get_running_loop().create_future()


def now() -> float:
    """The loop's time, which a virtual test starts at 0 or elsewhere."""
    return asyncio.get_running_loop().time()


async def turns(count: int = 5) -> None:
    """Let the loop turn a few times without letting time pass."""
    for _ in range(count):
        await asyncio.sleep(0)


class Probe:
    """Counts the calls of its `work`: begun, running now, the peak of that, ended, cancelled."""

    def __init__(self, seconds: float = 1.0, value: Any = None, cleanup: float = 0.0) -> None:
        self.seconds = seconds
        self.value = value
        self.cleanup = cleanup
        self.begun = self.running = self.peak = self.ended = self.cancelled = 0

    async def work(self, *args: Any) -> Any:
        """Run `seconds`, then return `value`; when cancelled, spend `cleanup` seconds first."""
        self.begun += 1
        self.running += 1
        self.peak = max(self.peak, self.running)
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            await asyncio.sleep(self.cleanup)
            raise
        finally:
            self.running -= 1
            self.ended += 1
        return self.value


class Stubborn:
    """A coroutine that swallows every cancel until it is let go."""

    def __init__(self) -> None:
        self.asked = 0
        self.over = False
        self._free = asyncio.Event()

    async def work(self, *args: Any) -> str:
        """Go on until `let_go`, whoever cancels."""
        while not self._free.is_set():
            try:
                await self._free.wait()
            except asyncio.CancelledError:
                self.asked += 1
        self.over = True
        return "late"

    async def let_go(self) -> None:
        """Let it end, and wait until it has."""
        self._free.set()
        await turns()
        assert self.over


class Gate:
    """Plain functions that wait in their threads until the test opens the gate."""

    def __init__(self) -> None:
        self.arrived = threading.Semaphore(0)
        self._open = threading.Event()
        self.through = 0

    def work(self, *args: Any) -> str:
        """Wait in a thread until the gate opens; does not look at `cancelled()`."""
        self.arrived.release()
        assert self._open.wait(20), "the test never opened the gate"
        self.through += 1
        return "through"

    def open(self) -> None:
        """Let all through."""
        self._open.set()


@contextmanager
def gate() -> Iterator[Gate]:
    """A gate that opens at the end at the latest, so that no thread is left in it."""
    one = Gate()
    try:
        yield one
    finally:
        one.open()


def until_asked() -> str:
    """A plain function that looks at `cancelled()`, as a long one should."""
    pause = threading.Event()
    for _ in range(20_000):
        if atonce.cancelled():
            return "noticed"
        pause.wait(0.001)
    raise AssertionError("nobody asked")


def fake(seconds: float = 0.0) -> FakeBackend:
    """A backend that runs plain functions on the loop, each after `seconds`, for virtual time."""
    return FakeBackend(lambda args: seconds)


def notes(error: BaseException) -> str:
    """All notes of an error as one text."""
    return "\n".join(getattr(error, "__notes__", ()))


def value_of(outcome: Any) -> Any:
    """The value of an `Ok`; anything else fails the test."""
    assert isinstance(outcome, atonce.Ok), outcome
    return outcome.value


def error_of(outcome: Any) -> BaseException:
    """The error of a `Failed`; anything else fails the test."""
    assert isinstance(outcome, atonce.Failed), outcome
    return outcome.error


async def eventually(true: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait in real time until `true()`."""
    until = now() + seconds
    while not true():
        assert now() < until, "it did not come about"
        await asyncio.sleep(0.002)
