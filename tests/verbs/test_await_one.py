"""`await_one`: one task, with a limit on the wait."""

from __future__ import annotations

import asyncio

import pytest
from tests.verbs.acts import Probe, Stubborn, fail, forever, gate, give, now, turns, until_asked

from atonce import Failed, TaskStopped, TaskTimeout, await_one, completed, poll, spawn

virtual = pytest.mark.virtual


@virtual
async def test_it_gives_the_value() -> None:
    assert await await_one(spawn(give, "value", 1.0), timeout=2.0) == "value"


@virtual
async def test_without_a_limit_it_waits_as_long_as_it_takes() -> None:
    assert await await_one(spawn(give, "value", 86_400.0)) == "value"


@virtual
async def test_it_raises_the_tasks_own_error() -> None:
    with pytest.raises(ValueError, match="mine"):
        await await_one(spawn(fail, ValueError("mine"), 1.0), timeout=2.0)


@virtual
async def test_it_may_be_repeated() -> None:
    task = spawn(give, "value", 1.0)
    assert [await await_one(task), await await_one(task, 0), await task] == ["value"] * 3


@virtual
async def test_when_the_time_is_up_it_raises_task_timeout_then_and_not_later() -> None:
    began = now()
    with pytest.raises(TaskTimeout):
        await await_one(spawn(forever), timeout=2.0)
    assert now() - began == pytest.approx(2.0)


@virtual
async def test_the_timeout_says_its_limit() -> None:
    with pytest.raises(TaskTimeout, match=r"timeout=2") as caught:
        await await_one(spawn(forever), timeout=2.0)
    assert caught.value.timeout == 2.0


@virtual
async def test_a_timed_out_await_stops_the_task() -> None:
    probe = Probe(seconds=10.0)
    with pytest.raises(TaskTimeout):
        await await_one(spawn(probe.work), timeout=2.0)
    await turns()
    assert (probe.cancelled, probe.running) == (1, 0)


@virtual
async def test_a_timed_out_await_stores_the_timeout_as_the_outcome() -> None:
    task = spawn(forever)
    with pytest.raises(TaskTimeout) as caught:
        await await_one(task, timeout=2.0)
    assert task.outcome() == Failed(caught.value)


@virtual
async def test_after_a_timed_out_await_another_await_raises_the_same_timeout() -> None:
    task = spawn(forever)
    with pytest.raises(TaskTimeout) as first:
        await await_one(task, timeout=2.0)
    with pytest.raises(TaskTimeout) as second:
        await task
    assert second.value is first.value


@virtual
async def test_timeout_zero_takes_what_is_there() -> None:
    task = spawn(give, "value", 1.0)
    await asyncio.sleep(2.0)
    assert await await_one(task, timeout=0) == "value"


@virtual
async def test_timeout_zero_of_an_unfinished_task_times_out_at_once() -> None:
    began = now()
    with pytest.raises(TaskTimeout):
        await await_one(spawn(forever), timeout=0)
    assert now() == began


@virtual
async def test_a_result_that_lands_in_the_instant_of_the_timeout_is_either_given_or_timed_out() -> None:
    task = spawn(give, "value", 2.0)
    try:
        assert await await_one(task, timeout=2.0) == "value"
    except TaskTimeout:
        assert isinstance(task.outcome(), Failed)


@virtual
async def test_cancelling_the_waiter_leaves_the_task_alone() -> None:
    task = spawn(give, "value", 3.0)
    waiter = asyncio.create_task(await_one(task, timeout=10.0))
    await asyncio.sleep(1.0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert await task == "value"


@virtual
async def test_one_waiter_that_times_out_ends_the_task_for_the_other_too() -> None:
    task = spawn(forever)
    patient = asyncio.create_task(await_one(task))
    with pytest.raises(TaskTimeout):
        await await_one(task, timeout=1.0)
    with pytest.raises(TaskTimeout):
        await patient


@virtual
async def test_it_does_not_wait_for_a_task_that_swallows_its_cancel() -> None:
    stubborn = Stubborn()
    task = spawn(stubborn.work)
    began = now()
    with pytest.raises(TaskTimeout) as caught:
        await await_one(task, timeout=1.0)
    assert now() - began == pytest.approx(1.0)
    assert caught.value.abandoned
    await stubborn.let_go()
    assert isinstance(task.outcome(), Failed)


@virtual
async def test_a_task_that_returns_a_value_when_it_is_timed_out_ends_as_timed_out_all_the_same() -> None:
    async def work() -> str:
        try:
            await forever()
        except asyncio.CancelledError:
            return "too late"
        return "never"

    with pytest.raises(TaskTimeout):
        await await_one(spawn(work), timeout=1.0)


@virtual
async def test_a_stopped_task_raises_task_stopped() -> None:
    task = spawn(forever)
    await turns()
    task.stop()
    with pytest.raises(TaskStopped):
        await await_one(task, timeout=1.0)


async def test_it_takes_completed_tasks() -> None:
    assert await await_one(completed(3), timeout=0) == 3


async def test_a_thread_that_does_not_look_is_abandoned_at_the_timeout() -> None:
    with gate() as door:
        began = now()
        task = spawn(door.work)
        with pytest.raises(TaskTimeout) as caught:
            await await_one(task, timeout=0.05)
        assert now() - began < 1.0
        assert caught.value.abandoned
        assert door.through == 0


async def test_a_thread_that_looks_is_asked_at_the_timeout() -> None:
    ended: list[str] = []

    def work() -> None:
        ended.append(until_asked())

    with pytest.raises(TaskTimeout):
        await await_one(spawn(work), timeout=0.02)
    for _ in range(200):
        if ended:
            break
        await asyncio.sleep(0.005)
    assert ended == ["noticed"]


@virtual
async def test_a_wait_that_times_out_leaves_the_other_tasks_alone() -> None:
    probe = Probe(seconds=3.0, value="kept")
    kept, late = spawn(probe.work), spawn(forever)
    with pytest.raises(TaskTimeout):
        await await_one(late, timeout=1.0)
    assert await poll(kept) is None
    assert await kept == "kept"
