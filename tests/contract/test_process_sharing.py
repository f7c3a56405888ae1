"""Workers are shared: more streams than workers, streams in streams, loops side by side; nobody starves or locks up."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from atonce import ProcessBackend, blocking, parallel_map, spawn, stream
from tests.contract.ledger import reached

LIMIT = 20.0


async def taken(view: Any) -> list[Any]:
    return [one async for one in view]


@pytest.mark.parametrize("workers", [1, 2])
async def test_more_streams_than_workers_all_go_on(workers: int) -> None:
    async with ProcessBackend(workers=workers) as processes:
        views = [taken(stream(range(40), abs, on=processes).values()) for _ in range(4)]
        assert await asyncio.wait_for(asyncio.gather(*views), LIMIT) == [list(range(40))] * 4


async def test_streams_and_tasks_on_one_worker_all_go_on() -> None:
    async with ProcessBackend(workers=1) as processes:

        async def tasks() -> list[int]:
            return [await spawn(abs, -n, on=processes) for n in range(20)]

        views = [taken(stream(range(40), abs, on=processes).values()) for _ in range(2)]
        got = await asyncio.wait_for(asyncio.gather(tasks(), *views), LIMIT)
        assert got == [list(range(20)), list(range(40)), list(range(40))]


async def test_a_stream_that_waits_for_a_worker_gets_it_while_a_long_one_runs() -> None:
    async with ProcessBackend(workers=1) as processes:
        long = asyncio.ensure_future(taken(stream(range(60), nap, on=processes)))
        while not processes.statistics().busy:
            await asyncio.sleep(0.002)
        short = await asyncio.wait_for(taken(stream(range(3), nap, on=processes).values()), LIMIT)
        assert short == [0, 1, 2]
        assert not long.done()
        assert len(await asyncio.wait_for(long, LIMIT)) == 60


def nap(n: int) -> int:
    time.sleep(0.01)
    return n


# -- inside each other --------------------------------------------------------------------------------------------


def down(depth: int) -> int:
    """Through as many processes in processes; gives how many levels there were below."""
    if depth == 0:
        return 0
    width = 2 if depth == 3 else 1
    below = blocking.stream([depth - 1] * width, down, on="process", max_concurrency=width)
    return 1 + max(below.values())


def down_alternating(depth: int) -> int:
    """The same, through threads and processes in turn."""
    on: Any = "process" if depth % 2 else "thread"
    return 1 + blocking.parallel_map([depth - 1], down_alternating, on=on)[0] if depth else 0


def down_threads(depth: int) -> int:
    return 1 + blocking.parallel_map([depth - 1], down_threads)[0] if depth else 0


async def down_on_loops(depth: int) -> int:
    """The same, each level on a loop of its own."""
    return 1 + (await parallel_map([depth - 1], down_on_loops, on="process"))[0] if depth else 0


def test_processes_in_processes_three_deep() -> None:
    assert down(3) == 3


async def test_processes_in_processes_on_loops() -> None:
    assert await down_on_loops(2) == 2


def test_threads_and_processes_in_turn_five_deep() -> None:
    assert down_alternating(5) == 5


def test_streams_in_threads_ten_deep() -> None:
    assert down_threads(10) == 10


def test_streams_in_threads_share_one_worker() -> None:
    with ProcessBackend(workers=1) as processes:

        def through(n: int) -> int:
            return sum(blocking.stream(range(n), abs, on=processes).values())

        assert blocking.parallel_map([10] * 6, through, max_concurrency=6) == [45] * 6


# -- several loops ------------------------------------------------------------------------------------------------


def on_loops(count: int, main: Any) -> list[Any]:
    """What `main()` gives on so many loops, each in a thread of its own, at the same time."""
    start, results = threading.Barrier(count), []

    def run() -> None:
        start.wait(LIMIT)
        results.append(asyncio.run(asyncio.wait_for(main(), LIMIT)))

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize("workers", [1, 2, None])
def test_loops_in_two_threads_use_processes_at_the_same_time(workers: int | None) -> None:
    with ProcessBackend(workers=workers) as processes:

        async def main() -> list[int]:
            tasks = [spawn(abs, -n, on=processes) for n in range(5)]
            values = await taken(stream(range(200), abs, on=processes).values())
            return values + [await task for task in tasks]

        assert on_loops(2, main) == [[*range(200), *range(5)]] * 2


def test_a_loop_that_is_closed_while_another_waits_for_its_worker_leaves_it_to_that() -> None:
    with ProcessBackend(workers=1) as processes:

        async def main() -> int:
            return await spawn(abs, -7, on=processes)

        first = asyncio.new_event_loop()
        assert first.run_until_complete(main()) == 7
        results: list[int] = []
        other = threading.Thread(target=lambda: results.append(asyncio.run(asyncio.wait_for(main(), LIMIT))))
        other.start()
        assert reached(lambda: processes._waiting)
        first.close()
        other.join()
        assert results == [7]


def test_loops_that_end_leave_their_workers_to_those_that_come() -> None:
    with ProcessBackend(workers=2) as processes:

        async def main() -> list[int]:
            return await parallel_map(range(4), abs, on=processes)

        for _ in range(3):
            assert on_loops(2, main) == [[0, 1, 2, 3]] * 2
        assert processes.statistics().made == 2
