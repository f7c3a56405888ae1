"""What streams and the patterns are promised, whoever runs their work."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest

import atonce
from atonce import Failed, Ok, Retry, TaskTimeout, stream
from tests.contract.work import SHORT, Work, fail_at_three, look_at, variable


async def taken(view: Any) -> list[Any]:
    return [one async for one in view]


# -- streams ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ordered", [True, False])
async def test_a_stream_loses_nothing_and_gives_nothing_twice(work: Work, ordered: bool) -> None:
    got = await taken(
        stream(range(300), work.of(lambda n: n), on=work.backend, max_concurrency=7, ordered=ordered)
    )
    assert sorted(one.index for one in got) == list(range(300))
    assert all(one.value == one.index == one.input for one in got)
    if ordered:
        assert [one.index for one in got] == list(range(300))


@pytest.mark.parametrize("width", [1, 4])
async def test_exactly_as_many_items_run_as_may(work: Work, width: int) -> None:
    most = 1 if work.blocks else width
    fn = work.counted(SHORT / 10, together=most)
    await taken(stream(range(20), fn, on=work.backend, max_concurrency=width))
    assert work.peak == most


async def test_no_more_is_started_ahead_of_the_consumer_than_its_bounds_allow(work: Work) -> None:
    delivered = 0
    async with stream(
        itertools.count(), work.counted(0.0), on=work.backend, max_concurrency=2, buffer=3
    ) as results:
        async for _ in results:
            delivered += 1
            await asyncio.sleep(0.002)
            assert len(work.calls) <= delivered + 2 + 3 + 1
            if delivered == 20:
                break


@pytest.mark.parametrize("ordered", [True, False])
async def test_an_input_without_end_is_pulled_no_further_than_its_bounds_allow(
    work: Work, ordered: bool
) -> None:
    most, pulled = 3 + 4 + 1, 0

    def numbers() -> Iterator[int]:
        nonlocal pulled
        while True:
            pulled += 1
            yield pulled

    view = stream(
        numbers(), work.counted(SHORT / 10), on=work.backend, max_concurrency=3, buffer=4, ordered=ordered
    )
    async with view as results:
        iterator = aiter(results)
        await anext(iterator)
        assert pulled <= 1 + most, "before the first result"
        await asyncio.sleep(SHORT)
        assert pulled <= 1 + most, "while nobody asks for the second"
        for _ in range(20):
            await anext(iterator)
        assert pulled <= 21 + most


async def test_a_failing_item_harms_no_other(work: Work) -> None:
    got = await taken(stream(range(6), work.of(fail_at_three), on=work.backend))
    assert [one.ok for one in got] == [True, True, True, False, True, True]
    assert isinstance(got[3].error, ValueError)


async def test_values_raise_the_first_failure_and_nothing_goes_on(work: Work) -> None:
    with pytest.raises(ValueError, match="3"):
        await taken(
            stream(itertools.count(), work.of(fail_at_three), on=work.backend, max_concurrency=2).values()
        )


async def test_a_late_item_is_its_own_timeout_and_its_place_is_free(endable: Work) -> None:
    endless, quick = endable.endless_fn(), endable.of(lambda n: n)

    async def mixed(n: int) -> Any:
        return await (endless(n) if n == 0 else quick(n))

    def plain(n: int) -> Any:
        return endless(n) if n == 0 else quick(n)

    fn = mixed if endable.is_async else plain
    async with stream(range(4), fn, on=endable.backend, max_concurrency=1, timeout=5 * SHORT) as results:
        iterator = aiter(results)
        endable.check_ended((await anext(iterator)).error, TaskTimeout)
        counts = results.statistics()
        assert counts.abandoned == (0 if endable.ends else 1)
        assert await taken(iterator) == [Ok(1), Ok(2), Ok(3)]


async def test_an_item_that_blocks_the_loop_is_over_before_anyone_looks_at_its_time(blocking: Work) -> None:
    got = await taken(stream([SHORT], blocking.counted(SHORT), on=blocking.backend, timeout=SHORT / 4))
    assert got == [Ok(SHORT)]


async def test_leaving_early_ends_what_runs_or_gives_it_up_soon(endable: Work) -> None:
    endless = endable.endless_fn()
    start = time.monotonic()

    async def leave() -> None:
        async with stream(itertools.count(), endless, on=endable.backend, max_concurrency=3) as results:
            waiter = asyncio.ensure_future(anext(aiter(results)))
            await asyncio.sleep(SHORT)
            assert results.statistics().running == 3
            waiter.cancel()
            await asyncio.wait([waiter])

    await leave()
    assert time.monotonic() - start < 2.0


async def test_items_are_tried_again(work: Work) -> None:
    got = await taken(stream(range(5), work.flaky(1), on=work.backend, retry=Retry(2, base_delay=0.0)))
    assert got == [Ok(n) for n in range(5)]
    assert {one.attempts for one in got} == {2}


async def test_each_item_has_its_own_copy_of_the_consumers_variables(work: Work) -> None:
    variable.set("the consumer's")
    got = await taken(stream(range(6), work.of(look_at), on=work.backend, max_concurrency=2).values())
    assert got == [work.seen("the consumer's")] * 6


# -- patterns -----------------------------------------------------------------------------------------------------


async def test_parallel_map_gives_the_values_in_order(work: Work) -> None:
    fn = work.of(lambda n: 2 * n)
    assert await atonce.parallel_map(range(50), fn, on=work.backend) == list(range(0, 100, 2))


async def test_parallel_map_raises_the_first_failure_and_stops_the_rest(work: Work) -> None:
    with pytest.raises(ValueError, match="3"):
        await atonce.parallel_map(itertools.count(), work.of(fail_at_three), on=work.backend)


async def test_a_race_is_won_by_the_first_and_the_losers_are_gone_or_given_up(work: Work) -> None:
    def quick() -> str:
        return "quick"

    losers = [] if work.blocks else [work.endless_fn()]
    assert await asyncio.wait_for(atonce.race([*losers, work.of(quick)], on=work.backend), 5) == "quick"


async def test_a_race_that_all_lose_raises_all_errors(work: Work) -> None:
    def fail() -> None:
        raise ValueError

    with pytest.raises(ExceptionGroup) as caught:
        await atonce.race([work.of(fail)] * 2, on=work.backend)
    assert [type(error) for error in caught.value.exceptions] == [ValueError] * 2


async def test_a_race_that_nobody_wins_in_time_is_a_timeout(endable: Work) -> None:
    with pytest.raises(TaskTimeout):
        await atonce.race([endable.endless_fn()] * 2, on=endable.backend, timeout=SHORT)


async def test_retrying_gives_the_value_of_the_attempt_that_succeeded(work: Work) -> None:
    assert await atonce.retry_with_backoff(work.flaky(2), "x", on=work.backend, base_delay=0.0) == "x"
    assert work.calls == ["x"] * 3


async def test_retrying_raises_the_last_failure_with_the_attempts_as_notes(work: Work) -> None:
    with pytest.raises(ConnectionError) as caught:
        await atonce.retry_with_backoff(work.flaky(9), "x", on=work.backend, base_delay=0.0)
    assert any("3 attempts" in note for note in caught.value.__notes__)


async def test_the_limit_of_an_attempt_is_kept(endable: Work) -> None:
    with pytest.raises(TaskTimeout):
        await atonce.retry_with_backoff(
            endable.endless_fn(), on=endable.backend, attempts=2, base_delay=0.0, timeout=SHORT
        )


async def test_a_pipeline_passes_the_value_through_and_names_the_step_that_failed(work: Work) -> None:
    steps = [work.of(lambda n: n + 1), work.of(lambda n: 2 * n)]
    assert await atonce.async_pipeline(3, steps, on=work.backend) == 8
    with pytest.raises(ValueError) as caught:
        await atonce.async_pipeline(2, [*steps[:1], work.of(fail_at_three), *steps], on=work.backend)
    assert any("step 2 of 4" in note for note in caught.value.__notes__)


async def test_a_source_that_fails_or_is_late_never_harms_the_others(work: Work) -> None:
    def fail() -> None:
        raise ValueError

    sources: dict[str, Any] = {
        "good": atonce.source(work.of(lambda: 1), on=work.backend),
        "bad": atonce.source(work.of(fail), on=work.backend),
        "replaced": atonce.source(work.of(fail), on=work.backend, fallback=0),
    }
    if not work.blocks:
        sources["late"] = atonce.source(work.endless_fn(), on=work.backend, timeout=SHORT)
    got = await atonce.aggregate(sources)
    assert got["good"] == Ok(1)
    assert isinstance(got["bad"], Failed)
    assert got["replaced"] == Ok(0)
    assert got["replaced"].fallback
    if not work.blocks:
        assert isinstance(got["late"], Failed)
        work.check_ended(got["late"].error, TaskTimeout)


async def test_every_item_of_a_batch_is_in_exactly_one_of_the_two(work: Work) -> None:
    def run(batch: list[int]) -> list[int]:
        if 4 in batch:
            raise ValueError
        return [2 * n for n in batch]

    result = await atonce.process_batch(range(10), work.of(run), batch_size=3, on=work.backend)
    assert result.successes == [0, 2, 4, 12, 14, 16, 18]
    assert [failure.batch for failure in result.failures] == [[3, 4, 5]]


async def test_a_batch_that_is_late_is_a_failure(endable: Work) -> None:
    result = await atonce.process_batch([1, 2], endable.endless_fn(), on=endable.backend, timeout=SHORT)
    assert [type(failure.error) for failure in result.failures] == [TaskTimeout]
