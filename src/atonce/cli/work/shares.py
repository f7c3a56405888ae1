"""What the time of all items goes into: a place in the queue, work, pauses before further attempts, a slow reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

#: Fewer looks than these, which is a second, say nothing worth reading.
ENOUGH: Final = 20
#: Each share, as records and as people name it.
WORDS: Final = {
    "running": "running",
    "queued": "queued",
    "backing_off": "backing off",
    "consumer": "waiting for output",
}


class Moment(NamedTuple):
    """How many items were where: taken and not begun, begun, at rest between attempts, ended and not written."""

    queued: int
    running: int
    backing_off: int
    consumer: int


class Shares:
    """Adds up looks at a run: a count for so many seconds is that many seconds of items (Little's law)."""

    def __init__(self) -> None:
        self._sums = [0.0] * len(Moment._fields)
        self._looks = 0

    def add(self, span: float, moment: Moment) -> None:
        """So it was for `span` seconds."""
        self._looks += 1
        for place, count in enumerate(moment):
            self._sums[place] += span * count

    def fractions(self) -> dict[str, float] | None:
        """The share of each, in 0 to 1; None when too little was seen."""
        whole = sum(self._sums)
        if self._looks < ENOUGH or whole <= 0.0:
            return None
        return {name: round(part / whole, 3) for name, part in zip(Moment._fields, self._sums, strict=True)}


def said(shares: Mapping[str, float]) -> list[tuple[str, str]]:
    """Those worth a word, the largest first: what, and how much of the time.

    >>> said({"queued": 0.0, "running": 0.714, "backing_off": 0.252, "consumer": 0.034})
    [('running', '71%'), ('backing off', '25%'), ('waiting for output', '3%')]
    """
    largest = sorted(WORDS, key=lambda name: -shares.get(name, 0.0))
    return [(WORDS[name], f"{shares[name]:.0%}") for name in largest if shares.get(name, 0.0) >= 0.005]


def read(value: object) -> dict[str, float] | None:
    """The shares of a record, whatever stands there."""
    given: Mapping[str, object] = value if isinstance(value, Mapping) else {}
    found = {
        name: float(one)
        for name in WORDS
        if isinstance(one := given.get(name), (int, float)) and one is not True and 0.0 <= one <= 1.0
    }
    return found if said(found) else None
