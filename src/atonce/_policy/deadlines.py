"""When the next of many equal timeouts is due, at no cost for the items that end in time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K")


class Deadlines(Generic[K]):
    """One timer for all running items of a stream, which share one `timeout`.

    Items are not entered when they start. Instead the timer, when it rings, looks at what runs *then*. All timeouts
    being equal, whatever starts after that look is due later than everything in it, so the look serves until its last
    entry is due: an item costs nothing unless it lives as long as the timeout, and a look at n items serves n.
    """

    __slots__ = ("_look", "timeout")

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._look: deque[tuple[float, K]] = deque()

    def due(
        self, now: float, running: Callable[[], Iterable[tuple[float, K]]], still: Callable[[float, K], bool]
    ) -> list[K]:
        """Take out what is due at `now`.

        `running()` gives (start, key) of all that runs now; `still(start, key)` tells whether that very run goes on.
        """
        expired: list[K] = []
        while True:
            while self._look and self._look[0][0] + self.timeout <= now:
                start, key = self._look.popleft()
                if still(start, key):
                    expired.append(key)
            if self._look:
                return expired
            gone = set(expired)
            self._look.extend(
                sorted(((s, k) for s, k in running() if k not in gone), key=lambda entry: entry[0])
            )
            if not self._look:
                return expired

    def next_ring(self, still: Callable[[float, K], bool]) -> float | None:
        """When the timer must ring next; None when nothing was in the look.

        The last entry is kept even when it runs no more: what started after the look is due later than it is, and
        may be due long before a whole timeout from now.
        """
        look = self._look
        while len(look) > 1 and not still(*look[0]):
            look.popleft()
        return look[0][0] + self.timeout if look else None
