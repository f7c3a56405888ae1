"""Depth, re-entrancy, and loops that are not the plain one: debug mode, task factories, eager tasks."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tests.verbs.acts import Probe, fail, forever, give, now, turns

import atonce
from atonce import Ok, TaskStopped, await_many, parallel_map, race, scope, spawn, stream

virtual = pytest.mark.virtual


# -- depth --------------------------------------------------------------------------------------------------------


@virtual
@pytest.mark.parametrize("depth", [100, 1000])
async def test_tasks_that_spawn_and_await_tasks_may_be_nested_deep(depth: int) -> None:
    async def down(left: int) -> int:
        return 0 if left == 0 else 1 + await spawn(down, left - 1)

    assert await spawn(down, depth) == depth


@virtual
async def test_tasks_that_spawn_before_their_first_await_do_not_exhaust_the_stack() -> None:
    ended: list[int] = []

    async def down(left: int) -> None:
        if left:
            task = spawn(down, left - 1)
            await turns(1)
            await task
        ended.append(left)

    await spawn(down, 2000)
    assert len(ended) == 2001


@virtual
async def test_streams_may_be_nested_a_hundred_deep() -> None:
    async def down(left: int) -> int:
        return 0 if left == 0 else 1 + (await parallel_map([left - 1], down, max_concurrency=1))[0]

    assert await down(100) == 100


@virtual
async def test_scopes_may_be_nested_a_hundred_deep_and_the_failure_comes_out_as_itself() -> None:
    async def down(left: int) -> None:
        async with scope():
            if left == 0:
                spawn(fail, ValueError("deepest"), 1.0)
                await forever()
            await down(left - 1)

    with pytest.raises(ValueError, match="deepest"):
        await down(100)


async def test_threads_nested_through_the_blocking_face_do_not_lock_up() -> None:
    from atonce import blocking

    def down(left: int) -> int:
        return 0 if left == 0 else 1 + blocking.parallel_map([left - 1], down, max_concurrency=1)[0]

    assert await spawn(down, 20) == 20


# -- re-entrancy --------------------------------------------------------------------------------------------------


async def test_a_task_that_awaits_itself_is_told_so_instead_of_waiting_for_ever() -> None:
    box: list[atonce.Task[Any]] = []

    async def work() -> None:
        await turns(1)
        await box[0]

    box.append(spawn(work))
    with pytest.raises(RuntimeError, match="awaits itself"):
        await box[0]


@virtual
async def test_a_done_callback_may_stop_another_task() -> None:
    late = spawn(forever)
    early = spawn(give, 1, 1.0)
    early.add_done_callback(lambda _: late.stop())
    with pytest.raises(TaskStopped):
        await late


@virtual
async def test_a_done_callback_may_add_another_one() -> None:
    got: list[int] = []
    task = spawn(give, 1, 1.0)
    task.add_done_callback(lambda ended: ended.add_done_callback(lambda _: got.append(1)))
    await task
    await turns()
    assert got == [1]


@virtual
async def test_a_task_may_stop_itself() -> None:
    box: list[atonce.Task[Any]] = []

    async def work() -> None:
        await turns(1)
        box[0].stop()
        await forever()

    box.append(spawn(work))
    with pytest.raises(TaskStopped):
        await box[0]


@virtual
async def test_a_task_may_stop_its_siblings_in_its_cleanup() -> None:
    sibling = spawn(forever)

    async def work() -> None:
        try:
            await forever()
        finally:
            sibling.stop()

    task = spawn(work)
    await turns()
    task.stop()
    with pytest.raises(TaskStopped):
        await sibling
    assert task.done()


@virtual
async def test_an_item_may_cancel_its_consumer() -> None:
    probe = Probe(seconds=100.0)

    async def work(n: int) -> Any:
        if n == 2:
            await asyncio.sleep(1.0)
            consumer.cancel()
        return await probe.work()

    consumer = asyncio.create_task(parallel_map(range(5), work))
    with pytest.raises(asyncio.CancelledError):
        await consumer
    assert probe.running == 0


@virtual
async def test_a_contender_may_start_a_race_of_its_own() -> None:
    async def inner() -> str:
        return await race([lambda: give("inner", 1.0), forever], on="loop")

    assert await race([inner, lambda: give("outer", 5.0)], on="loop") == "inner"


# -- loops --------------------------------------------------------------------------------------------------------


async def everything() -> list[Any]:
    """A bit of every verb."""
    probe = Probe(seconds=0.0)
    async with scope():
        task = spawn(give, "task", 0.001)
        stopped = spawn(forever)
        first = await task
    outcomes = [one async for one in stream([1, 2, 3], give, max_concurrency=2, timeout=5.0)]
    async with stream(range(10), probe.work, max_concurrency=2) as left:
        async for _ in left:
            break
    timed_out = await atonce.capture(spawn(forever, timeout=0.001))
    return [
        first,
        type(stopped.outcome()).__name__,
        outcomes,
        await await_many([spawn(give, n) for n in range(3)]),
        await parallel_map([1, 2], lambda n: n + 1),
        await race([lambda: give("won"), forever], on="loop"),
        type(timed_out).__name__,
        probe.running,
    ]


EXPECTED = ["task", "Failed", [Ok(1), Ok(2), Ok(3)], [0, 1, 2], [2, 3], "won", "Failed", 0]


def test_a_plain_loop_does_what_the_others_must_do(arun: Callable[..., Any]) -> None:
    assert arun(everything()) == EXPECTED


def test_debug_mode() -> None:
    assert asyncio.run(everything(), debug=True) == EXPECTED


class _OwnTask(asyncio.Task[Any]):
    """A task class of the user's."""


def own_factory(
    loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **options: Any
) -> asyncio.Task[Any]:
    """A task factory of the user's."""
    return _OwnTask(coro, loop=loop, **options)


def run_with(factory: Any) -> Any:
    """Run everything on a loop with a task factory."""

    async def main() -> Any:
        asyncio.get_running_loop().set_task_factory(factory)
        return await everything()

    return asyncio.run(main())


def test_a_task_factory_of_ones_own_is_used() -> None:
    async def main() -> bool:
        asyncio.get_running_loop().set_task_factory(own_factory)
        return await spawn(current_is_own)

    async def current_is_own() -> bool:
        return isinstance(asyncio.current_task(), _OwnTask)

    assert asyncio.run(main())
    assert run_with(own_factory) == EXPECTED


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_the_eager_task_factory() -> None:
    assert run_with(getattr(asyncio, "eager_task_factory")) == EXPECTED  # noqa: B009  # 3.12 and later


def test_a_loop_that_was_stopped_and_runs_again() -> None:
    loop = asyncio.new_event_loop()
    try:
        assert loop.run_until_complete(everything()) == EXPECTED
        assert loop.run_until_complete(everything()) == EXPECTED
    finally:
        loop.close()


@virtual
async def test_a_blocked_loop_fires_no_limit_that_was_kept() -> None:
    began = now()
    task = spawn(give, "kept", 1.0, timeout=2.0)
    assert await task == "kept"
    assert now() - began == pytest.approx(1.0)
