"""Virtual time: an event loop whose clock is set forward where others would wait, and seeded schedules."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class SleepsForever(RuntimeError):
    """Every task waits for something that nothing in this loop will ever bring about."""


class _VirtualSelector(selectors.DefaultSelector):
    """Lets no real time pass: where a loop would wait for its next timer, its clock is set forward."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.threads = 0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise SleepsForever("all tasks wait, and there is no timer left that could wake one")
        self.now += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when everything waits, and then at once.

    With a `seed` the order in which ready tasks run is shuffled, the same way for the same seed. Real threads take no
    part in virtual time: give plain functions to a `FakeBackend`.
    """

    atonce_virtual_time = True

    def __init__(self, seed: int | None = None) -> None:
        self._virtual = _VirtualSelector()
        super().__init__(self._virtual)
        self._dice = None if seed is None else random.Random(seed)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._virtual.now

    def _run_once(self) -> None:
        ready: Any = vars(self)["_ready"]  # asyncio's own queue; the one place to shuffle
        if self._dice is not None and len(ready) > 1:
            handles = list(ready)
            self._dice.shuffle(handles)
            ready.clear()
            ready.extend(handles)
        super()._run_once()  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]  # every asyncio loop has it


def run_virtual(main: Callable[[], Coroutine[Any, Any, T]], *, seed: int | None = None) -> T:
    """Run `main()` in virtual time and give its value; an hour of sleeping takes no time.

    Raises `SleepsForever` when nothing could ever go on.

    >>> async def main() -> float:
    ...     await asyncio.sleep(3600)
    ...     return asyncio.get_running_loop().time()
    >>> run_virtual(main)
    3600.0
    """
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(seed)) as runner:
        return runner.run(main())
