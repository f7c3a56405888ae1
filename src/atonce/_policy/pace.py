"""How fast items end, how long the rest will take, and when it is time to say so."""

from __future__ import annotations

from collections import deque
from typing import Final

#: Seconds after the start at which lines begin to come, and then how often until when.
FIRST_BEAT: Final = 5.0
_BEATS: Final = ((60.0, 10.0), (600.0, 30.0))
LATE_BEAT: Final = 60.0


class Pace:
    """How fast items end now: over the last `span` seconds, not since the beginning."""

    def __init__(self, span: float = 10.0) -> None:
        self._span = span
        self._marks: deque[tuple[float, int]] = deque()

    def mark(self, now: float, done: int) -> None:
        """Note how many were done at a moment."""
        marks = self._marks
        marks.append((now, done))
        while len(marks) > 2 and marks[1][0] <= now - self._span:
            marks.popleft()

    def rate(self) -> float:
        """Items a second."""
        if len(self._marks) < 2:
            return 0.0
        (began, before), (ended, after) = self._marks[0], self._marks[-1]
        return (after - before) / (ended - began) if ended > began else 0.0

    def eta(self, left: int | None) -> float | None:
        """Seconds until `left` more items are done; None when nothing honest can be said."""
        rate = self.rate()
        return None if left is None or rate <= 0.0 else left / rate


def next_beat(elapsed: float) -> float:
    """When the next line is due after one that came at `elapsed`: at multiples from the first on."""
    every = next((every for until, every in _BEATS if elapsed < until), LATE_BEAT)
    return FIRST_BEAT + every * (1 + (elapsed - FIRST_BEAT) // every)
