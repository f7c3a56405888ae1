"""`ignore`, `completed` and `capture`: the small verbs."""

from __future__ import annotations

import asyncio
import gc
import pickle
from functools import partial
from typing import Any

import pytest
from tests.verbs.acts import Probe, error_of, fail, forever, give, now, turns, value_of

import atonce
from atonce import (
    Failed,
    Ok,
    TaskStopped,
    TaskTimeout,
    await_many,
    await_one,
    capture,
    completed,
    ignore,
    parallel_map,
    poll,
    poll_many,
    race,
    retry_with_backoff,
    scope,
    shutdown,
    spawn,
)

virtual = pytest.mark.virtual


# -- ignore -------------------------------------------------------------------------------------------------------


@virtual
async def test_ignoring_a_running_task_gives_none_at_once() -> None:
    task = spawn(give, 1, 5.0)
    began = now()
    assert ignore(task) is None
    assert now() == began
    await task


@virtual
async def test_ignoring_a_finished_task_gives_its_outcome() -> None:
    task = spawn(give, 1)
    await task
    assert ignore(task) == Ok(1)


@virtual
async def test_ignoring_a_failed_task_gives_its_failure() -> None:
    error = ValueError("mine")
    task = spawn(fail, error)
    await turns()
    assert ignore(task) == Failed(error)


@virtual
async def test_the_failure_of_an_ignored_task_does_not_touch_its_scope() -> None:
    async with scope():
        ignore(spawn(fail, ValueError("ignored"), 1.0))
        sibling = spawn(give, "fine", 2.0)
        assert await sibling == "fine"


@virtual
async def test_an_ignored_task_is_still_stopped_when_its_owner_ends() -> None:
    probe = Probe(seconds=100.0)
    async with scope():
        ignore(spawn(probe.work))
        await turns()
    assert probe.cancelled == 1


@virtual
async def test_an_ignored_task_may_still_be_awaited() -> None:
    task = spawn(give, 1, 1.0)
    ignore(task)
    assert await task == 1


@virtual
async def test_an_ignored_task_that_fails_raises_where_it_is_awaited() -> None:
    task = spawn(fail, ValueError("awaited"), 1.0)
    ignore(task)
    with pytest.raises(ValueError, match="awaited"):
        await task


@virtual
async def test_a_task_can_be_ignored_twice() -> None:
    task = spawn(give, 1, 1.0)
    assert (ignore(task), ignore(task)) == (None, None)
    await task


async def test_the_failure_of_an_ignored_task_is_not_logged_as_unseen(
    caplog: pytest.LogCaptureFixture,
) -> None:
    task = spawn(fail, ValueError("ignored"))
    ignore(task)
    await turns()
    del task
    gc.collect()
    assert caplog.records == []


@pytest.mark.parametrize("thing", [None, 3, "task"])
async def test_ignore_refuses_what_is_no_task(thing: Any) -> None:
    with pytest.raises(TypeError, match="tasks that spawn gave"):
        ignore(thing)


# -- completed ----------------------------------------------------------------------------------------------------


async def test_a_completed_task_is_done_from_the_start() -> None:
    task = completed(3)
    assert (task.done(), task.outcome()) == (True, Ok(3))


async def test_a_completed_task_gives_its_value_to_every_verb_as_often_as_asked() -> None:
    task = completed(3)
    assert await task == 3
    assert await await_one(task, timeout=0) == 3
    assert await await_many([task, task], timeout=0) == [3, 3]
    assert await poll(task) == Ok(3)
    assert await poll_many([task], timeout=0, on_timeout="stop") == [(task, Ok(3))]
    assert await shutdown(task, grace=0) == Ok(3)
    assert ignore(task) == Ok(3)
    assert task.result() == 3


@pytest.mark.parametrize("value", [None, False, ValueError("a value")])
async def test_any_value_can_be_completed(value: object) -> None:
    assert await completed(value) is value


async def test_stopping_a_completed_task_changes_nothing() -> None:
    task = completed(3)
    task.stop()
    await turns()
    assert await task == 3


async def test_a_completed_task_inside_a_scope_needs_no_awaiting() -> None:
    async with scope():
        task = completed(3)
    assert await task == 3


async def test_a_done_callback_of_a_completed_task_is_called() -> None:
    got: list[Any] = []
    task = completed(3)
    task.add_done_callback(got.append)
    await turns()
    assert got == [task]


# -- capture ------------------------------------------------------------------------------------------------------


@virtual
async def test_capture_gives_ok_for_a_value() -> None:
    assert await capture(give(1, 1.0)) == Ok(1)


@virtual
async def test_capture_gives_failed_for_an_exception_of_the_users_own() -> None:
    error = ValueError("mine")
    assert await capture(fail(error, 1.0)) == Failed(error)


@virtual
async def test_capture_says_how_long_it_took() -> None:
    outcome = await capture(give(1, 3.0))
    assert outcome.elapsed == pytest.approx(3.0)


@virtual
async def test_capture_takes_a_task() -> None:
    assert await capture(spawn(give, 1, 1.0)) == Ok(1)


@virtual
@pytest.mark.parametrize(
    ("kind", "call"),
    [
        (TaskTimeout, lambda: await_one(spawn(forever), timeout=1.0)),
        (ExceptionGroup, lambda: race([partial(fail, ValueError("a")), partial(fail, KeyError("b"))])),
        (ValueError, lambda: retry_with_backoff(fail, ValueError("a"), attempts=2)),
        (ValueError, lambda: parallel_map([1], lambda _: fail(ValueError("a")), on="loop")),
    ],
)
async def test_capture_turns_every_one_thing_verb_into_an_outcome(
    kind: type[BaseException], call: Any
) -> None:
    assert isinstance(error_of(await capture(call())), kind)


@virtual
async def test_capture_lets_your_own_cancel_go_on() -> None:
    waiter = asyncio.create_task(capture(forever()))
    await turns()
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter


@virtual
async def test_capture_turns_a_stopped_task_into_a_failure() -> None:
    task = spawn(forever)
    await turns()
    task.stop()
    assert isinstance(error_of(await capture(task)), TaskStopped)


async def test_what_capture_gives_can_be_matched_and_pickled() -> None:
    outcome = pickle.loads(pickle.dumps(await capture(give([1, 2]))))
    match outcome:
        case Ok([first, *_]):
            assert first == 1
        case _:
            raise AssertionError(outcome)
    assert value_of(outcome) == [1, 2]


async def test_capture_of_a_wrong_call_of_ours_is_a_failure_too() -> None:
    assert isinstance(error_of(await capture(await_one(3))), TypeError)  # type: ignore[arg-type]  # wrong on purpose


async def test_atonce_errors_share_one_root() -> None:
    for name in (
        "TaskTimeout",
        "TaskStopped",
        "WorkerLost",
        "NotSerializable",
        "RemoteError",
        "TooManyChildren",
    ):
        assert issubclass(getattr(atonce, name), atonce.AtonceError)
