"""Without a scope the current asyncio task owns what it spawns; nothing outlives its owner."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from typing import Any

import pytest

import atonce
from atonce import AtonceError, Failed, Ok, TaskStopped, scope, spawn
from atonce._runtime.owner import task_owners
from tests.running import FEW_TICKS

pytestmark = pytest.mark.virtual


async def ticks() -> None:
    for _ in range(FEW_TICKS):
        await asyncio.sleep(0)


async def fail() -> None:
    raise ValueError("child")


@pytest.mark.parametrize("how", ["returns", "raises", "is cancelled"])
async def test_the_children_of_a_task_are_stopped_when_it_ends(how: str) -> None:
    children: list[atonce.Task[Any]] = []

    async def owner() -> None:
        children.append(spawn(asyncio.sleep, 1_000))
        await asyncio.sleep(1)
        if how == "raises":
            raise LookupError
        if how == "is cancelled":
            await asyncio.sleep(1_000)

    task = asyncio.ensure_future(owner())
    await asyncio.sleep(2)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() or task.exception() is None or how == "raises"
    await ticks()
    outcome = children[0].outcome()
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, TaskStopped)
    assert len(asyncio.all_tasks()) == 1


async def test_grandchildren_are_stopped_with_their_parents() -> None:
    grandchildren: list[atonce.Task[Any]] = []

    async def child() -> None:
        grandchildren.append(spawn(asyncio.sleep, 1_000))
        await asyncio.sleep(1_000)

    async def owner() -> None:
        spawn(child)
        await asyncio.sleep(1)

    await asyncio.create_task(owner())
    await ticks()
    await ticks()
    assert [one.done() for one in grandchildren] == [True]


async def test_a_failing_child_does_not_end_its_task(caplog: pytest.LogCaptureFixture) -> None:
    task = spawn(fail)
    await asyncio.sleep(1)
    assert asyncio.current_task() is not None
    with pytest.raises(ValueError, match="child"):
        await task
    assert not caplog.records


async def test_the_innermost_scope_of_the_context_is_the_owner() -> None:
    async with scope() as outer:
        in_outer = spawn(asyncio.sleep, 1_000)
        async with scope() as inner:
            in_inner = spawn(asyncio.sleep, 1_000)
            assert in_inner in inner.children
            assert in_outer in outer.children
        assert in_inner.done()
        assert not in_outer.done()
        again = spawn(asyncio.sleep, 1_000)
        assert again in outer.children
    assert in_outer.done()
    assert again.done()


async def test_an_asyncio_task_that_was_created_in_a_scope_spawns_into_it() -> None:
    async def other() -> Any:
        return spawn(asyncio.sleep, 1_000)

    async with scope() as owner:
        task = await asyncio.create_task(other())
        assert task in owner.children
    assert task.done()


async def test_a_task_does_not_spawn_into_the_scope_that_owns_it() -> None:
    """What a child starts is the child's, and ends with it."""
    grandchildren: list[atonce.Task[Any]] = []

    async def child() -> None:
        grandchildren.append(spawn(asyncio.sleep, 1_000))
        await asyncio.sleep(1)

    async with scope() as owner:
        await spawn(child)
        await ticks()
        assert grandchildren[0].done()
        assert not owner.children


async def test_a_task_is_stopped_by_its_owner_and_not_by_who_awaits_it() -> None:
    task = spawn(asyncio.sleep, 5, "value")

    async def waiter() -> Any:
        return await task

    first, second = asyncio.ensure_future(waiter()), asyncio.ensure_future(waiter())
    await asyncio.sleep(1)
    first.cancel()
    await asyncio.wait([first])
    assert await second == "value"
    assert task.outcome() == Ok("value")


async def test_a_task_that_nobody_refers_to_runs_to_its_end() -> None:
    """asyncio's own tasks may be collected while they wait: https://github.com/python/cpython/issues/117379."""
    done: list[int] = []

    async def work() -> None:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_later(5, _resolve, weakref.ref(future))
        await future
        done.append(1)

    def _resolve(future: weakref.ref[asyncio.Future[None]]) -> None:
        found = future()
        if found is not None:
            found.set_result(None)

    spawn(work)
    await asyncio.sleep(1)
    gc.collect()
    await asyncio.sleep(10)
    assert done == [1]


async def test_an_owner_that_ended_is_forgotten() -> None:
    async def owner() -> None:
        await spawn(asyncio.sleep, 1)

    before = len(task_owners)
    for _ in range(20):
        await asyncio.create_task(owner())
    await ticks()
    assert len(task_owners) == before


async def test_a_task_that_ended_is_freed_without_the_garbage_collector() -> None:
    gc.disable()
    try:
        task = spawn(asyncio.sleep, 1, "value")
        await task
        await ticks()
        seen = weakref.ref(task)
        del task
        assert seen() is None
    finally:
        gc.enable()


async def test_a_failed_task_and_its_error_are_freed_without_the_garbage_collector() -> None:
    class Marked(Exception):
        """Something that can be looked at from outside."""

    async def work() -> None:
        raise Marked

    gc.disable()
    try:
        task = spawn(work)
        try:
            await task
        except Marked as error:
            seen = weakref.ref(error)
        await ticks()
        del task
        assert seen() is None
    finally:
        gc.enable()


def test_without_a_loop_the_message_says_what_to_call_instead() -> None:
    with pytest.raises(AtonceError, match=r"atonce\.blocking") as caught:
        spawn(asyncio.sleep, 1)
    assert isinstance(caught.value, RuntimeError)


async def test_without_a_task_the_message_says_so_too() -> None:
    caught: list[BaseException] = []

    def callback() -> None:
        try:
            spawn(asyncio.sleep, 1)
        except AtonceError as error:
            caught.append(error)

    asyncio.get_running_loop().call_soon(callback)
    await ticks()
    assert "no running event loop task" in str(caught[0])


async def test_another_loop_may_not_await_the_task() -> None:
    task = spawn(asyncio.sleep, 5, "value")
    caught: list[BaseException] = []

    async def elsewhere() -> None:
        try:
            await task
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=lambda: asyncio.run(elsewhere()))
    thread.start()
    thread.join(10)
    assert "another event loop" in str(caught[0])
    assert await task == "value"


async def test_a_main_task_that_ends_takes_its_children_along() -> None:
    over: list[int] = []

    async def child() -> None:
        try:
            await asyncio.sleep(1_000)
        finally:
            over.append(1)

    async def main() -> None:
        spawn(child)
        await asyncio.sleep(0)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    thread.join(10)
    assert over == [1]
