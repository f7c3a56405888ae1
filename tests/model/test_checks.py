"""Every limit refuses every bad value, and the message names the option and the corrected form."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce._model import checks

NAN, INF, HUGE = float("nan"), float("inf"), 10**400

#: Bad for every number, in whatever unit.
NO_NUMBERS: list[tuple[Any, type[Exception]]] = [
    (True, TypeError),
    (False, TypeError),
    ("1", TypeError),
    (b"1", TypeError),
    ([1], TypeError),
    (1j, TypeError),
    (object(), TypeError),
    (dt.timedelta(seconds=1), TypeError),
]
BAD_SECONDS: list[tuple[Any, type[Exception]]] = [
    *NO_NUMBERS,
    (-1, ValueError),
    (-0.001, ValueError),
    (-INF, ValueError),
    (NAN, ValueError),
    (INF, ValueError),
    (10**9 + 1, ValueError),
    (1e300, ValueError),
    (HUGE, ValueError),
    (-HUGE, ValueError),
    (Fraction(HUGE), ValueError),
]
BAD_COUNTS: list[tuple[Any, type[Exception]]] = [
    *NO_NUMBERS,
    (-1, ValueError),
    (1.0, TypeError),
    (1.5, TypeError),
    (NAN, TypeError),
    (INF, TypeError),
    (Fraction(1, 2), TypeError),
    (Decimal(1), TypeError),
    (10**9 + 1, ValueError),
    (HUGE, ValueError),
    (-HUGE, ValueError),
]


def _named(value: object) -> str:
    if isinstance(value, (int, Fraction)) and abs(value) > 10**300:
        return f"huge{type(value).__name__}"
    return f"{type(value).__name__}:{value}".partition(" at 0x")[0][:40]


_rows = [
    *[
        (checks.seconds, {}, *one)
        for one in [*BAD_SECONDS, (0, ValueError), (0.0, ValueError), (None, TypeError)]
    ],
    *[(checks.seconds, {"zero": True}, *one) for one in [*BAD_SECONDS, (None, TypeError)]],
    *[(checks.seconds_or_none, {}, *one) for one in [*BAD_SECONDS, (0, ValueError)]],
    *[(checks.seconds_or_none, {"zero": True}, *one) for one in BAD_SECONDS],
    *[(checks.count, {}, *one) for one in [*BAD_COUNTS, (0, ValueError), (None, TypeError)]],
    *[(checks.count, {"least": 0}, *one) for one in [*BAD_COUNTS, (None, TypeError)]],
    *[(checks.count_or_none, {}, *one) for one in [*BAD_COUNTS, (0, ValueError)]],
    *[(checks.flag, {}, value, TypeError) for value in (None, 0, 1, "yes", 1.0)],
    *[(checks.label, {}, value, TypeError) for value in (1, b"x", True, ["x"])],
    *[(checks.label, {}, value, ValueError) for value in ("", "a\nb", "\x1b[31m", "x" * 201)],
    *[(checks.several, {}, value, TypeError) for value in (None, 1, "abc", b"abc", object())],
    *[(checks.function, {}, value, TypeError) for value in (None, 1, "len", [])],
]


@pytest.mark.parametrize(
    ("checker", "options", "value", "error"),
    _rows,
    ids=[f"{row[0].__name__}{sorted(row[1])}-{_named(row[2])}" for row in _rows],
)
def test_a_bad_value_is_refused_and_the_message_names_the_option(
    checker: Callable[..., Any], options: dict[str, Any], value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        checker("the_option", value, **options)
    message = str(caught.value)
    assert type(caught.value) is error
    assert "the_option" in message
    assert len(message) < 400
    assert message.isprintable()


@pytest.mark.parametrize(
    ("checker", "value", "form"),
    [
        (checks.seconds, "5", "the_option=1.5"),
        (checks.seconds, -1, "the_option=1.5"),
        (checks.seconds, INF, "the_option=1.5"),
        (checks.seconds, dt.timedelta(minutes=2), "the_option=120.0"),
        (checks.count, 2.0, "the_option=4"),
        (checks.count, 0, "the_option=4"),
        (checks.label, 7, "the_option='resize'"),
        (checks.flag, 1, "True or False"),
    ],
)
def test_the_message_shows_the_corrected_form(checker: Callable[..., Any], value: Any, form: str) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        checker("the_option", value)
    assert form in str(caught.value)


@given(st.one_of(st.integers(1, 10**9), st.floats(1e-9, 1e9), st.fractions(Fraction(1, 1000), 1000)))
def test_good_seconds_are_given_back_as_a_float(value: Any) -> None:
    got = checks.seconds("timeout", value)
    assert type(got) is float
    assert got == float(value)


@given(st.integers(1, 10**9))
def test_a_good_count_is_given_back_as_a_plain_int(value: int) -> None:
    assert checks.count("n", value) == value


def test_zero_is_taken_where_it_is_legal() -> None:
    assert checks.seconds("grace", 0, zero=True) == 0.0
    assert checks.seconds("grace", -0.0, zero=True) == 0.0
    assert checks.count("n", 0, least=0) == 0


class _Index:
    """A whole number of another library."""

    def __index__(self) -> int:
        return 3


def test_another_librarys_whole_number_is_a_count() -> None:
    got = checks.count("n", _Index())
    assert type(got) is int
    assert got == 3


def test_none_means_no_limit_where_it_may_be_left_out() -> None:
    assert checks.seconds_or_none("timeout", None) is None
    assert checks.count_or_none("n", None) is None
    assert checks.label("name", None) is None


@pytest.mark.parametrize("value", ["fist_ok", "FIRST_OK", "", None, 1, True])
def test_a_wrong_choice_is_refused_with_all_that_may_be_chosen(value: Any) -> None:
    with pytest.raises(ValueError, match="until is 'first_ok' or 'first_done'"):
        checks.choice("until", value, ("first_ok", "first_done"))


def test_a_near_miss_of_a_choice_is_told_the_near_one() -> None:
    with pytest.raises(ValueError, match="did you mean until='first_ok'"):
        checks.choice("until", "fist_ok", ("first_ok", "first_done"))


def test_a_true_is_not_taken_for_a_one() -> None:
    with pytest.raises(ValueError, match="jitter"):
        checks.choice("jitter", True, ("full", None))


def test_a_coroutine_in_place_of_a_function_is_closed_and_explained() -> None:
    async def work() -> None: ...

    with pytest.raises(TypeError, match="not the coroutine that it returned"):
        checks.function("fn", work())


@given(st.text(max_size=300), st.integers(4, 100))
def test_a_shown_value_is_one_short_printable_line(text: str, most: int) -> None:
    shown = checks.shown(text, most)
    assert len(shown) <= most
    assert shown.isprintable()


class _NoRepr:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def test_a_value_without_a_working_repr_is_shown_by_its_type() -> None:
    assert checks.shown(_NoRepr()) == "<unprintable _NoRepr>"
