"""`Course`: how far a batch has come in its worker; one that is overdue gives away what it has and has not begun."""

from __future__ import annotations

import pickle
import threading
from bisect import bisect_right
from collections.abc import Iterator
from operator import sub
from time import perf_counter
from typing import Any, NamedTuple

from atonce.cli.journal import record
from atonce.cli.map.board import Sheet
from atonce.cli.tally import Failure, bucket_of, span_below

#: Seconds between two looks at whether a batch is overdue.
LOOK = 0.025


class Reply(NamedTuple):
    """The next `done` rows have ended, with these lines; the last `released` rows will not be begun here.

    `again` is why the row after those failed, and after how many seconds, where it is to be tried again. `broken` is
    why nothing can be run at all.
    """

    done: int
    data: bytes
    ok: int
    times: dict[int, int]
    slowest: tuple[float, int]
    failures: list[tuple[int, Failure]]
    released: int = 0
    again: tuple[Failure, float] | None = None
    broken: str | None = None


class Course:
    """A line and a moment for each row that has ended, and what is left.

    `rest` is taken from by whoever begins a row, and emptied by whoever takes the rows away: each is one step of the
    interpreter, so that a row is begun at one place only. A line is put down before its moment: rows are complete as
    far as there are moments.
    """

    def __init__(self, rows: list[Any], limit: float, began: float, *, records: bool) -> None:
        #: Of a list, because that is emptied in one step.
        self.rest: Iterator[Any] = iter(rows)
        self.limit = limit
        self.lines: list[str | None] = []
        self.stamps: list[float] = [began]
        self.failures: list[tuple[int, Failure]] = []
        self._told = 0
        self._released = 0
        self._records = records
        self._lock = threading.Lock()

    @property
    def done(self) -> int:
        """How many rows have ended."""
        return len(self.stamps) - 1

    def give_away(self, sheet: Sheet) -> None:
        """In another thread: tell what is done, and release what has not begun."""
        with self._lock:
            released = len(list(self.rest))
            reply = self._next(self.done, released)
            if not (reply.done or released) or sheet.write(pickle.dumps(reply)):
                return
            self._told -= reply.done
            # What did not fit is told at the end; rows that were taken away must be told of all the same.
            if released and not sheet.write(pickle.dumps(reply_of_none(released))):
                self._released = released

    def end(self, again: Failure | None = None) -> Reply:
        """What has not been told yet; `again` is why the row of the moment has just failed."""
        span = perf_counter() - self.stamps[-1]
        with self._lock:
            reply = self._next(self.done, self._released)
            return reply if again is None else reply._replace(again=(again, span))

    def _next(self, done: int, released: int) -> Reply:
        first, self._told = self._told, done
        failures = [(n - first, failure) for n, failure in self.failures if first <= n < done]
        times, slowest = counted(self.stamps[first : done + 1], {n for n, _ in failures})
        data = encoded(self.lines[first:done], records=self._records)
        return Reply(done - first, data, done - first - len(failures), times, slowest, failures, released)


def reply_of_none(released: int = 0, broken: str | None = None) -> Reply:
    """Nothing has ended."""
    return Reply(0, b"", 0, {}, (0.0, 0), [], released, broken=broken)


def counted(stamps: list[float], failed: set[int]) -> tuple[dict[int, int], tuple[float, int]]:
    """The spans between moments, but for those that failed: how many in each bucket, and the longest and its number."""
    spans = list(map(sub, stamps[1:], stamps))
    if failed:
        spans = [-1.0 if n in failed else span for n, span in enumerate(spans)]
    if len(spans) <= len(failed):
        return {}, (0.0, 0)
    longest = max(spans)
    slowest = (longest, spans.index(longest))
    spans.sort()
    times: dict[int, int] = {}
    at = len(failed)
    while at < len(spans):
        bucket = bucket_of(spans[at])
        end = bisect_right(spans, span_below(bucket + 1), at + 1)
        times[bucket] = end - at
        at = end
    return times, slowest


def encoded(lines: list[str | None], *, records: bool) -> bytes:
    """Lines as bytes; there is none for a row that has none."""
    kept = [line for line in lines if line is not None]
    if not kept:
        return b""
    kept.append("")
    text = "\n".join(kept)
    return record.safe(text) if records else text.encode("utf-8", "surrogateescape")


class Lookout:
    """One thread in a worker, which looks now and then whether the batch of the moment is overdue."""

    def __init__(self) -> None:
        self._course: Course | None = None
        self._sheet: Sheet | None = None
        self._work = threading.Event()
        threading.Thread(target=self._look, name="atonce-lookout", daemon=True).start()

    def begin(self, course: Course, sheet: Sheet) -> None:
        """This is the batch of the moment."""
        self._sheet, self._course = sheet, course
        self._work.set()

    def end(self) -> None:
        """There is no batch."""
        self._course = None

    def _look(self) -> None:
        idle = threading.Event()
        while True:
            course, sheet = self._course, self._sheet
            if course is None:
                self._work.wait()
                self._work.clear()
            elif sheet is not None and perf_counter() > course.limit and self._course is course:
                course.give_away(sheet)
                # Nothing can be told of it any more, but for the row that it is on.
                if self._course is course:
                    self._course = None
            idle.wait(LOOK)


_lookout: Lookout | None = None


def lookout() -> Lookout:
    """The one of this process."""
    global _lookout
    if _lookout is None:
        _lookout = Lookout()
    return _lookout
