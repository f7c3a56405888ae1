"""Story 4: as many run as may run, counted exactly, and never one more."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.verbs.acts import Probe, fake, now, turns

import atonce
from atonce import Retry, ThreadBackend, blocking, parallel_map, process_batch, spawn, stream
from atonce.testing import run_virtual

virtual = pytest.mark.virtual


@pytest.mark.parametrize("bound", [1, 2, 3, 10, 99])
@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("seed", [None, 7])
def test_the_peak_is_the_bound_and_never_more(bound: int, ordered: bool, seed: int | None) -> None:
    probe = Probe()

    async def work(n: int) -> None:
        probe.seconds = 0.1 + (n * 31 % 7) / 10
        await probe.work()

    async def main() -> None:
        async for _ in stream(range(120), work, max_concurrency=bound, ordered=ordered):
            pass

    run_virtual(main, seed=seed)
    assert (probe.peak, probe.ended) == (bound, 120)


@virtual
async def test_a_hundred_run_by_default_on_the_loop() -> None:
    probe = Probe(seconds=1.0)
    await parallel_map(range(250), probe.work)
    assert probe.peak == 100


def test_thirty_two_run_by_default_in_threads() -> None:
    lock, now_running, peak = threading.Lock(), [0], [0]
    together = threading.Barrier(32)

    def work(_: int) -> None:
        with lock:
            now_running[0] += 1
            peak[0] = max(peak[0], now_running[0])
        together.wait(10)
        with lock:
            now_running[0] -= 1

    blocking.parallel_map(range(64), work)
    assert peak[0] == 32


@pytest.mark.parametrize("bound", [1, 3, 8])
def test_the_peak_in_threads_is_the_bound(bound: int) -> None:
    lock, now_running, peak = threading.Lock(), [0], [0]

    def work(_: int) -> None:
        with lock:
            now_running[0] += 1
            peak[0] = max(peak[0], now_running[0])
        time.sleep(0.003)
        with lock:
            now_running[0] -= 1

    blocking.parallel_map(range(10 * bound), work, max_concurrency=bound)
    assert peak[0] == bound


@virtual
async def test_failures_and_timeouts_free_exactly_one_place_each() -> None:
    probe = Probe()

    async def work(n: int) -> None:
        probe.seconds = 1000.0 if n % 3 == 0 else 1.0
        await probe.work()
        if n % 3 == 1:
            raise ValueError(n)

    outcomes = [one async for one in stream(range(60), work, max_concurrency=4, timeout=2.0)]
    assert probe.peak == 4
    assert [one.ok for one in outcomes] == [n % 3 == 2 for n in range(60)]


@virtual
async def test_retries_count_against_the_bound() -> None:
    probe = Probe(seconds=1.0)

    async def work(n: int) -> None:
        await probe.work()
        raise ValueError(n)

    retry = Retry(attempts=3, base_delay=0.5, jitter=None)
    outcomes = [one async for one in stream(range(12), work, max_concurrency=4, retry=retry)]
    assert (probe.peak, probe.begun) == (4, 36)
    assert {one.attempts for one in outcomes} == {3}


@virtual
async def test_a_slow_head_does_not_idle_the_other_places_until_the_buffer_is_full() -> None:
    begun: list[int] = []

    async def work(n: int) -> int:
        begun.append(n)
        await asyncio.sleep(100.0 if n == 0 else 1.0)
        return n

    iterator = aiter(stream(itertools.count(), work, max_concurrency=3, buffer=10))
    waiting = asyncio.ensure_future(anext(iterator))
    await asyncio.sleep(99.0)
    assert 1 + 10 <= len(begun) <= 3 + 10
    assert (await waiting).unwrap() == 0
    await iterator.aclose()


@virtual
async def test_a_slow_consumer_stops_the_pulling_at_bound_and_buffer() -> None:
    pulled: list[int] = []

    def numbers() -> Iterator[int]:
        for n in itertools.count():
            pulled.append(n)
            yield n

    probe = Probe(seconds=1.0)
    iterator = aiter(stream(numbers(), probe.work, max_concurrency=4, buffer=6))
    for delivered in range(1, 30):
        await anext(iterator)
        await asyncio.sleep(50.0)
        assert len(pulled) <= delivered + 4 + 6
    assert len(pulled) >= 29 + 6
    await iterator.aclose()


@virtual
async def test_nested_bounds_multiply_and_do_not_starve_each_other() -> None:
    probe = Probe(seconds=1.0)

    async def row(_: int) -> None:
        await parallel_map(range(4), probe.work, max_concurrency=2)

    await parallel_map(range(9), row, max_concurrency=3)
    assert probe.peak == 6
    assert probe.ended == 36


@virtual
async def test_batches_are_bounded_as_items_are() -> None:
    probe = Probe(seconds=1.0)
    await process_batch(range(100), probe.work, batch_size=7, max_concurrency=5)
    assert probe.peak == 5


@virtual
@pytest.mark.parametrize(("rate", "gap"), [("10/s", 0.1), ("30/min", 2.0), (atonce.Rate(4, per=2.0), 0.5)])
async def test_a_rate_spaces_the_starts_evenly(rate: Any, gap: float) -> None:
    starts: list[float] = []

    async def work(_: int) -> None:
        starts.append(now())

    await parallel_map(range(20), work, rate=rate)
    gaps = [after - before for before, after in itertools.pairwise(starts)]
    assert gaps == pytest.approx([gap] * 19)


@virtual
async def test_unused_starts_of_a_rate_are_not_saved_up_for_a_burst() -> None:
    starts: list[float] = []

    async def numbers() -> Any:
        yield 0
        await asyncio.sleep(100.0)
        for n in range(1, 6):
            yield n

    async def work(_: int) -> None:
        starts.append(now())

    await parallel_map(numbers(), work, rate="1/s")
    assert [after - before for before, after in itertools.pairwise(starts[1:])] == pytest.approx([1.0] * 4)


@virtual
async def test_spawn_has_no_bound_of_its_own() -> None:
    probe = Probe(seconds=1.0)
    await atonce.await_many([spawn(probe.work) for _ in range(5000)])
    assert probe.peak == 5000


async def test_a_thread_backend_has_no_more_threads_than_it_may() -> None:
    seen: set[int] = set()
    async with ThreadBackend(max_threads=3) as three:

        def work() -> None:
            seen.add(threading.get_ident())
            time.sleep(0.002)

        await atonce.await_many([spawn(work, on=three) for _ in range(30)])
        assert three.statistics().threads <= 3
    assert 1 <= len(seen) <= 3


@virtual
async def test_two_streams_are_bounded_apart() -> None:
    probe = Probe(seconds=1.0)
    await asyncio.gather(
        parallel_map(range(20), probe.work, max_concurrency=3),
        parallel_map(range(20), probe.work, max_concurrency=4),
    )
    assert probe.peak == 7


@virtual
async def test_a_race_with_a_hedge_starts_as_few_as_it_needs() -> None:
    probe = Probe(seconds=0.25)
    await atonce.race([probe.work] * 10, hedge=0.1)
    assert probe.begun == 3


@virtual
async def test_what_is_left_over_after_leaving_early_is_nothing() -> None:
    probe = Probe(seconds=1.0)
    async with stream(itertools.count(), probe.work, max_concurrency=9) as outcomes:
        async for _ in outcomes:
            break
    begun = probe.begun
    await asyncio.sleep(100.0)
    assert (probe.running, probe.begun) == (0, begun)


@virtual
async def test_the_bound_holds_on_a_backend_of_ones_own() -> None:
    slow = fake(1.0)
    began = now()
    await parallel_map(range(12), lambda n: n, on=slow, max_concurrency=4)
    assert now() - began == pytest.approx(3.0)


@virtual
async def test_the_places_are_all_taken_as_soon_as_there_is_input() -> None:
    probe = Probe(seconds=10.0)
    iterator = aiter(stream(range(100), probe.work, max_concurrency=64))
    waiting = asyncio.ensure_future(anext(iterator))
    await turns(80)
    assert probe.running == 64
    waiting.cancel()
    await asyncio.wait([waiting])
    await iterator.aclose()
