"""`atonce.blocking` where a loop runs already: in Jupyter's it works, in its own it says what to do instead."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.verbs.acts import forever, give

import atonce
from atonce import blocking

# -- a loop of somebody else's, as in Jupyter ---------------------------------------------------------------------


async def test_every_verb_works_in_a_thread_that_already_runs_a_loop() -> None:
    assert blocking.spawn(give, 1).result() == 1
    assert blocking.parallel_map([1, 2], give) == [1, 2]
    assert blocking.race([lambda: 3]) == 3
    assert blocking.await_many([blocking.spawn(give, 4)]) == [4]
    assert list(blocking.stream([5], give).values()) == [5]
    with blocking.scope():
        assert blocking.spawn(give, 6).result() == 6


async def test_the_loop_that_runs_already_is_left_as_it_was() -> None:
    here = asyncio.get_running_loop()
    blocking.parallel_map([1], give)
    assert asyncio.get_running_loop() is here
    assert await give(1) == 1


async def test_a_task_of_the_blocking_face_cannot_be_awaited_on_another_loop_and_says_so() -> None:
    task = blocking.spawn(give, 1)
    with pytest.raises(RuntimeError, match=r"task\.result\(\)"):
        await task
    assert task.result() == 1


async def test_a_task_of_the_async_face_is_refused_by_the_blocking_verbs() -> None:
    task = atonce.spawn(give, 1, 0.01)
    with pytest.raises(RuntimeError, match="another event loop"):
        blocking.await_one(task, timeout=1.0)
    assert await task == 1


async def test_a_block_of_the_async_face_does_not_own_what_the_blocking_face_spawns() -> None:
    async with atonce.scope():
        task = blocking.spawn(forever)
    assert not task.done()
    assert blocking.shutdown(task) is None


# -- its own loop -------------------------------------------------------------------------------------------------

CALLS: dict[str, Callable[[], Any]] = {
    "spawn": lambda: blocking.spawn(give, 1),
    "completed": lambda: blocking.completed(1),
    "await_many": lambda: blocking.await_many([]),
    "parallel_map": lambda: blocking.parallel_map([1], give),
    "race": lambda: blocking.race([lambda: 1]),
    "retry_with_backoff": lambda: blocking.retry_with_backoff(give, 1),
    "async_pipeline": lambda: blocking.async_pipeline(1, []),
    "aggregate": lambda: blocking.aggregate({}),
    "with_fallback": lambda: blocking.with_fallback([]),
    "process_batch": lambda: blocking.process_batch([1], give),
    "stream": lambda: next(iter(blocking.stream([1], give))),
    "values": lambda: next(iter(blocking.stream([1], give).values())),
    "scope": lambda: blocking.scope().__enter__(),
}


@pytest.mark.parametrize("verb", CALLS)
def test_a_call_from_inside_its_own_loop_raises_at_once_and_says_what_to_do(verb: str) -> None:
    async def work() -> None:
        CALLS[verb]()

    began = time.monotonic()
    with pytest.raises(RuntimeError, match=r"use the same verb of `atonce` and await it") as caught:
        blocking.spawn(work).result()
    assert isinstance(caught.value, atonce.AtonceError)
    assert time.monotonic() - began < 2


def test_result_of_an_unfinished_task_inside_its_own_loop_raises_at_once() -> None:
    async def work() -> None:
        atonce.spawn(forever).result()

    with pytest.raises(RuntimeError, match="await it") as caught:
        blocking.spawn(work).result()
    assert isinstance(caught.value, atonce.AtonceError)


def test_after_such_a_call_the_loop_lives_on() -> None:
    async def work() -> None:
        blocking.parallel_map([1], give)

    with pytest.raises(RuntimeError):
        blocking.spawn(work).result()
    assert blocking.spawn(give, "alive").result() == "alive"


def test_a_plain_function_in_a_thread_may_use_the_blocking_face() -> None:
    assert blocking.spawn(lambda: blocking.parallel_map([1, 2], give)).result() == [1, 2]


def test_the_async_verbs_may_be_used_inside_its_own_loop() -> None:
    async def work() -> list[int]:
        return await atonce.parallel_map([1, 2], give)

    assert blocking.spawn(work).result() == [1, 2]


def test_calls_nested_through_threads_ten_deep_do_not_lock_up() -> None:
    def down(depth: int) -> int:
        return 0 if depth == 0 else 1 + blocking.spawn(down, depth - 1).result()

    assert blocking.spawn(down, 10).result() == 10


# -- several loops ------------------------------------------------------------------------------------------------


def test_loops_in_several_threads_use_the_default_thread_backend_side_by_side() -> None:
    results: list[list[int]] = []

    async def main() -> list[int]:
        return await atonce.parallel_map(range(20), lambda n: n * n)

    threads = [threading.Thread(target=lambda: results.append(asyncio.run(main()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [[n * n for n in range(20)]] * 4


def test_one_thread_backend_serves_several_loops() -> None:
    results: list[list[str]] = []
    with atonce.ThreadBackend(max_threads=3) as three:

        async def main() -> list[str]:
            return await atonce.parallel_map(range(5), lambda _: threading.current_thread().name, on=three)

        threads = [threading.Thread(target=lambda: results.append(asyncio.run(main()))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(map(len, results)) == 15
        assert three.statistics().threads <= 3
