"""`Account`: takes entries one by one, and gives the report of them; pure, and bounded but for the picture."""

from __future__ import annotations

import heapq
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from atonce.cli.tally import Times, bucket_of
from atonce.report.facts import (
    STATES,
    Beat,
    Cause,
    Course,
    Entry,
    Host,
    Mark,
    Picture,
    Report,
    Slow,
    column,
)
from atonce.report.lanes import packed

MOST_CAUSES = 200
MOST_HOSTS = 1_000
MOST_SHOWN_HOSTS = 50
MOST_BEATS = 240
#: Items of a picture that are drawn each for itself; and how much of an item's text is kept.
MOST_DRAWN = 200_000
LONGEST = 160
OTHER = "other failures"
QUANTILES = (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99))
_MICRO = 1e6
#: Times and spans beyond these are not from a clock.
_FAR = 1e11


@dataclass(slots=True)
class _Cause:
    example: str
    message: str
    count: int = 0
    hosts: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Host:
    ok: int = 0
    failed: int = 0
    times: Times = field(default_factory=Times)


class Account:
    """Counts, and with `pictured` keeps what a picture needs of each item: some 250 bytes."""

    def __init__(self, *, slowest: int = 20, pictured: bool = False) -> None:
        self._slowest = slowest
        self._pictured = pictured
        self._states: Counter[str] = Counter()
        self._retries = 0
        self._saved = 0
        self._ended = 0
        self._buckets: Counter[int] = Counter()
        self._causes: dict[str, _Cause] = {}
        self._hosts: dict[str, _Host] = {}
        self._heap: list[tuple[float, int, int, Entry]] = []
        self._slowest_ok: Slow | None = None
        self._ends = array("d")
        self._spans = array("d")
        self._runs = array("l")
        self._were = array("b")
        self._kept: list[Entry] = []

    def take(self, entry: Entry, *, counts: bool = True) -> None:
        """Take one; one that has a newer record does not count, but it took place."""
        number = -1
        self._ended += 1
        if entry.end is not None:
            number = len(self._ends)
            self._ends.append(entry.end)
            self._spans.append(entry.seconds)
            self._runs.append(entry.run)
            self._were.append(STATES.index(entry.state))
            if self._pictured:
                self._kept.append(entry)
        if counts and entry.is_last:
            self._count(entry, number)

    def _count(self, entry: Entry, number: int) -> None:
        self._states[entry.state] += 1
        self._retries += entry.attempts - 1
        if self._slowest:
            one = (entry.seconds, -self._ended, number, entry)
            (heapq.heappush if len(self._heap) < self._slowest else heapq.heappushpop)(self._heap, one)
        if entry.state == "ok":
            self._saved += entry.attempts > 1
            if self._slowest_ok is None or entry.seconds > self._slowest_ok.seconds:
                self._slowest_ok = _slow(number, entry)
            self._buckets[bucket_of(entry.seconds)] += 1
        elif entry.state != "running":
            self._blame(entry)
        if entry.host is not None:
            self._at_host(entry, entry.host)

    def _blame(self, entry: Entry) -> None:
        label = entry.group
        if label not in self._causes and len(self._causes) >= MOST_CAUSES:
            label = OTHER
        cause = self._causes.get(label)
        if cause is None:
            cause = self._causes[label] = _Cause(entry.item[:2_000], entry.message[:2_000])
        cause.count += 1
        if entry.host is not None and (entry.host in cause.hosts or len(cause.hosts) < MOST_HOSTS):
            cause.hosts[entry.host] += 1

    def _at_host(self, entry: Entry, name: str) -> None:
        if name not in self._hosts and len(self._hosts) >= MOST_HOSTS:
            name = "other hosts"
        host = self._hosts.setdefault(name, _Host())
        if entry.state == "ok":
            host.ok += 1
            host.times.add(entry.seconds)
        else:
            host.failed += 1

    def report(
        self,
        name: str,
        runs: Sequence[Course] = (),
        *,
        size: int | None = None,
        unread: int = 0,
        is_torn: bool = False,
        marks: Iterable[Mark] = (),
    ) -> Report:
        """All that it has come to."""
        courses = self._with_ends(runs)
        offsets = _offsets(courses)
        ends = array("d", (end + offsets[run] for end, run in zip(self._ends, self._runs, strict=True)))
        elapsed = sum(one.elapsed for one in courses)
        beat, beats = _beats(ends, self._were, elapsed)
        drawn = self._drawn(ends)
        width = 1 + max((lane for _, _, lane, _ in drawn), default=-1)
        worked = sum(span for _, span, _, _ in drawn) / _MICRO
        busy = min(1.0, worked / (width * elapsed)) if width and elapsed > 0.0 else None
        return Report(
            name=name,
            runs=courses,
            ok=self._states["ok"],
            failed=self._states["failed"],
            cancelled=self._states["cancelled"],
            retries=self._retries,
            saved=self._saved,
            ended=self._ended,
            timed=len(self._ends),
            unread=unread,
            is_torn=is_torn,
            size=size,
            elapsed=elapsed,
            times=dict(self._buckets),
            quantiles=_quantiles(self._buckets),
            slowest_ok=self._slowest_ok,
            slowest=tuple(_slow(number, entry) for _, _, number, entry in sorted(self._heap, key=_longest)),
            causes=self._all_causes(),
            hosts=self._all_hosts(),
            beats=beats,
            beat=beat,
            width=width,
            busy=busy,
            picture=self._picture(drawn, tuple(marks)) if self._pictured else Picture(),
        )

    def _with_ends(self, runs: Sequence[Course]) -> tuple[Course, ...]:
        """A run that was cut off lasted at least until its last item ended."""
        last: dict[int, float] = {}
        for end, run in zip(self._ends, self._runs, strict=True):
            last[run] = max(end, last.get(run, 0.0))
        needed = max([0, *(run + 1 for run in last)])
        known = [*runs, *(Course() for _ in range(needed - len(runs)))]
        return tuple(_lasting(one, last.get(n, 0.0)) for n, one in enumerate(known))

    def _drawn(self, ends: array[float]) -> list[tuple[int, int, int, int]]:
        """(start, span, lane, number) of all that say when they ended, by their starts."""
        spans = []
        for number, (end, seconds) in enumerate(zip(ends, self._spans, strict=True)):
            stop = round(end * _MICRO)
            spans.append((max(0, stop - round(seconds * _MICRO)), max(0, stop), number))
        spans.sort()
        if not self._kept:
            lanes = packed((start, end) for start, end, _ in spans)
            return [(*lane, span[2]) for lane, span in zip(lanes, spans, strict=True)]
        found: list[tuple[int, int, int, int]] = []
        first = 0
        names = sorted({entry.lanes for entry in self._kept})
        for name in names:
            mine = [span for span in spans if self._kept[span[2]].lanes == name]
            lanes = packed((start, end) for start, end, _ in mine)
            own = [(*lane, one[2]) for lane, one in zip(lanes, mine, strict=True)]
            found += [(start, span, first + lane, number) for start, span, lane, number in own]
            first += 1 + max((lane for _, _, lane, _ in own), default=-1)
        found.sort()
        return found

    def _picture(self, drawn: list[tuple[int, int, int, int]], marks: tuple[Mark, ...]) -> Picture:
        chosen = _chosen(drawn, self._were)
        starts, spans, lanes, states, attempts, causes, numbers, threads = (column() for _ in range(8))
        labels: dict[str, int] = {"": 0}
        items: list[str] = []
        names: dict[int, str] = {}
        for start, span, lane, number in chosen:
            entry = self._kept[number]
            starts.append(start)
            spans.append(span)
            lanes.append(lane)
            states.append(self._were[number])
            attempts.append(entry.attempts)
            causes.append(_labelled(entry.group, labels))
            numbers.append(number)
            threads.append(entry.thread)
            items.append(entry.item[:LONGEST])
            names[lane] = entry.lanes
        lane_names = tuple(names.get(lane, "") for lane in range(1 + max(names, default=-1)))
        return Picture(
            starts,
            spans,
            lanes,
            states,
            attempts,
            causes,
            numbers,
            threads,
            items,
            lane_names,
            tuple(labels),
            marks,
            len(drawn) - len(chosen),
        )

    def _all_causes(self) -> tuple[Cause, ...]:
        found = sorted(self._causes.items(), key=lambda one: (-one[1].count, one[0]))
        return tuple(
            Cause(label, one.count, one.example, one.message, tuple(one.hosts.most_common(10)))
            for label, one in found
        )

    def _all_hosts(self) -> tuple[Host, ...]:
        found = sorted(self._hosts.items(), key=lambda one: (-one[1].failed, -one[1].ok, one[0]))[
            :MOST_SHOWN_HOSTS
        ]
        return tuple(
            Host(name, one.ok, one.failed, one.times.quantile(0.5), one.times.quantile(0.95))
            for name, one in found
        )


def _labelled(group: str, labels: dict[str, int]) -> int:
    """The number of a label, which it is given when it is new and there are not too many."""
    if group not in labels and len(labels) > MOST_CAUSES:
        group = OTHER
    return labels.setdefault(group, len(labels))


def plain(value: object) -> float | None:
    """A number of seconds from a file, or None for what is none."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0.0 <= value < _FAR:
        return float(value)
    return None


def _quantiles(buckets: Counter[int]) -> tuple[tuple[str, float], ...]:
    times = Times()
    times.add_all(buckets)
    return tuple((label, times.quantile(q)) for label, q in QUANTILES if buckets)


def _longest(one: tuple[float, int, int, Entry]) -> tuple[float, int]:
    return -one[0], -one[1]


def _slow(number: int, entry: Entry) -> Slow:
    return Slow(entry.item[:2_000], entry.seconds, entry.state, entry.attempts, number)


def _lasting(one: Course, last: float) -> Course:
    if last <= one.elapsed:
        return one
    return Course(one.run, one.cmd, one.does, one.input, one.started, one.ended, one.why, last)


def _offsets(runs: Sequence[Course]) -> list[float]:
    """When each began, if one had followed the other without a pause."""
    found = [0.0]
    for one in runs:
        found.append(found[-1] + one.elapsed)
    return found


def _beats(ends: array[float], states: array[int], elapsed: float) -> tuple[float, tuple[Beat, ...]]:
    """How many ended in each stretch of time; the stretches are of a length that people know."""
    if not ends:
        return 0.0, ()
    last = max(ends)
    whole = max(elapsed, last, 1e-6)
    every = _step(whole / MOST_BEATS)
    count = int(whole / every) + 1
    well, badly = [0] * count, [0] * count
    for end, state in zip(ends, states, strict=True):
        place = min(int(end / every), count - 1)
        (badly if state else well)[place] += 1
    return every, tuple(
        Beat(n * every, ok, failed) for n, (ok, failed) in enumerate(zip(well, badly, strict=True))
    )


def _step(least: float) -> float:
    """The smallest of 1, 2, 5, 10, ... (and parts) that is not below `least`."""
    power = 1e-6
    while True:
        for factor in (1.0, 2.0, 5.0):
            if power * factor >= least:
                return power * factor
        power *= 10.0


def _chosen(drawn: list[tuple[int, int, int, int]], states: array[int]) -> list[tuple[int, int, int, int]]:
    """All, or of too many: those that failed, the slowest hundredth, and evenly some of the others."""
    if len(drawn) <= MOST_DRAWN:
        return drawn
    slow = sorted((span for _, span, _, _ in drawn), reverse=True)[len(drawn) // 100]
    special = {one[3] for one in drawn if states[one[3]] or one[1] > slow}
    if len(special) >= MOST_DRAWN:
        special = set(sorted(special)[:: len(special) // MOST_DRAWN + 1])
    every = max(1, -(-(len(drawn) - len(special)) // (MOST_DRAWN - len(special))))
    found = []
    others = 0
    for one in drawn:
        if one[3] in special:
            found.append(one)
            continue
        if others % every == 0:
            found.append(one)
        others += 1
    return found
