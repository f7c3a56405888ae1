"""What a run has come to so far: counts, times and failures, in memory that does not grow with the items."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

#: The closed set of what can be wrong with an item.
Kind = Literal[
    "exception", "timeout", "exit", "signal", "http", "connect", "dns", "cancelled", "lost", "rejected"
]
#: Buckets of the histogram are this much wider from one to the next; a quantile is off by half of it at most.
_STEP: Final = math.log(1.01)
_MOST_HOSTS: Final = 1_000
_MOST_GROUPS: Final = 200


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an item failed: `kind` of the closed set, `label` as failures are grouped, `message` of its own.

    `advice` is what the user can do about it, `fields` is what else its record says.
    """

    kind: Kind
    type: str
    message: str
    label: str
    advice: str = ""
    host: str | None = None
    fields: dict[str, int | str] = field(default_factory=dict)

    def record(self) -> dict[str, int | str]:
        """The `err` of a record."""
        found: dict[str, int | str] = {
            "kind": self.kind,
            "type": self.type,
            "msg": self.message,
            **self.fields,
        }
        if self.host is not None:
            found["host"] = self.host
        return found


def cancelled(host: str | None) -> Failure:
    """What is recorded of an item that was running when the run was stopped."""
    return Failure(
        "cancelled", "CancelledError", "stopped while it ran", "cancelled while running", host=host
    )


@dataclass(slots=True)
class Group:
    """Failures with the same label: how many, on which hosts, and the first of them."""

    label: str
    advice: str
    example: str
    count: int = 0
    hosts: Counter[str] = field(default_factory=Counter)

    def add(self, host: str | None) -> None:
        """Count one more."""
        self.count += 1
        if host is not None and (host in self.hosts or len(self.hosts) < _MOST_HOSTS):
            self.hosts[host] += 1


class Times:
    """Durations as a histogram with buckets of one percent: exact enough for a quantile, and small for ever."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self.count: int = 0

    def add(self, span: float) -> None:
        """Count one duration in seconds."""
        self._buckets[bucket_of(span)] += 1
        self.count += 1

    def add_all(self, buckets: Mapping[int, int]) -> None:
        """Count many durations, by their buckets."""
        self._buckets.update(buckets)
        self.count += sum(buckets.values())

    def quantile(self, q: float) -> float:
        """The duration that a share `q` of all does not exceed; 0.0 when there are none."""
        rank = max(1, math.ceil(q * self.count))
        for bucket in sorted(self._buckets):
            rank -= self._buckets[bucket]
            if rank <= 0:
                return math.exp(bucket * _STEP)
        return 0.0

    def within(self, bound: float) -> int:
        """How many took no longer than `bound` seconds."""
        last = math.log(bound) / _STEP
        return sum(count for bucket, count in self._buckets.items() if bucket <= last)

    def total(self) -> float:
        """All durations together, in seconds."""
        return sum(count * math.exp(bucket * _STEP) for bucket, count in self._buckets.items())


def bucket_of(span: float) -> int:
    """The bucket of a duration."""
    return round(math.log(max(1e-06, span)) / _STEP)


def span_below(bucket: int) -> float:
    """The longest duration that is below a bucket, or nearly so."""
    return math.exp((bucket - 0.5) * _STEP) * (1.0 - 1e-12)


class Tally:
    """Counts of one run."""

    def __init__(self, total: int | None = None) -> None:
        self.total = total
        self.ok: int = 0
        self.failed: int = 0
        self.retries: int = 0
        self.saved: int = 0
        self.times: Times = Times()
        self.slowest: tuple[float, str] = (0.0, "")
        self.groups: dict[str, Group] = {}
        self.kinds: Counter[str] = Counter()

    @property
    def done(self) -> int:
        """Items that have ended, well or not."""
        return self.ok + self.failed

    @property
    def left(self) -> int | None:
        """Items that have not ended; None when nobody knows how many there are."""
        return None if self.total is None else max(0, self.total - self.done)

    def well(self, item: str, span: float, attempts: int) -> None:
        """An item came out well."""
        self.ok += 1
        self._attempts(attempts)
        self.saved += attempts > 1
        self.times.add(span)
        if span > self.slowest[0]:
            self.slowest = (span, item)

    def badly(self, item: str, failure: Failure, attempts: int = 1) -> None:
        """An item failed."""
        self.failed += 1
        self.kinds[failure.kind] += 1
        self._attempts(attempts)
        label = failure.label
        if label not in self.groups and len(self.groups) >= _MOST_GROUPS:
            label = "other failures"
        group = self.groups.get(label)
        if group is None:
            group = self.groups[label] = Group(label, failure.advice, item)
        group.add(failure.host)

    def _attempts(self, attempts: int) -> None:
        self.retries += attempts - 1
