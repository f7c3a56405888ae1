"""`Recorder`: what the library does while a block lasts, kept in a bounded ring, as a page or a trace afterwards."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

from atonce._model.checks import count
from atonce._model.errors import TaskStopped
from atonce._runtime import telemetry
from atonce.report.account import Account
from atonce.report.facts import Course, Entry, Mark, Report, State
from atonce.report.page import page
from atonce.report.perfetto import perfetto

_NUMBERS: Final = itertools.count(1)
_EVENTS: Final = ("task.*", "stream.*", "worker.*", "server.*", "supervisor.*")
_CANCELS: Final = (asyncio.CancelledError, TaskStopped)
_LONGEST: Final = 500
#: The name of a stream or task, and the number of the item or the id of the task.
_Key: TypeAlias = tuple[str, Any]


@dataclass(frozen=True, slots=True)
class _Open:
    """An item that has not ended: since when it runs (None: it rests, or nobody said that it runs again)."""

    since: float | None
    thread: int
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class _Span:
    """One attempt."""

    key: _Key
    of: _Open
    ended: float
    elapsed: float
    state: State
    group: str = ""
    message: str = ""
    is_last: bool = True


class Recorder:
    """Record tasks, the items of streams and their attempts, and what workers and supervisors go through.

    It listens to `telemetry` from the beginning of its block to the end, on every thread and loop of this process, and
    keeps the newest `limit` attempts. Ask it at any time, also within the block: what runs is shown as running.

    `perfetto()` gives the JSON that https://ui.perfetto.dev reads, `html()` one page that works without a network, and
    `save(path)` writes either, as the name's end says.

    **Fails**: entering raises nothing of the recorded code's; a `limit` that is no whole number above zero raises at
    the call. **Bounded**: `limit` attempts, and as many marks; `dropped` says how many older ones are gone.
    **Cancelled**: nothing waits here. **Costs**: some 2 µs an event; nothing once the block has ended.

    Elixir's nearest relatives are `:observer` and a handler of `:telemetry`.

    >>> def double(n):
    ...     return 2 * n
    >>> from atonce import blocking
    >>> with Recorder() as recorder:
    ...     results = list(blocking.stream([1, 2, 3], double, max_concurrency=2))
    >>> recorder.report().ok
    3
    >>> recorder.html().startswith("<!doctype html>")
    True
    """

    def __init__(self, limit: int = 100_000) -> None:
        limit = count("limit", limit)
        self._limit = limit
        self._id = f"atonce.recorder.{next(_NUMBERS)}"
        self._spans: deque[_Span] = deque(maxlen=limit)
        self._marks: deque[tuple[float, str, str]] = deque(maxlen=limit)
        self._open: dict[_Key, _Open] = {}
        self._threads = itertools.count()
        self._taken = 0
        self._began: float | None = None
        self._ended: float | None = None

    @property
    def dropped(self) -> int:
        """How many attempts the ring had no room for."""
        return self._taken - len(self._spans)

    def __enter__(self) -> Self:
        self._spans.clear()
        self._marks.clear()
        self._open.clear()
        self._taken = 0
        self._began, self._ended = _now(), None
        telemetry.attach(self._id, _EVENTS, self._told)
        return self

    def __exit__(
        self, type: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        telemetry.detach(self._id)
        self._ended = _now()

    def report(self) -> Report:
        """The numbers and the picture as values."""
        account = Account(pictured=True)
        began = self._began or 0.0
        now = self._ended if self._ended is not None else began if self._began is None else _now()
        for span in list(self._spans):
            account.take(_entry(span, began))
        for key, one in list(self._open.items()):
            if one.since is not None:
                account.take(_entry(_Span(key, one, max(now, one.since), now - one.since, "running"), began))
        marks = [Mark(max(0.0, at - began), name, text) for at, name, text in list(self._marks)]
        course = Course(
            cmd="", why="finished" if self._ended is not None else None, elapsed=max(0.0, now - began)
        )
        return account.report("recorded", [course], marks=marks)

    def perfetto(self) -> str:
        """The trace as JSON: one slice for each attempt, on lanes of its stream or task, with arrows to retries."""
        return "".join(perfetto(self.report()))

    def html(self) -> str:
        """The page: counts, lanes over time, throughput, errors, and what took longest."""
        return page(self.report())

    def save(self, path: str | Path) -> None:
        """Write the page to a name that ends in `.html`, the trace to one in `.json` or `.json.gz`.

        Another name raises ValueError; what the system says of the file is raised as it is.
        """
        name = str(path)
        if name.endswith(".html"):
            Path(path).write_text(self.html(), encoding="utf-8")
        elif name.endswith(".json.gz"):
            Path(path).write_bytes(gzip.compress(self.perfetto().encode("ascii")))
        elif name.endswith(".json"):
            Path(path).write_text(self.perfetto(), encoding="ascii")
        else:
            raise ValueError(f"{name!r} does not say what to write: end it in .html, .json or .json.gz")

    def _told(self, event: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        now = _now()
        if not event.startswith("task."):
            if event == "stream.stop":
                self._forget(metadata.get("name"))
            self._marks.append((now, event, _about(metadata)))
            return
        key = (str(metadata.get("name")), metadata.get("index", metadata.get("id")))
        if key[1] is None:
            # A pause of `retry_with_backoff`, whose attempts are no tasks of their own.
            self._marks.append((now, event, _about(metadata)))
        elif event == "task.start":
            if len(self._open) < self._limit:
                self._open[key] = _Open(now, next(self._threads))
        else:
            self._attempt(event, key, now, measurements.get("elapsed"), metadata.get("error"))

    def _attempt(self, event: str, key: _Key, now: float, elapsed: Any, error: Any) -> None:
        one = self._open.pop(key, None) or _Open(now, next(self._threads))
        if not isinstance(elapsed, (int, float)):
            elapsed = 0.0 if one.since is None else now - one.since
        state: State = "ok"
        if error is not None:
            state = "cancelled" if isinstance(error, _CANCELS) else "failed"
        is_last = event != "task.retry"
        group = "" if error is None else type(error).__name__
        message = "" if error is None else " ".join(str(error).split())[:_LONGEST]
        self._spans.append(_Span(key, one, now, elapsed, state, group, message, is_last))
        self._taken += 1
        if not is_last and len(self._open) < self._limit:
            self._open[key] = _Open(None, one.thread, one.attempt + 1)

    def _forget(self, name: object) -> None:
        """A stream is over: what it has not told of by now, it never will."""
        for key in [key for key in list(self._open) if key[0] == name and isinstance(key[1], int)]:
            self._open.pop(key, None)


def _entry(span: _Span, began: float) -> Entry:
    name, number = span.key
    return Entry(
        item=f"{name}[{number}]" if isinstance(number, int) else name,
        state=span.state,
        seconds=max(0.0, span.elapsed),
        attempts=span.of.attempt,
        end=max(0.0, span.ended - began),
        group=span.group,
        message=span.message,
        lanes=name,
        thread=span.of.thread,
        is_last=span.is_last,
    )


def _about(metadata: Mapping[str, Any]) -> str:
    """What an event is about, in a line."""
    parts = (f"{name}={value}" for name, value in metadata.items() if value is not None)
    return " ".join(" ".join(parts).split())[:_LONGEST]


def _now() -> float:
    """Seconds on the clock of the loop that runs here (which tests make virtual), or on the system's."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return time.monotonic()
