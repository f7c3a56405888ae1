"""Which wait runs out next: each exactly once, the earliest first, and what has ended takes little room."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from atonce._policy.due import Due
from tests.policy.effort import at_least


class DueMachine(RuleBasedStateMachine):
    """Waits beside a dict of when each runs out, with a clock that only goes forward."""

    @initialize()
    def make(self) -> None:
        self.due: Due[int] = Due()
        self.waits: dict[int, int] = {}
        self.now = 0
        self.entered = 0

    @rule(limit=st.integers(0, 20))
    def enter(self, limit: int) -> None:
        self.entered += 1
        when = self.now + limit
        ring = self.due.next_ring()
        self.waits[self.entered] = when
        is_next = self.due.enter(when, self.entered, self.waits.__contains__)
        assert is_next is (ring is None or when < ring) or self.due.next_ring() == when

    @precondition(lambda self: self.waits)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        del self.waits[data.draw(st.sampled_from(sorted(self.waits)))]

    @rule(passes=st.integers(0, 15))
    def look(self, passes: int) -> None:
        self.now += passes
        expired = self.due.expired(self.now, self.waits.__contains__)
        assert sorted(expired) == sorted(key for key, when in self.waits.items() if when <= self.now)
        assert [self.waits[key] for key in expired] == sorted(self.waits[key] for key in expired)
        for key in expired:
            del self.waits[key]

    @invariant()
    def the_timer_rings_in_time(self) -> None:
        if self.waits:
            ring = self.due.next_ring()
            assert ring is not None
            assert ring <= min(self.waits.values())


DueMachine.TestCase.settings = at_least(200, steps=30)
TestDue = DueMachine.TestCase


@given(st.integers(0, 150), st.integers(1, 3))
def test_what_has_ended_takes_at_most_as_much_room_as_what_goes_on(alive: int, rounds: int) -> None:
    due: Due[int] = Due()
    goes_on = range(alive).__contains__
    for key in range(alive):
        due.enter(10.0, key, goes_on)
    for number in range(rounds * 200):
        due.enter(10.0, alive + number, goes_on)
        assert len(due) <= 2 * (alive + 1) + 64
    assert due.expired(10.0, goes_on) == list(range(alive))
