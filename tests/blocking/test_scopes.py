"""`with scope()`: the block owns what is spawned in it."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from tests.verbs.acts import Probe, Stubborn, error_of, fail, forever, gate, give

from atonce.blocking import Task, TaskStopped, await_many, ignore, scope, spawn, stream


def until_done(*tasks: Task[Any]) -> None:
    """Wait in this thread until tasks have ended, and look at no result."""
    deadline = time.monotonic() + 20
    while not all(task.done() for task in tasks):
        assert time.monotonic() < deadline, "a task did not end"
        time.sleep(0.002)


def test_leaving_the_block_stops_and_awaits_what_it_owns() -> None:
    probe = Probe(seconds=30.0, cleanup=0.05)
    with scope():
        spawn(probe.work)
        spawn(give, 1).result()
    assert (probe.cancelled, probe.running) == (1, 0)


def test_tasks_that_were_awaited_keep_their_values() -> None:
    with scope():
        task = spawn(give, "value", 0.01)
        assert task.result() == "value"
    assert task.result() == "value"


def test_a_stopped_task_of_the_block_raises_task_stopped() -> None:
    with scope():
        task = spawn(forever)
    with pytest.raises(TaskStopped):
        task.result()


def test_a_failing_task_is_raised_from_the_block() -> None:
    with pytest.raises(ValueError, match="child"), scope():
        until_done(spawn(fail, ValueError("child"), 0.01))


def test_a_failing_task_stops_its_siblings_at_once() -> None:
    probe = Probe(seconds=30.0)
    with pytest.raises(ValueError, match="child"), scope():
        sibling = spawn(probe.work)
        spawn(fail, ValueError("child"), 0.01)
        with pytest.raises(TaskStopped):
            sibling.result()
        assert probe.cancelled == 1


def test_two_failures_are_raised_as_a_group() -> None:
    with gate() as door:

        def broken() -> None:
            door.work()
            raise ValueError("child")

        with pytest.raises(ExceptionGroup) as caught, scope():
            both = [spawn(broken, on="thread") for _ in range(2)]
            door.arrived.acquire(timeout=5)
            door.arrived.acquire(timeout=5)
            door.open()
            until_done(*both)
    assert [str(error) for error in caught.value.exceptions] == ["child", "child"]


def test_an_error_of_the_body_is_raised_after_all_is_over() -> None:
    probe = Probe(seconds=30.0)
    with pytest.raises(KeyError), scope():
        spawn(probe.work)
        spawn(give, 1).result()
        raise KeyError
    assert probe.running == 0


def test_an_ignored_task_does_not_touch_the_block() -> None:
    with gate() as door:

        def broken() -> None:
            door.work()
            raise ValueError("ignored")

        with scope():
            task = spawn(broken, on="thread")
            ignore(task)
            door.open()
            until_done(task)
    assert isinstance(error_of(task.outcome()), ValueError)


def test_blocks_may_be_nested() -> None:
    outer_probe, inner_probe = Probe(seconds=30.0), Probe(seconds=30.0)
    with scope():
        spawn(outer_probe.work)
        with scope():
            spawn(inner_probe.work)
            spawn(give, 1).result()
        assert (inner_probe.running, outer_probe.running) == (0, 1)
    assert outer_probe.running == 0


def test_tasks_outside_the_block_are_left_alone() -> None:
    with gate() as door:
        outside = spawn(door.work)
        with scope():
            spawn(give, 1).result()
        assert not outside.done()
        door.open()
        assert outside.result() == "through"


def test_what_a_task_of_the_block_spawns_belongs_to_that_task() -> None:
    inner = Probe(seconds=30.0)

    async def work() -> None:
        import atonce

        atonce.spawn(inner.work)
        await give(1, 0.01)

    with scope():
        spawn(work).result()
        deadline = time.monotonic() + 5
        while inner.running and time.monotonic() < deadline:
            time.sleep(0.002)
        assert (inner.begun, inner.running) == (1, 0)


def test_a_child_that_swallows_its_cancel_is_abandoned_after_the_grace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stubborn = Stubborn()
    began = time.monotonic()
    with scope(grace=0.05):
        spawn(stubborn.work)
        spawn(give, 1).result()
    assert time.monotonic() - began < 2
    assert "abandoned" in caplog.text
    spawn(stubborn.let_go).result()


def test_a_scope_is_entered_once() -> None:
    block = scope()
    with block:
        pass
    with pytest.raises(RuntimeError, match="entered once"), block:
        pass


def test_a_stream_inside_the_block_ends_with_it() -> None:
    probe = Probe(seconds=30.0)

    async def work(n: int) -> object:
        return n if n == 0 else await probe.work()

    with scope():
        iterator = iter(stream(range(5), work))
        next(iterator)
    assert probe.running == 0
    with pytest.raises(TaskStopped, match="owner ended"):
        next(iterator)


def test_blocks_in_different_threads_do_not_see_each_other() -> None:
    errors: list[BaseException] = []
    both = threading.Barrier(2)

    def block(broken: bool) -> None:
        try:
            with scope():
                task = spawn(fail, ValueError("mine"), 0.02) if broken else spawn(give, 1, 0.1)
                both.wait(5)
                if broken:
                    until_done(task)
                else:
                    assert await_many([task]) == [1]
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=block, args=(broken,)) for broken in (True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [type(error) for error in errors] == [ValueError]
