"""When the next start is allowed under a rate."""

from __future__ import annotations

from atonce._model.options import Rate


class Pacer:
    """Smooth pacing: starts are at least `per / count` seconds apart, and unused time is not saved up for a burst.

    This is the generic cell rate algorithm with a tolerance of one start (ITU-T I.371).
    """

    __slots__ = ("_gap", "_next")

    def __init__(self, rate: Rate) -> None:
        self._gap = rate.per / rate.count
        self._next = float("-inf")

    def wait(self, now: float) -> float:
        """Seconds until a start is allowed; 0.0 when it is allowed now."""
        return max(0.0, self._next - now)

    def start(self, now: float) -> None:
        """Count a start at `now`; late starts do not push the next ones closer together."""
        self._next = max(now, self._next) + self._gap
