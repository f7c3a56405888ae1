"""tenacity's stop, wait and retry objects stand where `Retry` takes a count, a delay and what to retry."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest
import tenacity
import tenacity.asyncio.retry
from tests.verbs.acts import forever, now
from tests.verbs.test_retry import Flaky

from atonce import Retry, TaskTimeout, aggregate, retry_with_backoff, source, stream

virtual = pytest.mark.virtual


# -- attempts: stop objects ---------------------------------------------------------------------------------------


@virtual
@pytest.mark.parametrize("attempts", [1, 2, 5])
async def test_stop_after_attempt_bounds_the_calls(attempts: int) -> None:
    flaky = Flaky(100)
    with pytest.raises(ValueError, match="flaky"):
        await retry_with_backoff(flaky.work, attempts=tenacity.stop_after_attempt(attempts))
    assert len(flaky.calls) == attempts


@virtual
async def test_stop_after_delay_looks_at_the_time_since_the_first_attempt() -> None:
    flaky = Flaky(100)
    await asyncio.sleep(100.0)
    with pytest.raises(ValueError, match="flaky"):
        await retry_with_backoff(
            flaky.work, attempts=tenacity.stop_after_delay(2.5), base_delay=1.0, max_delay=1.0, jitter=None
        )
    assert len(flaky.calls) == 4


@virtual
async def test_stop_before_delay_looks_at_the_pause_that_would_come() -> None:
    flaky = Flaky(100)
    with pytest.raises(ValueError, match="flaky"):
        await retry_with_backoff(
            flaky.work, attempts=tenacity.stop_before_delay(2.5), base_delay=1.0, max_delay=1.0, jitter=None
        )
    assert len(flaky.calls) == 3


@virtual
async def test_stops_may_be_combined() -> None:
    flaky = Flaky(100)
    stop = tenacity.stop_after_delay(1000) | tenacity.stop_after_attempt(4)
    with pytest.raises(ValueError, match="flaky"):
        await retry_with_backoff(flaky.work, attempts=stop)
    assert len(flaky.calls) == 4


@virtual
async def test_stop_never_leaves_the_bound_to_the_deadline() -> None:
    flaky = Flaky(100)
    with pytest.raises(ValueError, match="flaky"):
        await retry_with_backoff(
            flaky.work,
            attempts=tenacity.stop_never,
            base_delay=1.0,
            max_delay=1.0,
            jitter=None,
            deadline=4.5,
        )
    assert len(flaky.calls) == 5


# -- base_delay: wait objects -------------------------------------------------------------------------------------


@virtual
@pytest.mark.parametrize(
    ("wait", "pauses"),
    [
        (tenacity.wait_fixed(7), [7.0, 7.0, 7.0]),
        (tenacity.wait_incrementing(start=1, increment=2), [1.0, 3.0, 5.0]),
        (tenacity.wait_exponential(multiplier=1), [1.0, 2.0, 4.0]),
        (tenacity.wait_fixed(1) + tenacity.wait_fixed(2), [3.0, 3.0, 3.0]),
        (tenacity.wait_chain(tenacity.wait_fixed(1), tenacity.wait_fixed(9)), [1.0, 9.0, 9.0]),
        (tenacity.wait_none(), [0.0, 0.0, 0.0]),
    ],
)
async def test_a_wait_object_alone_decides_the_pauses(wait: Any, pauses: list[float]) -> None:
    flaky = Flaky(3)
    await retry_with_backoff(flaky.work, attempts=4, base_delay=wait, max_delay=0.5)
    assert flaky.pauses() == pytest.approx(pauses)


@virtual
async def test_a_wait_object_that_looks_at_the_exception_gets_it() -> None:
    flaky = Flaky(1, lambda: ValueError("12"))
    wait = tenacity.wait_exception(lambda error: float(str(error)))
    await retry_with_backoff(flaky.work, base_delay=wait)
    assert flaky.pauses() == pytest.approx([12.0])


@virtual
async def test_a_wait_object_does_not_outlast_the_deadline() -> None:
    flaky = Flaky(100)
    began = now()
    with pytest.raises(ValueError, match="flaky"):
        await retry_with_backoff(flaky.work, base_delay=tenacity.wait_fixed(60), deadline=5.0)
    assert now() == began


# -- retry_on: retry objects --------------------------------------------------------------------------------------


@virtual
@pytest.mark.parametrize(
    ("retry_on", "calls"),
    [
        (tenacity.retry_if_exception_type(ValueError), 3),
        (tenacity.retry_if_exception_type(KeyError), 1),
        (tenacity.retry_if_not_exception_type(KeyError), 3),
        (tenacity.retry_if_exception_message(match="fla"), 3),
        (tenacity.retry_if_exception(lambda error: False), 1),
        (tenacity.retry_if_exception_cause_type(KeyError), 1),
        (tenacity.retry_if_exception_type(KeyError) | tenacity.retry_if_exception_type(ValueError), 3),
        (tenacity.retry_if_exception_type(Exception) & tenacity.retry_if_exception_message(match="no"), 1),
        (tenacity.retry_always, 3),
        (tenacity.retry_never, 1),
    ],
)
async def test_a_retry_object_says_what_is_tried_again(retry_on: Any, calls: int) -> None:
    flaky = Flaky(100)
    with pytest.raises(ValueError, match="flaky"):
        await retry_with_backoff(flaky.work, retry_on=retry_on)
    assert len(flaky.calls) == calls


@virtual
async def test_a_retry_object_gets_a_timeout_of_ours_too() -> None:
    began = now()
    with pytest.raises(TaskTimeout):
        await retry_with_backoff(
            forever,
            timeout=1.0,
            attempts=2,
            retry_on=tenacity.retry_if_exception_type(TimeoutError),
            base_delay=0,
        )
    assert now() - began == pytest.approx(2.0)


@virtual
@pytest.mark.parametrize("error", [SystemExit, GeneratorExit])
async def test_what_ends_a_program_is_not_tried_again_whatever_a_retry_object_says(
    error: type[BaseException],
) -> None:
    flaky = Flaky(100, error)
    with pytest.raises(error):
        await retry_with_backoff(flaky.work, retry_on=tenacity.retry_always)
    assert len(flaky.calls) == 1


@pytest.mark.parametrize(
    "retry_on",
    [
        tenacity.retry_if_result(lambda value: value is None),
        tenacity.retry_if_not_result(lambda value: value is None),
        tenacity.retry_unless_exception_type(ValueError),
        tenacity.retry_if_exception_type() | tenacity.retry_if_result(lambda value: value is None),
        tenacity.asyncio.retry.retry_if_exception(forever),  # type: ignore[arg-type]  # never awaited
    ],
)
async def test_a_retry_object_that_needs_more_than_an_exception_is_refused_with_the_way_out(
    retry_on: Any,
) -> None:
    flaky = Flaky(0)
    with pytest.raises(TypeError, match="raise an exception in the function"):
        await retry_with_backoff(flaky.work, retry_on=retry_on)
    assert flaky.calls == []


# -- where they are taken -----------------------------------------------------------------------------------------


@virtual
async def test_a_retry_value_carries_them_into_a_stream() -> None:
    flaky = Flaky(100)
    retry = Retry(
        attempts=tenacity.stop_after_attempt(4),
        base_delay=tenacity.wait_fixed(2),
        retry_on=tenacity.retry_if_exception_type(ValueError),
    )
    [outcome] = [one async for one in stream([1], flaky.work, retry=retry)]
    assert (outcome.attempts, outcome.ok) == (4, False)
    assert flaky.pauses() == pytest.approx([2.0, 2.0, 2.0])


@virtual
async def test_stop_after_delay_counts_the_time_of_an_item() -> None:
    flaky = Flaky(100)
    retry = Retry(attempts=tenacity.stop_after_delay(5), base_delay=tenacity.wait_fixed(2))
    await asyncio.sleep(100.0)
    [outcome] = [one async for one in stream([1], flaky.work, retry=retry)]
    assert (outcome.attempts, outcome.ok) == (4, False)


@virtual
async def test_a_retry_value_carries_them_into_a_source() -> None:
    flaky = Flaky(2)
    retry = Retry(attempts=tenacity.stop_after_attempt(3), base_delay=tenacity.wait_none())
    got = await aggregate({"a": source(flaky.work, retry=retry)})
    assert got["a"].unwrap() == "done"


@pytest.mark.parametrize(
    ("option", "wrong"),
    [
        ("attempts", tenacity.wait_fixed(1)),
        ("attempts", tenacity.retry_always),
        ("attempts", lambda attempt: True),
        ("base_delay", tenacity.stop_after_attempt(1)),
        ("base_delay", lambda attempt: 1.0),
        ("max_delay", tenacity.wait_fixed(1)),
        ("deadline", tenacity.stop_after_delay(1)),
        ("retry_on", tenacity.stop_after_attempt(1)),
        ("retry_on", tenacity.wait_fixed(1)),
    ],
)
def test_one_that_stands_in_the_wrong_place_is_refused(option: str, wrong: Any) -> None:
    with pytest.raises(TypeError, match=option):
        Retry(**{option: wrong})


def test_atonce_does_not_import_tenacity() -> None:
    program = "import atonce, atonce.blocking, sys; print('tenacity' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.strip() == "False"
