"""Starts are paced: never too many in any window, never in bursts, and never slower than asked for."""

from __future__ import annotations

import itertools
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from atonce import Rate
from atonce._policy.rate import Pacer
from tests.policy.effort import at_least

# Exact in binary, so that the laws hold to the last bit.
rates = st.builds(Rate, count=st.sampled_from([1, 2, 4, 8, 64]), per=st.sampled_from([0.25, 1.0, 2.0, 64.0]))
#: For each start: how long the caller does something else first.
idle_times = st.lists(
    st.sampled_from([0.0, 0.0, 0.0, 0.0625, 0.25, 1.0, 3.0, 100.0]), min_size=1, max_size=60
)


def starts_of(rate: Rate, idle: list[float]) -> list[float]:
    """When an eager caller starts, who waits as long as he is told and not longer."""
    pacer, now, starts = Pacer(rate), 0.0, []
    for seconds in idle:
        now += seconds
        now += pacer.wait(now)
        assert pacer.wait(now) == 0.0, "told to wait twice"
        pacer.start(now)
        starts.append(now)
    return starts


@at_least(500)
@given(rates, idle_times)
def test_no_window_of_the_length_of_per_has_more_than_count_starts(rate: Rate, idle: list[float]) -> None:
    starts = starts_of(rate, idle)
    for first in starts:
        assert sum(first <= one < first + rate.per for one in starts) <= rate.count


@at_least(500)
@given(rates, idle_times)
def test_starts_are_never_closer_than_their_share_of_per(rate: Rate, idle: list[float]) -> None:
    starts = starts_of(rate, idle)
    assert all(later - earlier >= rate.per / rate.count for earlier, later in itertools.pairwise(starts))


@given(rates, st.integers(1, 200))
def test_an_eager_caller_gets_the_whole_rate(rate: Rate, starts: int) -> None:
    assert starts_of(rate, [0.0] * starts)[-1] == (starts - 1) * rate.per / rate.count


@given(rates, st.floats(0, 1e6))
def test_the_first_start_does_not_wait(rate: Rate, now: float) -> None:
    assert Pacer(rate).wait(now) == 0.0


def test_unused_time_is_not_saved_up_for_a_burst() -> None:
    assert starts_of(Rate(4, per=1.0), [0.0, 100.0, 0.0, 0.0, 0.0]) == [0.0, 100.0, 100.25, 100.5, 100.75]


def test_starting_without_having_waited_is_made_up_for() -> None:
    pacer = Pacer(Rate(1, per=1.0))
    for _ in range(3):
        pacer.start(0.0)
    assert pacer.wait(0.0) == 3.0


@given(st.integers(1, 10**9), st.floats(1e-3, 1e9))
def test_rounding_never_lets_the_gap_vanish(count: int, per: float) -> None:
    pacer = Pacer(Rate(count, per))
    pacer.start(0.0)
    assert pacer.wait(0.0) > 0
    assert abs(Fraction(pacer.wait(0.0)) * count - Fraction(per)) <= Fraction(per) / 10**12
