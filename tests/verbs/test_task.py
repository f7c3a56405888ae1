"""`Task`: awaited as often as you like, looked at without waiting, ended once."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from tests.leaks import Trouble
from tests.verbs.acts import Probe, Stubborn, eventually, fail, forever, gate, give, notes, turns, until_asked

import atonce
from atonce import Failed, Ok, Task, TaskStopped, TaskTimeout, spawn

virtual = pytest.mark.virtual


# -- await --------------------------------------------------------------------------------------------------------


@virtual
async def test_await_may_be_repeated_and_gives_the_same_value() -> None:
    task = spawn(give, ["value"], 1.0)
    first = await task
    assert await task is first


@virtual
async def test_await_of_a_failed_task_may_be_repeated_and_raises_the_same_error() -> None:
    task = spawn(fail, ValueError("twice"), 1.0)
    with pytest.raises(ValueError, match="twice") as first:
        await task
    with pytest.raises(ValueError, match="twice") as second:
        await task
    assert first.value is second.value


@virtual
async def test_the_traceback_does_not_grow_with_every_await() -> None:
    task = spawn(fail, ValueError("again"), 1.0)
    lengths = []
    for _ in range(4):
        with pytest.raises(ValueError, match="again") as caught:
            await task
        lengths.append(len(caught.traceback))
    assert len(set(lengths[1:])) == 1


@virtual
async def test_two_may_wait_for_one_task() -> None:
    task = spawn(give, "shared", 1.0)

    async def wait() -> str:
        return await task

    assert await asyncio.gather(wait(), wait()) == ["shared", "shared"]


@virtual
async def test_cancelling_one_who_waits_ends_the_waiter_alone() -> None:
    task = spawn(give, "value", 2.0)

    async def wait() -> str:
        return await task

    impatient, patient = asyncio.create_task(wait()), asyncio.create_task(wait())
    await asyncio.sleep(1.0)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    assert not task.done()
    assert await patient == "value"


@virtual
async def test_a_waiter_cancelled_in_the_turn_in_which_the_task_ends_sees_its_cancel() -> None:
    task = spawn(give, "value", 1.0)

    async def wait() -> str:
        return await task

    waiter = asyncio.create_task(wait())
    await turns()
    task.add_done_callback(lambda _: waiter.cancel())
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert await task == "value"


@virtual
async def test_asyncio_timeout_around_an_await_ends_the_wait_alone() -> None:
    task = spawn(give, "value", 2.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await task
    assert not task.done()
    assert await task == "value"


@virtual
async def test_a_task_may_be_awaited_in_gather_and_wait_for() -> None:
    task = spawn(give, "value", 1.0)
    assert await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(task)), 5.0) == "value"


def test_awaiting_it_from_another_loop_says_so(arun: Callable[..., Any]) -> None:
    kept: list[Task[str]] = []

    async def here() -> None:
        kept.append(spawn(give, "value"))
        await kept[0]

    async def there() -> None:
        with pytest.raises(RuntimeError, match="another event loop") as caught:
            await kept[0]
        assert isinstance(caught.value, atonce.AtonceError)

    arun(here())
    arun(there())


async def test_awaiting_an_unfinished_task_from_another_loop_says_so() -> None:
    task = spawn(forever)
    caught: list[BaseException] = []

    async def there() -> None:
        try:
            await task
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=asyncio.run, args=(there(),))
    thread.start()
    await asyncio.to_thread(thread.join)
    assert "another event loop" in str(caught[0])
    assert isinstance(caught[0], RuntimeError)
    assert not task.done()
    await atonce.shutdown(task)


VERBS_OF_ONE = {
    "await_one": atonce.await_one,
    "poll": atonce.poll,
    "shutdown": atonce.shutdown,
    "await_many": lambda task: atonce.await_many([task]),
    "poll_many": lambda task: atonce.poll_many([task]),
}


@pytest.mark.parametrize("verb", VERBS_OF_ONE)
def test_every_verb_refuses_a_task_of_another_loop(verb: str, arun: Callable[..., Any]) -> None:
    kept: list[Task[str]] = []

    async def here() -> None:
        kept.append(spawn(give, "value"))
        await kept[0]

    async def there() -> None:
        call: Any = VERBS_OF_ONE[verb]
        with pytest.raises(RuntimeError, match="another event loop"):
            await call(kept[0])

    arun(here())
    arun(there())


@pytest.mark.parametrize("verb", VERBS_OF_ONE)
@pytest.mark.parametrize("thing", [None, 3, "task", asyncio.sleep])
async def test_every_verb_refuses_what_is_no_task(verb: str, thing: Any) -> None:
    call: Any = VERBS_OF_ONE[verb]
    with pytest.raises(TypeError, match="tasks that spawn gave"):
        await call(thing)


# -- looking at it ------------------------------------------------------------------------------------------------


@virtual
async def test_done_and_outcome_say_how_it_is_without_waiting() -> None:
    task = spawn(give, 7, 1.0)
    assert (task.done(), task.outcome()) == (False, None)
    await task
    assert (task.done(), task.outcome()) == (True, Ok(7))


@virtual
async def test_the_outcome_of_a_failed_task_holds_its_own_error() -> None:
    error = ValueError("mine")
    task = spawn(fail, error)
    await turns()
    outcome = task.outcome()
    assert isinstance(outcome, Failed)
    assert outcome.error is error


@virtual
async def test_the_outcome_says_how_long_it_took() -> None:
    task = spawn(give, 1, 3.0)
    await task
    outcome = task.outcome()
    assert outcome is not None
    assert outcome.elapsed == pytest.approx(3.0)


async def test_its_name_is_the_one_given_else_the_functions() -> None:
    named, bare = spawn(give, 1, name="one"), spawn(give, 1)
    assert (named.name, bare.name) == ("one", "give")
    await atonce.await_many([named, bare])


async def test_ids_differ() -> None:
    tasks = [spawn(give, n) for n in range(10)]
    assert len({task.id for task in tasks}) == 10
    await atonce.await_many(tasks)


async def test_an_id_stays_the_same() -> None:
    task = spawn(give, 1)
    before = task.id
    await task
    assert task.id == before


@virtual
async def test_its_repr_shows_name_and_state() -> None:
    task = spawn(give, 7, 1.0, name="seven")
    assert "'seven'" in repr(task)
    assert "running" in repr(task)
    await task
    assert "Ok(7)" in repr(task)


async def test_its_repr_survives_a_value_that_cannot_be_shown() -> None:
    class Unprintable:
        def __repr__(self) -> str:
            raise ValueError("no")

    task = spawn(give, Unprintable())
    await task
    assert "unprintable" in repr(task)


@pytest.mark.parametrize("act", [copy.copy, copy.deepcopy, pickle.dumps])
async def test_it_cannot_be_copied_or_pickled(act: Callable[[Any], Any]) -> None:
    task = spawn(give, 1)
    with pytest.raises(TypeError, match="outcome"):
        act(task)
    await task


# -- stop ---------------------------------------------------------------------------------------------------------


@virtual
async def test_stop_returns_at_once_and_the_task_ends_as_stopped() -> None:
    probe = Probe(seconds=10.0)
    task = spawn(probe.work)
    await turns()
    task.stop()
    with pytest.raises(TaskStopped):
        await task
    assert probe.cancelled == 1


@virtual
async def test_awaiting_a_stopped_task_never_raises_a_cancel() -> None:
    task = spawn(forever)
    await turns()
    task.stop()
    try:
        await task
    except BaseException as error:
        assert not isinstance(error, asyncio.CancelledError)


@virtual
async def test_stopping_a_task_before_its_first_step_runs_nothing_of_it_on_python_3_11() -> None:
    ran: list[int] = []

    async def work() -> None:
        ran.append(1)
        await forever()

    task = spawn(work)
    before = len(ran)  # from Python 3.12 on the first step runs in spawn
    task.stop()
    with pytest.raises(TaskStopped):
        await task
    assert len(ran) == before


@virtual
async def test_stopping_a_task_that_has_ended_changes_nothing() -> None:
    task = spawn(give, 1)
    await task
    task.stop()
    await turns()
    assert task.outcome() == Ok(1)


@virtual
async def test_stopping_twice_is_as_stopping_once() -> None:
    probe = Probe(seconds=10.0, cleanup=1.0)
    task = spawn(probe.work)
    await turns()
    task.stop()
    task.stop()
    with pytest.raises(TaskStopped):
        await task


@virtual
async def test_a_value_returned_in_spite_of_a_stop_is_the_outcome() -> None:
    async def work() -> str:
        try:
            await forever()
        except asyncio.CancelledError:
            return "saved"
        return "never"

    task = spawn(work)
    await turns()
    task.stop()
    assert await task == "saved"


@virtual
async def test_an_error_raised_while_being_stopped_is_the_outcome_with_the_cancel_as_context() -> None:
    async def work() -> None:
        try:
            await forever()
        finally:
            raise ValueError("cleanup")

    task = spawn(work)
    await turns()
    task.stop()
    with pytest.raises(ValueError, match="cleanup") as caught:
        await task
    assert isinstance(caught.value.__context__, asyncio.CancelledError)


async def test_a_queued_task_that_is_stopped_never_starts() -> None:
    ran: list[int] = []
    with gate() as door:
        async with atonce.ThreadBackend(max_threads=1) as one:
            first = spawn(door.work, on=one)
            queued = spawn(lambda: ran.append(1), on=one)
            await eventually(lambda: one.statistics().running == 1)
            queued.stop()
            with pytest.raises(TaskStopped):
                await queued
            assert one.statistics().queued == 0
            door.open()
            await first
    assert ran == []


async def test_a_function_in_a_thread_that_looks_is_asked_and_ends() -> None:
    task = spawn(until_asked)
    await asyncio.sleep(0.02)
    task.stop()
    assert await task == "noticed"


async def test_a_function_in_a_thread_that_does_not_look_is_abandoned() -> None:
    with gate() as door:
        task = spawn(door.work)
        await asyncio.to_thread(door.arrived.acquire)
        task.stop()
        with pytest.raises(TaskStopped) as caught:
            await task
        assert caught.value.abandoned


async def test_a_task_can_be_stopped_from_another_thread() -> None:
    task = spawn(forever)
    await turns()
    await asyncio.to_thread(task.stop)
    with pytest.raises(TaskStopped):
        await task


# -- done callbacks -----------------------------------------------------------------------------------------------


@virtual
async def test_a_done_callback_gets_the_task_on_the_owners_loop() -> None:
    got: list[tuple[Task[str], asyncio.AbstractEventLoop]] = []
    task = spawn(give, "value", 1.0)
    task.add_done_callback(lambda ended: got.append((ended, asyncio.get_running_loop())))
    await task
    await turns()
    assert got == [(task, asyncio.get_running_loop())]


async def test_the_done_callback_of_a_thread_task_runs_on_the_owners_loop() -> None:
    got: list[threading.Thread] = []
    task = spawn(threading.current_thread)
    task.add_done_callback(lambda _: got.append(threading.current_thread()))
    await task
    await turns()
    assert got == [threading.current_thread()]


@virtual
async def test_a_done_callback_of_a_task_that_has_ended_is_called_soon_and_not_inside_the_call() -> None:
    got: list[int] = []
    task = spawn(give, 1)
    await task
    task.add_done_callback(lambda _: got.append(1))
    assert got == []
    await turns()
    assert got == [1]


@virtual
async def test_done_callbacks_are_called_in_the_order_in_which_they_were_added() -> None:
    got: list[int] = []
    task = spawn(give, 1, 1.0)
    for n in range(5):
        task.add_done_callback(lambda _, n=n: got.append(n))
    await task
    await turns()
    assert got == [0, 1, 2, 3, 4]


@virtual
async def test_a_done_callback_that_raises_is_logged_and_harms_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    got: list[int] = []

    def broken(_: Task[int]) -> None:
        raise ValueError("callback")

    task = spawn(give, 1, 1.0)
    task.add_done_callback(broken)
    task.add_done_callback(lambda _: got.append(1))
    assert await task == 1
    await turns()
    assert got == [1]
    assert [record.exc_info is not None for record in caplog.records] == [True]


@virtual
async def test_a_done_callback_that_was_removed_is_not_called() -> None:
    got: list[Task[int]] = []
    task = spawn(give, 1, 1.0)
    task.add_done_callback(got.append)
    task.remove_done_callback(got.append)
    await task
    await turns()
    assert got == []


# -- result() -----------------------------------------------------------------------------------------------------


async def test_result_waits_in_another_thread() -> None:
    task = spawn(give, "value", 0.02)
    assert await asyncio.to_thread(task.result) == "value"


async def test_result_raises_the_tasks_error_in_another_thread() -> None:
    task = spawn(fail, ValueError("mine"), 0.02)
    with pytest.raises(ValueError, match="mine"):
        await asyncio.to_thread(task.result)


async def test_a_result_that_times_out_stops_the_task_and_stores_the_timeout() -> None:
    task = spawn(forever)
    with pytest.raises(TaskTimeout) as caught:
        await asyncio.to_thread(task.result, 0.03)
    assert caught.value.timeout == 0.03
    outcome = task.outcome()
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, TaskTimeout)


async def test_result_with_timeout_zero_takes_what_is_there() -> None:
    task = spawn(give, "value")
    await task
    assert await asyncio.to_thread(task.result, 0) == "value"


async def test_result_with_timeout_zero_of_an_unfinished_task_times_out() -> None:
    task = spawn(forever)
    with pytest.raises(TaskTimeout):
        await asyncio.to_thread(task.result, 0)
    assert task.done()


async def test_result_of_a_finished_task_is_there_on_the_loop_too() -> None:
    task = spawn(give, "value")
    await task
    assert task.result() == "value"


async def test_result_of_an_unfinished_task_on_its_loop_says_to_await() -> None:
    task = spawn(give, "value", 0.01)
    with pytest.raises(RuntimeError, match="await it"):
        task.result()
    assert await task == "value"


async def test_several_threads_may_wait_for_one_result() -> None:
    task = spawn(give, "value", 0.03)
    assert await asyncio.gather(*(asyncio.to_thread(task.result) for _ in range(5))) == ["value"] * 5


def test_result_does_not_hang_when_the_loop_ends_without_the_task() -> None:
    got: list[BaseException] = []
    waiting = threading.Event()
    with gate() as door:

        def wait(task: Task[str]) -> None:
            waiting.set()
            try:
                task.result()
            except BaseException as error:
                got.append(error)

        async def main() -> threading.Thread:
            task = spawn(door.work)
            thread = threading.Thread(target=wait, args=(task,), daemon=True)
            thread.start()
            await asyncio.to_thread(waiting.wait)
            await asyncio.sleep(0.02)
            return thread

        thread = asyncio.run(main())
        thread.join(3)
        assert not thread.is_alive()
    assert isinstance(got[0], TaskStopped)


# -- memory -------------------------------------------------------------------------------------------------------


class _Value:
    pass


@pytest.mark.parametrize("on", ["loop", "thread"])
async def test_a_finished_task_and_its_value_are_freed_without_the_garbage_collector(on: Any) -> None:
    gc.collect()
    gc.disable()
    try:
        task = spawn(_Value, on=on)
        value = weakref.ref(await task)
        gone = weakref.ref(task)
        del task
        await eventually(lambda: gone() is None and value() is None)
    finally:
        gc.enable()


class _BrokenError(Exception):
    pass


def _broken() -> None:
    raise _BrokenError


async def _abroken() -> None:
    await asyncio.sleep(0)  # what fails in its eager first step has the frames of its spawn in its traceback
    raise _BrokenError


@pytest.mark.parametrize("work", [_broken, _abroken])
async def test_a_failed_task_and_its_error_are_freed_without_the_garbage_collector(work: Any) -> None:
    async def look() -> weakref.ref[BaseException]:
        try:
            await spawn(work)
        except _BrokenError as error:
            return weakref.ref(error)
        raise AssertionError

    gc.collect()
    gc.disable()
    try:
        error = await look()
        await eventually(lambda: error() is None)
    finally:
        gc.enable()


async def test_a_task_that_nobody_refers_to_is_not_collected_before_its_end() -> None:
    ended: list[int] = []

    async def work() -> None:
        for _ in range(5):
            await asyncio.sleep(0.002)
        ended.append(1)

    spawn(work)
    for _ in range(10):
        gc.collect()
        await asyncio.sleep(0.002)
    await eventually(lambda: ended == [1])


async def test_a_timed_out_stubborn_task_costs_no_cpu_while_it_goes_on() -> None:
    stubborn = Stubborn()
    task = spawn(stubborn.work)
    with pytest.raises(TaskTimeout):
        await atonce.await_one(task, timeout=0.01)
    asked = stubborn.asked
    await asyncio.sleep(0.1)
    assert stubborn.asked - asked <= 1
    await stubborn.let_go()
    assert isinstance(task.outcome(), Failed)


async def test_nothing_is_reported_when_a_failed_task_is_dropped(trouble: Trouble) -> None:
    task = spawn(fail, ValueError("dropped"))
    with pytest.raises(ValueError, match="dropped"):
        await task
    del task
    gc.collect()
    assert trouble.reports == []


async def test_an_error_raised_by_many_tasks_does_not_collect_notes_without_end() -> None:
    shared = ValueError("shared")
    for _ in range(30):
        with pytest.raises(ValueError, match="shared"):
            await spawn(fail, shared)
    assert len(notes(shared).splitlines()) <= 10
