"""One timer for all items of a stream: every expiry is due, and none is missed."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from atonce._policy.deadlines import Deadlines
from tests.policy.effort import at_least


class DeadlinesMachine(RuleBasedStateMachine):
    """A stream's clock, lanes and one timer beside a model that looks at every running item at every moment.

    Lanes are used again for item after item, as the real ones are, so a key alone does not tell which item it is on.
    """

    @initialize(timeout=st.integers(1, 8))
    def make(self, timeout: int) -> None:
        self.timeout = float(timeout)
        self.deadlines: Deadlines[int] = Deadlines(self.timeout)
        self.now = 0.0
        self.ring_at: float | None = None
        self.began: dict[int, float] = {}
        self.looks = 0

    def running(self) -> list[tuple[float, int]]:
        self.looks += 1
        return [(start, lane) for lane, start in self.began.items()]

    def still(self, start: float, lane: int) -> bool:
        return self.began.get(lane) == start

    def overdue(self) -> set[int]:
        return {lane for lane, start in self.began.items() if start + self.timeout <= self.now}

    @rule(lane=st.integers(0, 5))
    def start_or_end(self, lane: int) -> None:
        if lane in self.began:
            del self.began[lane]
        else:
            self.began[lane] = self.now
            if self.ring_at is None:
                self.ring_at = self.now + self.timeout

    @rule(lane=st.integers(0, 5))
    def end_and_start_the_next_at_once(self, lane: int) -> None:
        if lane in self.began:
            self.began[lane] = self.now

    @rule(seconds=st.integers(1, 12), late=st.sampled_from([0.0, 0.0, 0.0, 0.5, 20.0]))
    def time_passes(self, seconds: int, late: float) -> None:
        """To the end of `seconds`, ringing on the way; `late`: the loop was blocked and the timer rings late."""
        end = self.now + seconds
        while self.ring_at is not None and self.ring_at <= end:
            self.now = max(self.now, self.ring_at + late)
            self.ring()
        self.now = max(self.now, end)

    def ring(self) -> None:
        due = self.overdue()
        expired = self.deadlines.due(self.now, self.running, self.still)
        assert sorted(expired) == sorted(due), "what is expired is exactly what is due, each once"
        for lane in expired:
            del self.began[lane]
        self.ring_at = self.deadlines.next_ring(self.still)
        if self.ring_at is None and self.began:
            self.ring_at = self.now + self.timeout

    @precondition(lambda self: self.ring_at is not None)
    @rule()
    def the_timer_rings_early(self) -> None:
        self.ring()

    @invariant()
    def the_timer_rings_before_anything_is_overdue(self) -> None:
        for start in self.began.values():
            assert self.ring_at is not None
            assert self.ring_at <= max(start + self.timeout, self.now)


DeadlinesMachine.TestCase.settings = at_least(300)
TestDeadlines = DeadlinesMachine.TestCase


@pytest.mark.parametrize("items", [1_000, 100_000])
def test_items_that_end_in_time_cost_no_looks(items: int) -> None:
    """Ten places, each item takes a tenth of the timeout: a look serves until its last entry is due."""
    deadlines: Deadlines[int] = Deadlines(1.0)
    began = dict.fromkeys(range(10), 0.0)
    looks = 0

    def running() -> list[tuple[float, int]]:
        nonlocal looks
        looks += 1
        return [(start, lane) for lane, start in began.items()]

    ring_at: float | None = 1.0
    for number in range(items):
        now = number / 100
        began[number % 10] = now
        if ring_at is not None and ring_at <= now:
            assert deadlines.due(now, running, lambda start, lane: began[lane] == start) == []
            ring_at = deadlines.next_ring(lambda start, lane: began[lane] == start)
    assert 0 < looks <= items / 50
