"""`await_many`: the values of many tasks under one deadline, fail-fast."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from tests.verbs.acts import Probe, Stubborn, fail, forever, gate, give, now, turns

from atonce import Failed, Ok, TaskStopped, TaskTimeout, await_many, completed, poll, scope, spawn

virtual = pytest.mark.virtual


@virtual
@pytest.mark.parametrize("order", list(itertools.permutations([1.0, 2.0, 3.0])))
async def test_values_come_in_input_order_whatever_the_order_of_completion(order: tuple[float, ...]) -> None:
    assert await await_many([spawn(give, seconds, seconds) for seconds in order]) == list(order)


async def test_no_tasks_give_no_values() -> None:
    assert await await_many([]) == []


@virtual
async def test_no_tasks_take_no_time_even_under_a_timeout() -> None:
    began = now()
    assert await await_many([], timeout=5.0) == []
    assert now() == began


@virtual
async def test_it_takes_as_long_as_the_longest_and_not_the_sum() -> None:
    began = now()
    await await_many([spawn(give, n, float(n)) for n in range(1, 11)])
    assert now() - began == pytest.approx(10.0)


@virtual
async def test_a_task_may_stand_in_the_list_twice() -> None:
    one, two = spawn(give, 1, 1.0), spawn(give, 2, 2.0)
    assert await await_many([one, two, one]) == [1, 2, 1]


@virtual
async def test_it_takes_any_iterable_of_tasks() -> None:
    assert await await_many(spawn(give, n, 1.0) for n in range(3)) == [0, 1, 2]


@virtual
async def test_finished_and_completed_tasks_may_be_among_them() -> None:
    finished = spawn(give, 1)
    await finished
    assert await await_many([finished, completed(2), spawn(give, 3, 1.0)]) == [1, 2, 3]


@virtual
async def test_it_may_be_repeated() -> None:
    tasks = [spawn(give, n, 1.0) for n in range(3)]
    assert await await_many(tasks) == await await_many(tasks)


# -- failure ------------------------------------------------------------------------------------------------------


@virtual
async def test_the_first_failure_in_time_is_raised_at_once() -> None:
    began = now()
    late, early = spawn(fail, KeyError("late"), 9.0), spawn(fail, ValueError("early"), 2.0)
    with pytest.raises(ValueError, match="early"):
        await await_many([spawn(forever), late, early])
    assert now() - began == pytest.approx(2.0)


@virtual
async def test_the_rest_is_stopped_and_over_before_the_failure_is_raised() -> None:
    probe = Probe(seconds=100.0, cleanup=0.5)
    rest = [spawn(probe.work) for _ in range(3)]
    with pytest.raises(ValueError, match="first"):
        await await_many([*rest, spawn(fail, ValueError("first"), 1.0)])
    assert (probe.cancelled, probe.running) == (3, 0)
    assert all(isinstance(task.outcome(), Failed) for task in rest)


@virtual
async def test_a_failure_that_is_there_already_is_raised_before_any_wait() -> None:
    broken = spawn(fail, ValueError("there"))
    await turns()
    began = now()
    with pytest.raises(ValueError, match="there"):
        await await_many([spawn(forever), broken])
    assert now() == began


@virtual
async def test_tasks_that_are_not_in_the_list_are_left_alone() -> None:
    outside = spawn(give, "kept", 3.0)
    with pytest.raises(ValueError, match="first"):
        await await_many([spawn(fail, ValueError("first"), 1.0)])
    assert await outside == "kept"


@virtual
async def test_tasks_that_had_ended_keep_their_values() -> None:
    good = spawn(give, "good", 0.5)
    with pytest.raises(ValueError, match="first"):
        await await_many([good, spawn(fail, ValueError("first"), 1.0)])
    assert good.outcome() == Ok("good")


@virtual
async def test_two_failures_at_the_same_instant_raise_one_of_them() -> None:
    with pytest.raises(ValueError, match="a|b"):
        await await_many([spawn(fail, ValueError("a"), 1.0), spawn(fail, ValueError("b"), 1.0)])


@virtual
async def test_a_stopped_task_counts_as_a_failure() -> None:
    task = spawn(forever)
    await turns()
    task.stop()
    with pytest.raises(TaskStopped):
        await await_many([spawn(give, 1, 1.0), task])


@virtual
async def test_inside_a_scope_the_failure_is_raised_from_the_block_once() -> None:
    with pytest.raises(ValueError, match="once"):
        async with scope():
            await await_many([spawn(forever), spawn(fail, ValueError("once"), 1.0)])


# -- time ---------------------------------------------------------------------------------------------------------


@virtual
async def test_one_deadline_is_shared_by_all() -> None:
    began = now()
    with pytest.raises(TaskTimeout):
        await await_many([spawn(give, n, float(n)) for n in range(1, 11)], timeout=4.5)
    assert now() - began == pytest.approx(4.5)


@virtual
async def test_the_timeout_names_the_call_and_its_limit() -> None:
    with pytest.raises(TaskTimeout, match=r"await_many\(timeout=4\.5\)") as caught:
        await await_many([spawn(forever)], timeout=4.5)
    assert caught.value.timeout == 4.5


@virtual
async def test_at_the_deadline_the_unfinished_are_stopped() -> None:
    probe = Probe(seconds=100.0)
    tasks = [spawn(probe.work) for _ in range(3)]
    with pytest.raises(TaskTimeout):
        await await_many(tasks, timeout=1.0)
    await turns()
    assert (probe.cancelled, probe.running) == (3, 0)


@virtual
async def test_at_the_deadline_each_unfinished_task_stores_a_timeout() -> None:
    early, late = spawn(give, 1, 0.5), spawn(forever)
    with pytest.raises(TaskTimeout):
        await await_many([early, late], timeout=1.0)
    assert early.outcome() == Ok(1)
    outcome = late.outcome()
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, TaskTimeout)


@virtual
async def test_results_that_are_there_beat_a_timeout_of_zero() -> None:
    tasks = [spawn(give, n, 1.0) for n in range(3)]
    await asyncio.sleep(2.0)
    assert await await_many(tasks, timeout=0) == [0, 1, 2]


@virtual
async def test_timeout_zero_with_one_unfinished_times_out_at_once() -> None:
    began = now()
    with pytest.raises(TaskTimeout):
        await await_many([completed(1), spawn(forever)], timeout=0)
    assert now() == began


@virtual
async def test_it_does_not_wait_for_tasks_that_swallow_their_cancel_at_the_deadline() -> None:
    stubborn = Stubborn()
    task = spawn(stubborn.work)
    began = now()
    with pytest.raises(TaskTimeout):
        await await_many([task], timeout=1.0)
    assert now() - began == pytest.approx(1.0)
    await stubborn.let_go()


# -- cancel -------------------------------------------------------------------------------------------------------


@virtual
async def test_cancelling_the_waiter_leaves_the_tasks_alone() -> None:
    tasks = [spawn(give, n, 3.0) for n in range(3)]
    waiter = asyncio.create_task(await_many(tasks))
    await asyncio.sleep(1.0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert [await poll(task) for task in tasks] == [None, None, None]
    assert await await_many(tasks) == [0, 1, 2]


@virtual
async def test_a_cancel_while_the_rest_is_being_stopped_arrives() -> None:
    probe = Probe(seconds=100.0, cleanup=1.0)
    waiter = asyncio.create_task(await_many([spawn(probe.work), spawn(fail, ValueError("first"), 1.0)]))
    await asyncio.sleep(1.5)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert probe.running == 0


# -- arguments ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [3, None, "tasks", [1], [None], [[]]])
async def test_what_is_no_list_of_tasks_is_refused(wrong: object) -> None:
    with pytest.raises(TypeError):
        await await_many(wrong)  # type: ignore[arg-type]  # wrong on purpose


@virtual
async def test_one_foreign_thing_in_the_list_is_refused_before_any_task_is_touched() -> None:
    task = spawn(give, 1, 1.0)
    with pytest.raises(TypeError):
        await await_many([task, "foreign"], timeout=0)  # type: ignore[list-item]  # wrong on purpose
    assert await task == 1


# -- threads ------------------------------------------------------------------------------------------------------


async def test_thread_tasks_and_loop_tasks_may_be_mixed() -> None:
    assert await await_many([spawn(sum, [1, 2]), spawn(give, 4)]) == [3, 4]


async def test_threads_that_do_not_look_hold_nobody_up() -> None:
    with gate() as door:
        began = now()
        with pytest.raises(ValueError, match="first"):
            await await_many([spawn(door.work), spawn(fail, ValueError("first"), 0.01)])
        assert now() - began < 1.5


@virtual
async def test_ten_thousand_tasks_are_awaited_together() -> None:
    assert sum(await await_many([spawn(give, 1, 1.0) for _ in range(10_000)])) == 10_000
