"""Pauses stay within their bounds, and only what may be retried is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from atonce import Retry, TaskStopped
from atonce._policy.backoff import again, pause
from tests.policy.effort import at_least

JITTERS = ("full", "equal", "decorrelated", None)
delays = st.floats(0, 1e9)
some_delays = delays.filter(lambda seconds: seconds > 0)
dices = st.floats(0, 1, exclude_max=True)
attempts = st.integers(1, 10**6)


def exact(retry: Retry, attempt: int) -> float:
    """The pause without jitter, by doubling step by step, as a reader would do it on paper."""
    delay = retry.base_delay
    for _ in range(attempt - 1):
        if delay >= retry.max_delay or delay == 0:
            break
        delay *= 2
    return min(delay, retry.max_delay)


@at_least(500)
@given(base=delays, most=some_delays, attempt=attempts, dice=dices)
@example(base=1e9, most=1e9, attempt=10**6, dice=0.999)
@example(base=0.0, most=1.0, attempt=10**6, dice=0.5)
def test_the_pause_keeps_the_bounds_of_its_jitter(
    base: float, most: float, attempt: int, dice: float
) -> None:
    full, equal, none = (
        pause(Retry(base_delay=base, max_delay=most, jitter=jitter), attempt, 0.0, lambda: dice)
        for jitter in ("full", "equal", None)
    )
    most_now = exact(Retry(base_delay=base, max_delay=most), attempt)
    assert none == most_now or (attempt > 62 and none <= most_now)
    assert 0 <= full <= most_now
    assert most_now / 2 <= equal <= most_now or attempt > 62
    assert all(math.isfinite(one) and one <= most for one in (full, equal, none))


@at_least(500)
@given(base=delays, most=some_delays, dices=st.lists(dices, min_size=1, max_size=30))
def test_decorrelated_pauses_stay_between_the_base_and_three_times_the_last(
    base: float, most: float, dices: list[float]
) -> None:
    retry = Retry(base_delay=base, max_delay=most, jitter="decorrelated")
    previous = 0.0
    for attempt, dice in enumerate(dices, start=1):
        now = pause(retry, attempt, previous, lambda dice=dice: dice)
        assert min(base, most) <= now <= min(most, max(base, 3 * (previous or base)) * (1 + 1e-12))
        previous = now


@pytest.mark.parametrize("jitter", JITTERS)
def test_the_millionth_attempt_does_not_overflow(jitter: Any) -> None:
    retry = Retry(attempts=10**9, base_delay=0.1, max_delay=5.0, jitter=jitter)
    assert 0 <= pause(retry, 10**6, 5.0, lambda: 0.999999) <= 5.0


def test_pauses_without_jitter_double_up_to_the_limit() -> None:
    retry = Retry(base_delay=0.5, max_delay=3.0, jitter=None)
    assert [pause(retry, n, 0.0, lambda: 0.5) for n in range(1, 6)] == [0.5, 1.0, 2.0, 3.0, 3.0]


@pytest.mark.parametrize("jitter", JITTERS)
def test_the_dice_spread_the_pause_unless_there_is_no_jitter(jitter: Any) -> None:
    retry = Retry(base_delay=1.0, max_delay=100.0, jitter=jitter)
    seen = {pause(retry, 3, 2.0, lambda dice=dice: dice / 10) for dice in range(10)}
    assert len(seen) == (1 if jitter is None else 10)


# -- whether there is another attempt -----------------------------------------------------------------------------


def ask(error: BaseException, attempt: int = 1, **options: Any) -> float | None:
    options = {"attempts": 3, "base_delay": 1.0, "max_delay": 8.0, "jitter": None, **options}
    return again(Retry(**options), error, attempt, 0.0, lambda: 0.5)


@given(most=st.integers(1, 100), attempt=st.integers(1, 200))
def test_there_are_never_more_attempts_than_asked_for(most: int, attempt: int) -> None:
    assert (ask(ValueError(), attempt, attempts=most) is None) == (attempt >= most)


class _Odd(BaseException):
    """Neither an Exception nor one of Python's own."""


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize(
    "retry_on",
    [BaseException, (BaseException,), lambda error: True, lambda error: 0.5],
    ids=["type", "types", "yes", "pause"],
)
def test_an_interrupt_an_exit_and_a_close_are_never_retried(kind: type[BaseException], retry_on: Any) -> None:
    assert ask(kind(), retry_on=retry_on) is None


@pytest.mark.parametrize(
    "retry_on", [Exception, BaseException, lambda error: True], ids=["Exception", "BaseException", "yes"]
)
def test_a_task_that_was_stopped_is_never_retried(retry_on: Any) -> None:
    assert ask(TaskStopped("stopped"), retry_on=retry_on) is None


@pytest.mark.parametrize(
    ("retry_on", "error", "is_tried"),
    [
        (Exception, ValueError(), True),
        (Exception, _Odd(), False),
        (BaseException, _Odd(), True),
        (OSError, ConnectionResetError(), True),
        (OSError, ValueError(), False),
        ((OSError, KeyError), KeyError(), True),
        ((OSError, KeyError), ValueError(), False),
    ],
    ids=repr,
)
def test_types_say_what_is_retried(retry_on: Any, error: BaseException, is_tried: bool) -> None:
    assert (ask(error, retry_on=retry_on) is not None) == is_tried


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (True, 1.0),
        (False, None),
        (None, None),
        (0, 0.0),
        (0.0, 0.0),
        (2, 2.0),
        (30.5, 30.5),
        (-3.0, 0.0),
    ],
)
def test_a_predicate_answers_yes_or_no_or_the_pause_itself(answer: Any, expected: float | None) -> None:
    asked: list[BaseException] = []

    def predicate(error: BaseException) -> Any:
        asked.append(error)
        return answer

    error = ValueError()
    assert ask(error, retry_on=predicate) == expected
    assert asked == [error]


def test_a_predicate_is_not_asked_about_the_last_attempt() -> None:
    def predicate(error: BaseException) -> bool:
        raise AssertionError("asked for nothing")

    assert ask(ValueError(), attempt=3, attempts=3, retry_on=predicate) is None


@pytest.mark.parametrize("dice", [0.0, 0.25, 0.999])
def test_a_yes_means_the_usual_pause_with_its_jitter(dice: float) -> None:
    retry = Retry(attempts=5, base_delay=1.0, max_delay=8.0, jitter="full", retry_on=lambda error: True)
    got: Callable[[], float | None] = lambda: again(retry, ValueError(), 2, 0.0, lambda: dice)  # noqa: E731  # read once
    assert got() == 2.0 * dice
