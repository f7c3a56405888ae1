"""Elixir's Task.Supervisor, behaviour by behaviour: the name of each test begins with its number in elixir-semantics.md.

120 to 154 are the behaviours of its sections 1S to 1W; `b` and a number is a case of Elixir's supervisor_test.exs (2B)
that adds something. What differs on purpose is said in the docstring, and in docs/elixir.md.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
from contextvars import ContextVar
from typing import Any

import pytest
from tests.verbs.acts import Probe, Stubborn, error_of, fail, fake, forever, give, now, turns, value_of

import atonce
from atonce import (
    Child,
    Failed,
    Ok,
    RestartLimit,
    Supervisor,
    Task,
    TaskStopped,
    TooManyChildren,
    poll,
    shutdown,
    spawn,
    whereis,
)

pytestmark = pytest.mark.virtual
callers: ContextVar[tuple[str, ...]] = ContextVar("callers", default=())


async def counted(times: list[float], ends: list[BaseException | None]) -> None:
    """Remember when it began; end at once by the next of `ends`, run for ever when there is none left."""
    times.append(now())
    if len(times) > len(ends):
        await forever()
    end = ends[len(times) - 1]
    if end is not None:
        raise end


async def sleep_for(seconds: int) -> int:
    """Take so many seconds."""
    return await give(seconds, seconds)


async def shortly(item: int) -> int:
    """Take a tenth of a second."""
    return await give(item, 0.1)


async def leave(code: int) -> None:
    """End as a program does."""
    raise SystemExit(code)


async def who(item: int) -> tuple[str, ...]:
    """Who has called."""
    return callers.get()


# -- 1S: life cycle -----------------------------------------------------------------------------------------------


async def test_120_it_starts_empty_with_elixirs_options_and_defaults() -> None:
    options = {name: one.default for name, one in inspect.signature(Supervisor).parameters.items()}
    assert (options["max_children"], options["max_restarts"], options["max_seconds"]) == (None, 3, 5.0)
    assert (options["name"], options["strategy"]) == (None, "one_for_one")
    async with Supervisor(max_children=0) as sup:
        assert (sup.children(), sup.count_children()) == ([], 0)


async def test_121_as_a_child_it_goes_by_its_name_is_permanent_and_has_the_time_that_it_needs() -> None:
    """Differs: a child's `id` is a number; two without a name do not collide."""
    named, one, other = Supervisor(name="named"), Supervisor(), Supervisor()
    leaf = Probe(100.0, cleanup=60.0)
    async with Supervisor(children=[Child(named), Child(one), Child(other)]) as sup:
        assert [child.name for child in sup.children()] == ["named", "Supervisor", "Supervisor"]
        child = sup.start_child(Supervisor(children=[Child(leaf.work, grace=90.0)]))
        assert child.restart == "permanent"
        await sup.ready(child)
    assert (now(), leaf.running) == (60.0, 0)


async def test_122_a_taken_name_is_an_error_and_it_is_linked_to_its_starter() -> None:
    probe = Probe(100.0)

    async def starter() -> None:
        async with Supervisor(name="taken") as sup:
            sup.spawn_nolink(probe.work)
            with pytest.raises(ValueError, match="the name 'taken' is taken by <Supervisor 'taken'>"):
                await Supervisor(name="taken").__aenter__()
            await forever()

    task = spawn(starter)
    await turns()
    assert isinstance(whereis("taken"), Supervisor)
    assert await shutdown(task) is None
    assert (whereis("taken"), probe.running) == (None, 0)


async def test_123_a_slow_terminate_child_holds_nothing_up() -> None:
    """Differs: in Elixir starts and listings wait for it, since all go through one process."""
    slow = Probe(100.0, cleanup=4.0)
    async with Supervisor() as sup:
        task = sup.spawn_nolink(slow.work)
        await turns()
        ending = spawn(sup.terminate_child, task)
        await turns()
        assert await sup.spawn_nolink(give, 1) == 1
        assert sup.children() == [task]
        assert now() == 0.0
        assert await ending
        assert now() == 4.0


async def test_124_children_are_those_that_live_and_a_received_result_is_no_longer_listed() -> None:
    """Differs: bookkeeping does not lag behind the result; a child between two runs is listed, with its state."""
    async with Supervisor(backoff=atonce.Retry(base_delay=9.0, jitter=None)) as sup:
        task = sup.spawn_nolink(give, 1, 1.0)
        child = sup.start_child(fail, KeyError(), restart="permanent")
        assert set(sup.children()) == {task, child}
        assert await task == 1
        assert sup.children() == [child]
        assert child.state == "backing off"


async def test_125_counts_are_zero_when_it_is_empty_and_tell_what_is_active() -> None:
    async with Supervisor() as sup:
        assert sup.count_children() == 0
        assert (sup.statistics().running, sup.statistics().waiting) == (0, 0)
        sup.start_child(forever)
        sup.spawn_nolink(forever)
        assert (sup.count_children(), sup.statistics().running) == (2, 2)


async def test_126_terminate_child_returns_when_it_is_dead_or_says_that_there_is_none() -> None:
    probe = Probe(100.0, cleanup=2.0)
    async with Supervisor() as sup:
        task = sup.spawn_nolink(probe.work)
        waiter = spawn(poll, task, None)
        await turns()
        assert await sup.terminate_child(task.id)
        assert (now(), probe.running) == (2.0, 0)
        assert isinstance(error_of(await waiter), TaskStopped)
        assert not await sup.terminate_child(task.id)
        assert not await sup.terminate_child(10**8)


async def test_127_a_name_is_of_this_process() -> None:
    """Differs: there are no nodes; work for other machines goes through `on=`, and its result comes back."""
    async with Supervisor(name="here") as sup:
        assert whereis("here") is sup
        assert await sup.spawn_nolink(sum, [1, 2], on=fake(1.0)) == 3


# -- 1T: async and async_nolink -----------------------------------------------------------------------------------


async def test_128_linked_is_the_supervisors_child_and_its_callers_and_nolink_the_supervisors_alone() -> None:
    """Differs: the arguments are checked in the call here too."""
    async with Supervisor() as sup:
        linked, alone = await spawn(_start_both, sup)
        assert isinstance(error_of(linked.outcome()), TaskStopped)
        assert not alone.done()
        assert sup.children() == [alone]
        with pytest.raises(TypeError, match="cannot be called with 0"):
            sup.spawn_nolink(give)  # type: ignore[call-overload]  # wrong on purpose


async def _start_both(sup: Supervisor) -> tuple[Task[Any], Task[Any]]:
    return sup.spawn(forever), sup.spawn_nolink(forever)


async def test_129_tasks_are_never_run_again() -> None:
    times: list[float] = []
    async with Supervisor(max_restarts=100) as sup:
        with pytest.raises(KeyError):
            await sup.spawn_nolink(counted, times, [KeyError()])
        await asyncio.sleep(10)
    assert times == [0.0]


async def test_130_the_grace_is_for_the_supervisors_stop_and_is_no_limit_on_the_run() -> None:
    """Differs: what does not trap exits in Elixir dies at once; here every coroutine may clean up within the grace."""
    stubborn = Stubborn()
    async with Supervisor() as sup:
        assert await sup.spawn_nolink(give, "late", 60.0, grace=0.5) == "late"
        sup.spawn_nolink(stubborn.work, grace=0.5)
        assert inspect.signature(sup.spawn_nolink).parameters["grace"].default == 5.0
        await turns()
    assert now() == 60.5
    await stubborn.let_go()


async def test_131_at_max_children_the_start_raises_in_the_caller_and_all_children_count() -> None:
    async with Supervisor(max_children=2) as sup:
        sup.start_child(forever)
        sup.spawn_nolink(forever)
        for start in (sup.spawn, sup.spawn_nolink):
            with pytest.raises(TooManyChildren):
                start(forever)
        assert sup.statistics().waiting == 0


async def test_132_a_supervisor_that_does_not_run_is_an_error_in_the_caller() -> None:
    sup = Supervisor()
    with pytest.raises(atonce.AtonceError, match="does not run"):
        sup.spawn_nolink(forever)


async def test_133_nolink_a_failure_leaves_caller_and_supervisor_alive_and_is_what_await_raises() -> None:
    async with Supervisor() as sup:
        task = sup.spawn_nolink(fail, KeyError("x"))
        with pytest.raises(KeyError):
            await task
        assert isinstance(error_of(await poll(task)), KeyError)
        assert isinstance(error_of(await shutdown(task)), KeyError)
        told: list[Any] = []
        other = sup.spawn_nolink(give, 1)
        other.add_done_callback(lambda ended: told.append(ended.outcome()))
        await other
        await turns()
        assert told == [Ok(1)]


async def test_134_nolink_the_owner_ends_and_the_task_goes_on_to_its_end() -> None:
    probe = Probe(5.0)

    async def owner(sup: Supervisor) -> None:
        sup.spawn_nolink(probe.work)
        raise KeyError

    async with Supervisor() as sup:
        with pytest.raises(KeyError):
            await spawn(owner, sup)
        await sup.idle()
    assert (probe.ended, probe.cancelled) == (1, 0)


async def test_135_linked_each_takes_the_other_with_it_and_the_supervisor_survives_both(
    caplog: pytest.LogCaptureFixture,
) -> None:
    probe = Probe(100.0)

    async def owner_fails(sup: Supervisor) -> None:
        sup.spawn(probe.work)
        await turns()
        raise KeyError

    async def task_fails(sup: Supervisor) -> None:
        sup.spawn(fail, KeyError("x"))
        await forever()

    async with Supervisor() as sup:
        with pytest.raises(KeyError):
            await spawn(owner_fails, sup)
        assert (probe.cancelled, probe.running) == (1, 0)
        owner = asyncio.create_task(task_fails(sup))
        with pytest.raises(asyncio.CancelledError):
            await owner
        assert await sup.spawn(give, 1) == 1
    assert caplog.text.count("KeyError: 'x'") >= 1


async def test_136_a_task_is_stopped_when_its_owner_dies_before_it_has_begun() -> None:
    """Differs: what to do is there from the start, so nothing can fail to arrive."""
    probe = Probe()

    async def owner(sup: Supervisor) -> None:
        sup.spawn(probe.work)

    async with Supervisor(max_children=1, on_full="wait") as sup:
        sup.spawn_nolink(give, 1, 5.0)
        await spawn(owner, sup)
        await sup.idle()
    assert probe.begun == 0


async def test_137_the_supervisor_stops_and_everybody_who_waits_for_its_tasks_is_told() -> None:
    """Differs: linked owners are told by their await; they are not cancelled by a stop in good order."""
    async with Supervisor() as sup:
        tasks = [sup.spawn_nolink(forever), sup.spawn(forever)]
        waiters = [asyncio.create_task(_wait(task)) for task in tasks]
        await turns()
    for waiter in waiters:
        with pytest.raises(TaskStopped):
            await waiter
    for task in tasks:
        assert isinstance(error_of(await poll(task)), TaskStopped)


async def _wait(task: Task[Any]) -> Any:
    return await task


# -- 1U: start_child ----------------------------------------------------------------------------------------------


async def test_138_fire_and_forget_gives_the_child_and_is_not_linked() -> None:
    """Differs: at max_children it raises, as the other starts do."""
    async with Supervisor(max_children=1) as sup:
        child = sup.start_child(fail, KeyError(), 1.0)
        assert isinstance(child, Child)
        with pytest.raises(TooManyChildren):
            sup.start_child(forever)
        await asyncio.sleep(2.0)
        assert child.state == "ended"
        assert await sup.spawn(give, 1) == 1


@pytest.mark.parametrize(
    ("restart", "end", "runs"),
    [
        ("temporary", KeyError(), 1),
        ("temporary", None, 1),
        ("transient", KeyError(), 2),
        ("transient", None, 1),
        ("permanent", KeyError(), 2),
        ("permanent", None, 2),
    ],
)
async def test_139_restart_never_after_an_abnormal_end_or_always(restart: Any, end: Any, runs: int) -> None:
    times: list[float] = []
    async with Supervisor() as sup:
        sup.start_child(counted, times, [end], restart=restart)
        await turns(20)
        assert len(times) == runs
    assert inspect.signature(sup.start_child).parameters["restart"].default is None
    assert Child(forever).restart == "permanent"


async def test_140_a_restart_runs_the_same_with_the_same_arguments_as_a_new_task_in_the_same_context() -> (
    None
):
    """Differs: the child's id stays the same; each run has a task, with an id of its own."""
    seen: list[tuple[str, ...]] = []

    async def work(name: str, runs: list[int]) -> None:
        seen.append((name, *callers.get()))
        callers.set(("changed",))
        runs.append(1)
        if len(runs) < 3:
            raise KeyError
        await forever()

    callers.set(("owner",))
    async with Supervisor() as sup:
        child = sup.start_child(work, "same", [], restart="permanent")
        id, first = child.id, child.task
        await turns(20)
        assert child.id == id
        assert first is not None
        assert child.task is not None
        assert child.task.id != first.id
        assert await sup.terminate_child(id)
    assert seen == [("same", "owner")] * 3


async def test_141_four_runs_within_five_seconds_and_the_supervisor_gives_up_with_all_its_children() -> None:
    times: list[float] = []
    probe = Probe(100.0)
    with pytest.raises(RestartLimit):
        async with Supervisor() as sup:
            sup.spawn_nolink(probe.work)
            sup.start_child(counted, times, [None] * 9, restart="permanent")
            await forever()
    assert (len(times), probe.cancelled) == (4, 1)
    times.clear()
    with pytest.raises(RestartLimit):
        async with Supervisor() as sup:
            sup.start_child(counted, times, [KeyError()] * 9, restart="transient")
            await forever()
    assert len(times) == 4


async def test_141_a_transient_child_that_succeeds_at_the_third_try_survives() -> None:
    times: list[float] = []
    async with Supervisor() as sup:
        child = sup.start_child(counted, times, [KeyError(), KeyError(), None], restart="transient")
        await sup.idle()
        assert (len(times), child.restarts, child.state) == (3, 2, "ended")


async def test_142_restarts_are_immediate() -> None:
    times: list[float] = []
    async with Supervisor() as sup:
        sup.start_child(counted, times, [KeyError()] * 3, restart="permanent")
        await turns(20)
        assert times == [0.0] * 4


async def test_143_restarts_are_counted_per_supervisor_in_a_sliding_window() -> None:
    async def fails_after(seconds: float) -> None:
        await fail(KeyError(), seconds)

    async with Supervisor(max_restarts=2, max_seconds=5.0) as sup:
        sup.start_child(fails_after, 2.6, restart="permanent")
        await asyncio.sleep(60)
    with pytest.raises(RestartLimit):
        async with Supervisor(max_restarts=2, max_seconds=5.0) as sup:
            sup.start_child(fails_after, 2.6, restart="permanent")
            sup.start_child(fails_after, 2.7, restart="permanent")
            await forever()


async def test_144_of_a_temporary_child_function_and_arguments_are_not_kept() -> None:
    class Heavy:
        pass

    heavy = Heavy()
    async with Supervisor() as sup:
        child = sup.start_child(give, heavy, 1.0)
        await sup.idle()
        child.task = None
        gc.collect()
        assert not [one for one in gc.get_referrers(heavy) if one is not inspect.currentframe()]


async def test_145_terminate_child_does_not_restart_whatever_the_kind() -> None:
    probe = Probe(100.0)
    async with Supervisor() as sup:
        for restart in ("permanent", "transient"):
            child = sup.start_child(probe.work, restart=restart)  # type: ignore[call-overload]  # from a loop
            await turns()
            assert await sup.terminate_child(child)
        await asyncio.sleep(10)
        assert (probe.begun, sup.children()) == (2, [])


# -- 1V: streams --------------------------------------------------------------------------------------------------


async def test_146_a_stream_of_a_supervisor_is_like_any_stream_and_is_stopped_with_it() -> None:
    """Differs: there is one kind, whose runs are the supervisor's and end with their iteration; no option `shutdown`."""
    async with Supervisor() as sup:
        found = [one async for one in sup.stream([3, 1, 2], sleep_for, ordered=True, timeout=2.5)]
        assert [one.ok for one in found] == [False, True, True]
        assert await sup.parallel_map([1, 2], give) == [1, 2]
        with pytest.raises(ValueError, match="timeout"):
            sup.stream([1], give, timeout=-1)


async def test_147_without_places_the_stream_raises_and_advises_max_concurrency() -> None:
    """Differs: all places are asked for when the iteration begins, so nothing is cut in the middle; see `on_full`."""
    probe = Probe()
    async with Supervisor(max_children=1) as sup:
        with pytest.raises(TooManyChildren, match="lower max_concurrency, or raise max_children"):
            [one async for one in sup.stream(range(9), probe.work, max_concurrency=2)]
        assert (probe.begun, sup.children()) == (0, [])
        assert await sup.spawn_nolink(give, 1) == 1


async def test_148_max_children_equal_to_max_concurrency_is_safe() -> None:
    async with Supervisor(max_children=2) as sup:
        for _ in range(3):
            assert await sup.parallel_map(range(9), shortly, max_concurrency=2) == list(range(9))


async def test_149_the_consumers_own_ties_are_as_before_during_and_after_a_stream() -> None:
    async with Supervisor() as sup:
        before = asyncio.all_tasks()
        async for _ in sup.stream([1, 2], give):
            current = asyncio.current_task()
            assert current is not None
            assert current.cancelling() == 0
        await turns()
        assert asyncio.all_tasks() == before


async def test_150_items_of_a_stream_are_never_restarted() -> None:
    probe = Probe()

    async def work(item: int) -> None:
        probe.begun += 1
        raise KeyError(item)

    async with Supervisor(max_restarts=100) as sup:
        found = [one async for one in sup.stream(range(5), work)]
        assert [type(error_of(one)) for one in found] == [KeyError] * 5
        assert (probe.begun, sup.statistics().restarts) == (5, 0)


# -- 1W: shutdown -------------------------------------------------------------------------------------------------


async def test_151_all_are_told_to_stop_at_the_same_time_each_with_a_grace_of_its_own() -> None:
    told: list[tuple[str, float]] = []

    async def work(name: str, needs: float) -> None:
        try:
            await forever()
        finally:
            told.append((name, now()))
            await asyncio.sleep(needs)
            told.append((f"{name} done", now()))

    stubborn = Stubborn()
    async with Supervisor() as sup:
        sup.spawn_nolink(stubborn.work, grace=0)
        sup.start_child(work, "quick", 1.0, grace=3.0)
        sup.spawn_nolink(work, "slow", 2.0, grace=3.0)
        await turns()
    assert sorted(told) == [("quick", 0.0), ("quick done", 1.0), ("slow", 0.0), ("slow done", 2.0)]
    assert now() == 2.0
    await stubborn.let_go()


async def test_152_the_stop_takes_as_long_as_the_longest_not_as_all_together() -> None:
    probe, slow = Probe(100.0, cleanup=0.1), Stubborn()
    async with Supervisor() as sup:
        for _ in range(3):
            sup.spawn_nolink(probe.work, grace=1.0)
        sup.spawn_nolink(slow.work, grace=0.05)
        await turns()
    assert now() == pytest.approx(0.1)
    assert probe.ended == 3
    await slow.let_go()


async def test_153_a_grace_of_nothing_cuts_in_mid_work() -> None:
    """Differs: in Elixir that is so for every task that does not trap exits, whatever its grace."""
    stubborn = Stubborn()
    async with Supervisor() as sup:
        task = sup.spawn_nolink(stubborn.work, grace=0)
        await turns()
    assert now() == 0.0
    assert isinstance(error_of(task.outcome()), TaskStopped)
    await stubborn.let_go()


async def test_154_abnormal_ends_of_children_are_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Differs: once, with what follows; of a task only when nobody awaited it."""
    async with Supervisor() as sup:
        sup.start_child(fail, KeyError("child"))
        with pytest.raises(KeyError):
            await sup.spawn_nolink(fail, KeyError("awaited"))
        await sup.idle()
        await turns()
    gc.collect()
    assert caplog.text.count("failed and is not restarted") == 1
    assert "awaited" not in caplog.text


# -- 2B: what supervisor_test.exs adds ----------------------------------------------------------------------------


async def test_b01_it_can_be_supervised_directly_and_found_by_name() -> None:
    inner = Supervisor(name="direct")
    async with Supervisor(children=[Child(inner)]) as outer:
        assert whereis("direct") is inner
        child = outer.whereis("direct")
        assert child is not None
        assert child.service is inner
        assert await inner.spawn_nolink(give, 1) == 1


async def test_b05_b10_a_task_is_listed_while_it_runs_and_its_end_is_told() -> None:
    async with Supervisor() as sup:
        for start in (sup.spawn, sup.spawn_nolink):
            task: Task[int] = start(give, 1, 1.0)
            assert sup.children() == [task]
            assert await task == 1
            assert sup.children() == []


@pytest.mark.parametrize("how", ["spawn", "spawn_nolink", "start_child"])
async def test_b06_b11_b16_without_grace_it_ends_at_once_when_the_supervisor_stops(how: str) -> None:
    stubborn = Stubborn()
    async with Supervisor() as sup:
        getattr(sup, how)(stubborn.work, grace=0)
        await turns()
    assert now() == 0.0
    await stubborn.let_go()


@pytest.mark.parametrize("how", ["spawn", "spawn_nolink", "start_child"])
async def test_b08_b18_b32_callers_are_known_and_nest(how: str) -> None:
    seen: list[tuple[str, ...]] = []

    async def nested(sup: Supervisor, name: str, depth: int) -> None:
        callers.set((name, *callers.get()))
        seen.append(callers.get())
        if depth:
            getattr(sup, how)(nested, sup, f"{name}'", depth - 1)
            await asyncio.sleep(1.0)

    callers.set(("owner",))
    async with Supervisor() as sup:
        getattr(sup, how)(nested, sup, "a", 2)
        await asyncio.sleep(5.0)
        found = [one async for one in sup.stream([1], who)]
    assert seen == [("a", "owner"), ("a'", "a", "owner"), ("a''", "a'", "a", "owner")]
    assert value_of(found[0]) == ("owner",)


async def test_b17_a_permanent_child_that_is_shut_down_from_outside_starts_again() -> None:
    probe = Probe(100.0)
    async with Supervisor() as sup:
        child = sup.start_child(probe.work, restart="permanent")
        await turns()
        assert child.task is not None
        assert await shutdown(child.task) is None
        await turns()
        assert (probe.begun, probe.running) == (2, 1)


async def test_b19_terminating_twice_is_not_found_the_second_time() -> None:
    async with Supervisor() as sup:
        child = sup.start_child(forever)
        assert await sup.terminate_child(child)
        assert sup.children() == []
        assert not await sup.terminate_child(child)


@pytest.mark.parametrize("error", [KeyError("error"), SystemExit(3), StopAsyncIteration()])
async def test_b21_b22_b23_await_raises_what_the_task_ended_with(error: BaseException) -> None:
    async with Supervisor() as sup:
        task = sup.spawn_nolink(fail, error)
        found = error_of(await poll(task, None))
        assert found is error or found.__cause__ is error


async def test_b24_to_b29_streams_are_ordered_give_exits_as_values_and_leave_nothing() -> None:
    async with Supervisor() as sup:
        assert await sup.parallel_map([4, 3, 2, 1], sleep_for) == [4, 3, 2, 1]
        exits = [one async for one in sup.stream([1, 2], leave)]
        assert all(isinstance(one, Failed) and isinstance(one.error, SystemExit) for one in exits)
        async with sup.stream(range(9), forever_of, max_concurrency=4) as stream:
            first = spawn(_first, stream)
            await turns()
            assert await shutdown(first) is None
        await turns()
        assert sup.children() == []
        await sup.idle()


async def _first(stream: atonce.Stream[Any]) -> Any:
    return await anext(aiter(stream))


async def forever_of(item: int) -> None:
    """Any item takes for ever."""
    await forever()


async def test_b33_a_stream_is_consumed_from_another_task_than_the_one_that_made_it() -> None:
    async def consume(stream: atonce.Stream[int]) -> list[int]:
        return [one async for one in stream.values()]

    async with Supervisor() as sup:
        assert await spawn(consume, sup.stream(range(5), give)) == list(range(5))
