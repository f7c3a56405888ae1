"""The attempts of a stream's items: who is tried again, when, and what is told at the end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from atonce._model.errors import TaskTimeout
from atonce._model.options import Retry
from atonce._policy.backoff import again
from atonce._runtime.notes import Earlier

NONE_EARLIER = Earlier()


class _Tries:
    """What one item has been through."""

    __slots__ = ("began", "cut", "earlier", "last", "pause", "timer")

    def __init__(self, began: float) -> None:
        self.began = began
        self.earlier = Earlier()
        self.last: BaseException | None = None
        self.pause = 0.0
        self.timer: asyncio.TimerHandle | None = None
        self.cut = False


class Attempts:
    """Keeps the items that failed at least once, and those that have a deadline; all others cost nothing here.

    `resume(index, item)` is called when a pause is over, `cut(index)` when an item's deadline is.
    """

    def __init__(
        self,
        retry: Retry,
        loop: asyncio.AbstractEventLoop,
        resume: Callable[[int, Any], None],
        cut: Callable[[int], None],
    ) -> None:
        self.retry = retry
        self.retried = 0
        self._loop = loop
        self._resume = resume
        self._cut = cut
        self._tries: dict[int, _Tries] = {}
        self._pauses: dict[int, asyncio.TimerHandle] = {}

    def started(self, index: int) -> None:
        """The first attempt at an item starts."""
        if self.retry.deadline is not None and index not in self._tries:
            tries = self._tries[index] = _Tries(self._loop.time())
            tries.timer = self._loop.call_later(self.retry.deadline, self._deadline, index)

    def again(self, index: int, item: Any, error: BaseException, began: float) -> bool:
        """An attempt that began at `began` failed; True when another one will be made."""
        tries = self._tries.get(index)
        if tries is None:
            tries = self._tries[index] = _Tries(began)
        if tries.cut:
            return False
        now = self._loop.time()
        delay = again(
            self.retry, error, tries.earlier.count + 1, tries.pause, random.random, now - tries.began
        )
        if delay is None:
            return False
        if tries.timer is not None and now + delay >= tries.timer.when():
            return False
        tries.pause = delay
        tries.last = error
        tries.earlier.add(error)
        self.retried += 1
        self._pauses[index] = self._loop.call_later(delay, self._pause_over, index, item)
        return True

    def timeout(self, index: int) -> TaskTimeout | None:
        """The error of an attempt that was cut by the item's deadline, else None."""
        tries = self._tries.get(index)
        if tries is None or not tries.cut:
            return None
        return TaskTimeout(
            f"the attempts together took longer than deadline={self.retry.deadline:g} s",
            timeout=self.retry.deadline,
        )

    def expired(self, index: int) -> BaseException | None:
        """The last error of an item whose deadline went by while it waited for a place, else None."""
        tries = self._tries.get(index)
        return tries.last if tries is not None and tries.cut else None

    def closed(self, index: int) -> Earlier:
        """The item is finished: forget it, and give its earlier attempts."""
        tries = self._tries.pop(index, None)
        if tries is None:
            return NONE_EARLIER
        if tries.timer is not None:
            tries.timer.cancel()
        return tries.earlier

    def stop(self) -> None:
        """No pause and no deadline ends any more."""
        for pause in self._pauses.values():
            pause.cancel()
        for tries in self._tries.values():
            if tries.timer is not None:
                tries.timer.cancel()
        self._pauses.clear()
        self._tries.clear()

    def _pause_over(self, index: int, item: Any) -> None:
        self._pauses.pop(index, None)
        self._resume(index, item)

    def _deadline(self, index: int) -> None:
        tries = self._tries.get(index)
        if tries is not None:
            tries.cut = True
            self._cut(index)
