"""`poll` and `poll_many`: look, or wait a while, without ending anything."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.verbs.acts import Probe, error_of, fail, forever, gate, give, now, turns

from atonce import Failed, Ok, TaskStopped, TaskTimeout, completed, poll, poll_many, scope, shutdown, spawn

virtual = pytest.mark.virtual


# -- poll ---------------------------------------------------------------------------------------------------------


@virtual
async def test_poll_does_not_wait_by_default() -> None:
    task = spawn(give, 1, 1.0)
    began = now()
    assert await poll(task) is None
    assert now() == began
    await task


@virtual
async def test_poll_gives_ok_when_the_task_has_ended() -> None:
    task = spawn(give, 1, 1.0)
    await task
    assert await poll(task) == Ok(1)


@virtual
async def test_poll_gives_failed_and_does_not_raise() -> None:
    error = ValueError("mine")
    assert await poll(spawn(fail, error, 1.0), timeout=2.0) == Failed(error)


@virtual
async def test_poll_waits_up_to_its_timeout() -> None:
    task = spawn(give, 1, 5.0)
    began = now()
    assert await poll(task, timeout=2.0) is None
    assert now() - began == pytest.approx(2.0)
    await task


@virtual
async def test_poll_returns_as_soon_as_the_task_ends() -> None:
    began = now()
    assert await poll(spawn(give, 1, 1.0), timeout=5.0) == Ok(1)
    assert now() - began == pytest.approx(1.0)


@virtual
async def test_poll_with_none_waits_without_limit() -> None:
    assert await poll(spawn(give, 1, 86_400.0), timeout=None) == Ok(1)


@virtual
async def test_none_is_not_terminal() -> None:
    task = spawn(give, 1, 5.0)
    assert [await poll(task, 2.0), await poll(task, 2.0), await poll(task, 2.0)] == [None, None, Ok(1)]


@virtual
async def test_after_a_poll_that_gave_none_the_task_can_be_awaited() -> None:
    task = spawn(give, 1, 5.0)
    assert await poll(task, 1.0) is None
    assert await task == 1


@virtual
async def test_after_a_poll_that_gave_none_the_task_can_be_shut_down() -> None:
    task = spawn(forever)
    assert await poll(task, 1.0) is None
    assert await shutdown(task) is None


@virtual
async def test_poll_may_be_repeated_after_the_end() -> None:
    task = spawn(give, 1)
    assert [await poll(task, 1.0), await poll(task), await poll(task)] == [Ok(1)] * 3


@virtual
async def test_polling_with_an_expired_wait_does_not_stop_the_task() -> None:
    probe = Probe(seconds=3.0)
    task = spawn(probe.work)
    await poll(task, 1.0)
    assert (probe.running, probe.cancelled) == (1, 0)
    await task


@virtual
async def test_cancelling_who_polls_leaves_the_task_alone() -> None:
    task = spawn(give, 1, 3.0)
    waiter = asyncio.create_task(poll(task, 10.0))
    await asyncio.sleep(1.0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert await task == 1


# -- poll_many ----------------------------------------------------------------------------------------------------


@virtual
async def test_poll_many_gives_pairs_in_input_order() -> None:
    tasks = [spawn(give, n, float(3 - n)) for n in range(3)]
    assert await poll_many(tasks) == [(task, Ok(n)) for n, task in enumerate(tasks)]


@virtual
async def test_poll_many_never_raises_for_what_a_task_did() -> None:
    error = ValueError("mine")
    broken, good = spawn(fail, error, 1.0), spawn(give, 1, 2.0)
    assert await poll_many([broken, good]) == [(broken, Failed(error)), (good, Ok(1))]


async def test_poll_many_of_nothing_is_empty() -> None:
    assert await poll_many([]) == []


@virtual
async def test_poll_many_of_nothing_takes_no_time_with_a_timeout_and_a_limit() -> None:
    began = now()
    assert await poll_many([], timeout=5.0, limit=3) == []
    assert now() == began


@virtual
async def test_one_wait_is_shared_by_all() -> None:
    tasks = [spawn(give, n, 10.0) for n in range(5)]
    began = now()
    assert [outcome for _, outcome in await poll_many(tasks, timeout=2.0)] == [None] * 5
    assert now() - began == pytest.approx(2.0)
    await poll_many(tasks)


@virtual
async def test_poll_many_with_timeout_zero_takes_what_is_there() -> None:
    early, late = spawn(give, 1, 1.0), spawn(give, 2, 3.0)
    await asyncio.sleep(2.0)
    assert await poll_many([early, late], timeout=0) == [(early, Ok(1)), (late, None)]
    await late


@virtual
async def test_a_duplicate_shares_one_result() -> None:
    task = spawn(give, 1, 1.0)
    assert await poll_many([task, task]) == [(task, Ok(1)), (task, Ok(1))]


@virtual
async def test_it_takes_completed_tasks_among_the_others() -> None:
    done, task = completed(1), spawn(give, 2, 1.0)
    assert await poll_many([done, task]) == [(done, Ok(1)), (task, Ok(2))]


# -- limit --------------------------------------------------------------------------------------------------------


@virtual
async def test_limit_returns_as_soon_as_that_many_have_ended() -> None:
    tasks = [spawn(give, n, float(n + 1)) for n in range(4)]
    began = now()
    assert [outcome for _, outcome in await poll_many(tasks, limit=2)] == [Ok(0), Ok(1), None, None]
    assert now() - began == pytest.approx(2.0)
    await poll_many(tasks)


@virtual
async def test_failures_count_towards_the_limit() -> None:
    error = ValueError("counts")
    tasks = [spawn(fail, error, 1.0), spawn(give, 2, 5.0)]
    assert [outcome for _, outcome in await poll_many(tasks, limit=1)] == [Failed(error), None]
    await poll_many(tasks)


@virtual
async def test_what_had_ended_before_counts_towards_the_limit() -> None:
    task, late = spawn(give, 1), spawn(give, 2, 5.0)
    await task
    began = now()
    assert await poll_many([task, late], limit=1) == [(task, Ok(1)), (late, None)]
    assert now() == began
    await late


@virtual
async def test_a_limit_larger_than_the_number_of_tasks_means_all() -> None:
    task = spawn(give, 1, 1.0)
    assert await poll_many([task], limit=5) == [(task, Ok(1))]


@virtual
async def test_a_limit_larger_than_the_number_of_distinct_tasks_means_all() -> None:
    task = spawn(give, 1, 1.0)
    assert await poll_many([task, task], limit=2) == [(task, Ok(1)), (task, Ok(1))]


@virtual
@pytest.mark.parametrize("on_timeout", ["ignore", "stop"])
async def test_when_the_limit_is_reached_the_others_go_on_untouched(on_timeout: Any) -> None:
    probe = Probe(seconds=5.0, value=2)
    early, late = spawn(give, 1, 1.0), spawn(probe.work)
    got = await poll_many([early, late], timeout=3.0, limit=1, on_timeout=on_timeout)
    assert got == [(early, Ok(1)), (late, None)]
    assert (probe.running, probe.cancelled) == (1, 0)
    assert await late == 2


# -- on_timeout ---------------------------------------------------------------------------------------------------


@virtual
async def test_on_timeout_nothing_leaves_the_unfinished_alone() -> None:
    task = spawn(give, 1, 5.0)
    assert await poll_many([task], timeout=1.0) == [(task, None)]
    assert await task == 1


@virtual
async def test_on_timeout_stop_ends_the_unfinished_and_gives_none_for_them() -> None:
    probe = Probe(seconds=5.0)
    early, late = spawn(give, 1, 0.5), spawn(probe.work)
    assert await poll_many([early, late], timeout=1.0, on_timeout="stop") == [(early, Ok(1)), (late, None)]
    assert (probe.running, probe.cancelled) == (0, 1)
    assert late.done()


@virtual
async def test_on_timeout_stop_gives_a_result_that_lands_last() -> None:
    async def work() -> str:
        try:
            await forever()
        except asyncio.CancelledError:
            return "saved"
        return "never"

    task = spawn(work)
    assert await poll_many([task], timeout=1.0, on_timeout="stop") == [(task, Ok("saved"))]


@virtual
async def test_on_timeout_stop_with_a_timeout_of_zero_stops_at_once() -> None:
    probe = Probe(seconds=5.0)
    task = spawn(probe.work)
    await turns()
    began = now()
    assert await poll_many([task], timeout=0, on_timeout="stop") == [(task, None)]
    assert now() == began
    assert probe.running == 0


@virtual
async def test_on_timeout_stop_shows_a_task_that_somebody_else_had_stopped_before() -> None:
    stopped, late = spawn(forever), spawn(forever)
    await turns()
    stopped.stop()
    await turns()
    pairs = await poll_many([stopped, late], timeout=1.0, on_timeout="stop")
    assert isinstance(error_of(pairs[0][1]), TaskStopped)
    assert pairs[1][1] is None


@virtual
async def test_on_timeout_ignore_lets_a_late_failure_touch_nobody() -> None:
    async with scope():
        task = spawn(fail, ValueError("late"), 2.0)
        assert await poll_many([task], timeout=1.0, on_timeout="ignore") == [(task, None)]
        await asyncio.sleep(3.0)
        assert isinstance(task.outcome(), Failed)


@virtual
async def test_on_timeout_ignore_leaves_the_task_running_and_awaitable() -> None:
    task = spawn(give, 1, 5.0)
    await poll_many([task], timeout=1.0, on_timeout="ignore")
    assert await task == 1


@virtual
async def test_without_a_timeout_on_timeout_never_applies() -> None:
    task = spawn(give, 1, 100.0)
    assert await poll_many([task], on_timeout="stop") == [(task, Ok(1))]


@pytest.mark.parametrize(
    ("wrong", "meant"), [("kill", None), ("stopp", "stop"), (True, None), (None, None), ("", None)]
)
async def test_an_unknown_on_timeout_is_refused_and_the_nearest_suggested(
    wrong: Any, meant: str | None
) -> None:
    with pytest.raises(ValueError, match="on_timeout is 'nothing' or 'ignore' or 'stop'") as caught:
        await poll_many([], on_timeout=wrong)
    if meant is not None:
        assert f"did you mean on_timeout={meant!r}" in str(caught.value)


@virtual
async def test_cancelling_who_polls_many_leaves_the_tasks_alone() -> None:
    tasks = [spawn(give, n, 3.0) for n in range(3)]
    waiter = asyncio.create_task(poll_many(tasks, on_timeout="stop"))
    await asyncio.sleep(1.0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert [await task for task in tasks] == [0, 1, 2]


@virtual
async def test_a_task_that_ran_out_of_its_own_time_shows_its_timeout() -> None:
    task = spawn(forever, timeout=1.0)
    pairs = await poll_many([task], timeout=3.0, on_timeout="stop")
    assert isinstance(error_of(pairs[0][1]), TaskTimeout)


async def test_a_thread_that_does_not_look_is_given_up_on_timeout_stop() -> None:
    with gate() as door:
        task = spawn(door.work)
        await asyncio.to_thread(door.arrived.acquire)
        began = now()
        pairs = await poll_many([task], timeout=0, on_timeout="stop")
        assert now() - began < 1.5
        error = error_of(pairs[0][1])
        assert isinstance(error, TaskStopped)
        assert error.abandoned
