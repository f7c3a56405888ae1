"""Restarts are counted exactly in a sliding window; pauses grow, stay under their bound, and begin anew."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atonce import Retry
from atonce._policy.restarts import Healing, Intensity
from tests.policy.effort import at_least


@at_least(2_000)
@given(
    most=st.integers(0, 5),
    window=st.sampled_from([0.5, 1.0, 5.0]),
    gaps=st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0, 5.0, 9.0]), max_size=40),
)
def test_more_than_most_restarts_within_the_window_are_too_many_and_no_fewer(
    most: int, window: float, gaps: list[float]
) -> None:
    intensity, times, now = Intensity(most, window), [0.0] * 0, 0.0
    for gap in gaps:
        now += gap
        times.append(now)
        inside = [time for time in times if time >= now - window]
        assert intensity.allow(now) == (len(inside) <= most)
        assert intensity.count == len(inside)


def test_the_window_keeps_no_more_than_is_inside() -> None:
    intensity = Intensity(10, 1.0)
    for second in range(10_000):
        assert intensity.allow(second * 0.5)
    assert len(intensity._times) <= 3


def test_without_back_off_a_child_runs_again_at_once() -> None:
    healing = Healing()
    assert [healing.rest(None, 0.0, 5.0, lambda: 0.5) for _ in range(3)] == [0.0, 0.0, 0.0]


def test_pauses_double_up_to_the_longest_and_begin_anew_after_a_healthy_run() -> None:
    healing, backoff = Healing(), Retry(base_delay=1.0, max_delay=5.0, jitter=None)
    pauses = [healing.rest(backoff, ran, 10.0, lambda: 0.5) for ran in (0.0, 9.9, 3.0, 0.0, 10.0, 0.0)]
    assert pauses == [1.0, 2.0, 4.0, 5.0, 1.0, 2.0]


@at_least(500)
@given(
    jitter=st.sampled_from(["full", "equal", "decorrelated", None]),
    runs=st.lists(st.floats(0, 20), max_size=100),
    dice=st.floats(0, 1, exclude_max=True),
)
def test_a_pause_is_never_negative_and_never_over_its_bound(
    jitter: object, runs: list[float], dice: float
) -> None:
    healing, backoff = Healing(), Retry(base_delay=0.5, max_delay=8.0, jitter=jitter)  # type: ignore[arg-type]  # drawn
    for ran in runs:
        assert 0.0 <= healing.rest(backoff, ran, 10.0, lambda: dice) <= 8.0
