"""Elixir's own task_test.exs, case by case: the name of each test begins with its number in elixir-semantics.md 2A.

Left out are the cases that mean nothing in Python, those that the contract overrules (a result may be asked for again,
so nothing is ever "already consumed"; anybody on the loop may await), those of supervisors and nodes, which have tests
of their own, and those that Elixir repeats for other message orders.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest
from tests.verbs.acts import Probe, Stubborn, error_of, fail, forever, give, notes, now, turns, value_of

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
    poll,
    poll_many,
    scope,
    shutdown,
    spawn,
    stream,
)

virtual = pytest.mark.virtual
pytestmark = virtual
callers: ContextVar[tuple[str, ...]] = ContextVar("callers", default=())


async def failed_task(error: BaseException) -> Any:
    """A task that has failed and of which nobody has seen it yet."""
    task = spawn(fail, error)
    await turns()
    assert task.done()
    return task


async def nothing_is_left() -> None:
    """Nothing runs any more but the test itself."""
    await turns()
    assert asyncio.all_tasks() == {asyncio.current_task()}


# -- starting -----------------------------------------------------------------------------------------------------


async def test_003_async_gives_a_task_and_the_result_is_there_before_it_is_over() -> None:
    order: list[str] = []
    task = spawn(give, "value", 1.0)
    task.add_done_callback(lambda ended: order.append(f"callback {ended.outcome()}"))
    order.append(f"value {await task}")
    await turns()
    assert sorted(order) == ["callback Ok('value')", "value value"]
    assert isinstance(task.id, int)


async def test_004_async_with_function_and_arguments_shows_what_it_runs() -> None:
    task = spawn(give, "value")
    assert task.name == "give"
    assert await task == "value"


async def test_005_nested_tasks_see_their_callers() -> None:
    async def nested(name: str, depth: int) -> list[tuple[str, ...]]:
        callers.set((name, *callers.get()))
        deeper = await spawn(nested, f"{name}'", depth - 1) if depth else []
        return [callers.get(), *deeper]

    callers.set(("parent",))
    seen = await spawn(nested, "task", 1)
    assert seen == [("task", "parent"), ("task'", "task", "parent")]


async def test_006_a_task_that_nobody_awaits_runs_and_reports_by_a_side_channel() -> None:
    box: asyncio.Queue[str] = asyncio.Queue()
    spawn(box.put, "ran")
    assert await box.get() == "ran"


async def test_008_completed_needs_no_process() -> None:
    assert await completed("value") == "value"


async def test_009_a_linked_task_that_fails_ends_its_owners_block() -> None:
    with pytest.raises(ValueError, match="linked"):
        async with scope():
            spawn(fail, ValueError("linked"), 1.0)
            await forever()


# -- ignore -------------------------------------------------------------------------------------------------------


async def test_012_ignore_gives_an_on_time_reply() -> None:
    task = spawn(give, "value")
    await turns()
    assert ignore(task) == Ok("value")


async def test_013_ignore_gives_none_and_the_task_runs_on() -> None:
    task = spawn(give, "late", 1.0)
    assert ignore(task) is None
    await asyncio.sleep(2.0)
    assert task.outcome() == Ok("late")


async def test_014_ignore_gives_an_on_time_failure() -> None:
    error = ValueError("on time")
    assert ignore(await failed_task(error)) == Failed(error)


async def test_015_a_late_failure_of_an_ignored_task_does_not_affect_its_owner() -> None:
    async with scope():
        task = spawn(fail, ValueError("late"), 1.0)
        assert ignore(task) is None
        await asyncio.sleep(2.0)
        assert task.done()


async def test_017_completed_tasks_can_be_ignored() -> None:
    assert ignore(completed("value")) == Ok("value")


# -- await --------------------------------------------------------------------------------------------------------


async def test_018_after_a_timed_out_await_nothing_arrives_later() -> None:
    told: list[Any] = []
    task = spawn(give, "late", 1.0)
    with pytest.raises(TaskTimeout):
        await await_one(task, 0)
    task.add_done_callback(told.append)
    await asyncio.sleep(2.0)
    assert told == [task]
    await nothing_is_left()


async def test_019_await_times_out_and_names_the_call_the_task_and_the_limit() -> None:
    with pytest.raises(TaskTimeout, match=r"'forever'.*await_one\(timeout=0\)"):
        await await_one(spawn(forever), 0)


async def test_020_a_task_that_ends_without_a_result_of_its_own_fails_the_await() -> None:
    async def leaves() -> None:
        raise asyncio.CancelledError

    with pytest.raises(TaskStopped):
        await spawn(leaves)


async def test_022_await_raises_the_tasks_error_with_its_traceback() -> None:
    async def broken() -> None:
        raise RuntimeError("oops")

    with pytest.raises(RuntimeError, match="oops") as caught:
        await spawn(broken)
    assert caught.traceback[-1].name == "broken"


async def test_025_an_exit_in_the_task_reaches_the_await() -> None:
    with pytest.raises(SystemExit) as caught:
        await spawn(fail, SystemExit("unknown"))
    assert caught.value.code == "unknown"


# -- await_many ---------------------------------------------------------------------------------------------------


async def test_029_await_many_returns_the_replies() -> None:
    assert await await_many([spawn(give, n) for n in (1, 2, 3)]) == [1, 2, 3]


async def test_030_in_input_order_whatever_the_order_of_the_replies() -> None:
    tasks = [spawn(give, 1, 3.0), spawn(give, 2, 1.0), spawn(give, 3, 2.0)]
    assert await await_many(tasks) == [1, 2, 3]


async def test_031_an_empty_list_at_once() -> None:
    began = now()
    assert await await_many([]) == []
    assert now() == began


async def test_032_other_awaitables_of_the_owner_are_left_alone() -> None:
    box: asyncio.Queue[str] = asyncio.Queue()
    box.put_nowait("unrelated")
    other = spawn(give, "other", 5.0)
    assert await await_many([spawn(give, 1, 1.0)]) == [1]
    assert box.get_nowait() == "unrelated"
    assert await other == "other"


async def test_034_await_many_times_out_and_names_the_call_and_the_limit() -> None:
    with pytest.raises(TaskTimeout, match=r"await_many\(timeout=0\)"):
        await await_many([spawn(forever)], 0)


@pytest.mark.parametrize("error", [RuntimeError("raised"), SystemExit("thrown"), asyncio.CancelledError()])
async def test_036_to_039_it_exits_as_soon_as_any_task_ends_badly(error: BaseException) -> None:
    began = now()
    with pytest.raises((RuntimeError, SystemExit, TaskStopped)):
        await await_many([spawn(forever), spawn(fail, error, 1.0)])
    assert now() - began == pytest.approx(1.0)
    await nothing_is_left()


# -- yield: poll --------------------------------------------------------------------------------------------------


async def test_043_poll_gives_ok_when_the_reply_is_there() -> None:
    task = spawn(give, "value")
    await turns()
    assert await poll(task, 0) == Ok("value")


async def test_044_poll_gives_none_on_timeout() -> None:
    task = spawn(give, "value", 5.0)
    assert await poll(task, 0) is None
    await task


async def test_045_poll_gives_the_failure_of_a_task_that_ended_without_a_result() -> None:
    assert isinstance(error_of(await poll(spawn(fail, asyncio.CancelledError()), None)), TaskStopped)


# -- yield_many: poll_many ----------------------------------------------------------------------------------------


async def test_048_poll_many_gives_pairs_of_task_and_ok() -> None:
    task = spawn(give, "value")
    await turns()
    assert await poll_many([task], 0) == [(task, Ok("value"))]


async def test_049_none_on_timeout_by_default_and_the_task_runs_on() -> None:
    task = spawn(give, "value", 5.0)
    assert await poll_many([task], 0) == [(task, None)]
    assert await task == "value"


async def test_050_the_late_are_shut_down_when_so_told() -> None:
    probe = Probe(seconds=5.0)
    task = spawn(probe.work)
    await turns()
    assert await poll_many([task], 0, on_timeout="stop") == [(task, None)]
    assert probe.running == 0


async def test_051_the_late_are_ignored_when_so_told() -> None:
    task = spawn(give, "value", 5.0)
    assert await poll_many([task], 0, on_timeout="ignore") == [(task, None)]
    assert not task.done()
    assert await task == "value"


async def test_055_results_of_several_tasks_in_input_order() -> None:
    error = ValueError("exit")
    replied, silent, exited = spawn(give, "value"), spawn(give, "late", 9.0), spawn(fail, error)
    await turns()
    assert await poll_many([replied, silent, exited], 0) == [
        (replied, Ok("value")),
        (silent, None),
        (exited, Failed(error)),
    ]
    await silent


async def test_056_with_limit_only_the_first_and_exits_count() -> None:
    error = ValueError("exit")
    first, second = spawn(give, "value", 1.0), spawn(fail, error, 2.0)
    assert await poll_many([first, second], limit=1) == [(first, Ok("value")), (second, None)]
    assert await poll_many([first, second], limit=2) == [(first, Ok("value")), (second, Failed(error))]


async def test_057_it_returns_once_all_have_replied_below_the_limit() -> None:
    task = spawn(give, "value", 1.0)
    assert await poll_many([task], limit=2) == [(task, Ok("value"))]


async def test_058_limit_reached_kills_nobody_and_a_second_call_does() -> None:
    probe = Probe(seconds=9.0)
    first, second = spawn(give, "value", 1.0), spawn(probe.work)
    pairs = await poll_many([first, second], timeout=5.0, limit=1, on_timeout="stop")
    assert pairs == [(first, Ok("value")), (second, None)]
    assert probe.running == 1
    assert await poll_many([second], timeout=0, on_timeout="stop") == [(second, None)]
    assert probe.running == 0


async def test_059_results_without_a_timeout() -> None:
    tasks = [spawn(give, n, float(n)) for n in (3, 1, 2)]
    assert [outcome for _, outcome in await poll_many(tasks)] == [Ok(3), Ok(1), Ok(2)]


# -- shutdown -----------------------------------------------------------------------------------------------------

GRACES = pytest.mark.parametrize("grace", [5.0, 0])


@GRACES
async def test_061_and_074_a_reply_that_is_there_is_given(grace: float) -> None:
    task = spawn(give, "value")
    await turns()
    assert await shutdown(task, grace) == Ok("value")


@GRACES
async def test_063_and_076_a_running_task_gives_none(grace: float) -> None:
    task = spawn(forever)
    await turns()
    assert await shutdown(task, grace) is None


@GRACES
async def test_064_and_077_a_failure_that_is_there_is_given(grace: float) -> None:
    error = ValueError("abnormal")
    assert await shutdown(await failed_task(error), grace) == Failed(error)


@GRACES
async def test_065_and_078_a_task_that_ended_without_a_result_is_a_failure(grace: float) -> None:
    task = spawn(fail, asyncio.CancelledError())
    await turns()
    assert isinstance(error_of(await shutdown(task, grace)), TaskStopped)


@GRACES
async def test_069_without_a_process_it_gives_the_value(grace: float) -> None:
    assert await shutdown(completed("value"), grace) == Ok("value")


async def test_071_a_task_that_swallows_its_stop_is_given_up_by_a_brutal_one() -> None:
    stubborn = Stubborn()
    task = spawn(stubborn.work)
    await turns()
    began = now()
    assert isinstance(error_of(await shutdown(task, grace=0)), TaskStopped)
    assert now() == began
    await stubborn.let_go()


@GRACES
async def test_072_and_082_a_task_that_was_awaited_answers_without_blocking(grace: float) -> None:
    task = spawn(give, "value", 1.0)
    await task
    began = now()
    assert await shutdown(task, grace) == Ok("value")
    assert now() == began


async def test_081_a_task_that_swallows_its_stop_is_given_up_after_the_grace() -> None:
    stubborn = Stubborn()
    task = spawn(stubborn.work)
    await turns()
    error = error_of(await shutdown(task, grace=0.001))
    assert isinstance(error, TaskStopped)
    assert error.abandoned
    await stubborn.let_go()


async def test_yield_then_shutdown_loses_no_result_that_lands_between_the_two() -> None:
    task = spawn(give, "value", 1.0)
    assert await poll(task, 1.0 - 1e-6) is None
    await asyncio.sleep(1e-5)
    assert await shutdown(task) == Ok("value")


# -- async_stream -------------------------------------------------------------------------------------------------


async def sleeper(milliseconds: float) -> float:
    """Sleep as long as its number says, and return it."""
    return await give(milliseconds, milliseconds / 1000)


async def collect(outcomes: Any) -> list[Any]:
    """All that an async iterable gives."""
    return [one async for one in outcomes]


async def take(count: int, outcomes: Any) -> list[Any]:
    """The first `count`, closed afterwards."""
    got: list[Any] = []
    async with outcomes as opened:
        async for one in opened:
            got.append(one)
            if len(got) == count:
                break
    return got


async def test_083_the_timeout_of_an_endless_item_is_its_outcome() -> None:
    [outcome] = await collect(stream([0], lambda _: forever(), on="loop", timeout=0.001))
    assert isinstance(error_of(outcome), TaskTimeout)
    await nothing_is_left()


@pytest.mark.parametrize(("bound", "order"), [(1, [400, 300, 200, 100]), (4, [100, 200, 300, 400])])
async def test_084_unordered(bound: int, order: list[int]) -> None:
    got = await collect(stream([400, 300, 200, 100], sleeper, max_concurrency=bound, ordered=False).values())
    assert got == order


async def test_085_unordered_with_timeouts() -> None:
    got = await collect(stream([100, 1, 100, 1], sleeper, ordered=False, timeout=0.05))
    assert [outcome.ok for outcome in got] == [True, True, False, False]
    assert [value_of(outcome) for outcome in got[:2]] == [1, 1]
    assert all(isinstance(error_of(outcome), TaskTimeout) for outcome in got[2:])
    await nothing_is_left()


async def test_086_without_a_timeout() -> None:
    assert await collect(stream([86_400_000], sleeper, timeout=None).values()) == [86_400_000]


@pytest.mark.parametrize("options", [{"max_concurrency": 0}, {"timeout": "wrong"}, {"timeout": -1}])
async def test_087_and_089_bad_options_are_refused_at_construction(options: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        stream([1], sleeper, **options)


async def test_091_nested_streams_see_their_callers() -> None:
    async def inner(n: int) -> tuple[str, ...]:
        return (f"inner {n}", *callers.get())

    async def outer(n: int) -> list[tuple[str, ...]]:
        callers.set((f"outer {n}", *callers.get()))
        return await collect(stream([1], inner).values())

    callers.set(("parent",))
    got = await collect(stream([1, 2], outer).values())
    assert got == [[("inner 1", "outer 1", "parent")], [("inner 1", "outer 2", "parent")]]


async def test_092_a_stream_built_here_can_be_consumed_by_another_task() -> None:
    described = stream([1, 2, 3], give)
    assert await asyncio.create_task(collect(described.values())) == [1, 2, 3]


async def test_093_an_input_that_is_chained_from_inputs_that_stop_early() -> None:
    chained = itertools.chain(itertools.islice(["foo", "bar"], 1), [1, 2])
    assert await collect(stream(chained, give)) == [Ok("foo"), Ok(1), Ok(2)]


BOUNDS = pytest.mark.parametrize("bound", [4, 2, 8])


@BOUNDS
async def test_094_streams_an_enumerable(bound: int) -> None:
    assert await collect(stream([1, 2, 3, 4], give, max_concurrency=bound)) == [Ok(n) for n in (1, 2, 3, 4)]


@BOUNDS
async def test_095_with_a_named_function_and_extra_arguments(bound: int) -> None:
    work = partial(give, after=0.001)
    assert await collect(stream([1, 2, 3, 4], work, max_concurrency=bound).values()) == [1, 2, 3, 4]


@BOUNDS
async def test_096_without_leaking_tasks(bound: int) -> None:
    await collect(stream([1, 2, 3, 4], sleeper, max_concurrency=bound))
    await nothing_is_left()


@BOUNDS
async def test_097_with_the_slowest_first(bound: int) -> None:
    assert await collect(stream([4, 3, 2, 1], sleeper, max_concurrency=bound).values()) == [4, 3, 2, 1]


@BOUNDS
async def test_098_with_failures(bound: int) -> None:
    errors = [ValueError(n) for n in range(4)]
    got = await collect(stream(errors, fail, max_concurrency=bound))
    assert got == [Failed(error) for error in errors]
    await nothing_is_left()


@BOUNDS
async def test_099_and_100_unused_tasks_are_shut_down(bound: int) -> None:
    probe = Probe(seconds=1e6)

    async def work(n: int) -> Any:
        return n if n == 0 else await probe.work()

    assert await take(1, stream([0, 1, 2, 3], work, max_concurrency=bound)) == [Ok(0)]
    assert probe.running == 0
    await nothing_is_left()


@BOUNDS
@pytest.mark.parametrize("work", [sleeper, lambda n: fail(ValueError(n)), lambda n: sleeper(5 - n)])
async def test_101_to_103_a_stream_is_zippable_with_itself(bound: int, work: Any) -> None:
    described = stream([1, 2, 3, 4], work, max_concurrency=bound, on="loop")
    left, right = aiter(described), aiter(described)
    pairs = [(await anext(left), await anext(right)) for _ in range(4)]
    assert [one.input for one, _ in pairs] == [other.input for _, other in pairs] == [1, 2, 3, 4]
    assert all(one.ok == other.ok for one, other in pairs)
    await left.aclose()
    await right.aclose()


@BOUNDS
async def test_104_to_106_with_an_input_that_halts(bound: int) -> None:
    slowest_first = (8 - n for n in range(8))
    halted = itertools.islice(slowest_first, 4)
    assert await collect(stream(halted, sleeper, max_concurrency=bound).values()) == [8, 7, 6, 5]


@BOUNDS
async def test_107_to_109_with_a_consumer_that_halts(bound: int) -> None:
    got = await take(4, stream([8, 7, 6, 5, 4, 3, 2, 1], sleeper, max_concurrency=bound))
    assert got == [Ok(n) for n in (8, 7, 6, 5)]


@BOUNDS
async def test_110_the_cleanup_of_a_stage_behind_it_runs(bound: int) -> None:
    closed: list[int] = []

    async def behind(outcomes: Any) -> AsyncIterator[Any]:
        try:
            async for outcome in outcomes:
                yield outcome
        finally:
            closed.append(1)

    stage = behind(stream([1, 2, 3, 4], give, max_concurrency=bound))
    assert await anext(stage) == Ok(1)
    await stage.aclose()
    assert closed == [1]


@BOUNDS
async def test_111_the_cleanup_of_the_input_runs_once(bound: int) -> None:
    closed: list[int] = []

    def before() -> Iterator[int]:
        try:
            yield from itertools.count(1)
        finally:
            closed.append(1)

    await take(1, stream(before(), give, max_concurrency=bound))
    gc.collect()
    assert closed == [1]


@BOUNDS
async def test_112_with_timeouts(bound: int) -> None:
    got = await collect(stream([100, 1, 100, 1], sleeper, max_concurrency=bound, timeout=0.05))
    assert [outcome.ok for outcome in got] == [False, True, False, True]
    assert isinstance(error_of(got[0]), TaskTimeout)
    await nothing_is_left()


@BOUNDS
async def test_113_a_timed_out_item_knows_its_input(bound: int) -> None:
    got = await collect(stream([1, 100], sleeper, max_concurrency=bound, timeout=0.05))
    assert [(outcome.ok, outcome.input) for outcome in got] == [(True, 1), (False, 100)]


@BOUNDS
async def test_114_failed_items_know_their_input_when_the_consumer_halts(bound: int) -> None:
    async def broken(n: int) -> None:
        raise ValueError(n)

    got = await take(4, stream(range(1, 9), broken, max_concurrency=bound))
    assert [(outcome.input, error_of(outcome).args) for outcome in got] == [(n, (n,)) for n in (1, 2, 3, 4)]


# -- what is logged, and the doctests -----------------------------------------------------------------------------


async def test_115_and_116_a_failure_that_nobody_saw_is_logged_with_name_place_and_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def owner() -> None:
        spawn(fail, RuntimeError("oops"), name="my label")
        await turns()

    await asyncio.create_task(owner())
    await turns()
    gc.collect()
    [record] = caplog.records
    assert (record.name, record.levelname) == ("atonce", "ERROR")
    assert "my label" in record.getMessage()
    assert __file__ in record.getMessage()
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "oops"


async def test_d1_the_doctest_of_async_stream() -> None:
    words = ["long string", "longer string", "there are many of these"]
    assert sum(await collect(stream(words, lambda word: give(len(word)), on="loop").values())) == 47


async def test_d2_the_doctest_of_await() -> None:
    assert await spawn(lambda: 1 + 1, on="loop") == 2


async def test_d3_the_doctest_of_await_many() -> None:
    assert await await_many([spawn(lambda: 1 + 1, on="loop"), spawn(lambda: 2 + 3, on="loop")]) == [2, 5]


async def test_an_error_carries_what_was_called() -> None:
    error = error_of(await capture(spawn(fail, ValueError("mine"))))
    assert "'fail'" in notes(error)
