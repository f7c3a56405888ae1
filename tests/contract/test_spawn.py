"""What a task is promised, whoever runs it."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

import atonce
from atonce import Failed, Ok, TaskStopped, TaskTimeout, spawn
from tests.contract.work import SHORT, Work, look_and_set, variable


async def over(task: atonce.Task[Any]) -> None:
    """Wait until nothing of it runs."""
    for _ in range(2_000):
        if task.is_over():
            return
        await asyncio.sleep(0.001)


async def test_a_task_gives_the_value_of_its_function(work: Work) -> None:
    task = spawn(work.of(lambda a, b: a + b), 1, 2, on=work.backend, name="sum")
    assert await task == 3
    assert await task == 3, "as often as you like"
    assert task.done()
    assert task.outcome() == Ok(3)
    assert task.name == "sum"


async def test_arguments_and_results_are_the_very_objects_or_equal_ones(work: Work) -> None:
    thing = {"key": [1, 2]}
    got = await spawn(work.of(lambda given: given), thing, on=work.backend)
    assert got == thing
    assert (got is thing) == work.shares


async def test_a_task_raises_its_own_exception_with_where_it_was_spawned(work: Work) -> None:
    error = ValueError("own")

    def fail() -> None:
        raise error

    task = spawn(work.of(fail), on=work.backend, name="failing")
    for _ in range(2):
        with pytest.raises(ValueError, match="own") as caught:
            await task
        work.check_same(caught.value, error)
    notes = "\n".join(caught.value.__notes__)
    assert "failing" in notes
    assert __file__ in notes


@pytest.mark.parametrize(
    "error", [SystemExit(3), GeneratorExit(), BaseException("odd"), TimeoutError()], ids=repr
)
async def test_any_exception_is_an_outcome_and_ends_nobody_else(work: Work, error: BaseException) -> None:
    def fail() -> None:
        raise error

    other = spawn(work.of(lambda: "other"), on=work.backend)
    task = spawn(work.of(fail), on=work.backend)
    outcome = await atonce.poll(task, None)
    assert isinstance(outcome, Failed)
    work.check_same(outcome.error, error)
    assert await other == "other"


async def test_a_stop_iteration_is_held_and_raised_as_a_runtime_error(work: Work) -> None:
    task = spawn(work.of(lambda: next(iter(()))), on=work.backend)
    with pytest.raises(RuntimeError):
        await asyncio.wait_for(asyncio.ensure_future(_awaited(task)), 5)
    outcome = task.outcome()
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, StopIteration)


async def _awaited(task: atonce.Task[Any]) -> Any:
    return await task


async def test_a_cancelled_error_of_its_own_ends_the_task_as_stopped(work: Work) -> None:
    def fail() -> None:
        raise asyncio.CancelledError

    outcome = await atonce.poll(spawn(work.of(fail), on=work.backend), None)
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, TaskStopped)


async def test_a_task_sees_a_copy_of_the_spawners_variables(work: Work) -> None:
    variable.set("the spawner's")
    for _ in range(2):
        assert await spawn(work.of(look_and_set), on=work.backend) == work.seen("the spawner's")
    assert variable.get() == "the spawner's"


async def test_tasks_run_side_by_side(work: Work) -> None:
    together = min(8, work.backend.capabilities.default_concurrency)
    most = 1 if work.blocks else together
    fn = work.counted(0.0, together=most)
    await atonce.await_many([spawn(fn, n, on=work.backend) for n in range(together)])
    assert work.peak == most


async def test_a_lambda_around_an_async_def_is_awaited(backend: Any) -> None:
    async def double(n: int) -> int:
        await asyncio.sleep(0)
        return 2 * n

    assert await spawn(lambda: double(21), on=backend) == 42


async def test_a_time_limit_ends_the_task_or_gives_it_up_and_says_which(endable: Work) -> None:
    task = spawn(endable.endless_fn(), on=endable.backend, timeout=SHORT)
    with pytest.raises(TaskTimeout) as caught:
        await task
    assert caught.value.timeout == SHORT
    endable.check_ended(caught.value, TaskTimeout)
    assert task.outcome() == Failed(caught.value)


async def test_what_blocks_the_loop_is_over_before_anyone_looks_at_its_time(blocking: Work) -> None:
    assert await spawn(blocking.counted(SHORT), 1, on=blocking.backend, timeout=SHORT / 4) == 1


async def test_what_blocks_the_loop_lets_nobody_else_run_meanwhile(blocking: Work) -> None:
    turns = []
    asyncio.get_running_loop().call_later(SHORT / 4, turns.append, 1)
    task = spawn(blocking.counted(SHORT), 1, on=blocking.backend)
    task.add_done_callback(lambda ended: turns.append(2))
    await task
    await asyncio.sleep(SHORT)
    assert turns == [2, 1]


async def test_a_task_within_its_time_is_not_touched_by_its_limit(work: Work) -> None:
    assert await spawn(work.counted(SHORT / 10), 1, on=work.backend, timeout=10.0) == 1


async def test_a_stop_ends_the_task_or_gives_it_up_and_says_which(endable: Work) -> None:
    task = spawn(endable.endless_fn(), on=endable.backend)
    await endable.underway()
    task.stop()
    outcome = await atonce.poll(task, 5.0)
    assert isinstance(outcome, Failed)
    endable.check_ended(outcome.error, TaskStopped)
    task.stop()
    assert await atonce.poll(task) == outcome


async def test_shutdown_returns_when_it_is_over_or_given_up(endable: Work) -> None:
    task = spawn(endable.endless_fn(), on=endable.backend)
    await endable.underway()
    outcome = await atonce.shutdown(task, grace=SHORT)
    assert task.is_over()
    if endable.ends:
        assert outcome is None
    else:
        assert isinstance(outcome, Failed)
        endable.check_ended(outcome.error, TaskStopped)


async def test_a_result_that_landed_is_given_by_shutdown(work: Work) -> None:
    task = spawn(work.of(lambda: 3), on=work.backend)
    await over(task)
    assert await atonce.shutdown(task) == Ok(3)


async def test_a_function_that_looks_learns_that_it_should_stop(backend: Any, tmp_path: Path) -> None:
    work = Work(backend, tmp_path, is_async=False)
    if work.blocks:
        assert not atonce.cancelled(), (
            "on the loop a stop arrives as CancelledError, and this is always False"
        )
        return
    if backend.capabilities.stops == "never":
        pytest.skip("nobody can tell a function there that it should stop")
    task = spawn(work.looking_fn(), on=backend)
    await work.underway()
    assert await atonce.shutdown(task, grace=5.0) == Ok(None), "it returned by itself, in time"
    assert work.asked.is_set()


async def test_a_late_result_of_what_was_given_up_is_dropped(endable: Work) -> None:
    task = spawn(endable.endless_fn(), on=endable.backend, timeout=SHORT)
    first = await atonce.poll(task, 5.0)
    endable.let_go.set()
    await asyncio.sleep(SHORT)
    assert await atonce.poll(task) is first


async def test_the_owners_end_stops_the_task(endable: Work) -> None:
    tasks = []

    async def owner() -> None:
        tasks.append(spawn(endable.endless_fn(), on=endable.backend))
        await endable.underway()

    await asyncio.create_task(owner())
    outcome = await atonce.poll(tasks[0], 5.0)
    assert isinstance(outcome, Failed)
    endable.check_ended(outcome.error, TaskStopped)


async def test_a_failing_task_stops_its_siblings_in_a_scope(work: Work) -> None:
    def fail() -> None:
        raise ValueError("own")

    sibling = None
    with pytest.raises(ValueError, match="own"):
        async with atonce.scope():
            if not work.blocks:
                sibling = spawn(work.endless_fn(), on=work.backend)
            spawn(work.of(fail), on=work.backend)
            await asyncio.sleep(30)
    if sibling is not None:
        outcome = sibling.outcome()
        assert isinstance(outcome, Failed)
        work.check_ended(outcome.error, TaskStopped)


async def test_done_callbacks_are_called_on_the_owners_loop(work: Work) -> None:
    called: list[tuple[Any, int]] = []
    task = spawn(work.of(lambda: 3), on=work.backend)
    task.add_done_callback(lambda ended: called.append((ended, threading.get_ident())))
    await task
    await asyncio.sleep(0)
    task.add_done_callback(lambda ended: called.append((ended, threading.get_ident())))
    await asyncio.sleep(SHORT)
    assert called == [(task, threading.get_ident())] * 2


async def test_a_task_that_is_stopped_before_it_began_never_runs_or_is_ended(
    work: Work, trouble: Any
) -> None:
    task = spawn(work.counted(SHORT), 1, on=work.backend)
    task.stop()
    outcome = await atonce.poll(task, 5.0)
    assert outcome is not None
    if not outcome.ok:
        assert isinstance(outcome.error, TaskStopped)
    await over(task)
    assert not trouble.reports, "no coroutine was left that was never awaited"
