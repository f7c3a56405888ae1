"""Retry and Rate are checked where they are made, and read from their short forms."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce import Rate, Retry

NAN, INF = float("nan"), float("inf")
NO_SECONDS = [-1, -0.5, NAN, INF, -INF, True, "1", 10**9 + 1, 10**400, [1]]
NO_COUNTS = [0, -1, 1.0, 2.5, NAN, INF, True, "3", 10**9 + 1, 10**400, [1]]


def _id(value: object) -> str:
    return "huge" if isinstance(value, int) and value > 10**300 else repr(value).partition(" at 0x")[0]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *[("attempts", value) for value in [*NO_COUNTS, None]],
        *[("base_delay", value) for value in [*NO_SECONDS, None]],
        *[("max_delay", value) for value in [*NO_SECONDS, 0, None]],
        *[("deadline", value) for value in [*NO_SECONDS, 0]],
        *[("jitter", value) for value in ["Full", "ful", "none", 0, False, True, ""]],
        *[
            ("retry_on", value)
            for value in [None, 5, "ValueError", int, (), (ValueError, 5), [ValueError], object()]
        ],
    ],
    ids=_id,
)
def test_retry_refuses_a_bad_option_by_name(option: str, value: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=option):
        Retry(**{option: value})


@pytest.mark.parametrize(
    ("option", "value"),
    [("base_delay", 0), ("attempts", 1), ("jitter", None), ("deadline", None)],
)
def test_retry_takes_the_legal_extremes(option: str, value: Any) -> None:
    assert getattr(Retry(**{option: value}), option) == value


@pytest.mark.parametrize("option", ["count", "per"])
def test_rate_refuses_a_bad_option_by_name(option: str) -> None:
    good: dict[str, Any] = {"count": 10, "per": 1.0}
    for value in NO_COUNTS if option == "count" else [*NO_SECONDS, 0]:
        with pytest.raises((ValueError, TypeError), match=option):
            Rate(**{**good, option: value})


@given(st.integers(1, 10**9), st.sampled_from(["s", "sec", "second", "m", "min", "minute", "h", "hour"]))
def test_a_rate_is_read_from_its_written_form(count: int, unit: str) -> None:
    assert (
        Rate.of(f"{count}/{unit}")
        == Rate.of(f" {count} / {unit.upper()} ")
        == Rate(count, per={"s": 1.0, "m": 60.0, "h": 3600.0}[unit[0]])
    )


@pytest.mark.parametrize(
    "text",
    ["", "10", "/s", "10/", "0/s", "-1/s", "1.5/s", "10/day", "ten/s", "10/s/s", "10 s", "²/s"],
)
def test_a_rate_that_cannot_be_read_is_told_how_rates_are_written(text: str) -> None:
    with pytest.raises(ValueError, match="'10/s', '300/min'"):
        Rate.of(text)


def test_a_written_rate_above_the_largest_count_is_refused() -> None:
    with pytest.raises(ValueError, match=r"10\*\*9"):
        Rate.of("10000000000/s")


@pytest.mark.parametrize("value", [10, 10.0, True, (10, 1.0), b"10/s"])
def test_a_rate_of_another_type_is_told_both_forms(value: Any) -> None:
    with pytest.raises(TypeError, match="rate='10/s' or Rate"):
        Rate.of(value)


def test_a_count_stands_for_a_retry_with_as_many_attempts() -> None:
    assert Retry.of(5) == Retry(attempts=5)
    assert Retry.of(None) is None
    retry = Retry(attempts=2)
    assert Retry.of(retry) is retry


@pytest.mark.parametrize("value", NO_COUNTS, ids=_id)
def test_a_bad_count_for_a_retry_is_refused(value: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="retry"):
        Retry.of(value)


@pytest.mark.parametrize("value", [Retry(), Rate(10)], ids=["Retry", "Rate"])
def test_options_are_frozen_values(value: Any) -> None:
    with pytest.raises((AttributeError, TypeError)):
        value.count = value.attempts = 5
    assert pickle.loads(pickle.dumps(value)) == value
    assert not hasattr(value, "__dict__")
