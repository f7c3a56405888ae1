"""Lanes hold spans that do not overlap, and there are no more of them than needed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atonce.report.lanes import SLACK, packed

SPANS = st.lists(
    st.tuples(st.integers(0, 200), st.integers(0, 60)).map(lambda one: (one[0], one[0] + one[1]))
).map(sorted)


@given(SPANS)
def test_no_two_spans_on_a_lane_overlap(spans: list[tuple[int, int]]) -> None:
    ends: dict[int, int] = {}
    for start, span, lane in packed(spans):
        assert span >= 0
        assert start >= ends.get(lane, 0)
        ends[lane] = start + span


@given(SPANS)
def test_a_span_keeps_its_end_and_its_start_but_for_rounding(spans: list[tuple[int, int]]) -> None:
    for (began, ended), (start, span, _) in zip(spans, packed(spans), strict=True):
        assert began <= start <= began + SLACK
        assert start + span == max(start, ended)


@given(SPANS)
def test_there_are_as_many_lanes_as_spans_at_one_moment(spans: list[tuple[int, int]]) -> None:
    lanes = 1 + max((lane for _, _, lane in packed(spans)), default=-1)
    most = max((sum(a <= at < max(b, a + 1) for a, b in spans) for at, _ in spans), default=0)
    assert lanes <= most


def test_rounding_of_a_chain_of_items_needs_no_second_lane() -> None:
    chain = [(0, 11), (10, 21), (21, 30), (28, 40)]
    assert {lane for _, _, lane in packed(chain)} == {0}
