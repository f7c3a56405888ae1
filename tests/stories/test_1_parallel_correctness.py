"""Story 1: work done in parallel gives what the same work done in a loop would give."""

from __future__ import annotations

import asyncio
import functools
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.verbs.acts import fake, give, value_of

from atonce import (
    Ok,
    aggregate,
    async_pipeline,
    await_many,
    blocking,
    parallel_map,
    process_batch,
    spawn,
    stream,
    with_fallback,
)
from atonce.testing import run_virtual

virtual = pytest.mark.virtual


def square(n: int) -> int:
    """The work: plain."""
    return n * n


async def asquare(n: int) -> int:
    """The work: it takes a time that depends on the item, so that items overtake each other."""
    await asyncio.sleep((n * 7919 % 13) / 10)
    return n * n


NUMBERS = list(range(200))
EXPECTED = [n * n for n in NUMBERS]


async def by_await_many() -> list[int]:
    return await await_many([spawn(asquare, n) for n in NUMBERS])


async def by_parallel_map() -> list[int]:
    return await parallel_map(NUMBERS, asquare, max_concurrency=7)


async def by_ordered_stream() -> list[int]:
    return [value async for value in stream(NUMBERS, asquare, max_concurrency=7).values()]


async def by_unordered_stream() -> list[int]:
    outcomes = [one async for one in stream(NUMBERS, asquare, max_concurrency=7, ordered=False)]
    return [value_of(one) for one in sorted(outcomes, key=lambda one: one.index or 0)]


async def by_process_batch() -> list[int]:
    async def squares(batch: list[int]) -> list[int]:
        return [await asquare(n) for n in batch]

    return (await process_batch(NUMBERS, squares, batch_size=9, timeout=None)).successes


async def by_aggregate() -> list[int]:
    got = await aggregate({str(n): functools.partial(asquare, n) for n in NUMBERS})
    return [value_of(got[str(n)]) for n in NUMBERS]


async def by_with_fallback() -> list[int]:
    return [value_of(one) for one in await with_fallback([functools.partial(asquare, n) for n in NUMBERS])]


async def by_pipelines() -> list[int]:
    return await parallel_map(NUMBERS, lambda n: async_pipeline(n, [give, asquare]), on="loop")


WAYS = [
    *(by_await_many, by_parallel_map, by_ordered_stream, by_unordered_stream),
    *(by_process_batch, by_aggregate, by_with_fallback, by_pipelines),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_every_way_gives_what_a_loop_gives_under_every_schedule(
    way: Callable[[], Any], seed: int | None
) -> None:
    assert run_virtual(way, seed=seed) == EXPECTED


BLOCKING_WAYS: dict[str, Callable[[], list[int]]] = {
    "spawn": lambda: [task.result() for task in [blocking.spawn(square, n) for n in NUMBERS]],
    "await_many": lambda: blocking.await_many([blocking.spawn(square, n) for n in NUMBERS]),
    "parallel_map": lambda: blocking.parallel_map(NUMBERS, square),
    "stream": lambda: list(blocking.stream(NUMBERS, square, max_concurrency=3).values()),
    "process_batch": lambda: blocking.process_batch(NUMBERS, square, each=True).successes,
}


@pytest.mark.parametrize("way", BLOCKING_WAYS)
def test_every_blocking_way_gives_what_a_loop_gives(way: str) -> None:
    assert BLOCKING_WAYS[way]() == EXPECTED


@virtual
@given(
    items=st.lists(st.integers(0, 30), max_size=60),
    bound=st.integers(1, 9),
    buffer=st.integers(1, 9),
    ordered=st.booleans(),
)
async def test_no_item_is_lost_and_none_is_done_twice(
    items: list[int], bound: int, buffer: int, ordered: bool
) -> None:
    calls: Counter[int] = Counter()

    async def work(pair: tuple[int, int]) -> tuple[int, int]:
        calls[pair[0]] += 1
        await asyncio.sleep(pair[1] / 10)
        return pair

    pairs = list(enumerate(items))
    got = [
        value
        async for value in stream(pairs, work, max_concurrency=bound, buffer=buffer, ordered=ordered).values()
    ]
    assert sorted(got) == pairs
    assert set(calls.values()) <= {1}


def _list() -> Any:
    return [1, 2, 3]


def _generator() -> Iterator[int]:
    yield from (1, 2, 3)


async def _async_generator() -> AsyncIterator[int]:
    for n in (1, 2, 3):
        await asyncio.sleep(0.1)
        yield n


class _Indexed:
    """What is iterable by `__getitem__` alone."""

    def __getitem__(self, at: int) -> int:
        return (1, 2, 3)[at]


INPUTS = [
    *(_list, lambda: (1, 2, 3), lambda: range(1, 4), lambda: iter([1, 2, 3]), _generator, _async_generator),
    *(lambda: {1: "a", 2: "b", 3: "c"}, lambda: map(int, "123"), lambda: b"\x01\x02\x03", _Indexed),
]


@virtual
@pytest.mark.parametrize("make", INPUTS)
async def test_every_kind_of_input_gives_the_same(make: Callable[[], Any]) -> None:
    assert await parallel_map(make(), asquare) == [1, 4, 9]


@virtual
async def test_a_merge_sort_that_spawns_both_halves_sorts() -> None:
    async def sort(numbers: list[int]) -> list[int]:
        if len(numbers) < 2:
            return numbers
        middle = len(numbers) // 2
        left, right = await await_many([spawn(sort, numbers[:middle]), spawn(sort, numbers[middle:])])
        merged = []
        while left and right:
            merged.append(left.pop(0) if left[0] <= right[0] else right.pop(0))
        return merged + left + right

    numbers = random.Random(3).choices(range(1000), k=300)
    assert await sort(numbers) == sorted(numbers)


@virtual
async def test_a_stream_of_streams_multiplies_out() -> None:
    async def row(n: int) -> list[int]:
        return [value async for value in stream(range(n), asquare, max_concurrency=2).values()]

    assert await parallel_map(range(8), row, max_concurrency=3) == [
        [m * m for m in range(n)] for n in range(8)
    ]


@virtual
async def test_one_stream_feeds_another() -> None:
    first = stream(range(20), asquare, max_concurrency=4).values()
    second = stream(first, asquare, max_concurrency=3)
    assert [value async for value in second.values()] == [n**4 for n in range(20)]


@virtual
async def test_a_backend_with_delays_of_its_own_keeps_the_order() -> None:
    slow = fake(1.0)
    assert [one async for one in stream([1, 2, 3], square, on=slow, max_concurrency=2)] == [
        Ok(1),
        Ok(4),
        Ok(9),
    ]
