"""What is known of a run: frozen values, made by an account, shown by the renderers."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

State = Literal["ok", "failed", "cancelled", "running"]
#: A state as a number, as columns hold it.
STATES: Final[tuple[State, ...]] = ("ok", "failed", "cancelled", "running")


class Entry(NamedTuple):
    """One item that ended, or one attempt at it: `end` is seconds since its run began, None where nobody noted it.

    `group` is what failures are counted by, `lanes` whose lanes it is drawn on, `thread` ties attempts together.
    """

    item: str
    state: State
    seconds: float
    attempts: int = 1
    end: float | None = None
    run: int = 0
    group: str = ""
    message: str = ""
    host: str | None = None
    lanes: str = ""
    thread: int = -1
    is_last: bool = True


@dataclass(frozen=True, slots=True)
class Course:
    """One run of a journal: what was run, when, how it ended (None: it was cut off), and how long that took."""

    run: str = ""
    cmd: str = ""
    does: tuple[str, ...] = ()
    input: str | None = None
    started: str | None = None
    ended: str | None = None
    why: str | None = None
    elapsed: float = 0.0
    #: What the time of its items went into, where that was recorded.
    shares: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """Failures of one kind: how many, the first of them, what it said, and on which hosts they were."""

    label: str
    count: int
    example: str
    message: str
    hosts: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Host:
    """What came of one host: counts, and quantiles of the times of its successes, in seconds."""

    name: str
    ok: int
    failed: int
    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class Slow:
    """One of the items that took longest."""

    item: str
    seconds: float
    state: State
    attempts: int
    number: int


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at one moment, `at` seconds after the beginning."""

    at: float
    name: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """All items over time, as columns in the order of their starts; times are whole microseconds.

    No two on one lane overlap. `items` are cut to what a page shows. `left_out` counts those that a picture of this
    size has no room for.
    """

    starts: Sequence[int] = ()
    spans: Sequence[int] = ()
    lanes: Sequence[int] = ()
    states: Sequence[int] = ()
    attempts: Sequence[int] = ()
    causes: Sequence[int] = ()
    numbers: Sequence[int] = ()
    threads: Sequence[int] = ()
    items: Sequence[str] = ()
    names: Sequence[str] = ()
    labels: Sequence[str] = ()
    marks: Sequence[Mark] = ()
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def end(self) -> int:
        """When the last one ended."""
        return max(map(_plus, self.starts, self.spans), default=0)


def _plus(a: int, b: int) -> int:
    return a + b


@dataclass(frozen=True, slots=True)
class Beat:
    """One stretch of a run: how many items ended in it well and otherwise."""

    at: float
    ok: int
    failed: int


@dataclass(frozen=True, slots=True)
class Report:
    """A run in numbers: counts are of the newest record of each item; `ended` is also of earlier ones.

    `times` has how many successes took how long, as buckets of one percent. `timed` is how many records say when they
    ended; `unread` how many lines are no records. `busy` is the share of time that the lanes were in use, of the
    `width` that was in use at once; None where no record says when it ended.
    """

    name: str
    runs: tuple[Course, ...] = ()
    ok: int = 0
    failed: int = 0
    cancelled: int = 0
    retries: int = 0
    saved: int = 0
    ended: int = 0
    timed: int = 0
    unread: int = 0
    is_torn: bool = False
    size: int | None = None
    elapsed: float = 0.0
    times: Mapping[int, int] = field(default_factory=dict)
    quantiles: tuple[tuple[str, float], ...] = ()
    slowest: tuple[Slow, ...] = ()
    slowest_ok: Slow | None = None
    causes: tuple[Cause, ...] = ()
    hosts: tuple[Host, ...] = ()
    beats: tuple[Beat, ...] = ()
    beat: float = 0.0
    width: int = 0
    busy: float | None = None
    picture: Picture = field(default_factory=Picture)

    @property
    def done(self) -> int:
        """Items that ended, well or not."""
        return self.ok + self.failed + self.cancelled

    @property
    def why(self) -> str:
        """How the newest run ended: "finished", what stopped it, or "cut off" when it could not say."""
        return (self.runs[-1].why or "cut off") if self.runs else "finished"

    @property
    def shares(self) -> Mapping[str, float] | None:
        """What the time of the items of the newest run went into; None where nobody noted it."""
        return self.runs[-1].shares if self.runs else None

    def as_json(self) -> dict[str, Any]:
        """The numbers as JSON has them; durations are seconds."""
        return {
            "name": self.name,
            "why": self.why,
            "ok": self.ok,
            "failed": self.failed,
            "cancelled": self.cancelled,
            "retries": self.retries,
            "saved": self.saved,
            "elapsed": round(self.elapsed, 6),
            "rate": round(self.ended / self.elapsed, 3) if self.elapsed > 0.0 else None,
            "quantiles": {name: round(value, 6) for name, value in self.quantiles},
            "width": self.width,
            "busy": None if self.busy is None else round(self.busy, 4),
            "shares": None if self.shares is None else dict(self.shares),
            "errors": [_cause(one) for one in self.causes],
            "slowest": [
                {"item": one.item, "s": round(one.seconds, 6), "state": one.state, "try": one.attempts}
                for one in self.slowest
            ],
            "hosts": [
                {"host": one.name, "ok": one.ok, "failed": one.failed, "p50": one.p50, "p95": one.p95}
                for one in self.hosts
            ],
            "throughput": {
                "every": self.beat,
                "ok": [one.ok for one in self.beats],
                "failed": [one.failed for one in self.beats],
            },
            "runs": [_course(one) for one in self.runs],
            "unread": self.unread,
            "torn": self.is_torn,
        }


def _cause(one: Cause) -> dict[str, Any]:
    return {
        "label": one.label,
        "count": one.count,
        "example": one.example,
        "message": one.message,
        "hosts": dict(one.hosts),
    }


def _course(one: Course) -> dict[str, Any]:
    return {
        "run": one.run,
        "cmd": one.cmd,
        "input": one.input,
        "started": one.started,
        "ended": one.ended,
        "why": one.why,
        "elapsed": round(one.elapsed, 6),
    }


def column() -> array[int]:
    """An empty column of whole numbers."""
    return array("q")
