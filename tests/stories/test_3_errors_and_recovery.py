"""Story 3: a failure is the user's own, says where it came from, harms what it must and nothing else."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any

import pytest
from tests.verbs.acts import Probe, error_of, fail, forever, give, notes, now, turns, value_of

from atonce import (
    Failed,
    Ok,
    Retry,
    TaskStopped,
    aggregate,
    await_many,
    blocking,
    capture,
    ignore,
    parallel_map,
    process_batch,
    race,
    retry_with_backoff,
    scope,
    source,
    spawn,
    stream,
    telemetry,
)

virtual = pytest.mark.virtual


class PaymentError(Exception):
    """An error of the user's, with arguments of its own."""

    def __init__(self, order: int, *, reason: str) -> None:
        super().__init__(f"order {order}: {reason}")
        self.order = order
        self.reason = reason


async def pay(order: int) -> str:
    """Fails for every third order."""
    await asyncio.sleep(0.1)
    if order % 3 == 0:
        raise PaymentError(order, reason="declined")
    return f"paid {order}"


@virtual
async def test_one_failing_item_leaves_all_others_their_results() -> None:
    outcomes = [one async for one in stream(range(1, 10), pay, max_concurrency=3)]
    assert [one.ok for one in outcomes] == [n % 3 != 0 for n in range(1, 10)]
    assert [error_of(one).order for one in outcomes if not one.ok] == [3, 6, 9]  # type: ignore[attr-defined]  # the user's own


@virtual
async def test_a_failure_says_which_item_it_was_and_what_it_was_given() -> None:
    [outcome] = [one async for one in stream([3], pay, name="payments")]
    assert "item 0 of payments, input 3" in notes(error_of(outcome))


@virtual
async def test_a_huge_input_is_shortened_in_the_note() -> None:
    [outcome] = [one async for one in stream(["x" * 10_000], lambda _: fail(ValueError("big")), on="loop")]
    assert len(notes(error_of(outcome))) < 500


@virtual
async def test_outcomes_can_be_sorted_out_by_match() -> None:
    paid, declined = [], []
    async for outcome in stream(range(1, 7), pay):
        match outcome:
            case Ok(value):
                paid.append(value)
            case Failed(PaymentError(order=order)):
                declined.append(order)
            case other:
                raise AssertionError(other)
    assert (len(paid), declined) == (4, [3, 6])


@virtual
async def test_what_failed_can_be_tried_again_by_its_input() -> None:
    broken_once: set[int] = set()

    async def work(n: int) -> int:
        if n % 2 and n not in broken_once:
            broken_once.add(n)
            raise OSError("flaky")
        return n

    first = [one async for one in stream(range(6), work)]
    again = [one.input for one in first if not one.ok]
    second = [one async for one in stream(again, work)]
    assert [value_of(one) for one in second] == [1, 3, 5]


@virtual
async def test_retries_recover_what_is_flaky_and_give_up_on_what_is_broken() -> None:
    calls: dict[int, int] = {}

    async def work(n: int) -> str:
        calls[n] = calls.get(n, 0) + 1
        if n == 0 or calls[n] < 3:
            raise OSError("flaky")
        return f"{n} after {calls[n]}"

    got = [one async for one in stream(range(3), work, retry=Retry(attempts=3, base_delay=0.1))]
    assert isinstance(error_of(got[0]), OSError)
    assert [value_of(one) for one in got[1:]] == ["1 after 3", "2 after 3"]
    assert [one.attempts for one in got] == [3, 3, 3]


@virtual
async def test_an_item_that_rests_between_attempts_gives_its_place_to_others() -> None:
    done: list[int] = []

    async def work(n: int) -> None:
        if n == 0 and len(done) < 5:
            raise OSError("not yet")
        done.append(n)

    retry = Retry(attempts=2, base_delay=10.0, max_delay=10.0, jitter=None)
    outcomes = [one async for one in stream(range(6), work, max_concurrency=1, retry=retry)]
    assert all(one.ok for one in outcomes)
    assert done == [1, 2, 3, 4, 5, 0]


@virtual
async def test_in_a_scope_one_failure_stops_the_siblings_and_the_block() -> None:
    siblings = Probe(seconds=1000.0)
    began = now()
    with pytest.raises(PaymentError):
        async with scope():
            spawn(siblings.work)
            spawn(siblings.work)
            spawn(pay, 3)
            await forever()
    assert now() - began == pytest.approx(0.1)
    assert (siblings.cancelled, siblings.running) == (2, 0)


@virtual
async def test_an_ignored_failure_stops_nobody() -> None:
    async with scope():
        ignore(spawn(pay, 3))
        assert await spawn(give, "went on", 1.0) == "went on"


@virtual
async def test_several_failures_come_as_a_group_and_each_can_be_caught() -> None:
    async def late_failure() -> None:
        try:
            await forever()
        finally:
            raise OSError("while stopping")

    caught: list[str] = []
    try:
        async with scope():
            spawn(late_failure)
            spawn(pay, 3)
            await forever()
    except* PaymentError as group:
        caught += [str(error) for error in group.exceptions]
    except* OSError as group:
        caught += [str(error) for error in group.exceptions]
    assert sorted(caught) == ["order 3: declined", "while stopping"]


@virtual
async def test_a_fallback_chain_takes_the_first_source_that_answers() -> None:
    async def cache() -> str:
        raise KeyError("miss")

    async def replica() -> str:
        return await give("from the replica", 0.2)

    assert await race([cache, replica], hedge=1.0) == "from the replica"


@virtual
async def test_a_page_is_shown_with_what_there_is() -> None:
    got = await aggregate(
        {
            "user": source(give, {"name": "Ada"}, 0.1),
            "recommendations": source(forever, fallback=[]),
            "prices": source(pay, 3),
        },
        timeout=1.0,
    )
    page = {name: outcome.unwrap_or("unavailable") for name, outcome in got.items()}
    assert page == {"user": {"name": "Ada"}, "recommendations": [], "prices": "unavailable"}
    assert [name for name, outcome in got.items() if outcome.fallback] == ["recommendations"]


@virtual
async def test_a_nightly_job_accounts_for_every_record() -> None:
    async def store(batch: list[int]) -> list[int]:
        if 13 in batch:
            raise PaymentError(13, reason="bad record")
        return batch

    result = await process_batch(range(50), store, batch_size=5)
    assert len(result.successes) + sum(len(one.batch) for one in result.failures) == 50
    retried = await process_batch(result.failures[0].batch, store, batch_size=1)
    assert [one.batch for one in retried.failures] == [[13]]


@virtual
async def test_the_error_of_a_deep_task_travels_up_unchanged() -> None:
    async def level(n: int) -> str:
        return await spawn(level, n - 1) if n else await pay(3)

    with pytest.raises(PaymentError) as caught:
        await spawn(level, 5)
    assert caught.value.reason == "declined"


@virtual
async def test_fail_fast_and_keep_going_differ_only_in_the_verb() -> None:
    with pytest.raises(PaymentError):
        await parallel_map(range(1, 7), pay)
    assert len([one async for one in stream(range(1, 7), pay).failed()]) == 2


@virtual
async def test_capture_gives_an_outcome_where_a_verb_would_raise() -> None:
    outcomes = [await capture(retry_with_backoff(pay, n, attempts=1)) for n in (1, 2, 3)]
    assert [one.ok for one in outcomes] == [True, True, False]


@virtual
async def test_a_cancelled_caller_is_cancelled_and_not_failed() -> None:
    async def caller() -> Any:
        return await capture(await_many([spawn(forever)]))

    waiting = asyncio.create_task(caller())
    await turns()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@virtual
async def test_a_stopped_task_is_told_apart_from_a_cancelled_caller() -> None:
    task = spawn(forever)
    await turns()
    task.stop()
    assert isinstance(error_of(await capture(task)), TaskStopped)


@virtual
async def test_failures_are_seen_by_telemetry() -> None:
    seen: list[str] = []
    telemetry.attach(
        "story", "task.exception", lambda event, _, metadata: seen.append(str(metadata["error"]))
    )
    try:
        [one async for one in stream([3], pay)]
        await capture(spawn(pay, 6))
    finally:
        telemetry.detach("story")
    assert seen == ["order 3: declined", "order 6: declined"]


def test_a_failure_in_a_thread_shows_the_users_lines() -> None:
    def parse(text: str) -> int:
        return int(text)

    with pytest.raises(ValueError, match="invalid literal") as caught:
        blocking.parallel_map(["1", "x"], parse)
    assert "parse" in [entry.name for entry in caught.traceback]
    assert "input 'x'" in notes(caught.value)


@virtual
async def test_a_failing_background_task_is_logged_and_the_program_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    import gc

    caplog.set_level(logging.ERROR)

    async def request() -> str:
        spawn(pay, 3, name="audit")
        await asyncio.sleep(1.0)
        return "answered"

    assert await asyncio.create_task(request()) == "answered"
    await turns()
    gc.collect()
    assert [record.name for record in caplog.records] == ["atonce"]
    assert "audit" in caplog.text


@virtual
async def test_a_partial_of_a_failing_function_is_named_by_the_function() -> None:
    error = error_of(await capture(spawn(partial(pay, 3))))
    assert "'pay'" in notes(error)
