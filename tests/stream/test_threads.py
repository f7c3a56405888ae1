"""Streams of plain functions, which run in threads: the same laws, and what cannot be ended is said to be abandoned."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from contextvars import ContextVar
from typing import Any

import pytest

from atonce import Ok, Retry, TaskTimeout, ThreadBackend, blocking, cancelled, stream

variable: ContextVar[str] = ContextVar("variable", default="unset")


async def taken(view: Any) -> list[Any]:
    return [one async for one in view]


class Counter:
    """Counts who runs, exactly."""

    def __init__(self, seconds: float = 0.002) -> None:
        self.lock = threading.Lock()
        self.seconds = seconds
        self.running = self.peak = self.calls = 0

    def __call__(self, n: int) -> int:
        with self.lock:
            self.calls += 1
            self.running += 1
            self.peak = max(self.peak, self.running)
        time.sleep(self.seconds)
        with self.lock:
            self.running -= 1
        return n


@pytest.mark.parametrize("width", [1, 3])
async def test_exactly_as_many_run_as_may(width: int) -> None:
    work = Counter()
    assert await taken(stream(range(40), work, max_concurrency=width).values()) == list(range(40))
    assert work.peak == width


async def test_the_default_bound_is_thirty_two() -> None:
    work = Counter(0.02)
    await taken(stream(range(96), work))
    assert work.peak == 32


@pytest.mark.parametrize("ordered", [True, False])
async def test_nothing_is_lost_and_nothing_comes_twice(ordered: bool) -> None:
    got = await taken(stream(range(5_000), lambda n: n, max_concurrency=8, ordered=ordered).values())
    assert (got if ordered else sorted(got)) == list(range(5_000))


async def test_an_item_in_a_thread_whose_time_is_up_is_abandoned_and_counted_until_it_ends() -> None:
    gate = threading.Event()

    def work(n: int) -> int:
        if n == 0:
            gate.wait(30)
        return n

    async with stream(range(3), work, max_concurrency=1, timeout=0.05) as results:
        iterator = aiter(results)
        first = await anext(iterator)
        assert isinstance(first.error, TaskTimeout)
        assert first.error.abandoned
        assert results.statistics().abandoned == 1
        assert [await anext(iterator), await anext(iterator)] == [Ok(1), Ok(2)]
        gate.set()
        for _ in range(1_000):
            if not results.statistics().abandoned:
                break
            await asyncio.sleep(0.002)
        assert results.statistics().abandoned == 0


async def test_a_function_that_looks_is_told_that_its_time_is_up() -> None:
    told = threading.Event()

    def work(n: int) -> None:
        while not cancelled():
            time.sleep(0.001)
        told.set()

    [outcome] = await taken(stream([0], work, timeout=0.02))
    assert isinstance(outcome.error, TaskTimeout)
    assert told.wait(5)


async def test_leaving_asks_all_and_does_not_wait_for_those_that_do_not_look() -> None:
    gate = threading.Event()
    asked = threading.Event()

    def work(n: int) -> int:
        if n == 1:
            while not cancelled():
                time.sleep(0.001)
            asked.set()
        if n == 2:
            gate.wait(30)
        return n

    start = time.monotonic()
    async with stream(itertools.count(), work, max_concurrency=3) as results:
        async for _ in results:
            break
    assert time.monotonic() - start < 2.0
    assert asked.is_set()
    gate.set()


async def test_what_was_not_started_when_left_never_starts() -> None:
    calls: list[int] = []
    gate = threading.Event()

    def work(n: int) -> int:
        calls.append(n)
        if n:
            gate.wait(30)
        return n

    async with ThreadBackend(max_threads=2) as threads:
        async with stream(range(50), work, max_concurrency=10, on=threads) as results:
            async for _ in results:
                break
        gate.set()
        await asyncio.sleep(0.05)
        assert len(calls) <= 3


async def test_the_time_of_an_item_that_waits_for_a_thread_has_not_begun() -> None:
    def work(n: int) -> int:
        time.sleep(0.03)
        return n

    async with ThreadBackend(max_threads=1) as threads:
        got = await taken(stream(range(5), work, max_concurrency=5, timeout=0.1, on=threads))
    assert [one.ok for one in got] == [True] * 5


async def test_each_item_has_its_own_copy_of_the_consumers_variables() -> None:
    def work(n: int) -> str:
        before = variable.get()
        variable.set(f"item {n}")
        return f"{before}, {variable.get()}"

    variable.set("consumer's")
    got = await taken(stream(range(8), work, max_concurrency=2).values())
    assert got == [f"consumer's, item {n}" for n in range(8)]


async def test_items_are_tried_again() -> None:
    calls: dict[int, int] = {}

    def work(n: int) -> int:
        calls[n] = calls.get(n, 0) + 1
        if calls[n] == 1:
            raise ConnectionError
        return n

    got = await taken(stream(range(10), work, max_concurrency=4, retry=Retry(2, base_delay=0.001)))
    assert got == [Ok(n) for n in range(10)]
    assert {one.attempts for one in got} == {2}


@pytest.mark.parametrize(
    "error",
    [ValueError("own"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), BaseException("odd")],
    ids=repr,
)
async def test_any_exception_in_a_thread_is_an_outcome(error: BaseException) -> None:
    def work(n: int) -> None:
        raise error

    [outcome] = await taken(stream([0], work))
    assert outcome.error is error


async def test_a_stop_iteration_in_a_thread_is_an_outcome_and_hangs_nobody() -> None:
    [outcome] = await taken(stream([0], lambda n: next(iter(()))))
    assert isinstance(outcome.error, StopIteration)


async def test_a_lambda_around_an_async_def_is_awaited_on_the_loop() -> None:
    async def work(n: int) -> tuple[int, int]:
        return n, threading.get_ident()

    got = await taken(stream(range(3), lambda n: work(n), max_concurrency=2).values())  # noqa: PLW0108  # the point
    assert got == [(n, threading.get_ident()) for n in range(3)]


async def test_an_awaited_item_ends_by_its_timeout_too() -> None:
    [outcome] = await taken(stream([30], lambda seconds: asyncio.sleep(seconds), timeout=0.02))  # noqa: PLW0108  # the point
    assert isinstance(outcome.error, TaskTimeout)


async def test_an_async_def_in_a_thread_runs_in_a_loop_of_its_own() -> None:
    async def work(n: int) -> bool:
        await asyncio.sleep(0)
        return asyncio.get_running_loop() is loop

    loop = asyncio.get_running_loop()
    assert await taken(stream(range(3), work, on="thread").values()) == [False] * 3


async def test_streams_in_streams_do_not_starve_each_other_of_threads() -> None:
    def inner(n: int) -> int:
        return blocking.parallel_map(range(3), lambda k: k + n, max_concurrency=2)[0]

    got = await asyncio.wait_for(taken(stream(range(8), inner, max_concurrency=8).values()), 20)
    assert got == list(range(8))


async def test_the_loop_is_free_while_threads_work() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.001)

    neighbour = asyncio.ensure_future(count())
    await taken(stream(range(4), lambda n: time.sleep(0.05), max_concurrency=2))
    neighbour.cancel()
    assert turns > 10
    await asyncio.wait([neighbour])
