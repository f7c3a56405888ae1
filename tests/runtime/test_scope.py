"""A scope owns what is spawned in it: it ends all, raises what failed, and lets through what is not its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

import pytest

import atonce
from atonce import AtonceError, Failed, LoopBackend, TaskStopped, scope, spawn

pytestmark = pytest.mark.virtual
GRACE = 5.0


def now() -> float:
    return asyncio.get_running_loop().time()


async def fail(error: BaseException, after: float = 0.0) -> None:
    await asyncio.sleep(after)
    raise error


async def outlive(seconds: float) -> None:
    """Swallow every cancel for so long."""
    until = now() + seconds
    while now() < until:
        try:
            await asyncio.sleep(until - now())
        except asyncio.CancelledError:
            continue


def me() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


class Tidy:
    """Work that takes a while to end after a cancel."""

    def __init__(self, cleanup: float = 1.0) -> None:
        self.cleanup = cleanup
        self.running = 0

    async def __call__(self) -> None:
        self.running += 1
        try:
            await asyncio.sleep(1_000)
        finally:
            await asyncio.sleep(self.cleanup)
            self.running -= 1


# -- leaving the block --------------------------------------------------------------------------------------------


async def test_leaving_stops_the_unfinished_tasks_and_waits_for_their_end() -> None:
    work = Tidy()
    async with scope():
        task = spawn(work)
        await asyncio.sleep(1)
    assert work.running == 0
    assert isinstance(task.outcome().error, TaskStopped)  # type: ignore[union-attr]  # that is what is tested
    assert now() == 2.0


async def test_a_task_that_has_ended_keeps_its_value() -> None:
    async with scope():
        task = spawn(asyncio.sleep, 1, "value")
        await asyncio.sleep(2)
    assert await task == "value"


async def test_an_empty_block_costs_no_turn_and_no_time() -> None:
    async with scope():
        pass
    assert now() == 0


async def test_an_error_of_the_body_stops_the_tasks_and_is_raised_itself() -> None:
    work = Tidy()
    error = LookupError("body")
    with pytest.raises(LookupError) as caught:
        async with scope():
            spawn(work)
            await asyncio.sleep(1)
            raise error
    assert caught.value is error
    assert work.running == 0


async def test_a_closed_scope_starts_nothing_more() -> None:
    async def later() -> None:
        await asyncio.sleep(5)
        spawn(asyncio.sleep, 1)

    async with scope():
        outside = asyncio.create_task(later())
        await asyncio.sleep(1)
    with pytest.raises(AtonceError, match="closed"):
        await outside


async def test_a_scope_is_entered_once() -> None:
    one = scope()
    async with one:
        with pytest.raises(RuntimeError, match="entered once"):
            await one.__aenter__()
    with pytest.raises(RuntimeError, match="entered once"):
        async with one:
            pass


@pytest.mark.parametrize("grace", [-1, True, float("nan"), float("inf"), "1", None])
async def test_a_bad_grace_is_refused_at_once(grace: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="grace"):
        scope(grace=grace)


async def test_tasks_of_tasks_end_with_their_own_parent() -> None:
    inner: list[Tidy] = [Tidy(), Tidy()]

    async def parent() -> None:
        spawn(inner[0])
        spawn(inner[1])
        await asyncio.sleep(1)

    async with scope():
        await spawn(parent)
        await asyncio.sleep(2)
        assert [work.running for work in inner] == [0, 0]


# -- a failing child ----------------------------------------------------------------------------------------------


async def test_a_failing_task_stops_the_block_and_its_siblings_at_once_and_is_raised_itself() -> None:
    work, error = Tidy(), ValueError("child")
    passed: list[str] = []
    with pytest.raises(ValueError, match="child") as caught:
        async with scope():
            spawn(work)
            spawn(fail, error, 1.0)
            await asyncio.sleep(1_000)
            passed.append("not reached")
    assert caught.value is error
    assert (work.running, passed) == (0, [])
    assert now() == 2.0


async def test_several_failures_are_raised_as_a_group() -> None:
    async def fail_late() -> None:
        try:
            await asyncio.sleep(1_000)
        except asyncio.CancelledError:
            raise KeyError("second") from None

    with pytest.raises(ExceptionGroup) as caught:
        async with scope():
            spawn(fail_late)
            spawn(fail, ValueError("first"), 1.0)
            await asyncio.sleep(1_000)
    assert [type(error) for error in caught.value.exceptions] == [ValueError, KeyError]


async def test_a_failure_and_an_error_of_the_body_are_raised_together() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with scope():
            spawn(fail, ValueError("child"), 1.0)
            try:
                await asyncio.sleep(1_000)
            finally:
                raise LookupError("body")
    assert [type(error) for error in caught.value.exceptions] == [LookupError, ValueError]


async def test_a_failure_that_the_body_awaits_is_raised_once() -> None:
    with pytest.raises(ValueError, match="child"):
        async with scope():
            await spawn(fail, ValueError("child"), 1.0)


async def test_the_same_error_object_from_two_tasks_is_raised_once() -> None:
    error = ValueError("shared")
    with pytest.raises(ValueError, match="shared"):
        async with scope():
            spawn(fail, error, 1.0)
            spawn(fail, error, 1.0)
            await asyncio.sleep(1_000)


async def test_a_failure_while_the_block_is_being_left_is_raised_too() -> None:
    async def fail_in_cleanup() -> None:
        try:
            await asyncio.sleep(1_000)
        finally:
            await asyncio.sleep(1)
            raise ValueError("in cleanup")

    with pytest.raises(ValueError, match="in cleanup"):
        async with scope():
            spawn(fail_in_cleanup)
            await asyncio.sleep(1)


async def test_a_failure_in_the_turn_in_which_the_block_ends_is_raised_and_its_cancel_hits_nobody_later() -> (
    None
):
    async def fail_at_once() -> None:
        raise ValueError("child")

    with pytest.raises(ValueError, match="child"):
        async with scope():
            spawn(fail_at_once)
            await asyncio.sleep(0)
    assert me().cancelling() == 0
    await asyncio.sleep(1)


class AtOnce:
    """A backend that makes the call in `start`, as the loop does with the first step from Python 3.12 on."""

    capabilities = LoopBackend.capabilities

    def start(self, fn: Any, args: Any, is_async: bool, context: Any, to: Any) -> Any:
        to.began = to.clock()
        try:
            value = fn(*args)
        except BaseException as error:
            to.raised(error)
        else:
            to.returned(value)

    def lanes(self, *args: Any) -> Any:
        raise NotImplementedError


def fail_now() -> None:
    raise ValueError("child")


async def test_a_failure_while_the_body_itself_runs_is_raised_and_its_cancel_hits_nobody_later() -> None:
    with pytest.raises(ValueError, match="child"):
        async with scope():
            spawn(fail_now, on=AtOnce())
    assert me().cancelling() == 0
    await asyncio.sleep(1)


async def test_a_cancel_from_outside_that_comes_on_top_of_that_is_not_lost() -> None:
    work = Tidy()

    async def main() -> None:
        async with scope():
            spawn(work)
            await asyncio.sleep(1)
            spawn(fail_now, on=AtOnce())
            me().cancel()

    task = asyncio.ensure_future(main())
    await asyncio.wait([task])
    assert work.running == 0
    assert task.cancelled()
    assert task.cancelling() == 1


async def test_nothing_more_is_spawned_into_a_scope_that_is_ending() -> None:
    with pytest.raises(ValueError, match="child"):
        async with scope():
            spawn(fail_now, on=AtOnce())
            with pytest.raises(TaskStopped, match="starts nothing more"):
                spawn(asyncio.sleep, 1)


async def test_a_body_that_swallows_the_scopes_cancel_still_ends_with_the_failure() -> None:
    with pytest.raises(ValueError, match="child"):
        async with scope():
            spawn(fail, ValueError("child"), 1.0)
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(1_000)
    assert me().cancelling() == 0
    await asyncio.sleep(1)


async def test_an_ignored_task_fails_alone_and_is_still_stopped_with_its_scope() -> None:
    work = Tidy()

    async def both() -> None:
        spawn(work)
        await fail(ValueError("ignored"), 1.0)

    async with scope():
        task = spawn(both)
        atonce.ignore(task)
        running = spawn(work)
        atonce.ignore(running)
        await asyncio.sleep(5)
        assert isinstance(task.outcome(), Failed)
    assert work.running == 0
    with pytest.raises(ValueError, match="ignored"):
        await task


async def test_a_stopped_task_is_no_failure() -> None:
    async with scope():
        task = spawn(asyncio.sleep, 1_000)
        task.stop()
        await asyncio.sleep(1)
        raised_itself = spawn(fail, asyncio.CancelledError())
        await asyncio.sleep(1)
    for one in (task, raised_itself):
        assert isinstance(one.outcome().error, TaskStopped)  # type: ignore[union-attr]  # that is what is tested


async def test_a_task_that_timed_out_is_a_failure_of_its_scope() -> None:
    with pytest.raises(atonce.TaskTimeout):
        async with scope():
            spawn(asyncio.sleep, 1_000, timeout=1.0)
            await asyncio.sleep(1_000)
    assert now() == 1.0


# -- cancels of others --------------------------------------------------------------------------------------------


async def cancelled_after(seconds: float, main: Callable[[], Any]) -> asyncio.Task[Any]:
    """Run `main` in a task, cancel it after so long, and wait for its end."""
    task = asyncio.ensure_future(main())
    await asyncio.sleep(seconds)
    assert task.cancel()
    await asyncio.wait([task])
    return task


async def test_a_cancel_from_outside_stops_the_tasks_waits_for_them_and_goes_on() -> None:
    work = Tidy()

    async def main() -> None:
        async with scope():
            spawn(work)
            await asyncio.sleep(1_000)

    task = await cancelled_after(1, main)
    assert task.cancelled()
    assert task.cancelling() == 1
    assert work.running == 0
    assert now() == 2.0


async def test_a_second_cancel_does_not_let_go_of_the_children() -> None:
    work = Tidy(cleanup=3.0)

    async def main() -> None:
        async with scope():
            spawn(work)
            await asyncio.sleep(1_000)

    task = asyncio.ensure_future(main())
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert work.running == 0
    assert now() == 4.0


async def test_a_cancel_from_outside_wins_over_a_failure_at_the_same_moment(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with scope():
            spawn(fail, ValueError("at the same moment"), 1.0)
            await asyncio.sleep(1_000)

    with caplog.at_level(logging.ERROR, logger="atonce"):
        task = await cancelled_after(1, main)
    assert task.cancelled()
    assert task.cancelling() == 1


async def test_a_failure_that_a_cancel_from_outside_overtook_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with scope():
            spawn(Tidy(cleanup=5.0))
            spawn(fail, ValueError("overtaken"), 1.0)
            await asyncio.sleep(1_000)

    with caplog.at_level(logging.ERROR, logger="atonce"):
        task = await cancelled_after(3, main)
    assert task.cancelled()
    assert [
        record.exc_info[1].args for record in caplog.records if record.exc_info and record.exc_info[1]
    ] == [("overtaken",)]


async def test_the_scope_of_a_task_that_is_being_cancelled_still_tells_its_own_failure_apart() -> None:
    """A cleanup may use a scope: the cancel that led to it has been delivered, and is not this scope's."""
    seen: list[BaseException] = []

    async def main() -> None:
        try:
            await asyncio.sleep(1_000)
        finally:
            try:
                async with scope():
                    spawn(fail, ValueError("in the cleanup"), 1.0)
                    await asyncio.sleep(1_000)
            except BaseException as error:
                seen.append(error)

    task = await cancelled_after(1, main)
    assert [type(error) for error in seen] == [ValueError]
    assert task.cancelled()
    assert task.cancelling() == 1


async def test_a_nested_scope_that_fails_raises_its_failure_in_the_outer_block_alone() -> None:
    with pytest.raises(LookupError, match="handled"):
        async with scope():
            sibling = spawn(asyncio.sleep, 1_000)
            try:
                async with scope():
                    spawn(fail, ValueError("inner"), 1.0)
                    await asyncio.sleep(1_000)
            except ValueError:
                assert not sibling.done()
                assert me().cancelling() == 0
                await asyncio.sleep(1)
            raise LookupError("handled")


async def test_a_nested_scope_keeps_the_cancel_of_its_parent_task() -> None:
    """https://github.com/python/cpython/issues/116720, which nested TaskGroups had until 3.13."""
    order: list[str] = []

    async def main() -> None:
        try:
            async with scope():
                try:
                    async with scope():
                        spawn(fail, ValueError("inner"), 1.0)
                        await asyncio.sleep(1_000)
                except ValueError:
                    order.append("inner handled")
                await asyncio.sleep(1_000)
                order.append("cancel was lost")
        finally:
            order.append("over")

    task = await cancelled_after(1, main)
    assert task.cancelled()
    assert "cancel was lost" not in order


async def test_the_outer_scopes_failure_passes_through_the_inner_one() -> None:
    inner = Tidy()
    with pytest.raises(ValueError, match="outer"):
        async with scope():
            spawn(fail, ValueError("outer"), 1.0)
            async with scope():
                spawn(inner)
                await asyncio.sleep(1_000)
    assert inner.running == 0
    assert me().cancelling() == 0


@pytest.mark.parametrize("seed", range(6))
def test_failures_of_both_scopes_at_the_same_moment_lose_neither(seed: int, arun: Any, caplog: Any) -> None:
    async def main() -> None:
        caught: list[BaseException] = []
        try:
            async with scope():
                spawn(fail, ValueError("outer"), 1.0)
                try:
                    async with scope():
                        spawn(fail, KeyError("inner"), 1.0)
                        await asyncio.sleep(1_000)
                except KeyError as error:
                    caught.append(error)
                    raise
        except* (ValueError, KeyError) as group:
            caught.extend(group.exceptions)
        kinds = {type(error) for error in caught} | {
            type(one.exc_info[1]) for one in caplog.records if one.exc_info
        }
        assert kinds == {ValueError, KeyError}
        assert me().cancelling() == 0

    arun(main(), seed=seed)


async def test_a_timeout_around_a_scope_is_raised_as_itself() -> None:
    work = Tidy()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            async with scope():
                spawn(work)
                await asyncio.sleep(1_000)
    assert work.running == 0
    assert me().cancelling() == 0


async def test_a_timeout_in_a_scope_is_its_bodys_own() -> None:
    async with scope():
        spawn(asyncio.sleep, 1_000)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.sleep(1_000)
        assert me().cancelling() == 0


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("turn", range(14))
def test_a_cancel_at_any_turn_is_never_lost_and_never_made_up(seed: int, turn: int, arun: Any) -> None:
    async def main() -> None:
        reached_end = False
        work = Tidy(cleanup=0.0)

        async def victim() -> None:
            nonlocal reached_end
            try:
                async with scope():
                    spawn(work)
                    async with scope():
                        spawn(fail, ValueError("inner"))
                        await asyncio.sleep(1)
            except ValueError:
                pass
            await asyncio.sleep(0)
            reached_end = True

        task = asyncio.ensure_future(victim())
        for _ in range(turn):
            await asyncio.sleep(0)
        was_cancelled = task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() == was_cancelled
        assert task.cancelling() == int(was_cancelled)
        assert reached_end == (not was_cancelled)
        assert work.running == 0

    arun(main(), seed=seed)


# -- the grace ----------------------------------------------------------------------------------------------------


async def test_a_child_that_swallows_its_cancel_is_waited_for_within_the_grace() -> None:
    async with scope():
        task = spawn(outlive, 4.0)
        await asyncio.sleep(1)
    assert task.outcome() == atonce.Ok(None)
    assert now() == 4.0


async def test_after_the_grace_it_is_abandoned_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="atonce"):
        async with scope():
            task = spawn(outlive, 60.0, name="stubborn")
            await asyncio.sleep(1)
    assert now() == 1 + GRACE
    outcome = task.outcome()
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, TaskStopped)
    assert outcome.error.abandoned
    [record] = caplog.records
    assert "stubborn" in record.getMessage()
    assert __file__ in record.getMessage()
    await asyncio.sleep(60)


async def test_a_shorter_grace_is_kept() -> None:
    async with scope(grace=2.0):
        spawn(outlive, 60.0)
        await asyncio.sleep(1)
    assert now() == 3.0
    await asyncio.sleep(60)


async def test_a_cancel_while_waiting_for_the_stubborn_does_not_cut_the_grace() -> None:
    async def main() -> None:
        async with scope():
            spawn(outlive, 60.0)
            await asyncio.sleep(1)

    task = await cancelled_after(2, main)
    assert task.cancelled()
    assert now() == 1 + GRACE
    await asyncio.sleep(60)
