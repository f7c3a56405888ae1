"""What is seen while a run goes on, on standard error alone: lines, JSON lines, or nothing; bars are in `bar`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from atonce._model.durations import brief
from atonce._model.durations import rate as shown_rate
from atonce._policy.pace import FIRST_BEAT, Pace, next_beat
from atonce._runtime.terminal import say


class Counts(Protocol):
    """What a run has come to so far; `total` is None while nobody knows it."""

    @property
    def total(self) -> int | None:
        """Items that there are."""
        ...

    @property
    def ok(self) -> int:
        """Items that came out well."""
        ...

    @property
    def failed(self) -> int:
        """Items that did not."""
        ...

    @property
    def retries(self) -> int:
        """Further attempts."""
        ...

    @property
    def done(self) -> int:
        """Items that have ended."""
        ...

    @property
    def left(self) -> int | None:
        """Items that have not."""
        ...


@dataclass(slots=True)
class View:
    """All that there is to see of a run; `running` and `slowed` are asked for each time."""

    verb: str
    tally: Counts
    running: Callable[[], int] = lambda: 0
    slowed: Callable[[], int] = lambda: 0
    output: str | None = None
    pace: Pace = field(default_factory=Pace)


class Progress(Protocol):
    """One way of showing progress."""

    #: Seconds between two calls of `tick`.
    interval: float

    def start(self) -> None:
        """Show the first sign of life."""

    def tick(self, elapsed: float) -> None:
        """Show what is new, `elapsed` seconds after the start."""

    def say(self, text: str) -> None:
        """Show a message."""

    def stop(self, elapsed: float, why: str) -> None:
        """Clear up, and say how it ended where the receipt does not."""


class Silent:
    """Shows no progress."""

    interval: float = 1.0

    def __init__(self, *, mute: bool) -> None:
        self._mute = mute

    def start(self) -> None:
        """Nothing."""

    def tick(self, elapsed: float) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """A message is shown, unless all is to be quiet."""
        if not self._mute:
            say(text)

    def stop(self, elapsed: float, why: str) -> None:
        """Nothing."""


class Heartbeat:
    """One plain line after 5 seconds, then every 10, after a minute every 30, after ten minutes every 60."""

    interval: float = 0.5

    def __init__(self, view: View, wall: Callable[[], float] = time.time) -> None:
        self._view = view
        self._wall = wall
        self._next = FIRST_BEAT
        self._beats = 0

    def start(self) -> None:
        """A short run shows nothing but its receipt."""
        self._view.pace.mark(0.0, 0)

    def tick(self, elapsed: float) -> None:
        """A line, when it is time for one."""
        self._view.pace.mark(elapsed, self._view.tally.done)
        if elapsed >= self._next:
            self._next = next_beat(elapsed)
            self._beats += 1
            say(f"{stamp(self._wall())} {beat(self._view)}")

    def say(self, text: str) -> None:
        """A message as it is."""
        say(text)

    def stop(self, elapsed: float, why: str) -> None:
        """The last line of a run that had others."""
        if self._beats:
            say(f"{stamp(self._wall())} {last_beat(self._view, elapsed, why)}")


class JsonLines:
    """The same as objects for other programs, one a second; messages and the end are objects too."""

    interval: float = 1.0

    def __init__(self, view: View) -> None:
        self._view = view

    def start(self) -> None:
        """The first object, when nothing is done yet."""
        self._view.pace.mark(0.0, 0)
        self._emit({})

    def tick(self, elapsed: float) -> None:
        """An object."""
        self._view.pace.mark(elapsed, self._view.tally.done)
        self._emit({})

    def say(self, text: str) -> None:
        """A message."""
        self._emit({"message": text})

    def stop(self, elapsed: float, why: str) -> None:
        """The last object, which is the only one that says `why`."""
        self._emit({"elapsed": round(elapsed, 3), "ok": self._view.tally.ok, "why": why})

    def _emit(self, more: dict[str, Any]) -> None:
        import json  # the other ways do without

        view, tally = self._view, self._view.tally
        eta = view.pace.eta(tally.left)
        shown = {
            "done": tally.done,
            "total": tally.total,
            "rate": round(view.pace.rate(), 1),
            "eta": None if eta is None else round(eta, 1),
            "running": view.running(),
            "failed": tally.failed,
            "retried": tally.retries,
        }
        say(json.dumps(shown | more))


def beat(view: View) -> str:
    """One line of progress, without its time."""
    tally, pace = view.tally, view.pace
    parts = [f"{view.verb}  {counted(tally)}", f"{speed(pace.rate())}{eta_of(view)}"]
    parts.append(f" running {view.running()}  failed {tally.failed:,}")
    if tally.retries:
        parts.append(f"retried {tally.retries:,}")
    return "  ".join(parts)


def speed(rate: float) -> str:
    """So many a second; a minute, where that is less than one a second.

    >>> speed(1234.0), speed(2.5), speed(0.25), speed(0.0)
    ('1,234/s', '2.5/s', '15/min', '0/s')
    """
    if 0.0 < rate < 0.95:
        return f"{shown_rate(60.0 * rate)}/min"
    return f"{shown_rate(rate)}/s" if rate else "0/s"


def eta_of(view: View) -> str:
    """How long it will take, in whole seconds; nothing when nobody can say."""
    left = view.tally.left
    eta = view.pace.eta(left)
    return f"  eta {brief(max(1, round(eta)))}" if left and eta is not None else ""


def last_beat(view: View, elapsed: float, why: str) -> str:
    """The line of progress that is the end of it."""
    tally = view.tally
    where = f"  -> {view.output}" if view.output else ""
    how = "" if why == "finished" else f"  {why}"
    rate = tally.done / elapsed if elapsed > 0.0 else 0.0
    return (
        f"{view.verb}  {counted(tally)}  {speed(rate)}  in {brief(elapsed)}{how}"
        f"  ok {tally.ok:,}  failed {tally.failed:,}{where}"
    )


def counted(tally: Counts) -> str:
    """How many are done, of how many, in percent; padded so that lines stand under one another."""
    if tally.total is None:
        return f"{tally.done:,}"
    total = f"{tally.total:,}"
    share = 100 if tally.total == 0 else 100 * tally.done // tally.total
    return f"{tally.done:>{len(total)},}/{total}  {share:3d}%"


def stamp(now: float) -> str:
    """A time of day (seconds since the epoch) for a log: UTC, to the second.

    >>> stamp(0.5)
    '1970-01-01T00:00:00Z'
    """
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
