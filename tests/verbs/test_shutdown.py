"""`shutdown`: end a task, and return when it is over."""

from __future__ import annotations

import asyncio

import pytest
from tests.verbs.acts import (
    Probe,
    Stubborn,
    error_of,
    eventually,
    fail,
    forever,
    gate,
    give,
    now,
    turns,
    until_asked,
)

import atonce
from atonce import Failed, Ok, TaskStopped, TaskTimeout, await_one, completed, poll, shutdown, spawn

virtual = pytest.mark.virtual


@virtual
async def test_a_running_task_is_stopped_and_none_says_that_we_stopped_it() -> None:
    probe = Probe(seconds=10.0)
    task = spawn(probe.work)
    await turns()
    assert await shutdown(task) is None
    assert (probe.cancelled, probe.running) == (1, 0)


@virtual
async def test_a_result_that_landed_first_is_given() -> None:
    task = spawn(give, 1)
    await turns()
    assert await shutdown(task) == Ok(1)


@virtual
async def test_a_failure_that_landed_first_is_given() -> None:
    error = ValueError("first")
    task = spawn(fail, error)
    await turns()
    assert await shutdown(task) == Failed(error)


@virtual
async def test_poll_and_then_shutdown_never_loses_a_result_that_lands_between_them() -> None:
    task = spawn(give, 1, 1.0)
    assert await poll(task, 0.5) is None
    await asyncio.sleep(0.6)
    assert await shutdown(task) == Ok(1)


@virtual
async def test_it_returns_when_the_cleanup_is_over() -> None:
    probe = Probe(seconds=10.0, cleanup=2.0)
    task = spawn(probe.work)
    await turns()
    began = now()
    assert await shutdown(task) is None
    assert now() - began == pytest.approx(2.0)
    assert probe.running == 0


@virtual
async def test_a_value_returned_while_it_is_shut_down_is_given() -> None:
    async def work() -> str:
        try:
            await forever()
        except asyncio.CancelledError:
            await asyncio.sleep(1.0)
            return "saved"
        return "never"

    task = spawn(work)
    await turns()
    assert await shutdown(task) == Ok("saved")


@virtual
async def test_an_error_raised_while_it_is_shut_down_is_given() -> None:
    async def work() -> None:
        try:
            await forever()
        finally:
            raise ValueError("cleanup")

    task = spawn(work)
    await turns()
    assert isinstance(error_of(await shutdown(task)), ValueError)


@virtual
async def test_what_swallows_every_cancel_is_given_up_after_the_grace() -> None:
    stubborn = Stubborn()
    task = spawn(stubborn.work)
    await turns()
    began = now()
    error = error_of(await shutdown(task, grace=3.0))
    assert now() - began == pytest.approx(3.0)
    assert isinstance(error, TaskStopped)
    assert error.abandoned
    await stubborn.let_go()


@virtual
async def test_the_grace_is_five_seconds_by_default() -> None:
    stubborn = Stubborn()
    task = spawn(stubborn.work)
    await turns()
    began = now()
    await shutdown(task)
    assert now() - began == pytest.approx(5.0)
    await stubborn.let_go()


@virtual
async def test_a_late_value_of_a_task_that_was_given_up_changes_nothing() -> None:
    stubborn = Stubborn()
    task = spawn(stubborn.work)
    await turns()
    given = await shutdown(task, grace=1.0)
    await stubborn.let_go()
    assert task.outcome() == given


@virtual
async def test_grace_zero_lets_no_time_pass() -> None:
    task = spawn(forever)
    await turns()
    began = now()
    await shutdown(task, grace=0)
    assert now() == began
    assert task.done()


@virtual
async def test_grace_zero_of_a_task_that_ends_at_its_cancel_is_none() -> None:
    probe = Probe(seconds=10.0)
    task = spawn(probe.work)
    await turns()
    assert await shutdown(task, grace=0) is None
    assert (probe.cancelled, probe.running) == (1, 0)


@virtual
async def test_grace_zero_gives_up_what_does_not_end_at_its_cancel() -> None:
    stubborn = Stubborn()
    task = spawn(stubborn.work)
    await turns()
    error = error_of(await shutdown(task, grace=0))
    assert isinstance(error, TaskStopped)
    assert error.abandoned
    await stubborn.let_go()


@virtual
async def test_grace_zero_gives_a_result_that_landed_first() -> None:
    task = spawn(give, 1)
    await turns()
    assert await shutdown(task, grace=0) == Ok(1)


async def test_a_completed_task_gives_its_value() -> None:
    assert await shutdown(completed(1)) == Ok(1)


@virtual
async def test_shutting_down_twice_gives_none_and_then_the_stored_outcome_without_waiting() -> None:
    task = spawn(forever)
    await turns()
    assert await shutdown(task) is None
    assert isinstance(error_of(await shutdown(task)), TaskStopped)


@virtual
async def test_after_a_shutdown_an_await_raises_task_stopped() -> None:
    task = spawn(forever)
    await turns()
    await shutdown(task)
    with pytest.raises(TaskStopped):
        await task


@virtual
async def test_two_may_shut_down_one_task() -> None:
    probe = Probe(seconds=10.0, cleanup=1.0)
    task = spawn(probe.work)
    await turns()
    assert await asyncio.gather(shutdown(task), shutdown(task)) == [None, None]
    assert probe.running == 0


@virtual
async def test_a_task_that_was_timed_out_and_is_still_cleaning_up_is_waited_for() -> None:
    probe = Probe(seconds=10.0, cleanup=2.0)
    task = spawn(probe.work)
    with pytest.raises(TaskTimeout):
        await await_one(task, timeout=1.0)
    assert isinstance(error_of(await shutdown(task)), TaskTimeout)
    assert probe.running == 0


@virtual
async def test_cancelled_it_ends_the_task_all_the_same_and_then_goes_on() -> None:
    probe = Probe(seconds=10.0, cleanup=2.0)
    task = spawn(probe.work)
    await turns()
    stopping = asyncio.create_task(shutdown(task))
    await asyncio.sleep(1.0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert probe.running == 0


@virtual
async def test_a_task_that_never_began_is_over_at_once() -> None:
    task = spawn(forever)
    assert await shutdown(task) is None


async def test_a_function_in_a_thread_that_looks_gives_its_value() -> None:
    task = spawn(until_asked)
    await asyncio.sleep(0.02)
    assert await shutdown(task) == Ok("noticed")


async def test_a_function_in_a_thread_that_does_not_look_is_given_up_after_the_grace() -> None:
    with gate() as door:
        async with atonce.ThreadBackend() as threads:
            task = spawn(door.work, on=threads)
            await asyncio.to_thread(door.arrived.acquire)
            began = now()
            error = error_of(await shutdown(task, grace=0.05))
            assert 0.04 < now() - began < 1.0
            assert isinstance(error, TaskStopped)
            assert error.abandoned
            assert threads.statistics().abandoned == 1
            door.open()
            await eventually(lambda: threads.statistics().abandoned == 0)


async def test_the_grace_of_a_shutdown_holds_for_threads_too() -> None:
    def slow_to_notice() -> str:
        noticed = until_asked()
        asyncio.run(asyncio.sleep(0.3))
        return noticed

    task = spawn(slow_to_notice)
    await asyncio.sleep(0.02)
    assert await shutdown(task, grace=10.0) == Ok("noticed")


async def test_grace_zero_gives_up_a_thread_at_once() -> None:
    with gate() as door:
        task = spawn(door.work)
        await asyncio.to_thread(door.arrived.acquire)
        began = now()
        error = error_of(await shutdown(task, grace=0))
        assert now() - began < 0.08
        assert isinstance(error, TaskStopped)
        assert error.abandoned
