"""Counts, quantiles and rates are right, and stay small."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce._policy.pace import Pace
from atonce.cli.tally import Failure, Tally, Times

SPANS = st.lists(st.floats(min_value=1e-5, max_value=1e5), min_size=1, max_size=60)


@given(SPANS, st.sampled_from([0.01, 0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_is_that_of_the_sorted_list_to_one_percent(spans: list[float], q: float) -> None:
    times = Times()
    for span in spans:
        times.add(span)
    exact = sorted(spans)[max(0, math.ceil(q * len(spans)) - 1)]
    assert times.quantile(q) == pytest.approx(exact, rel=0.01)


def test_no_times_have_no_quantile() -> None:
    assert Times().quantile(0.5) == 0.0


def test_failures_are_grouped_by_label_with_the_first_as_example() -> None:
    tally = Tally(4)
    for number, label in enumerate(["timeout", "HTTP 404", "timeout"]):
        tally.badly(f"http://a/{number}", Failure("http", "E", "m", label, host=f"h{number % 2}"), attempts=2)
    timeouts = tally.groups["timeout"]
    assert (timeouts.count, timeouts.example, dict(timeouts.hosts)) == (2, "http://a/0", {"h0": 2})
    assert (tally.done, tally.left, tally.retries) == (3, 1, 3)


def test_endless_causes_and_hosts_stay_in_bounded_memory() -> None:
    tally = Tally()
    for number in range(3_000):
        tally.badly("x", Failure("http", "E", "m", f"cause {number}", host=f"host {number}"))
    assert len(tally.groups) <= 201
    assert sum(group.count for group in tally.groups.values()) == 3_000
    assert all(len(group.hosts) <= 1_000 for group in tally.groups.values())


def test_an_item_that_came_out_well_at_last_is_saved() -> None:
    tally = Tally()
    tally.well("a", 0.1, 1)
    tally.well("b", 0.3, 3)
    assert (tally.ok, tally.retries, tally.saved, tally.slowest) == (2, 2, 1, (0.3, "b"))


def test_the_rate_is_that_of_the_last_seconds() -> None:
    pace = Pace(span=10.0)
    for second in range(21):
        pace.mark(float(second), 0 if second <= 10 else 100 * (second - 10))
    assert pace.rate() == pytest.approx(100.0)
    assert pace.eta(500) == pytest.approx(5.0)


def test_without_a_rate_or_a_total_there_is_no_eta() -> None:
    pace = Pace()
    assert pace.eta(5) is None
    pace.mark(0.0, 0)
    pace.mark(1.0, 0)
    assert pace.eta(5) is None
    pace.mark(2.0, 10)
    assert pace.eta(None) is None
