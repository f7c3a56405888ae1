"""`race`: the first to answer wins, and the others are gone before it returns."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.verbs.acts import Probe, Stubborn, eventually, fail, forever, gate, give, now, turns, until_asked

from atonce import TaskStopped, TaskTimeout, poll, race, spawn

virtual = pytest.mark.virtual


def after(seconds: float, value: Any = "value") -> Callable[[], Any]:
    """A contender that gives `value` in `seconds`."""

    async def contender() -> Any:
        return await give(value, seconds)

    return contender


def failing(seconds: float, error: BaseException) -> Callable[[], Any]:
    """A contender that fails in `seconds`."""

    async def contender() -> Any:
        return await fail(error, seconds)

    return contender


# -- first_ok -----------------------------------------------------------------------------------------------------


@virtual
async def test_the_first_to_succeed_wins() -> None:
    began = now()
    assert await race([after(3.0, "slow"), after(1.0, "fast"), after(2.0, "middle")]) == "fast"
    assert now() - began == pytest.approx(1.0)


@virtual
async def test_all_run_at_once() -> None:
    probe = Probe(seconds=1.0)
    await race([probe.work] * 5)
    assert probe.peak == 5


@virtual
async def test_one_that_fails_first_does_not_end_the_race() -> None:
    assert await race([failing(1.0, ValueError("first")), after(2.0, "second")]) == "second"


@virtual
async def test_losers_are_stopped_and_over_before_it_returns() -> None:
    losers = Probe(seconds=100.0, cleanup=0.5)
    began = now()
    assert await race([losers.work, losers.work, after(1.0, "won")]) == "won"
    assert (losers.cancelled, losers.running) == (2, 0)
    assert now() - began == pytest.approx(1.5)


@virtual
async def test_a_race_of_one_gives_its_value() -> None:
    assert await race([after(1.0, "alone")]) == "alone"


@virtual
@pytest.mark.parametrize("value", [None, False, 0, ""])
async def test_a_winner_may_return_anything(value: object) -> None:
    assert await race([after(1.0, value), after(2.0, "other")]) is value


@virtual
async def test_two_that_end_at_the_same_instant_have_exactly_one_winner() -> None:
    assert await race([after(1.0, "a"), after(1.0, "b")]) in {"a", "b"}


@virtual
async def test_all_failed_raises_a_group_of_all_errors_in_the_order_of_the_contenders() -> None:
    errors = [ValueError("a"), KeyError("b"), OSError("c")]
    with pytest.raises(ExceptionGroup) as caught:
        await race([failing(3.0 - n, error) for n, error in enumerate(errors)])
    assert list(caught.value.exceptions) == errors


@virtual
async def test_all_failed_of_one_is_a_group_too() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await race([failing(1.0, ValueError("alone"))])
    assert [str(error) for error in caught.value.exceptions] == ["alone"]


@virtual
async def test_a_system_exit_among_the_errors_is_a_base_exception_group() -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        await race([failing(1.0, SystemExit(3)), failing(1.0, ValueError("b"))])
    assert {type(error) for error in caught.value.exceptions} == {SystemExit, ValueError}


@virtual
async def test_a_loser_that_fails_while_it_is_stopped_harms_nobody() -> None:
    async def loser() -> None:
        try:
            await forever()
        finally:
            raise ValueError("cleanup")

    assert await race([loser, after(1.0, "won")]) == "won"


@virtual
async def test_a_loser_that_swallows_its_cancel_is_given_up_after_a_grace() -> None:
    stubborn = Stubborn()
    began = now()
    assert await race([stubborn.work, after(1.0, "won")]) == "won"
    assert now() - began == pytest.approx(6.0)
    await stubborn.let_go()


# -- first_done ---------------------------------------------------------------------------------------------------


@virtual
async def test_first_done_takes_a_failure_that_comes_first() -> None:
    with pytest.raises(ValueError, match="first"):
        await race([failing(1.0, ValueError("first")), after(2.0)], until="first_done")


@virtual
async def test_first_done_takes_a_success_that_comes_first() -> None:
    assert await race([failing(2.0, ValueError("late")), after(1.0, "first")], until="first_done") == "first"


@virtual
async def test_first_done_stops_the_rest_after_a_failure_too() -> None:
    losers = Probe(seconds=100.0)
    with pytest.raises(ValueError, match="first"):
        await race([losers.work, failing(1.0, ValueError("first"))], until="first_done")
    assert (losers.cancelled, losers.running) == (1, 0)


# -- timeout ------------------------------------------------------------------------------------------------------


@virtual
async def test_nobody_in_time_raises_task_timeout_at_that_time() -> None:
    began = now()
    with pytest.raises(TaskTimeout) as caught:
        await race([after(10.0), after(20.0)], timeout=2.0)
    assert now() - began == pytest.approx(2.0)
    assert caught.value.timeout == 2.0


@virtual
async def test_at_the_timeout_all_are_stopped_and_over() -> None:
    probe = Probe(seconds=10.0, cleanup=0.5)
    with pytest.raises(TaskTimeout):
        await race([probe.work] * 3, timeout=1.0)
    assert (probe.cancelled, probe.running) == (3, 0)


@virtual
async def test_some_failed_and_nobody_in_time_is_a_timeout() -> None:
    with pytest.raises(TaskTimeout):
        await race([failing(0.5, ValueError("early")), after(10.0)], timeout=1.0)


@virtual
async def test_a_winner_in_time_is_not_touched_by_the_timeout() -> None:
    assert await race([after(1.0, "won")], timeout=2.0) == "won"


# -- hedge --------------------------------------------------------------------------------------------------------


@virtual
async def test_hedge_starts_the_next_only_when_the_one_before_is_slow() -> None:
    second = Probe(seconds=1.0)
    assert await race([after(0.03, "first"), second.work], hedge=0.05) == "first"
    assert second.begun == 0


@virtual
async def test_hedge_starts_one_contender_after_each_gap() -> None:
    starts: list[float] = []
    began = now()

    async def contender() -> None:
        starts.append(now() - began)
        await asyncio.sleep(1.0)

    await race([contender] * 4, hedge=0.2)
    assert starts == pytest.approx([0.0, 0.2, 0.4, 0.6])


@virtual
async def test_a_hedged_contender_can_win() -> None:
    began = now()
    assert await race([after(10.0, "slow"), after(1.0, "hedged")], hedge=0.5) == "hedged"
    assert now() - began == pytest.approx(1.5)


@virtual
async def test_a_failure_starts_the_next_at_once_instead_of_waiting_for_the_gap() -> None:
    began = now()
    assert await race([failing(0.1, ValueError("early")), after(1.0, "second")], hedge=5.0) == "second"
    assert now() - began == pytest.approx(1.1)


@virtual
async def test_hedge_zero_starts_all_at_once() -> None:
    probe = Probe(seconds=1.0)
    await race([probe.work] * 3, hedge=0)
    assert probe.peak == 3


@virtual
async def test_all_failed_under_hedge_raises_the_group_of_all() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await race([failing(0.1, ValueError(str(n))) for n in range(3)], hedge=1.0)
    assert [str(error) for error in caught.value.exceptions] == ["0", "1", "2"]


@virtual
async def test_a_timeout_starts_no_more_contenders() -> None:
    probe = Probe(seconds=100.0)
    with pytest.raises(TaskTimeout):
        await race([probe.work] * 10, hedge=0.4, timeout=1.0)
    await asyncio.sleep(5.0)
    assert (probe.begun, probe.running) == (3, 0)


# -- cancel and owner ---------------------------------------------------------------------------------------------


@virtual
async def test_cancelled_all_are_stopped_and_over_and_then_the_cancel_goes_on() -> None:
    probe = Probe(seconds=100.0, cleanup=0.5)
    racing = asyncio.create_task(race([probe.work] * 3))
    await asyncio.sleep(1.0)
    racing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await racing
    assert (probe.cancelled, probe.running) == (3, 0)


@virtual
async def test_cancelled_in_the_turn_in_which_somebody_wins_it_is_cancelled() -> None:
    async def winner() -> str:
        await asyncio.sleep(1.0)
        racing.cancel()
        return "won"

    racing = asyncio.create_task(race([winner, forever]))
    with pytest.raises(asyncio.CancelledError):
        await racing


@virtual
async def test_a_race_inside_a_spawned_task_ends_with_it() -> None:
    probe = Probe(seconds=100.0)

    async def work() -> None:
        await race([probe.work, probe.work])

    task = spawn(work)
    await asyncio.sleep(1.0)
    task.stop()
    with pytest.raises(TaskStopped):
        await task
    assert probe.running == 0


# -- arguments ----------------------------------------------------------------------------------------------------


async def test_a_race_of_nobody_is_refused_with_the_corrected_form() -> None:
    with pytest.raises(ValueError, match=r"at least one function, e\.g\. race\(\["):
        await race([])


@pytest.mark.parametrize("wrong", [3, None, "fns", after(1.0)])
async def test_what_is_no_list_of_functions_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError):
        await race(wrong)


async def test_a_contender_that_takes_arguments_is_refused_before_any_starts() -> None:
    probe = Probe()

    async def takes(_: int) -> None: ...

    with pytest.raises(TypeError, match="argument"):
        await race([probe.work, takes])  # type: ignore[list-item]  # wrong on purpose
    assert probe.begun == 0


async def test_a_coroutine_among_the_contenders_is_refused() -> None:
    with pytest.raises(TypeError, match="not the coroutine"):
        await race([give(1)])  # type: ignore[list-item]  # wrong on purpose


@pytest.mark.parametrize(
    ("wrong", "meant"), [("first", None), ("first_okay", "first_ok"), (None, None), (True, None)]
)
async def test_an_unknown_until_is_refused_and_the_nearest_suggested(wrong: Any, meant: str | None) -> None:
    with pytest.raises(ValueError, match="until is 'first_ok' or 'first_done'") as caught:
        await race([after(1.0)], until=wrong)
    if meant:
        assert f"did you mean until={meant!r}" in str(caught.value)


# -- threads ------------------------------------------------------------------------------------------------------


async def test_plain_functions_race_in_threads() -> None:
    assert await race([threading.current_thread]) is not threading.current_thread()


async def test_async_and_plain_contenders_may_be_mixed() -> None:
    assert await race([until_asked, after(0.01, "coroutine")]) == "coroutine"


async def test_a_thread_that_looks_is_over_before_the_race_returns() -> None:
    ended: list[str] = []

    def loser() -> None:
        ended.append(until_asked())

    await race([loser, after(0.02, "won")])
    assert ended == ["noticed"]


async def test_a_thread_that_does_not_look_is_abandoned_and_holds_nobody_up() -> None:
    with gate() as door:
        began = now()
        assert await race([door.work, after(0.02, "won")]) == "won"
        assert now() - began < 1.5
        assert door.through == 0
        door.open()
        await eventually(lambda: door.through == 1)


async def test_on_loop_runs_plain_contenders_on_the_loop() -> None:
    assert await race([threading.current_thread], on="loop") is threading.current_thread()


@virtual
async def test_a_race_leaves_other_tasks_alone() -> None:
    other = spawn(give, "other", 5.0)
    await race([after(1.0), forever])
    await turns()
    assert await poll(other) is None
    assert await other == "other"
