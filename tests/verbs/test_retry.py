"""`retry_with_backoff` and `Retry`: again, with growing pauses, and never without an end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.verbs.acts import Probe, forever, gate, notes, now, turns

import atonce
from atonce import Retry, TaskStopped, TaskTimeout, retry_with_backoff, spawn, stream, telemetry

virtual = pytest.mark.virtual


class Flaky:
    """Fails a number of times, then returns; remembers when it was called."""

    def __init__(
        self, failures: int, error: Callable[[], BaseException] = lambda: ValueError("flaky")
    ) -> None:
        self.failures = failures
        self.error = error
        self.calls: list[float] = []

    async def work(self, *args: Any) -> str:
        """Fail or return, at once."""
        self.calls.append(now())
        await asyncio.sleep(0)
        if len(self.calls) <= self.failures:
            raise self.error()
        return "done"

    def pauses(self) -> list[float]:
        """Seconds between the calls."""
        return [after - before for before, after in zip(self.calls, self.calls[1:], strict=False)]


# -- attempts -----------------------------------------------------------------------------------------------------


@virtual
async def test_the_value_of_the_first_attempt_that_returns_is_given() -> None:
    flaky = Flaky(2)
    assert await retry_with_backoff(flaky.work) == "done"
    assert len(flaky.calls) == 3


@virtual
async def test_a_call_that_succeeds_is_made_once() -> None:
    flaky = Flaky(0)
    await retry_with_backoff(flaky.work)
    assert len(flaky.calls) == 1


@virtual
@pytest.mark.parametrize("attempts", [1, 2, 3, 7])
async def test_no_more_than_attempts_calls_are_made(attempts: int) -> None:
    flaky = Flaky(100)
    with pytest.raises(ValueError, match="flaky"):
        await retry_with_backoff(flaky.work, attempts=attempts)
    assert len(flaky.calls) == attempts


@virtual
async def test_three_attempts_are_the_default() -> None:
    flaky = Flaky(100)
    with pytest.raises(ValueError, match="flaky"):
        await retry_with_backoff(flaky.work)
    assert len(flaky.calls) == 3


@virtual
async def test_the_last_exception_is_raised_as_itself() -> None:
    errors = [ValueError("one"), KeyError("two"), OSError("three")]
    waiting = iter(errors)
    with pytest.raises(OSError, match="three") as caught:
        await retry_with_backoff(Flaky(100, lambda: next(waiting)).work)
    assert caught.value is errors[2]


@virtual
async def test_the_attempts_before_the_last_are_its_notes() -> None:
    waiting = iter([ValueError("one"), KeyError("two"), OSError("three")])
    with pytest.raises(OSError, match="three") as caught:
        await retry_with_backoff(Flaky(100, lambda: next(waiting)).work)
    assert "3 attempts" in notes(caught.value)
    assert "ValueError: one" in notes(caught.value)
    assert "KeyError: 'two'" in notes(caught.value)


@virtual
async def test_the_notes_of_very_many_attempts_stay_short() -> None:
    with pytest.raises(ValueError, match="flaky") as caught:
        await retry_with_backoff(Flaky(10**9).work, attempts=3000, base_delay=0)
    assert "3000 attempts" in notes(caught.value)
    assert len(notes(caught.value)) < 2000


@virtual
async def test_a_single_attempt_that_fails_has_no_note_about_others() -> None:
    with pytest.raises(ValueError, match="flaky") as caught:
        await retry_with_backoff(Flaky(1).work, attempts=1)
    assert "attempts" not in notes(caught.value)


@virtual
async def test_arguments_are_passed_to_every_attempt() -> None:
    got: list[tuple[int, str]] = []

    async def work(number: int, text: str) -> None:
        got.append((number, text))
        raise ValueError

    with pytest.raises(ValueError):  # the error has no text
        await retry_with_backoff(work, 1, "a", attempts=2)
    assert got == [(1, "a"), (1, "a")]


# -- pauses -------------------------------------------------------------------------------------------------------


@virtual
async def test_without_jitter_the_pauses_double_from_base_delay() -> None:
    flaky = Flaky(4)
    await retry_with_backoff(flaky.work, attempts=5, base_delay=0.5, max_delay=100.0, jitter=None)
    assert flaky.pauses() == pytest.approx([0.5, 1.0, 2.0, 4.0])


@virtual
async def test_a_pause_is_never_longer_than_max_delay() -> None:
    flaky = Flaky(5)
    await retry_with_backoff(flaky.work, attempts=6, base_delay=1.0, max_delay=3.0, jitter=None)
    assert flaky.pauses() == pytest.approx([1.0, 2.0, 3.0, 3.0, 3.0])


@virtual
async def test_base_delay_zero_tries_again_at_once() -> None:
    flaky = Flaky(3)
    await retry_with_backoff(flaky.work, attempts=4, base_delay=0)
    assert flaky.pauses() == [0.0, 0.0, 0.0]


@virtual
@pytest.mark.parametrize(
    ("jitter", "least", "most"),
    [
        ("full", lambda exact, last: 0.0, lambda exact, last: exact),
        ("equal", lambda exact, last: exact / 2, lambda exact, last: exact),
        ("decorrelated", lambda exact, last: 1.0, lambda exact, last: max(1.0, 3.0 * last)),
    ],
)
async def test_each_jitter_stays_between_its_limits(
    jitter: Any, least: Callable[[float, float], float], most: Callable[[float, float], float]
) -> None:
    for _ in range(20):
        flaky = Flaky(4)
        await retry_with_backoff(flaky.work, attempts=5, base_delay=1.0, max_delay=1000.0, jitter=jitter)
        last = 1.0
        for n, pause in enumerate(flaky.pauses()):
            exact = 2.0**n
            assert least(exact, last) - 1e-9 <= pause <= most(exact, last) + 1e-9
            last = pause


@virtual
@pytest.mark.parametrize("jitter", ["full", "equal", "decorrelated"])
async def test_jitter_spreads_the_pauses(jitter: Any) -> None:
    pauses = set()
    for _ in range(10):
        flaky = Flaky(1)
        await retry_with_backoff(flaky.work, base_delay=1.0, jitter=jitter)
        pauses.add(round(flaky.pauses()[0], 9))
    assert len(pauses) > 5


@virtual
@pytest.mark.parametrize("jitter", ["full", "equal", "decorrelated", None])
async def test_many_attempts_do_not_overflow(jitter: Any) -> None:
    flaky = Flaky(1500)
    assert (
        await retry_with_backoff(flaky.work, attempts=2000, base_delay=1e-6, max_delay=1e-3, jitter=jitter)
        == "done"
    )


# -- retry_on -----------------------------------------------------------------------------------------------------


@virtual
@pytest.mark.parametrize(
    ("retry_on", "calls"),
    [
        (ValueError, 3),
        (Exception, 3),
        (KeyError, 1),
        ((KeyError, ValueError), 3),
        ((KeyError, OSError), 1),
        (lambda error: "flaky" in str(error), 3),
        (lambda error: False, 1),
        (lambda error: None, 1),
    ],
)
async def test_retry_on_says_what_is_tried_again(retry_on: Any, calls: int) -> None:
    flaky = Flaky(100)
    with pytest.raises(ValueError, match="flaky"):
        await retry_with_backoff(flaky.work, retry_on=retry_on)
    assert len(flaky.calls) == calls


@virtual
async def test_a_predicate_may_return_the_delay_which_is_taken_as_it_is() -> None:
    flaky = Flaky(2)
    await retry_with_backoff(flaky.work, retry_on=lambda error: 7.5, base_delay=0.1, max_delay=0.2)
    assert flaky.pauses() == pytest.approx([7.5, 7.5])


@virtual
async def test_a_predicate_that_returns_zero_tries_again_at_once() -> None:
    flaky = Flaky(2)
    await retry_with_backoff(flaky.work, retry_on=lambda error: 0, base_delay=5.0, jitter=None)
    assert flaky.pauses() == [0.0, 0.0]


@virtual
async def test_a_predicate_gets_the_error_of_each_attempt() -> None:
    got: list[BaseException] = []

    def wanted(error: BaseException) -> bool:
        got.append(error)
        return True

    errors = [ValueError("one"), KeyError("two")]
    waiting = iter(errors)
    await retry_with_backoff(Flaky(2, lambda: next(waiting)).work, retry_on=wanted)
    assert got == errors


@virtual
async def test_a_predicate_that_raises_ends_the_retries_with_its_own_error() -> None:
    flaky = Flaky(100)

    def broken(error: BaseException) -> bool:
        raise ZeroDivisionError("predicate")

    with pytest.raises(ZeroDivisionError, match="predicate"):
        await retry_with_backoff(flaky.work, retry_on=broken)
    assert len(flaky.calls) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("retry_on", [BaseException, lambda error: True])
async def test_what_ends_a_program_is_never_tried_again(error: type[BaseException], retry_on: Any) -> None:
    calls: list[int] = []

    def work() -> None:
        calls.append(1)
        raise error

    with pytest.raises(error):
        await retry_with_backoff(work, retry_on=retry_on)
    assert calls == [1]


@virtual
async def test_a_cancel_is_never_tried_again_and_waits_until_the_attempt_is_over() -> None:
    probe = Probe(seconds=100.0, cleanup=0.5)
    retrying = asyncio.create_task(retry_with_backoff(probe.work, retry_on=BaseException))
    await asyncio.sleep(1.0)
    retrying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await retrying
    assert (probe.begun, probe.running) == (1, 0)


@virtual
async def test_a_cancel_during_a_pause_ends_it_at_once() -> None:
    flaky = Flaky(100)
    retrying = asyncio.create_task(
        retry_with_backoff(flaky.work, base_delay=50.0, max_delay=50.0, jitter=None)
    )
    await asyncio.sleep(1.0)
    began = now()
    retrying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await retrying
    assert now() == began
    assert len(flaky.calls) == 1


# -- timeout and deadline -----------------------------------------------------------------------------------------


@virtual
async def test_timeout_bounds_each_attempt() -> None:
    probe = Probe(seconds=100.0)
    began = now()
    with pytest.raises(TaskTimeout) as caught:
        await retry_with_backoff(probe.work, timeout=2.0, attempts=3, base_delay=0)
    assert now() - began == pytest.approx(6.0)
    assert caught.value.timeout == 2.0
    assert (probe.begun, probe.running) == (3, 0)


@virtual
async def test_an_attempt_that_timed_out_is_tried_again() -> None:
    calls: list[int] = []

    async def slow_at_first() -> str:
        calls.append(1)
        if len(calls) == 1:
            await forever()
        return "second"

    assert await retry_with_backoff(slow_at_first, timeout=1.0) == "second"


@virtual
async def test_deadline_bounds_all_attempts_and_pauses_together() -> None:
    flaky = Flaky(100)
    began = now()
    with pytest.raises(ValueError, match="flaky"):
        await retry_with_backoff(
            flaky.work, attempts=1000, base_delay=1.0, max_delay=1.0, jitter=None, deadline=4.5
        )
    assert now() - began <= 4.5
    assert len(flaky.calls) == 5


@virtual
async def test_a_deadline_cuts_a_running_attempt() -> None:
    probe = Probe(seconds=100.0)
    began = now()
    with pytest.raises(TaskTimeout):
        await retry_with_backoff(probe.work, attempts=1000, deadline=3.0)
    assert now() - began == pytest.approx(3.0)
    assert (probe.cancelled, probe.running) == (1, 0)


@virtual
async def test_the_error_of_an_attempt_cut_by_the_deadline_carries_the_attempts_before_it() -> None:
    calls: list[int] = []

    async def work() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("earlier")
        await forever()

    with pytest.raises(TaskTimeout) as caught:
        await retry_with_backoff(work, deadline=3.0, base_delay=0)
    assert "ValueError: earlier" in notes(caught.value)


@virtual
async def test_the_error_of_an_attempt_cut_by_the_deadline_names_the_deadline() -> None:
    with pytest.raises(TaskTimeout, match=r"deadline=3") as caught:
        await retry_with_backoff(forever, deadline=3.0)
    assert caught.value.timeout == 3.0


@virtual
async def test_no_pause_is_begun_that_would_end_after_the_deadline() -> None:
    flaky = Flaky(100)
    began = now()
    with pytest.raises(ValueError, match="flaky"):
        await retry_with_backoff(flaky.work, base_delay=10.0, max_delay=10.0, jitter=None, deadline=5.0)
    assert now() == began


@virtual
async def test_the_shorter_of_timeout_and_deadline_ends_an_attempt() -> None:
    began = now()
    with pytest.raises(TaskTimeout):
        await retry_with_backoff(forever, timeout=50.0, deadline=2.0)
    assert now() - began == pytest.approx(2.0)


@virtual
async def test_an_attempt_that_succeeds_before_the_deadline_is_given() -> None:
    flaky = Flaky(2)
    assert await retry_with_backoff(flaky.work, base_delay=1.0, jitter=None, deadline=10.0) == "done"


# -- where it runs ------------------------------------------------------------------------------------------------


async def test_a_plain_function_is_tried_again_in_threads() -> None:
    threads: list[threading.Thread] = []

    def work() -> str:
        threads.append(threading.current_thread())
        if len(threads) < 3:
            raise ValueError("flaky")
        return "done"

    assert await retry_with_backoff(work, base_delay=0) == "done"
    assert threading.current_thread() not in threads


async def test_a_timed_out_thread_is_abandoned_and_tried_again() -> None:
    with gate() as door:
        calls: list[int] = []

        def work() -> str:
            calls.append(1)
            return door.work() if len(calls) == 1 else "second"

        assert await retry_with_backoff(work, timeout=0.05, base_delay=0) == "second"


async def test_a_lambda_around_an_async_def_is_tried_again() -> None:
    flaky = Flaky(2)
    assert await retry_with_backoff(flaky.work, base_delay=0) == "done"


async def test_a_call_that_does_not_fit_is_refused_before_the_first_attempt() -> None:
    async def takes(_: int) -> None: ...

    with pytest.raises(TypeError, match="argument"):
        await retry_with_backoff(takes)  # type: ignore[call-overload]  # wrong on purpose


@pytest.mark.parametrize("wrong", [ValueError("instance"), "ValueError", 3, None, (), (ValueError, 3), int])
async def test_a_retry_on_that_is_neither_types_nor_a_predicate_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="retry_on is an exception type"):
        await retry_with_backoff(Flaky(0).work, retry_on=wrong)


@pytest.mark.parametrize(
    ("wrong", "meant"), [("ful", "full"), ("none", None), (True, None), (0, None), ("", None)]
)
async def test_an_unknown_jitter_is_refused_and_the_nearest_suggested(wrong: Any, meant: str | None) -> None:
    with pytest.raises(ValueError, match="jitter is 'full' or 'equal' or 'decorrelated' or None") as caught:
        await retry_with_backoff(Flaky(0).work, jitter=wrong)
    if meant:
        assert f"did you mean jitter={meant!r}" in str(caught.value)


@virtual
async def test_each_retry_is_told_to_telemetry() -> None:
    seen: list[Any] = []
    telemetry.attach(
        "test", "task.retry", lambda event, measurements, metadata: seen.append(metadata["attempt"])
    )
    try:
        await retry_with_backoff(Flaky(2).work)
    finally:
        telemetry.detach("test")
    assert seen == [1, 2]


@virtual
async def test_a_retry_inside_a_task_that_is_stopped_ends_with_it() -> None:
    probe = Probe(seconds=100.0)

    async def work() -> None:
        await retry_with_backoff(probe.work, attempts=50)

    task = spawn(work)
    await turns()
    task.stop()
    with pytest.raises(TaskStopped):
        await task
    assert (probe.begun, probe.running) == (1, 0)


# -- Retry, the value ---------------------------------------------------------------------------------------------


def test_retry_is_a_frozen_value() -> None:
    assert Retry(attempts=5) == Retry(5)
    with pytest.raises(AttributeError):
        Retry().attempts = 5  # type: ignore[misc]  # wrong on purpose


def test_the_defaults_of_retry_are_those_of_the_verb() -> None:
    assert Retry() == Retry(
        attempts=3, base_delay=0.1, max_delay=5.0, jitter="full", retry_on=Exception, deadline=None
    )


@virtual
@pytest.mark.parametrize("retry", [3, Retry(attempts=3)])
async def test_where_an_option_takes_a_retry_a_count_will_do(retry: Any) -> None:
    flaky = Flaky(2)
    [outcome] = [one async for one in stream([1], flaky.work, retry=retry)]
    assert outcome.unwrap() == "done"
    assert outcome.attempts == 3


@virtual
async def test_a_deadline_of_a_retry_cuts_the_running_attempt_of_an_item() -> None:
    began = now()
    [outcome] = [one async for one in stream([1], Probe(100.0).work, retry=Retry(attempts=9, deadline=3.0))]
    assert isinstance(outcome, atonce.Failed)
    assert isinstance(outcome.error, TaskTimeout)
    assert now() - began == pytest.approx(3.0)
