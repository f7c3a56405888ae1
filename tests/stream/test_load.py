"""Many items: constant memory, no growth per item, and many at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import atonce
from atonce import stream
from tests.growth import LITTLE, MANY, growth

HUNDRED_THOUSAND = 100_000


async def at_once(n: int) -> int:
    return n


async def with_a_pause(n: int) -> int:
    await asyncio.sleep(0)
    return n


async def agenerated(count: int) -> AsyncIterator[int]:
    for n in range(count):
        yield n


def generated(count: int) -> Iterator[int]:
    yield from range(count)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("fn", [at_once, with_a_pause])
async def test_many_items_take_constant_memory(fn: Any, ordered: bool) -> None:
    count, peak = await growth(
        lambda: stream(range(MANY), fn, max_concurrency=100, ordered=ordered, timeout=60.0)
    )
    assert count == MANY
    assert peak < LITTLE


@pytest.mark.parametrize("make", [agenerated, generated])
async def test_inputs_of_any_kind_take_constant_memory(make: Any) -> None:
    count, peak = await growth(lambda: stream(make(20_000), at_once, max_concurrency=100))
    assert count == 20_000
    assert peak < LITTLE


async def test_retries_and_failures_take_constant_memory() -> None:
    calls: dict[int, int] = {}

    async def work(n: int) -> int:
        calls[n] = calls.get(n, 0) + 1
        if calls[n] == 1 and n % 2:
            raise ValueError(n)
        if n % 3 == 0:
            raise KeyError(n)
        del calls[n]
        return n

    retry = atonce.Retry(2, base_delay=0.0, retry_on=ValueError)

    def make() -> AsyncIterator[Any]:
        calls.clear()
        return stream(range(10_000), work, max_concurrency=100, retry=retry, timeout=60.0)

    little = LITTLE + 10_000 // 3 * 200  # what `calls` keeps is the test's own
    count, peak = await growth(make, little)
    assert count == 10_000
    assert peak < little


async def test_a_slow_head_in_a_long_stream_takes_no_more_than_its_buffer() -> None:
    pulled = 0

    def items() -> Iterator[int]:
        nonlocal pulled
        while True:
            yield pulled
            pulled += 1

    gate = asyncio.Event()

    async def work(n: int) -> int:
        if n == 0:
            await gate.wait()
        return n

    async with stream(items(), work, max_concurrency=10, buffer=50) as results:
        waiter = asyncio.ensure_future(anext(aiter(results)))
        for _ in range(50):
            await asyncio.sleep(0.001)
        assert 50 <= pulled <= 61
        gate.set()
        await waiter


async def test_a_hundred_thousand_items_run_at_once_when_they_may() -> None:
    running = peak = 0
    gate = asyncio.Event()

    async def work(n: int) -> int:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        if running == HUNDRED_THOUSAND:
            gate.set()
        await gate.wait()
        running -= 1
        return n

    count = 0
    async for outcome in stream(range(HUNDRED_THOUSAND), work, max_concurrency=HUNDRED_THOUSAND):
        assert outcome.index == count
        count += 1
    assert count == peak == HUNDRED_THOUSAND


async def test_a_hundred_thousand_tasks_live_at_once() -> None:
    gate = asyncio.Event()

    async def work(n: int) -> int:
        await gate.wait()
        return n

    async with atonce.scope():
        tasks = [atonce.spawn(work, n) for n in range(HUNDRED_THOUSAND)]
        await asyncio.sleep(0)
        gate.set()
        assert await atonce.await_many(tasks) == list(range(HUNDRED_THOUSAND))


async def test_a_hundred_thousand_tasks_are_stopped_with_their_scope() -> None:
    over = 0

    async def work() -> None:
        nonlocal over
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            over += 1

    async with atonce.scope():
        for _ in range(HUNDRED_THOUSAND):
            atonce.spawn(work)
        await asyncio.sleep(0)
    assert over == HUNDRED_THOUSAND


async def test_the_time_of_an_item_does_not_grow_with_their_number() -> None:
    async def seconds_each(count: int) -> float:
        start = time.process_time()
        async for _ in stream(range(count), at_once, timeout=60.0):
            pass
        return (time.process_time() - start) / count

    await seconds_each(1_000)
    few = min([await seconds_each(5_000) for _ in range(3)])
    many = await seconds_each(100_000)
    assert many < 3 * few


async def test_items_that_never_suspend_let_the_others_on_the_loop_have_their_turn() -> None:
    turns = 0
    done = asyncio.Event()

    async def other() -> None:
        nonlocal turns
        while not done.is_set():
            turns += 1
            await asyncio.sleep(0)

    neighbour = asyncio.ensure_future(other())
    async for _ in stream(range(50_000), at_once, buffer=100_000):
        pass
    done.set()
    await neighbour
    assert turns >= 20


async def test_a_waiting_stream_does_not_spin() -> None:
    """The loop sleeps while everything waits, also when an item swallows its cancel and its time is long up."""
    loop = asyncio.get_running_loop()
    turns = 0
    once = loop._run_once  # type: ignore[attr-defined]  # the step that every asyncio loop is made of

    def counted() -> None:
        nonlocal turns
        turns += 1
        once()

    async def stubborn(n: int) -> None:
        until = loop.time() + 0.3
        while loop.time() < until:
            try:
                await asyncio.sleep(until - loop.time())
            except asyncio.CancelledError:
                continue

    loop._run_once = counted  # type: ignore[attr-defined]  # as above
    async with stream([0, 1], stubborn, timeout=0.05) as results:
        async for _ in results:
            pass
    assert turns < 60
