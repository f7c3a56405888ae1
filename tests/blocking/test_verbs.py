"""Every verb through `atonce.blocking`: a plain call that gives what the async verb gives."""

from __future__ import annotations

import asyncio
import threading
import time
from contextvars import ContextVar
from typing import Any

import pytest
from tests.verbs.acts import Probe, error_of, fail, forever, gate, give, notes, until_asked, value_of

import atonce.blocking as atonce
from atonce.blocking import (
    Failed,
    Ok,
    TaskStopped,
    TaskTimeout,
    aggregate,
    async_pipeline,
    await_many,
    await_one,
    capture,
    completed,
    ignore,
    parallel_map,
    poll,
    poll_many,
    process_batch,
    race,
    retry_with_backoff,
    shutdown,
    source,
    spawn,
    with_fallback,
)

colour: ContextVar[str] = ContextVar("colour", default="none")


# -- spawn and the task -------------------------------------------------------------------------------------------


def test_spawn_gives_a_task_whose_result_waits() -> None:
    assert spawn(give, "value", 0.01).result() == "value"


def test_an_async_def_runs_on_the_private_loop() -> None:
    async def where() -> str:
        return threading.current_thread().name

    assert spawn(where).result().startswith("atonce-loop")


def test_a_plain_function_runs_in_a_thread_of_its_own() -> None:
    name = spawn(lambda: threading.current_thread().name).result()
    assert name.startswith("atonce-thread")


def test_result_may_be_repeated() -> None:
    task = spawn(give, ["value"])
    assert task.result() is task.result()


def test_result_raises_the_tasks_own_error() -> None:
    error = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as caught:
        spawn(fail, error).result()
    assert caught.value is error


def test_a_result_that_times_out_stops_the_task() -> None:
    probe = Probe(seconds=30.0)
    task = spawn(probe.work)
    with pytest.raises(TaskTimeout) as caught:
        task.result(timeout=0.02)
    assert caught.value.timeout == 0.02
    assert isinstance(error_of(task.outcome()), TaskTimeout)
    assert error_of(capture(task.result)) is caught.value
    assert until(lambda: probe.cancelled == 1)


def until(true: Any, seconds: float = 5.0) -> bool:
    """Wait in this thread until `true()`."""
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.002)
    return bool(true())


def test_a_task_can_be_looked_at_without_waiting() -> None:
    with gate() as door:
        task = spawn(door.work, name="gated")
        assert (task.done(), task.outcome(), task.name) == (False, None, "gated")
        door.open()
        task.result()
        assert (task.done(), task.outcome()) == (True, Ok("through"))


def test_a_task_can_be_stopped_from_the_calling_thread() -> None:
    task = spawn(forever)
    task.stop()
    with pytest.raises(TaskStopped):
        task.result()


def test_the_timeout_of_a_task_ends_it() -> None:
    with pytest.raises(TaskTimeout):
        spawn(forever, timeout=0.02).result()


def test_an_error_names_the_place_of_the_spawn_in_the_callers_code() -> None:
    with pytest.raises(ValueError, match="mine") as caught:
        spawn(fail, ValueError("mine")).result()
    assert f"{__file__}:" in notes(caught.value)


def test_a_call_that_does_not_fit_is_refused_at_the_call() -> None:
    with pytest.raises(TypeError, match="argument"):
        spawn(give)  # type: ignore[call-overload]  # wrong on purpose


def test_context_variables_of_the_caller_are_seen_and_not_changed() -> None:
    def paint() -> tuple[str, str]:
        before = colour.get()
        colour.set("blue")
        return before, colour.get()

    token = colour.set("red")
    try:
        assert spawn(paint).result() == ("red", "blue")
        assert colour.get() == "red"
    finally:
        colour.reset(token)


@pytest.mark.parametrize(
    "verb", ["parallel_map", "race", "retry_with_backoff", "async_pipeline", "aggregate"]
)
def test_every_verb_carries_the_callers_context_to_the_work(verb: str) -> None:
    async def look(*args: Any) -> str:
        return colour.get()

    token = colour.set("red")
    try:
        got = {
            "parallel_map": lambda: parallel_map([1], look)[0],
            "race": lambda: race([look]),
            "retry_with_backoff": lambda: retry_with_backoff(look),
            "async_pipeline": lambda: async_pipeline(1, [look]),
            "aggregate": lambda: value_of(aggregate({"a": look})["a"]),
        }[verb]()
    finally:
        colour.reset(token)
    assert got == "red"


def test_a_done_callback_is_called_with_the_task() -> None:
    got: list[Any] = []
    task = spawn(give, 1, 0.01)
    task.add_done_callback(got.append)
    task.result()
    assert until(lambda: got == [task])


def test_a_done_callback_that_comes_after_the_end_is_called_although_nothing_else_happens() -> None:
    task = spawn(give, 1)
    task.result()
    for _ in range(20):
        time.sleep(0.005)  # the loop has nothing to do, and waits
        got: list[Any] = []
        task.add_done_callback(got.append)
        assert until(lambda: got == [task])  # noqa: B023  # it is asked in this round


def test_a_done_callback_can_be_taken_back() -> None:
    with gate() as door:
        got: list[Any] = []
        task = spawn(door.work)
        for callback in (got.append, got.extend):
            task.add_done_callback(callback)
        task.remove_done_callback(got.extend)
        door.open()
        assert until(lambda: got == [task])


def test_tasks_may_be_spawned_from_many_threads() -> None:
    results: list[int] = []

    def work(n: int) -> None:
        results.append(spawn(give, n, 0.001).result())

    threads = [threading.Thread(target=work, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == list(range(20))


# -- waiting ------------------------------------------------------------------------------------------------------


def test_await_one_gives_the_value_or_times_out() -> None:
    assert await_one(spawn(give, 1, 0.01), timeout=5.0) == 1
    with pytest.raises(TaskTimeout):
        await_one(spawn(forever), timeout=0.01)


def test_await_many_gives_the_values_in_input_order() -> None:
    assert await_many([spawn(give, n, 0.03 - n / 100) for n in range(3)]) == [0, 1, 2]


def test_await_many_stops_the_rest_before_it_raises() -> None:
    probe = Probe(seconds=30.0)
    with pytest.raises(ValueError, match="first"):
        await_many([spawn(probe.work), spawn(fail, ValueError("first"), 0.01)])
    assert (probe.cancelled, probe.running) == (1, 0)


def test_poll_gives_none_and_then_the_outcome() -> None:
    with gate() as door:
        task = spawn(door.work)
        assert poll(task) is None
        door.open()
        assert poll(task, timeout=None) == Ok("through")


def test_poll_many_stops_what_is_late_when_told_to() -> None:
    early, late = spawn(give, 1), spawn(forever)
    assert poll_many([early, late], timeout=0.05, on_timeout="stop") == [(early, Ok(1)), (late, None)]
    assert late.done()


def test_shutdown_ends_a_task() -> None:
    assert shutdown(spawn(forever)) is None
    assert shutdown(completed(3)) == Ok(3)


def test_shutdown_asks_a_thread() -> None:
    task = spawn(until_asked)
    time.sleep(0.02)
    assert shutdown(task) == Ok("noticed")


def test_ignore_and_completed() -> None:
    task = completed(3)
    assert (ignore(task), task.result(), task.done()) == (Ok(3), 3, True)


# -- patterns -----------------------------------------------------------------------------------------------------


def test_parallel_map_gives_the_values_in_order() -> None:
    assert parallel_map(range(20), lambda n: n * n, max_concurrency=4) == [n * n for n in range(20)]
    assert parallel_map([1, 2], give) == [1, 2]


def test_parallel_map_raises_the_first_failure() -> None:
    def work(n: int) -> int:
        if n == 3:
            raise ValueError("three")
        return n

    with pytest.raises(ValueError, match="three"):
        parallel_map(range(10), work)


def test_race_gives_the_winner_and_the_losers_are_over() -> None:
    losers = Probe(seconds=30.0)

    async def winner() -> str:
        return await give("won", 0.01)

    assert race([losers.work, winner]) == "won"
    assert (losers.cancelled, losers.running) == (1, 0)


def test_race_raises_a_group_when_all_fail() -> None:
    async def loser() -> None:
        raise ValueError("lost")

    with pytest.raises(ExceptionGroup):
        race([loser, loser])


def test_retry_with_backoff_tries_again() -> None:
    calls: list[int] = []

    def flaky() -> str:
        calls.append(1)
        if len(calls) < 3:
            raise ValueError("flaky")
        return "done"

    assert retry_with_backoff(flaky, base_delay=0) == "done"


def test_async_pipeline_passes_the_value_through() -> None:
    assert async_pipeline(1, [give, lambda n: n + 1, str]) == "2"


def test_aggregate_gives_an_outcome_for_each_name() -> None:
    got = aggregate({"good": lambda: 1, "bad": source(fail, ValueError("x"), fallback=0)})
    assert got == {"good": Ok(1), "bad": Ok(0)}
    assert got["bad"].fallback


def test_with_fallback_gives_outcomes_in_order() -> None:
    assert with_fallback([lambda: 1, lambda: 1 // 0], fallback=0) == [Ok(1), Ok(0)]


def test_process_batch_accounts_for_every_item() -> None:
    def work(batch: list[int]) -> list[int]:
        if 3 in batch:
            raise ValueError("three")
        return batch

    result = process_batch(range(6), work, batch_size=2)
    assert result.successes == [0, 1, 4, 5]
    assert [failure.batch for failure in result.failures] == [[2, 3]]


def test_capture_turns_a_raise_into_a_failure() -> None:
    error = ValueError("mine")
    assert capture(retry_with_backoff, fail, error, attempts=1) == Failed(error)
    assert capture(parallel_map, [1, 2], str) == Ok(["1", "2"])


def test_capture_passes_options_on() -> None:
    assert isinstance(error_of(capture(race, [forever], timeout=0.01)), TaskTimeout)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_capture_lets_what_ends_a_program_go_on(error: type[BaseException]) -> None:
    def work() -> None:
        raise error

    with pytest.raises(error):
        capture(work)


def test_capture_says_how_long_it_took() -> None:
    assert capture(time.sleep, 0.02).elapsed >= 0.02


def test_cancelled_is_false_in_the_calling_thread() -> None:
    assert not atonce.cancelled()


def test_a_thread_backend_can_be_opened_with_with() -> None:
    with atonce.ThreadBackend(max_threads=2) as two:
        assert parallel_map(range(4), lambda n: n, on=two) == [0, 1, 2, 3]
        assert two.statistics().threads <= 2


# -- odd endings --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit(), KeyboardInterrupt()])
def test_an_odd_exception_in_a_thread_reaches_the_caller_and_the_face_lives_on(error: BaseException) -> None:
    def work() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        spawn(work).result()
    assert caught.value is error
    assert spawn(give, "alive").result() == "alive"


def test_a_system_exit_on_the_private_loop_is_an_outcome_and_the_loop_lives_on() -> None:
    task = spawn(fail, SystemExit(3))
    with pytest.raises(SystemExit):
        task.result()
    assert spawn(give, "alive").result() == "alive"


def test_a_stop_iteration_reaches_the_caller_as_runtime_error() -> None:
    def work() -> None:
        raise StopIteration

    with pytest.raises(RuntimeError) as caught:
        spawn(work).result()
    assert isinstance(caught.value.__cause__, StopIteration)


def test_a_verb_that_raises_stop_iteration_inside_a_generator_of_the_callers_does_not_end_it_silently() -> (
    None
):
    def work() -> None:
        raise StopIteration

    def numbers() -> Any:
        yield 1
        retry_with_backoff(work, attempts=1)

    with pytest.raises(RuntimeError):
        list(numbers())


def test_asyncio_run_in_the_calling_thread_is_not_disturbed() -> None:
    spawn(give, 1).result()
    assert asyncio.run(give(2)) == 2
