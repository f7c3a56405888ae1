"""`sup.spawn` and `sup.spawn_nolink`: ordinary tasks, tied to their caller or not, and bounded by their supervisor."""

from __future__ import annotations

import asyncio
import gc
import logging
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest

import atonce
from atonce import (
    Child,
    Ok,
    Supervisor,
    TaskStopped,
    TaskTimeout,
    TooManyChildren,
    await_many,
    await_one,
    scope,
    shutdown,
    spawn,
)
from tests.verbs.acts import (
    Probe,
    Stubborn,
    error_of,
    fail,
    fake,
    forever,
    gate,
    give,
    now,
    turns,
    until_asked,
)

pytestmark = pytest.mark.virtual
colour: ContextVar[str] = ContextVar("colour", default="none")


async def fails_later() -> None:
    """Fail after a second."""
    await fail(ValueError("broken"), 1.0)


# -- as any task --------------------------------------------------------------------------------------------------


async def test_a_task_of_a_supervisor_is_awaited_like_any_other() -> None:
    async with Supervisor() as sup:
        tasks = [sup.spawn(give, 1, 0.1), sup.spawn_nolink(give, 2, 0.1, name="two", timeout=3)]
        assert [task.name for task in tasks] == ["give", "two"]
        assert await await_many(tasks) == [1, 2]
        assert sup.children() == []


async def test_bad_arguments_fail_in_the_call_and_take_no_place() -> None:
    async with Supervisor(max_children=1) as sup:
        for start in (sup.spawn, sup.spawn_nolink):
            with pytest.raises(TypeError, match="cannot be called with 0"):
                start(give)  # type: ignore[operator]  # wrong on purpose
            with pytest.raises(ValueError, match="grace is a number of seconds"):
                start(forever, grace=-1)
            with pytest.raises(ValueError, match="timeout"):
                start(forever, timeout=0)
        assert sup.count_children() == 0
        assert sup.statistics().started == 0


async def test_a_task_has_a_copy_of_its_callers_context() -> None:
    async def change() -> str:
        was = colour.get()
        colour.set("red")
        return was

    colour.set("blue")
    async with Supervisor(max_children=1, on_full="wait") as sup:
        first, second = sup.spawn_nolink(change), sup.spawn_nolink(change)
        colour.set("green")
        assert await await_many([first, second]) == ["blue", "blue"]
    assert colour.get() == "green"


async def test_what_a_task_spawns_is_its_own_and_not_the_callers_scopes() -> None:
    probe = Probe(100.0)

    async def work() -> None:
        spawn(probe.work)
        await asyncio.sleep(1.0)

    async with scope(), Supervisor() as sup:
        await sup.spawn_nolink(work)
        assert (probe.running, probe.cancelled) == (0, 1)


async def test_its_time_limit_counts_from_its_start_and_not_from_its_place_in_the_queue() -> None:
    async with Supervisor(max_children=1, on_full="wait") as sup:
        first = sup.spawn_nolink(give, 1, 5.0)
        second = sup.spawn_nolink(give, 2, 2.0, timeout=3.0)
        assert await await_many([first, second]) == [1, 2]
        late = sup.spawn_nolink(forever, timeout=3.0)
        assert isinstance(error_of(await atonce.poll(late, None)), TaskTimeout)
        assert now() == 10.0


async def test_plain_functions_run_in_threads_and_on_any_backend() -> None:
    async with Supervisor() as sup:
        assert await sup.spawn_nolink(sum, [1, 2], on=fake(1.0)) == 3
        assert await sup.spawn(sum, [1, 2], on=fake(1.0)) == 3


async def test_a_supervisor_that_does_not_run_starts_nothing_and_says_so() -> None:
    sup = Supervisor()
    for ask in (partial(sup.spawn, forever), partial(sup.start_child, forever), sup.children, sup.statistics):
        with pytest.raises(atonce.AtonceError, match="does not run: use it inside `async with"):
            ask()
    async with sup:
        with pytest.raises(RuntimeError, match="runs already"):
            await sup.__aenter__()
    with pytest.raises(RuntimeError, match="does not run"):
        await sup.idle()


async def test_a_supervisor_may_be_entered_again() -> None:
    sup = Supervisor(name="again")
    for _ in range(3):
        async with sup:
            assert atonce.whereis("again") is sup
            assert await sup.spawn_nolink(give, 1) == 1
        assert atonce.whereis("again") is None


# -- not linked ---------------------------------------------------------------------------------------------------


async def test_a_failure_without_link_harms_nobody_and_is_logged_once_if_nobody_awaited_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Supervisor() as sup:
        other = sup.spawn_nolink(give, 1, 2.0)
        sup.spawn_nolink(fails_later)
        assert await other == 1
        gc.collect()
        assert sup.statistics().failed == 1
    assert [record.message for record in caplog.records].count(caplog.records[0].message) == 1
    assert "test_tasks.py" in caplog.text
    assert "failed and nobody awaited it" in caplog.text


async def test_an_awaited_failure_without_link_is_raised_there_and_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Supervisor() as sup:
        with pytest.raises(ValueError, match="broken"):
            await sup.spawn_nolink(fails_later)
    gc.collect()
    assert not caplog.records


async def test_without_link_it_goes_on_when_its_caller_ends() -> None:
    async with Supervisor() as sup:
        task = await spawn(partial(_spawned_by_another, sup))
        assert not task.done()
        assert await task == "done"


async def _spawned_by_another(sup: Supervisor) -> atonce.Task[str]:
    return sup.spawn_nolink(give, "done", 5.0)


async def test_a_scope_around_does_not_own_what_is_not_linked() -> None:
    async with Supervisor() as sup:
        async with scope():
            task = sup.spawn_nolink(give, "done", 5.0)
        assert not task.done()
        assert await task == "done"


# -- linked -------------------------------------------------------------------------------------------------------


async def test_a_linked_failure_ends_the_block_that_spawned_it_at_once_and_is_raised_unwrapped() -> None:
    probe = Probe(100.0)
    with pytest.raises(ValueError, match="broken"):
        async with Supervisor() as sup:
            sup.spawn_nolink(probe.work)
            sup.spawn(fails_later)
            await asyncio.sleep(100)
    assert now() == 1.0
    assert probe.cancelled == 1
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


async def test_several_linked_failures_of_the_block_are_one_group() -> None:
    async def fails_when_stopped() -> None:
        try:
            await forever()
        finally:
            raise KeyError("cleanup")

    with pytest.raises(ExceptionGroup) as caught:
        async with Supervisor() as sup:
            sup.spawn(fails_when_stopped)
            sup.spawn(fails_later)
            await forever()
    assert [type(error) for error in caught.value.exceptions] == [ValueError, KeyError]


async def test_a_linked_failure_inside_a_scope_is_that_scopes_and_the_supervisor_goes_on() -> None:
    async with Supervisor() as sup:
        with pytest.raises(ValueError, match="broken"):
            async with scope():
                sup.spawn(fails_later)
                await forever()
        assert await sup.spawn(give, 1) == 1


async def test_a_scope_stops_what_was_linked_to_it() -> None:
    probe = Probe(100.0)
    async with Supervisor() as sup:
        async with scope():
            task = sup.spawn(probe.work)
            await turns()
        assert probe.cancelled == 1
        assert isinstance(error_of(task.outcome()), TaskStopped)
        assert sup.children() == []


async def test_a_linked_failure_cancels_the_bare_asyncio_task_that_spawned_it_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def caller(sup: Supervisor) -> None:
        sup.spawn(fails_later)
        await forever()

    async with Supervisor() as sup:
        task = asyncio.create_task(caller(sup))
        with pytest.raises(asyncio.CancelledError, match="fails_later"):
            await task
        assert await sup.spawn(give, 1) == 1
    gc.collect()
    assert len(caplog.records) == 1
    assert "linked to is cancelled" in caplog.text
    assert "test_tasks.py" in caplog.text


async def test_when_the_caller_ends_what_it_linked_is_stopped_and_over() -> None:
    probe = Probe(100.0, cleanup=2.0)

    async def caller(sup: Supervisor) -> None:
        sup.spawn(probe.work)
        await asyncio.sleep(1.0)

    async with Supervisor() as sup:
        await spawn(caller, sup)
        assert (probe.cancelled, probe.running) == (1, 0)
        assert now() == 3.0
        assert sup.children() == []


async def test_a_link_leaves_nothing_behind() -> None:
    async with Supervisor() as sup:
        for _ in range(100):
            await sup.spawn(give, 1)
        crew = sup._crew
        assert crew is not None
        await turns()
        assert not crew.links


# -- places -------------------------------------------------------------------------------------------------------


async def test_at_the_bound_a_start_is_refused_in_the_call_with_what_to_do() -> None:
    async with Supervisor(max_children=2) as sup:
        sup.spawn_nolink(forever)
        sup.start_child(forever)
        for start in (sup.spawn, sup.spawn_nolink, sup.start_child):
            with pytest.raises(TooManyChildren, match='2 of max_children=2 places taken.*on_full="wait"'):
                start(forever)
        assert sup.count_children() == 2


async def test_a_place_is_free_again_when_its_task_has_ended() -> None:
    async with Supervisor(max_children=1) as sup:
        for number in range(10):
            assert await sup.spawn_nolink(give, number) == number
            with pytest.raises(ValueError):
                await sup.spawn_nolink(fail, ValueError())


async def test_no_children_at_all_is_a_legal_bound() -> None:
    async with Supervisor(max_children=0) as sup:
        with pytest.raises(TooManyChildren):
            sup.spawn_nolink(forever)


async def test_who_waits_starts_in_order_as_places_become_free() -> None:
    order: list[int] = []

    async def work(number: int) -> int:
        order.append(number)
        await asyncio.sleep(1.0)
        return number

    async with Supervisor(max_children=2, on_full="wait") as sup:
        tasks = [sup.spawn_nolink(work, number) for number in range(7)]
        assert (sup.count_children(), sup.statistics().waiting) == (2, 5)
        assert await await_many(tasks) == list(range(7))
        assert order == list(range(7))
        assert now() == 4.0


async def test_the_queue_is_bounded_too() -> None:
    async with Supervisor(max_children=1, on_full="wait", max_queue=2) as sup:
        for _ in range(3):
            sup.spawn_nolink(forever)
        with pytest.raises(TooManyChildren, match="2 wait already"):
            sup.spawn_nolink(forever)


async def test_what_waits_can_be_stopped_and_never_starts() -> None:
    probe = Probe(1.0)
    async with Supervisor(max_children=1, on_full="wait") as sup:
        first = sup.spawn_nolink(give, 1, 5.0)
        waiting = [sup.spawn_nolink(probe.work) for _ in range(4)]
        waiting[0].stop()
        with pytest.raises(TaskStopped):
            await waiting[0]
        assert await shutdown(waiting[1]) is None
        assert await sup.terminate_child(waiting[2])
        with pytest.raises(TaskTimeout):
            await await_one(waiting[3], 2.0)
        assert sup.statistics().waiting == 0
        assert await first == 1
        assert probe.begun == 0


async def test_a_waiting_task_that_cannot_be_handed_over_fails_and_its_place_goes_on() -> None:
    class Refuses(atonce.testing.FakeBackend):
        def start(self, *args: Any) -> Any:
            raise OSError("no more workers")

    async with Supervisor(max_children=1, on_full="wait") as sup:
        sup.spawn_nolink(give, 1, 1.0)
        broken, after = sup.spawn_nolink(sum, [1], on=Refuses()), sup.spawn_nolink(give, 2)
        with pytest.raises(OSError, match="no more workers"):
            await broken
        assert await after == 2


async def test_a_linked_task_waits_for_its_place_and_its_callers_end_ends_the_wait() -> None:
    probe = Probe()

    async def caller(sup: Supervisor) -> None:
        sup.spawn(probe.work)
        await asyncio.sleep(1.0)

    async with Supervisor(max_children=1, on_full="wait") as sup:
        sup.spawn_nolink(give, 1, 5.0)
        await spawn(caller, sup)
        assert sup.statistics().waiting == 0
        await sup.idle()
    assert probe.begun == 0


# -- looking ------------------------------------------------------------------------------------------------------


async def test_children_and_counts_say_what_is_there() -> None:
    async with Supervisor(max_children=3, on_full="wait") as sup:
        task, child = (
            sup.spawn_nolink(give, 1, 2.0),
            sup.start_child(forever, restart="permanent", name="watch"),
        )
        failed = sup.spawn_nolink(fail, ValueError())
        waiting = sup.spawn_nolink(give, 2, 2.0)
        assert set(sup.children()) == {task, child, failed}
        assert sup.count_children() == 3
        assert sup.whereis("watch") is child
        assert sup.whereis("nobody") is None
        with pytest.raises(ValueError):
            await failed
        await turns()
        assert set(sup.children()) == {task, child, waiting}
        found = sup.statistics()
        assert (found.started, found.running, found.waiting, found.failed) == (4, 3, 0, 1)
        with pytest.raises(AttributeError):
            found.running = 5  # type: ignore[misc]  # frozen


async def test_idle_waits_for_the_work_and_not_for_what_never_ends() -> None:
    async with Supervisor(max_children=4, on_full="wait") as sup:
        sup.start_child(forever, restart="permanent")
        sup.spawn_nolink(give, 1, 3.0)
        sup.start_child(give, 1, 4.0, restart="transient")
        sup.spawn_nolink(give, 1, 1.0)
        sup.spawn_nolink(give, 1, 7.0)
        await sup.idle()
        assert now() == 8.0
        await sup.idle()
        assert sup.count_children() == 1


async def test_a_cancel_of_one_who_waits_until_all_is_idle_ends_that_one_alone() -> None:
    async with Supervisor() as sup:
        task = sup.spawn_nolink(give, 1, 3.0)
        waiter = spawn(sup.idle)
        await turns()
        assert await shutdown(waiter) is None
        assert await task == 1


async def test_terminate_child_knows_tasks_and_children_and_their_ids() -> None:
    async with Supervisor() as sup:
        task, other = sup.spawn_nolink(forever), sup.spawn_nolink(forever)
        child, gone = sup.start_child(forever), sup.start_child(forever, restart="permanent")
        assert await sup.terminate_child(task)
        assert await sup.terminate_child(other.id)
        assert await sup.terminate_child(child)
        assert await sup.terminate_child(gone.id)
        assert sup.children() == []
        for one in (task, other.id, child, gone.id, 10**8):
            assert not await sup.terminate_child(one)
        for wrong in ("name", None, True, 1.5):
            with pytest.raises(TypeError, match="a Child, a Task, or the id"):
                await sup.terminate_child(wrong)  # type: ignore[arg-type]  # wrong on purpose


async def test_what_asks_for_its_own_end_is_told_instead_of_waiting_for_ever() -> None:
    async with Supervisor() as sup:

        async def ends_itself() -> bool:
            await turns()
            return await sup.terminate_child(task)

        task = sup.spawn_nolink(ends_itself)
        with pytest.raises(RuntimeError, match="cannot wait for its own end"):
            await task


async def test_a_cancel_of_terminate_child_does_not_cut_the_end_short() -> None:
    probe = Probe(100.0, cleanup=2.0)
    async with Supervisor() as sup:
        task = sup.spawn_nolink(probe.work)
        await turns()
        ending = asyncio.create_task(sup.terminate_child(task))
        await asyncio.sleep(1.0)
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
        assert (now(), probe.running) == (2.0, 0)


# -- the end ------------------------------------------------------------------------------------------------------


async def test_leaving_stops_what_runs_and_what_waits() -> None:
    probe = Probe(100.0)
    async with Supervisor(max_children=2, on_full="wait") as sup:
        tasks = [sup.spawn_nolink(probe.work) for _ in range(4)]
        await turns()
    assert (probe.begun, probe.cancelled) == (2, 2)
    for task in tasks:
        with pytest.raises(TaskStopped):
            await task


async def test_the_graces_run_at_the_same_time_and_each_has_its_own(caplog: pytest.LogCaptureFixture) -> None:
    quick, slow = Probe(100.0, cleanup=0.1), Stubborn()
    async with Supervisor() as sup:
        for _ in range(3):
            sup.spawn_nolink(quick.work, grace=1.0)
        task = sup.spawn_nolink(slow.work, grace=0.05)
        await turns()
    assert now() == pytest.approx(0.1)
    assert quick.ended == 3
    assert "does not end in its grace of 0.05 s" in caplog.text
    error = error_of(task.outcome())
    assert isinstance(error, TaskStopped)
    assert error.abandoned
    await slow.let_go()


async def test_what_is_ending_already_is_not_asked_again_and_cleans_up_undisturbed() -> None:
    ended: list[float] = []

    async def work() -> None:
        try:
            await forever()
        finally:
            await asyncio.sleep(3.0)
            ended.append(now())

    async with Supervisor() as sup:
        tasks = [sup.spawn_nolink(work) for _ in range(3)]
        child = sup.start_child(work)
        await turns()
        tasks[0].stop()
        endings = [spawn(sup.terminate_child, one) for one in (tasks[1], child, tasks[1])]
        await asyncio.sleep(1.0)
    assert ended == [3.0, 3.0, 3.0, 4.0]
    assert [ending.outcome() for ending in endings] == [Ok(True)] * 3


async def test_no_grace_ends_it_at_once() -> None:
    stubborn = Stubborn()
    async with Supervisor() as sup:
        sup.spawn_nolink(stubborn.work, grace=0)
        await turns()
        began = now()
    assert now() == began
    await stubborn.let_go()


async def test_nothing_starts_after_a_stop_has_begun() -> None:
    tried: list[BaseException] = []

    async def starts_more(sup: Supervisor) -> None:
        try:
            await forever()
        finally:
            for start in (sup.spawn, sup.spawn_nolink, sup.start_child):
                try:
                    start(forever)
                except TaskStopped as error:
                    tried.append(error)

    async with Supervisor() as sup:
        sup.spawn_nolink(starts_more, sup)
        await turns()
    assert len(tried) == 3


async def test_a_cancel_of_the_block_stops_all_and_goes_on() -> None:
    probe = Probe(100.0, cleanup=1.0)

    async def block() -> None:
        async with Supervisor() as sup:
            sup.start_child(probe.work, restart="permanent")
            await forever()

    task = asyncio.create_task(block())
    await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (now(), probe.begun, probe.running) == (1.0, 1, 0)


async def test_an_error_of_the_body_stops_all_and_goes_on() -> None:
    probe = Probe(100.0)
    with pytest.raises(KeyError):
        async with Supervisor() as sup:
            sup.spawn_nolink(probe.work)
            await turns()
            raise KeyError
    assert probe.cancelled == 1


async def test_ten_thousand_come_and_go_and_nothing_is_kept() -> None:
    async with Supervisor() as sup:
        for _ in range(1_000):
            await await_many([sup.spawn_nolink(give, 1) for _ in range(10)])
        crew = sup._crew
        assert crew is not None
        assert crew.started == 10_000
        assert not crew.roster.work
        assert not crew._waiters


# -- real threads -------------------------------------------------------------------------------------------------


def test_threads_are_asked_to_end_and_abandoned_when_they_do_not_look(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main(closed: Any) -> None:
        async with Supervisor() as sup:
            looks = sup.spawn_nolink(until_asked)
            sup.spawn_nolink(closed.work, grace=0.1)
            await asyncio.to_thread(closed.arrived.acquire)
        assert looks.done()

    with gate() as closed, caplog.at_level(logging.WARNING):
        asyncio.run(main(closed))
        assert "does not end in its grace of 0.1 s" in caplog.text


def test_another_thread_is_told_where_to_call() -> None:
    async def main() -> None:
        async with Supervisor() as sup:
            with pytest.raises(RuntimeError, match="another thread"):
                await asyncio.to_thread(sup.spawn_nolink, forever)

    asyncio.run(main())


def test_a_child_is_described_by_what_it_shows() -> None:
    assert repr(Child(print, name="tick")).endswith("'tick' permanent waiting>")
    assert repr(Ok(Supervisor(name="a"))) == "Ok(<Supervisor 'a'>)"
