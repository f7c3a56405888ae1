"""How often a supervisor may restart its children, and how long a child rests before it runs again."""

from __future__ import annotations

from collections import deque

from atonce._model.options import Retry
from atonce._policy.backoff import Dice, pause


class Intensity:
    """A sliding window over restarts: more than `most` of them within `seconds` are too many. OTP: `add_restart`."""

    __slots__ = ("_times", "most", "seconds")

    def __init__(self, most: int, seconds: float) -> None:
        self.most = most
        self.seconds = seconds
        self._times: deque[float] = deque()

    def allow(self, now: float) -> bool:
        """One more restart is due at `now`; False when it is one too many."""
        times = self._times
        while times and times[0] < now - self.seconds:
            times.popleft()
        times.append(now)
        return len(times) <= self.most

    @property
    def count(self) -> int:
        """How many restarts are in the window as of the last one."""
        return len(self._times)


class Healing:
    """The pauses of one child: they grow from restart to restart, and begin anew once it has been healthy."""

    __slots__ = ("_attempt", "_previous")

    def __init__(self) -> None:
        self._attempt = 0
        self._previous = 0.0

    def rest(self, backoff: Retry | None, ran: float, healthy: float, dice: Dice) -> float:
        """Seconds to rest before the next run, after one that took `ran`; one of `healthy` seconds or more resets."""
        if backoff is None:
            return 0.0
        if ran >= healthy:
            self._attempt, self._previous = 0, 0.0
        self._attempt += 1
        self._previous = pause(backoff, self._attempt, self._previous, dice)
        return self._previous
