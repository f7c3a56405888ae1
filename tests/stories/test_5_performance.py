"""Story 5: what it costs, as ratios: in virtual time exactly, in real time with a wide margin."""

from __future__ import annotations

import asyncio
import gc
import itertools
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from tests.verbs.acts import Probe, give, now

from atonce import aggregate, await_many, blocking, parallel_map, race, spawn, stream

virtual = pytest.mark.virtual


# -- exact, in virtual time ---------------------------------------------------------------------------------------


@virtual
async def test_await_many_takes_the_longest_and_not_the_sum() -> None:
    began = now()
    await await_many([spawn(give, n, n / 10) for n in range(1, 101)])
    assert now() - began == pytest.approx(10.0)


@virtual
@pytest.mark.parametrize(("bound", "seconds"), [(1, 60.0), (2, 30.0), (5, 12.0), (60, 1.0), (100, 1.0)])
async def test_a_stream_takes_items_times_seconds_over_the_bound(bound: int, seconds: float) -> None:
    probe = Probe(seconds=1.0)
    began = now()
    await parallel_map(range(60), probe.work, max_concurrency=bound)
    assert now() - began == pytest.approx(seconds)


@virtual
async def test_aggregate_takes_the_slowest_source() -> None:
    began = now()
    await aggregate({"a": Probe(3.0).work, "b": Probe(1.0).work, "c": Probe(2.0).work})
    assert now() - began == pytest.approx(3.0)


@virtual
async def test_a_race_takes_the_fastest() -> None:
    began = now()
    await race([Probe(3.0).work, Probe(1.0).work, Probe(2.0).work])
    assert now() - began == pytest.approx(1.0)


@virtual
async def test_a_hedge_cuts_the_slow_tail_of_a_service() -> None:
    latencies = itertools.cycle([0.1, 0.1, 0.1, 10.0])

    async def ask() -> None:
        await asyncio.sleep(next(latencies))

    async def seconds(call: Callable[[], Any]) -> float:
        began = now()
        for _ in range(8):
            await call()
        return now() - began

    plain = await seconds(ask)
    hedged = await seconds(lambda: race([ask, ask], hedge=0.2))
    assert plain == pytest.approx(20.6)
    assert hedged < plain / 10


@virtual
async def test_the_first_result_of_an_endless_input_is_there_after_one_item() -> None:
    probe = Probe(seconds=1.0)
    began = now()
    async with stream(itertools.count(), probe.work, max_concurrency=50) as outcomes:
        async for _ in outcomes:
            break
    assert now() - began == pytest.approx(1.0)


@virtual
async def test_the_first_result_does_not_wait_until_all_places_are_filled() -> None:
    async def slow_input() -> Any:
        for n in itertools.count():
            yield n
            await asyncio.sleep(10.0)

    began = now()
    iterator = aiter(stream(slow_input(), give, max_concurrency=4))
    assert (await anext(iterator)).unwrap() == 0
    assert now() - began < 1.0
    await iterator.aclose()


@virtual
async def test_unordered_gives_the_quick_ones_while_the_slow_one_runs() -> None:
    began = now()
    seconds = {}
    async for outcome in stream([10.0, 1.0, 2.0], lambda s: give(s, s), on="loop", ordered=False):
        seconds[outcome.unwrap()] = now() - began
    assert list(seconds) == [1.0, 2.0, 10.0]
    assert list(seconds.values()) == pytest.approx([1.0, 2.0, 10.0])


# -- with a margin, in real time ----------------------------------------------------------------------------------


async def no_op(n: int) -> int:
    """The cheapest work there is."""
    return n


def best(call: Callable[[], Any], rounds: int = 3) -> float:
    """The least CPU seconds of a few rounds; others use this machine too."""
    seconds = []
    for _ in range(rounds):
        gc.collect()
        began = time.process_time()
        call()
        seconds.append(time.process_time() - began)
    return min(seconds)


async def _by_stream(count: int) -> None:
    async for _ in stream(range(count), no_op, max_concurrency=100, timeout=5.0):
        pass


async def _by_gather(count: int) -> None:
    places = asyncio.Semaphore(100)

    async def one(n: int) -> int:
        async with places, asyncio.timeout(5.0):
            return await no_op(n)

    await asyncio.gather(*(one(n) for n in range(count)))


def stream_to_gather() -> float:
    """What a stream costs over what gather with a semaphore and a timeout costs."""
    return best(lambda: asyncio.run(_by_stream(5000)), 1) / best(lambda: asyncio.run(_by_gather(5000)), 1)


def spawn_to_create_task() -> float:
    """What spawn and await cost over what create_task and await cost."""

    async def ours() -> None:
        for n in range(3000):
            await spawn(no_op, n)

    async def theirs() -> None:
        for n in range(3000):
            await asyncio.create_task(no_op(n))

    return best(lambda: asyncio.run(ours()), 1) / best(lambda: asyncio.run(theirs()), 1)


@pytest.mark.parametrize(("ratio", "most"), [("stream_to_gather", 0.5), ("spawn_to_create_task", 2.0)])
def test_a_verb_costs_about_as_much_as_what_one_writes_by_hand_or_a_fraction(ratio: str, most: float) -> None:
    # In a program of its own: the leak check, which watches each test, costs both something. The quietest round counts.
    program = f"import runpy; f = runpy.run_path({__file__!r})[{ratio!r}]; print(min(f() for _ in range(8)))"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=True
    )
    assert float(run.stdout) < most


def test_the_price_of_an_item_does_not_grow_with_their_number() -> None:
    few = best(lambda: asyncio.run(_by_stream(2_000))) / 2_000
    many = best(lambda: asyncio.run(_by_stream(40_000)), rounds=2) / 40_000
    assert many < 2.0 * few


def test_await_many_of_many_tasks_is_not_quadratic() -> None:
    async def wait(count: int) -> None:
        await await_many([spawn(give, n, 0.0) for n in range(count)])

    few = best(lambda: asyncio.run(wait(1_000))) / 1_000
    many = best(lambda: asyncio.run(wait(16_000)), rounds=2) / 16_000
    assert many < 3.0 * few


def test_memory_does_not_grow_with_the_number_of_items() -> None:
    def peak(count: int) -> int:
        gc.collect()
        tracemalloc.start()
        try:
            asyncio.run(_by_stream(count))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(200)
    assert peak(20_000) < 1.5 * peak(2_000) + 50_000


def test_the_blocking_face_moves_results_many_at_a_time() -> None:
    ours = best(lambda: list(blocking.stream(range(5000), no_op)))
    theirs = best(lambda: [blocking.spawn(no_op, n).result() for n in range(500)]) * 10
    assert ours < 0.5 * theirs


def test_importing_the_core_imports_little_beside_asyncio() -> None:
    program = (
        "import asyncio, sys; had = set(sys.modules); import atonce; print(*sorted(set(sys.modules) - had))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    new = set(run.stdout.split())
    assert not [name for name in new if "supervisor" in name or "server" in name or "process" in name]
    assert not new & {"aiohttp", "click", "cloudpickle", "multiprocessing", "pickle", "rich", "socketserver"}
    assert len(new) < 80
