"""`Width`: how many items may run now, where that changes during a run: by a file that is read again, or by itself."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Final

from atonce.cli import jobs
from atonce.cli.jobs import Jobs

#: Seconds between two looks.
PERIOD: Final = 1.0
#: A wider run has to be so much faster to be worth it, and how much wider the next one is.
WORTH: Final = 1.1
WIDER: Final = 1.5
#: Fewer items than these in a look say nothing about how fast it is.
ENOUGH: Final = 5


class Climb:
    """Finds the width where throughput stops growing: wider while that is worth it, then back to the best; pure."""

    def __init__(self, first: int, most: int) -> None:
        self.width: int = first
        self.rate: float = 0.0
        self.has_settled: bool = False
        self._most = most
        self._best = first

    def told(self, count: int, span: float) -> None:
        """So many items ended in so many seconds at this width."""
        if self.has_settled or count < ENOUGH or span <= 0.0:
            return
        rate = count / span
        if rate >= self.rate * WORTH:
            self.rate, self._best = rate, self.width
            wider = min(self._most, max(self.width + 1, int(self.width * WIDER)))
            self.has_settled = wider == self.width
            self.width = wider
        else:
            self.width, self.has_settled = self._best, True


class Width:
    """`count` items may run; `most` is what it never exceeds. `look` is called about every `PERIOD`."""

    def __init__(self, wanted: Jobs, most: int) -> None:
        self.most: int = max(most, 1)
        self.count: int = min(wanted.count, self.most)
        self._path = wanted.path
        self._stamp: object = self._stamp_now()
        self._climb = Climb(self.count, self.most) if wanted.auto else None
        self._done = 0
        self._at = 0.0
        self._changed = threading.Condition()
        self.when_wider: Callable[[], None] = lambda: None

    def look(self, done: int, elapsed: float) -> str | None:
        """Think again, with so many items ended after so many seconds; gives what to say."""
        said = None
        if self._path is not None:
            said = self._read_again(self._path)
        elif self._climb is not None and not self._climb.has_settled:
            said = self._climbed(self._climb, done, elapsed)
        self._done, self._at = done, elapsed
        return said

    def wait(self, running: Callable[[], int], is_wanted: Callable[[], bool]) -> None:
        """In a thread: until one more may run, or nobody wants that any more."""
        with self._changed:
            while running() >= self.count and is_wanted():
                self._changed.wait(0.05)

    def ended(self) -> None:
        """An item has ended."""
        with self._changed:
            self._changed.notify_all()

    def _set(self, count: int) -> None:
        self.count = min(self.most, max(1, count))
        self.ended()
        self.when_wider()

    def _climbed(self, climb: Climb, done: int, elapsed: float) -> str | None:
        climb.told(done - self._done, elapsed - self._at)
        self._set(climb.width)
        return f"-j auto: {self.count} at a time ({climb.rate:,.0f}/s)" if climb.has_settled else None

    def _read_again(self, path: str) -> str | None:
        stamp = self._stamp_now()
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        try:
            count = jobs.in_file(path)
        except ValueError as error:
            return f"{error}: it stays at {self.count}"
        if count == self.count:
            return None
        self._set(count)
        return f"-j @{path}: {self.count} at a time"

    def _stamp_now(self) -> object:
        try:
            found = os.stat(self._path or "")
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


def width_of(wanted: Jobs, most: int) -> Width | None:
    """One for what changes; None for a fixed number."""
    return Width(wanted, most) if wanted.auto or wanted.path is not None else None
