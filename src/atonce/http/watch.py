"""`Watch`: ends requests that run longer than their common timeout, with one timer for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Watch:
    """The time limit of the requests of one run: all have the same `timeout`, so they end in the order they started.

    A request costs an entry in a dict; a timer for each would cost a tenth of the whole request.
    """

    def __init__(self, timeout: float, clock: Callable[[], float]) -> None:
        self.timeout: float = timeout
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._started: dict[asyncio.Task[object], float] = {}
        self._late: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def start(self, task: asyncio.Task[object], now: float) -> None:
        """A request of `task` starts `now`."""
        self._started[task] = now
        if self._timer is None:
            self._timer = self._loop.call_at(now + self.timeout, self._ring)

    def end(self, task: asyncio.Task[object]) -> bool:
        """The request of `task` is over. True when its time was up, and the cancel that said so is taken back; False
        too when somebody else wants the task cancelled, which goes first."""
        self._started.pop(task, None)
        if not self._late or task not in self._late:
            return False
        self._late.discard(task)
        return task.uncancel() == 0

    def limit(self, timeout: float) -> None:
        """Give requests so many seconds from now on, those that run included."""
        self.timeout = timeout
        if self._timer is not None:
            self._timer.cancel()
            self._ring()

    def close(self) -> None:
        """Nothing runs any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        now = self._clock()
        while self._started:
            task, began = next(iter(self._started.items()))
            if began + self.timeout > now:
                self._timer = self._loop.call_at(began + self.timeout, self._ring)
                return
            del self._started[task]
            self._late.add(task)
            task.cancel()
