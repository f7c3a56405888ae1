"""Who owns what is spawned is asked anew in each call, though the last owner of a thread is remembered."""

from __future__ import annotations

import asyncio
import os
import threading
from contextvars import copy_context
from functools import partial

import pytest

from atonce import AtonceError, Task, spawn
from atonce._runtime.owner import here


async def noop() -> None:
    return None


def exit_code_of_a_fork_that_spawns() -> int:
    child = os.fork()
    if child == 0:
        try:
            spawn(noop)
        except AtonceError:
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_loop_after_another_in_the_same_thread_owns_its_own_tasks() -> None:
    async def loop_of_a_task() -> asyncio.AbstractEventLoop:
        task = spawn(noop)
        await task
        return task.loop

    with asyncio.Runner() as first, asyncio.Runner() as second:
        assert first.run(loop_of_a_task()) is first.get_loop()
        assert second.run(loop_of_a_task()) is second.get_loop()
        assert first.run(loop_of_a_task()) is first.get_loop()


def test_an_owner_is_not_remembered_after_its_end() -> None:
    async def owner() -> None:
        await spawn(noop)

    asyncio.run(owner())
    assert here.owner is None


async def test_tasks_that_take_turns_own_what_each_of_them_spawns() -> None:
    stopped: list[str] = []

    async def child(name: str) -> None:
        try:
            await asyncio.sleep(1_000)
        finally:
            stopped.append(name)

    async def owner(name: str, turns: int) -> None:
        for _ in range(turns):
            spawn(child, name)
            await asyncio.sleep(0)

    long = asyncio.create_task(owner("long", 5))
    await asyncio.create_task(owner("short", 2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sorted(set(stopped)) == ["short"]
    await long


async def test_a_thread_with_the_context_of_a_running_task_has_no_loop() -> None:
    await spawn(noop)
    errors: list[BaseException] = []

    def in_thread() -> None:
        try:
            spawn(noop)
        except AtonceError as error:
            errors.append(error)

    thread = threading.Thread(target=partial(copy_context().run, in_thread))
    thread.start()
    thread.join()  # the task stays the current one of its loop while the thread looks
    assert isinstance(errors[0], RuntimeError)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_a_forked_child_has_no_loop_though_the_task_that_forked_looks_current() -> None:
    await spawn(noop)
    assert exit_code_of_a_fork_that_spawns() == 0


async def test_the_asyncio_task_bears_the_name_of_the_function() -> None:
    async def named() -> str:
        task = asyncio.current_task()
        return task.get_name() if task is not None else ""

    task: Task[str] = spawn(named)
    assert (await task).endswith("named")
