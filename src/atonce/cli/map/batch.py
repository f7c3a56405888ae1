"""What a worker does with a batch of rows: call the function for each, encode the results, and stop in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal, NamedTuple

from atonce.cli.journal import record
from atonce.cli.map import board
from atonce.cli.map.course import Course, Reply, lookout, reply_of_none
from atonce.cli.map.job import Job, dumped, failure_of, good_line, loaded, since
from atonce.cli.retrying import RetryOn
from atonce.cli.tally import Failure


@dataclass(frozen=True, slots=True)
class Order:
    """The same for all batches of a run: the job, after how many seconds a batch comes back, and after what event.

    `attempts` is how often a row may be tried, where `again` wants that; `board` is its path, with so many `slots`.
    """

    job: Job
    slice: float
    until: Literal["fail", "success", "done"] | None
    attempts: int
    again: RetryOn | None
    board: str | None
    slots: int


class Entry(NamedTuple):
    """One batch: its place on the board, its rows with their places and keys, and which attempt at them this is."""

    slot: int
    places: Sequence[int]
    rows: Sequence[Any]
    keys: Sequence[str] | None
    attempt: int


class _Marks:
    """Where the number of the row is noted; here, where there is no board, by nobody."""

    def __setitem__(self, place: int, number: int, /) -> None:
        """Nothing."""


def run_batch(order: Order, entry: Entry) -> Reply:
    """In a worker: as many rows of a batch as fit into its time, at least one."""
    job = order.job
    try:
        call = loaded(job)
    except BaseException as error:
        return reply_of_none(broken=f"{type(error).__name__}: {error}")
    is_bare = not (job.records or job.makes_rows or job.fields)
    rows = list(zip(entry.rows, entry.places, strict=True)) if job.target.takes_pairs else list(entry.rows)
    began = perf_counter()
    limit = 0.0 if order.until in ("success", "done") else began + order.slice
    course = Course(rows, limit, began, records=job.records)
    memory = None if order.board is None else board.opened(order.board, order.slots)
    sheet = None if memory is None else board.Sheet(memory, entry.slot)
    if sheet is None:
        return _run(order, entry, call, course, _Marks(), 0, is_bare=is_bare)
    watching = lookout()
    watching.begin(course, sheet)
    try:
        return _run(order, entry, call, course, sheet.marks, sheet.place, is_bare=is_bare)
    finally:
        watching.end()


def _run(
    order: Order,
    entry: Entry,
    call: Callable[[Any], Any],
    course: Course,
    marks: Any,
    at: int,
    *,
    is_bare: bool,
) -> Reply:
    job = order.job
    while True:
        try:
            if is_bare:
                _bare_rows(call, course, marks, at)
            else:
                _shaped_rows(job, entry, call, course, marks, at)
            return course.end()
        except (Exception, SystemExit) as error:
            failure = failure_of(error)
            is_wanted = order.again is None or order.again.wants(failure, error)
        if entry.attempt < order.attempts and is_wanted:
            return course.end(again=failure)
        _failed(job, entry, course, failure)
        if order.until is not None or course.stamps[-1] > course.limit:
            return course.end()


def _bare_rows(call: Callable[[Any], Any], course: Course, marks: Any, at: int) -> None:
    """From where the course is to the end of the rows or of the time: the path of a million rows a second."""
    clock, line, stamp, limit = perf_counter, course.lines.append, course.stamps.append, course.limit
    n = course.done
    for row in course.rest:
        marks[at] = n
        value = call(row)
        line(value if type(value) is str else dumped(value))
        now = clock()
        stamp(now)
        n += 1
        if now > limit:
            return


def _shaped_rows(
    job: Job, entry: Entry, call: Callable[[Any], Any], course: Course, marks: Any, at: int
) -> None:
    """The same where a row is written with its result."""
    keys, places, rows, attempt = entry.keys, entry.places, entry.rows, entry.attempt
    n = course.done
    for argument in course.rest:
        marks[at] = n
        began = course.stamps[-1]
        value = call(argument)
        now = perf_counter()
        key = None if keys is None else keys[n]
        course.lines.append(good_line(job, places[n], key, rows[n], value, now - began, attempt))
        course.stamps.append(now)
        n += 1
        if now > course.limit:
            return


def _failed(job: Job, entry: Entry, course: Course, failure: Failure) -> None:
    n = course.done
    now = perf_counter()
    span = now - course.stamps[-1]
    course.lines[n:] = [_bad_line(entry, n, failure, span, since(job)) if job.records else None]
    course.failures.append((n, failure))
    course.stamps.append(now)


def _bad_line(entry: Entry, at: int, failure: Failure, span: float, ended: float | None) -> str:
    key = None if entry.keys is None else entry.keys[at]
    err = failure.record()
    return record.bad_text(entry.places[at], key, entry.rows[at], err, span, entry.attempt, ended)
