"""`assert_nothing_left`: a block, or a check, that fails when something of it outlives it."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
import weakref
from types import TracebackType
from typing import Any, Self

from atonce._model.checks import seconds
from atonce._model.errors import MisuseError
from atonce._runtime.clock import is_virtual
from atonce.testing.census import Census, census, leftovers
from atonce.testing.sites import sites

#: Seconds that threads, processes and files are given to be gone.
PATIENCE = 2.0
#: Turns of the loop in which what was stopped may end, where Python does not let us await it (a bare `break`).
FEW_TURNS = 5


class assert_nothing_left:  # noqa: N801  # a class that reads as a verb
    """Fail with `AssertionError` when a task, a stream, a thread, a process, a file or a socket is left behind.

    `async with assert_nothing_left():` in an event loop, `with assert_nothing_left():` in code without one (the verbs
    of `atonce.blocking`, threads, processes). What was there when the block began does not count. Without a block:
    `left = assert_nothing_left()` before, and `left.check()` after. The message names each thing that is left and says
    where it was spawned, started or opened; of an asyncio task that atonce did not spawn it says where it stands.

    What lasts by intention does not count: the private loop of `atonce.blocking`, idle threads of a pool that is kept,
    and the process backend that `on="process"` means, which is closed here unless it is busy. A `ProcessBackend` of
    your own that is not closed does count.

    **Bounded**: threads, processes and files get `patience` seconds to be gone, since the system tells their ends late;
    tasks get a few turns of the loop. **Fails**: `MisuseError` when `with` or `check()` is used inside a running loop,
    where waiting would stop what is to end. An error of the block itself goes on, and nothing is checked. **Costs**
    about 0.3 ms, and an audit hook that stays in the interpreter.

    >>> with assert_nothing_left():
    ...     blocking.spawn(sum, [1, 2]).result()
    3
    >>> async def main():
    ...     async with assert_nothing_left():
    ...         return await spawn(sum, [1, 2])
    >>> asyncio.run(main())
    3
    """

    __slots__ = ("_before", "_is_watching", "_patience")

    def __init__(self, *, patience: float = PATIENCE) -> None:
        self._patience = seconds("patience", patience, zero=True)
        self._is_watching = True
        sites.begin()
        self._before: Census = census()

    def check(self) -> None:
        """Fail when something is there that was not there when this object was made; for code without a loop."""
        __tracebackhide__ = True
        _fail_for(self.left())

    def left(self, patience: float | None = None) -> list[str]:
        """As `check`, and gives what is left instead of failing; `patience` instead of what was given first."""
        if asyncio._get_running_loop() is not None:
            raise MisuseError(
                "assert_nothing_left was checked inside a running event loop, which would stop what it waits for: "
                "use `async with assert_nothing_left():` there"
            )
        _close_own_processes()
        return leftovers(self._before, self._patience if patience is None else patience)

    async def left_by_now(self) -> list[str]:
        """What is left on this loop after a few turns, and elsewhere after the patience."""
        _close_own_processes()
        pause, until = 0.001, time.monotonic() + self._patience
        for _ in range(FEW_TURNS):
            if not self._added():
                return []
            await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        while added := self._added():
            gc.collect()
            if time.monotonic() >= until or all(_goes_on(key) for key in added):
                break
            if is_virtual(loop):
                time.sleep(pause)  # noqa: ASYNC251  # threads and processes take real time, which this loop has not
            await asyncio.sleep(pause)
            pause = min(2 * pause, 0.05)
        return census().added_since(self._before)

    def close(self) -> None:
        """Remember no longer where things are opened; a block does so at its end."""
        if getattr(self, "_is_watching", False):
            self._is_watching = False
            sites.end()

    def __enter__(self) -> Self:
        if asyncio._get_running_loop() is not None:
            self.close()
            raise MisuseError("inside a running event loop write `async with assert_nothing_left():`")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        __tracebackhide__ = True
        try:
            if error is None:
                self.check()
        finally:
            self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        __tracebackhide__ = True
        try:
            if error is None:
                _fail_for(await self.left_by_now())
        finally:
            self.close()

    def __del__(self) -> None:
        self.close()

    def _added(self) -> set[object]:
        return set(census().things) - set(self._before.things)


def message(left: list[str]) -> str:
    """How it is told that something is left."""
    return f"{len(left)} left behind:\n" + "\n".join(f"- {one}" for one in left)


def _fail_for(left: list[str]) -> None:
    __tracebackhide__ = True
    if left:
        raise AssertionError(message(left))


def _close_own_processes() -> None:
    """The process backend of the interpreter would last as long as that."""
    module = sys.modules.get("atonce._backends.process")
    backend = getattr(module, "_default", None)
    if backend is not None and backend._pid == os.getpid() and not backend.statistics().busy:
        setattr(module, "_default", None)  # noqa: B010  # a module that may not have been imported
        backend.close()


def _goes_on(key: object) -> bool:
    """Whether it is a task or a stream that nobody has asked to end: to wait for that would be in vain."""
    if not isinstance(key, weakref.ref):
        return False
    work: Any = key()
    if isinstance(work, asyncio.Task):
        return not work.cancelling()
    return getattr(work, "_why", None) is None and not getattr(work, "closing", False)
