"""`wait_until_idle` returns when all that this loop runs is over, and names what is not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial

import pytest

from atonce import Agent, Child, Retry, Server, Supervisor, TaskTimeout, parallel_map, scope, spawn, stream
from atonce.testing import FakeBackend, SleepsForever, run_virtual, wait_until_idle


@pytest.mark.virtual
async def test_with_nothing_running_it_returns_at_once() -> None:
    await wait_until_idle()
    assert asyncio.get_running_loop().time() == 0


@pytest.mark.virtual
async def test_it_waits_for_what_tasks_start_in_their_turn() -> None:
    ended = []

    async def chain(left: int) -> None:
        await asyncio.sleep(600)
        ended.append(left)
        if left:
            async with scope():
                await spawn(chain, left - 1)

    spawn(chain, 3)
    await wait_until_idle(timeout=None)
    assert ended == [3, 2, 1, 0]
    assert asyncio.get_running_loop().time() == 2400


@pytest.mark.virtual
async def test_it_waits_for_tasks_on_other_backends_and_for_streams() -> None:
    task = spawn(abs, -1, on=FakeBackend(lambda args: 3600.0))

    async def consume() -> int:
        return len([one async for one in stream([60] * 10, asyncio.sleep, max_concurrency=2)])

    consumer = asyncio.create_task(consume())
    await asyncio.sleep(0)
    await wait_until_idle(timeout=None)
    assert task.done()
    assert await consumer == 10


@pytest.mark.virtual
async def test_it_names_what_still_runs_when_its_time_is_up() -> None:
    task = spawn(asyncio.sleep, 3600, name="forgotten")
    with pytest.raises(TaskTimeout) as caught:
        await wait_until_idle(timeout=10)
    assert asyncio.get_running_loop().time() == 10
    assert "not idle after timeout=10 s; 1 still run:\n- task 'forgotten' (spawned at " in str(caught.value)
    assert caught.value.timeout == 10
    assert not task.done(), "it touches nothing"
    task.stop()


@pytest.mark.virtual
async def test_with_no_time_at_all_it_only_looks() -> None:
    await wait_until_idle(timeout=0)
    task = spawn(asyncio.sleep, 1)
    with pytest.raises(TaskTimeout):
        await wait_until_idle(timeout=0)
    task.stop()


def test_without_a_limit_what_never_ends_is_found_in_virtual_time() -> None:
    async def main() -> None:
        spawn(asyncio.Event().wait)
        await wait_until_idle(timeout=None)

    with pytest.raises(SleepsForever):
        run_virtual(main)


@pytest.mark.virtual
@pytest.mark.parametrize("around", ["task", "item", "block"])
async def test_the_task_that_waits_and_what_it_is_part_of_do_not_count(around: str) -> None:
    async def wait(_: int) -> str:
        spawn(asyncio.sleep, 60)
        async with scope():
            await wait_until_idle(timeout=100)
        return "idle"

    async def in_a_block(_: int) -> str:
        async with scope():
            return await spawn(wait, 0)

    ways: dict[str, Callable[[], asyncio.Future[str]]] = {
        "task": lambda: asyncio.ensure_future(spawn(wait, 0)),
        "item": lambda: asyncio.ensure_future(_first(wait)),
        "block": lambda: asyncio.ensure_future(spawn(in_a_block, 0)),
    }
    assert await ways[around]() == "idle"


async def _first(wait: Callable[[int], object]) -> str:
    [value] = await parallel_map([0], wait)  # type: ignore[arg-type]  # an async def
    return value  # type: ignore[return-value]  # as above


async def test_it_works_in_real_time_with_threads() -> None:
    release = threading.Event()
    task = spawn(release.wait)
    with pytest.raises(TaskTimeout, match="wait"):
        await wait_until_idle(timeout=0.02)
    release.set()
    await wait_until_idle()
    assert task.done()


async def test_a_cancel_touches_nothing_else() -> None:
    task = spawn(asyncio.sleep, 0.05)
    waiting = asyncio.create_task(wait_until_idle())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not task.done()
    await task


async def test_its_timeout_is_checked() -> None:
    with pytest.raises(ValueError, match="timeout"):
        await wait_until_idle(timeout=-1)


# -- under supervisors --------------------------------------------------------------------------------------------


@pytest.mark.virtual
async def test_what_a_supervisor_keeps_for_good_does_not_count_and_its_work_does() -> None:
    async with (
        Supervisor(max_children=4, on_full="wait", children=[Child(asyncio.Event().wait)]) as sup,
        Agent(dict),
    ):
        sup.start_child(Server)
        tasks = [sup.spawn_nolink(asyncio.sleep, 60) for _ in range(4)]
        sup.start_child(asyncio.sleep, 30, restart="transient")
        await wait_until_idle(timeout=None)
        assert all(task.done() for task in tasks)
        assert asyncio.get_running_loop().time() == 150, "two at a time, then the one that waited"
        assert sup.count_children() == 2


@pytest.mark.virtual
async def test_a_child_that_rests_before_its_next_run_is_waited_for() -> None:
    runs = []

    async def fails_once() -> None:
        runs.append(asyncio.get_running_loop().time())
        if len(runs) == 1:
            raise ValueError("once")

    async with Supervisor(backoff=Retry(base_delay=40, max_delay=40, jitter=None)) as sup:
        sup.start_child(fails_once, restart="transient")
        await asyncio.sleep(1)
        with pytest.raises(TaskTimeout, match="fails_once"):
            await wait_until_idle(timeout=10)
        await wait_until_idle(timeout=None)
    assert len(runs) == 2


@pytest.mark.virtual
async def test_a_task_of_a_supervisor_that_waits_is_no_work_of_its_own() -> None:
    async with Supervisor() as sup:
        other = sup.spawn_nolink(asyncio.sleep, 60)
        await sup.spawn_nolink(partial(wait_until_idle, timeout=None))
        assert other.done()
