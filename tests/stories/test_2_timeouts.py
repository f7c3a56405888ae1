"""Story 2: nothing waits longer than it was told to, and what is late is gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.verbs.acts import Probe, error_of, gate, give, now, turns, value_of

from atonce import (
    Failed,
    Ok,
    Retry,
    TaskTimeout,
    aggregate,
    async_pipeline,
    await_many,
    await_one,
    blocking,
    parallel_map,
    poll,
    poll_many,
    process_batch,
    race,
    retry_with_backoff,
    scope,
    shutdown,
    source,
    spawn,
    stream,
    with_fallback,
)

virtual = pytest.mark.virtual


async def _await(probe: Probe) -> Any:
    return await spawn(probe.work, timeout=2.0)


async def _await_one(probe: Probe) -> Any:
    return await await_one(spawn(probe.work), timeout=2.0)


async def _await_many(probe: Probe) -> Any:
    return await await_many([spawn(probe.work), spawn(probe.work)], timeout=2.0)


async def _poll_many(probe: Probe) -> Any:
    await poll_many([spawn(probe.work)], timeout=2.0, on_timeout="stop")
    raise TaskTimeout("as the others")


async def _race(probe: Probe) -> Any:
    return await race([probe.work, probe.work], timeout=2.0)


async def _retry(probe: Probe) -> Any:
    return await retry_with_backoff(probe.work, attempts=1, timeout=2.0)


async def _deadline(probe: Probe) -> Any:
    return await retry_with_backoff(probe.work, attempts=99, deadline=2.0)


async def _pipeline(probe: Probe) -> Any:
    return await async_pipeline(1, [probe.work, probe.work], timeout=2.0)


async def _aggregate(probe: Probe) -> Any:
    return (await aggregate({"a": probe.work}, timeout=2.0))["a"].unwrap()


async def _source(probe: Probe) -> Any:
    return (await aggregate({"a": source(probe.work, timeout=2.0)}))["a"].unwrap()


async def _with_fallback(probe: Probe) -> Any:
    return (await with_fallback([probe.work], timeout=2.0))[0].unwrap()


async def _parallel_map(probe: Probe) -> Any:
    return await parallel_map([1, 2, 3], probe.work, timeout=2.0)


async def _stream(probe: Probe) -> Any:
    async with stream([1, 2], probe.work, timeout=2.0) as outcomes:
        return [outcome.unwrap() async for outcome in outcomes]


async def _stream_deadline(probe: Probe) -> Any:
    retry = Retry(attempts=9, deadline=2.0)
    async with stream([1, 2], probe.work, retry=retry) as outcomes:
        return [outcome.unwrap() async for outcome in outcomes]


async def _process_batch(probe: Probe) -> Any:
    raise (await process_batch([1, 2], probe.work, timeout=2.0)).failures[0].error


WAITS = [
    *(_await, _await_one, _await_many, _poll_many, _race, _retry, _deadline, _pipeline, _aggregate, _source),
    *(_with_fallback, _parallel_map, _stream, _stream_deadline, _process_batch),
]


@virtual
@pytest.mark.parametrize("wait", WAITS)
async def test_every_wait_ends_at_its_limit_and_leaves_nothing_running(
    wait: Callable[[Probe], Any],
) -> None:
    probe = Probe(seconds=1000.0)
    began = now()
    with pytest.raises(TaskTimeout):
        await wait(probe)
    assert now() - began == pytest.approx(2.0)
    await turns()
    assert probe.running == 0


@virtual
@pytest.mark.parametrize("wait", WAITS)
async def test_work_that_is_in_time_is_not_touched(wait: Callable[[Probe], Any]) -> None:
    if wait is _poll_many:
        assert await poll_many([spawn(give, 1, 0.5)], timeout=2.0, on_timeout="stop")
        return
    probe = Probe(seconds=0.9)
    if wait is _process_batch:
        with pytest.raises(IndexError):
            await wait(probe)
    else:
        await wait(probe)
    assert probe.cancelled == 0


@virtual
async def test_a_late_item_frees_its_place_for_the_next() -> None:
    async def work(n: int) -> int:
        return await give(n, 1000.0 if n == 0 else 1.0)

    began = now()
    outcomes = [one async for one in stream(range(4), work, max_concurrency=1, timeout=2.0)]
    assert now() - began == pytest.approx(2.0 + 3 * 1.0)
    assert isinstance(error_of(outcomes[0]), TaskTimeout)
    assert [value_of(one) for one in outcomes[1:]] == [1, 2, 3]


@virtual
async def test_a_limit_holds_while_the_consumer_is_busy() -> None:
    probe = Probe(seconds=1000.0)

    async def work(n: int) -> Any:
        return n if n == 0 else await probe.work()

    iterator = aiter(stream(range(3), work, timeout=2.0))
    assert await anext(iterator) == Ok(0)
    await asyncio.sleep(2.5)
    assert (probe.running, probe.cancelled) == (0, 2)
    assert isinstance(error_of(await anext(iterator)), TaskTimeout)
    await iterator.aclose()


@virtual
async def test_the_slowest_limit_is_the_outer_one() -> None:
    began = now()
    async with scope():
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(5.0):
                await await_one(spawn(give, 1, 1000.0, timeout=9.0), timeout=7.0)
    assert now() - began == pytest.approx(5.0)
    assert not isinstance(caught.value, TaskTimeout)


@virtual
@pytest.mark.parametrize(
    ("own", "wait", "outer", "at"),
    [(1.0, 2.0, 3.0, 1.0), (3.0, 1.0, 2.0, 1.0), (3.0, 2.0, 1.0, 1.0), (2.0, 2.0, 2.0, 2.0)],
)
async def test_of_nested_limits_the_shortest_ends_the_wait(
    own: float, wait: float, outer: float, at: float
) -> None:
    began = now()
    task = spawn(give, 1, 1000.0, timeout=own)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(outer):
            await await_one(task, timeout=wait)
    assert now() - began == pytest.approx(at)
    await shutdown(task)
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


async def test_a_loop_that_was_blocked_past_a_limit_is_late_but_right() -> None:
    task = spawn(give, 1, 1000.0, timeout=0.05)
    await turns()
    time.sleep(0.1)  # noqa: ASYNC251  # blocking the loop is the test
    with pytest.raises(TaskTimeout):
        await task
    assert isinstance(task.outcome(), Failed)


async def test_a_blocked_thread_keeps_nobody_waiting() -> None:
    with gate() as door:
        began = now()
        outcomes = [one async for one in stream(range(3), door.work, timeout=0.05)]
        assert now() - began < 1.5
        assert [isinstance(error_of(one), TaskTimeout) for one in outcomes] == [True] * 3


def test_limits_hold_in_the_blocking_face() -> None:
    began = time.monotonic()
    outcome = blocking.capture(blocking.race, [lambda: time.sleep(0.5)], timeout=0.05)
    assert isinstance(error_of(outcome), TaskTimeout)
    assert time.monotonic() - began < 0.45


@virtual
async def test_a_poll_is_no_limit_for_the_work() -> None:
    task = spawn(give, "done", 10.0)
    polls = 0
    while await poll(task, timeout=1.0) is None:
        polls += 1
    assert polls in (9, 10)
    assert await task == "done"
