"""The referee of a race names one winner, once, whatever comes after."""

from __future__ import annotations

from typing import Any, Literal

from hypothesis import given
from hypothesis import strategies as st

from atonce import Failed, Ok
from atonce._policy.winner import Race
from tests.policy.effort import at_least

rules: st.SearchStrategy[Literal["first_ok", "first_done"]] = st.sampled_from(["first_ok", "first_done"])


@st.composite
def races(draw: st.DrawFn) -> list[tuple[int, Any]]:
    """The ends of all contenders, in the order in which they come."""
    order = draw(st.permutations(range(draw(st.integers(1, 8)))))
    return [(index, Ok(index) if draw(st.booleans()) else Failed(ValueError(index))) for index in order]


@at_least(500)
@given(races(), rules)
def test_the_winner_is_the_first_that_the_rule_lets_win(
    ends: list[tuple[int, Any]], rule: Literal["first_ok", "first_done"]
) -> None:
    referee: Race[int] = Race(len(ends), rule)
    expected, failed = None, []
    for index, outcome in ends:
        assert referee.is_over() == (expected is not None), "over too early or too late"
        referee.ended(index, outcome)
        if expected is None and (outcome.ok or rule == "first_done"):
            expected = outcome
        elif expected is None:
            failed.append((index, outcome.error))
        assert referee.winner is expected
        assert referee.errors() == [error for _, error in sorted(failed)]
        if len(failed) == len(ends):
            break
    assert referee.is_over()


def test_all_failing_is_over_without_a_winner_and_the_errors_stand_as_the_contenders_did() -> None:
    referee: Race[int] = Race(3, "first_ok")
    errors = [ValueError(0), KeyError(1), OSError(2)]
    for index in (2, 0, 1):
        assert not referee.is_over()
        referee.ended(index, Failed(errors[index]))
    assert referee.is_over()
    assert referee.winner is None
    assert referee.errors() == errors
