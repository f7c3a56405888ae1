"""A run halts exactly when its rule says so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.cli.work.halt import ENOUGH, Halt, read

HALTS = st.builds(
    Halt,
    st.sampled_from(["now", "soon"]),
    st.sampled_from(["fail", "success", "done"]),
    st.integers(1, 100),
    st.booleans(),
)


@given(HALTS)
def test_what_is_written_reads_back(halt: Halt) -> None:
    assert read(str(halt)) == halt


@pytest.mark.parametrize(
    "text", ["", "now", "fail=1", "later,fail=1", "now,fail=0", "now,fail=101%", "now,fail=-1"]
)
def test_what_is_no_rule_is_answered_with_one(text: str) -> None:
    with pytest.raises(ValueError, match="now,fail=1|1 or more"):
        read(text)


@given(st.sampled_from(["fail", "success", "done"]), st.integers(1, 20), st.lists(st.booleans(), max_size=30))
def test_a_count_is_reached_at_the_item_that_makes_it(why: str, count: int, ends: list[bool]) -> None:
    halt = read(f"now,{why}={count}")
    matching = [n for n, ok in enumerate(ends) if why == "done" or ok == (why == "success")]
    reached = [
        n for n in range(len(ends)) if halt.is_reached(sum(ends[: n + 1]), n + 1 - sum(ends[: n + 1]), None)
    ]
    assert reached[:1] == matching[count - 1 :][:1]


@given(st.integers(1, 100), st.integers(0, 50), st.integers(0, 50))
def test_a_share_of_failures_counts_from_the_third_item_on(percent: int, ok: int, failed: int) -> None:
    expected = ok + failed >= ENOUGH and failed / (ok + failed) >= percent / 100
    assert read(f"soon,fail={percent}%").is_reached(ok, failed, None) == expected


def test_a_share_of_all_items_needs_their_number() -> None:
    halt = read("soon,done=50%")
    assert not halt.is_reached(50, 0, None)
    assert not halt.is_reached(49, 0, 100)
    assert halt.is_reached(49, 1, 100)
