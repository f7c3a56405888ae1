"""When a run stops because of how its items end (`--halt`, as GNU parallel has it); pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, cast

When = Literal["now", "soon"]
Why = Literal["fail", "success", "done"]

_WRITTEN: Final = re.compile(r"(now|soon),(fail|success|done)=([0-9]{1,9})(%?)")
#: A share of the items means nothing before so many have ended.
ENOUGH: Final = 3


@dataclass(frozen=True, slots=True)
class Halt:
    """Stop `when` so many items (`percent`: so many of a hundred that have ended) have ended as `why` says."""

    when: When
    why: Why
    count: int
    percent: bool = False

    def is_reached(self, ok: int, failed: int, total: int | None) -> bool:
        """Whether it is time to stop, with so many items ended; `total` is how many there are, if somebody knows."""
        done = ok + failed
        have = {"fail": failed, "success": ok, "done": done}[self.why]
        if not self.percent:
            return have >= self.count
        of = total if self.why == "done" else done
        if of is None or (self.why != "done" and done < ENOUGH):
            return False
        return have * 100 >= self.count * of

    def __str__(self) -> str:
        return f"{self.when},{self.why}={self.count}{'%' if self.percent else ''}"


def read(text: str) -> Halt:
    """Read what `--halt` takes.

    >>> read("soon,fail=10%"), str(read("now,success=1"))
    (Halt(when='soon', why='fail', count=10, percent=True), 'now,success=1')
    """
    match = _WRITTEN.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(
            f"{text!r} does not say when to halt: write now,fail=1 or soon,fail=10% or now,success=1"
        )
    when, why, number, percent = match.groups()
    count = int(number)
    if count < 1 or (percent and count > 100):
        raise ValueError(f"{text!r}: it is 1 or more, or 1% to 100%")
    return Halt(cast("When", when), cast("Why", why), count, bool(percent))
