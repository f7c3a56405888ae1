"""`async_pipeline`: one value through several steps."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from tests.verbs.acts import Probe, fail, forever, gate, give, notes, now

from atonce import TaskTimeout, async_pipeline

virtual = pytest.mark.virtual


async def add_one(n: int) -> int:
    """A quick step."""
    await asyncio.sleep(0)
    return n + 1


async def slow_step(n: int) -> int:
    """A step of two seconds."""
    return await give(n + 1, 2.0)


def double(n: int) -> int:
    """A plain step."""
    return n * 2


@virtual
async def test_the_value_goes_through_the_steps_in_order() -> None:
    assert await async_pipeline(1, [add_one, lambda n: give(n * 10), add_one], on="loop") == 21


async def test_no_steps_give_the_value_itself() -> None:
    value = object()
    assert await async_pipeline(value, []) is value


async def test_async_steps_run_on_the_loop_and_plain_ones_in_threads() -> None:
    where: list[bool] = []

    async def coroutine(n: int) -> int:
        where.append(threading.current_thread() is main)
        return n

    def plain(n: int) -> int:
        where.append(threading.current_thread() is main)
        return n

    main = threading.current_thread()
    await async_pipeline(1, [coroutine, plain, coroutine])
    assert where == [True, False, True]


async def test_on_loop_runs_plain_steps_on_the_loop() -> None:
    assert (
        await async_pipeline(1, [lambda _: threading.current_thread()], on="loop")
        is threading.current_thread()
    )


@virtual
async def test_steps_run_one_after_the_other() -> None:
    probe = Probe(seconds=1.0)
    began = now()
    await async_pipeline(1, [probe.work] * 4)
    assert probe.peak == 1
    assert now() - began == pytest.approx(4.0)


async def test_each_step_runs_in_a_task_of_its_own() -> None:
    tasks: list[Any] = []

    async def step(n: int) -> int:
        tasks.append(asyncio.current_task())
        return n

    await async_pipeline(1, [step, step])
    assert len({*tasks, asyncio.current_task()}) == 3


@virtual
async def test_an_error_is_the_steps_own_and_names_the_step() -> None:
    error = ValueError("mine")

    async def broken(n: int) -> int:
        raise error

    with pytest.raises(ValueError, match="mine") as caught:
        await async_pipeline(1, [add_one, broken, add_one])
    assert caught.value is error
    assert "step 2 of 3" in notes(caught.value)
    assert "broken" in notes(caught.value)


@virtual
async def test_the_steps_after_a_failure_do_not_run() -> None:
    probe = Probe()
    with pytest.raises(ValueError, match="early"):
        await async_pipeline(1, [lambda _: fail(ValueError("early")), probe.work], on="loop")
    assert probe.begun == 0


@virtual
async def test_the_timeout_bounds_the_whole_pipeline() -> None:
    began = now()
    with pytest.raises(TaskTimeout):
        await async_pipeline(1, [slow_step] * 10, timeout=5.0)
    assert now() - began == pytest.approx(5.0)


@virtual
async def test_the_timeout_names_the_step_that_was_running() -> None:
    with pytest.raises(TaskTimeout) as caught:
        await async_pipeline(1, [add_one, slow_step, slow_step], timeout=3.0)
    assert "step 3 of 3" in notes(caught.value) + str(caught.value)


@virtual
async def test_the_timeout_says_the_limit_of_the_pipeline() -> None:
    with pytest.raises(TaskTimeout) as caught:
        await async_pipeline(1, [slow_step, slow_step], timeout=3.0)
    assert caught.value.timeout == 3.0


@virtual
async def test_at_the_timeout_the_running_step_is_stopped() -> None:
    probe = Probe(seconds=100.0)
    with pytest.raises(TaskTimeout):
        await async_pipeline(1, [probe.work], timeout=1.0)
    assert (probe.cancelled, probe.running) == (1, 0)


@virtual
async def test_a_pipeline_that_is_in_time_is_not_touched() -> None:
    assert await async_pipeline(1, [slow_step, slow_step], timeout=5.0) == 3


@virtual
async def test_cancelled_the_running_step_is_over_and_then_the_cancel_goes_on() -> None:
    first, second = Probe(seconds=100.0, cleanup=0.5), Probe()
    running = asyncio.create_task(async_pipeline(1, [first.work, second.work]))
    await asyncio.sleep(1.0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (first.cancelled, first.running, second.begun) == (1, 0, 0)


async def test_a_step_that_takes_no_argument_is_refused_before_the_first_runs() -> None:
    probe = Probe()

    async def takes_nothing() -> None: ...

    with pytest.raises(TypeError, match="argument"):
        await async_pipeline(1, [probe.work, takes_nothing])  # type: ignore[list-item]  # wrong on purpose
    assert probe.begun == 0


@pytest.mark.parametrize("wrong", [3, None, "steps", add_one, [3], [None]])
async def test_what_is_no_list_of_functions_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError):
        await async_pipeline(1, wrong)


async def test_a_coroutine_among_the_steps_is_refused() -> None:
    with pytest.raises(TypeError, match="not the coroutine"):
        await async_pipeline(1, [add_one(1)])  # type: ignore[list-item]  # wrong on purpose


async def test_a_thread_that_does_not_look_does_not_hold_up_the_timeout() -> None:
    with gate() as door:
        began = now()
        with pytest.raises(TaskTimeout):
            await async_pipeline(1, [double, door.work], timeout=0.05)
        assert now() - began < 1.0


@virtual
async def test_pipelines_run_side_by_side() -> None:
    began = now()
    results = await asyncio.gather(*(async_pipeline(n, [slow_step, slow_step]) for n in range(10)))
    assert results == [n + 2 for n in range(10)]
    assert now() - began == pytest.approx(4.0)


@virtual
async def test_a_stop_iteration_in_a_step_is_a_runtime_error_that_names_the_step() -> None:
    def broken(n: int) -> int:
        raise StopIteration

    with pytest.raises(RuntimeError) as caught:
        await async_pipeline(1, [broken], on="loop")
    assert isinstance(caught.value.__cause__, StopIteration)
    assert "step 1 of 1" in notes(caught.value)


@virtual
async def test_an_endless_step_needs_a_timeout_and_obeys_it() -> None:
    with pytest.raises(TaskTimeout):
        await async_pipeline(1, [lambda _: forever()], on="loop", timeout=1.0)
