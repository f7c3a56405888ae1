"""Waiting for tasks, and ending them: from `await_one` to `completed`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from functools import partial
from typing import Any, Literal, TypeVar

from atonce._backends.choose import backend_for
from atonce._model.checks import choice, count_or_none, seconds, seconds_or_none, several, shown
from atonce._model.errors import TaskStopped, TaskTimeout
from atonce._model.outcome import Failed, Outcome, make_ok
from atonce._runtime.awaited_by import shows_children
from atonce._runtime.owner import Owner, running_loop
from atonce._runtime.site import site_of
from atonce._runtime.waiting import resolve, wait_for_end
from atonce._verbs.task import Task

T = TypeVar("T")


async def await_one(task: Task[T], timeout: float | None = None) -> T:
    """Wait at most `timeout` seconds for `task`, and give its value or raise its error.

    `await task` is the same without a limit; `poll` looks without ending anything. `timeout=0` takes what is there.

    **Fails**: with the task's error; when the time runs out the task is stopped and `TaskTimeout` is raised.
    **Cancelled**: the waiter ends, the task goes on. Elixir: `Task.await/2`, whose task outlives its timeout.
    """
    limit = seconds_or_none("timeout", timeout, zero=True)
    check_tasks([task])
    if not await _ended([task], limit):
        await _time_out([task], f"await_one(timeout={limit:g})", limit)
    return await task


async def await_many(tasks: Iterable[Task[T]], timeout: float | None = None) -> list[T]:
    """Wait for all `tasks` under one shared deadline of `timeout` seconds; give their values in input order.

    Prefer `poll_many` to get what is there, and `parallel_map` to start the work too. `[]` gives `[]`; a task may
    stand in the list twice; a result that is there beats `timeout=0`.

    **Fails**: the first task that fails, and the deadline (`TaskTimeout`), stop the rest before they are raised.
    **Cancelled**: the waiter ends, the tasks go on. **Costs** one future for each task that has not ended. Elixir:
    `Task.await_many/2`, which leaves the rest running.
    """
    limit = seconds_or_none("timeout", timeout, zero=True)
    wanted = check_tasks(several("tasks", tasks))
    failed = await _first_failure(wanted, limit)
    if failed is not None:
        await stop_all([task for task in wanted if not task.done()])
        return [await failed]
    late = [task for task in wanted if not task.done()]
    if late:
        await _time_out(late, f"await_many(timeout={limit:g})", limit)
    return [await task for task in wanted]


async def poll(task: Task[T], timeout: float | None = 0) -> Outcome[T] | None:
    """Wait at most `timeout` seconds (0: not at all) and give the outcome, or None while the task goes on.

    None is not terminal: poll, await or shut down again. **Fails**: never for what the task did. **Cancelled**: the
    waiter ends, the task goes on. Elixir: `Task.yield/2`.
    """
    limit = seconds_or_none("timeout", timeout, zero=True)
    check_tasks([task])
    await _ended([task], limit)
    return task.outcome()


async def poll_many(
    tasks: Iterable[Task[T]],
    timeout: float | None = None,
    limit: int | None = None,
    on_timeout: Literal["nothing", "ignore", "stop"] = "nothing",
) -> list[tuple[Task[T], Outcome[T] | None]]:
    """Wait for `tasks` at most `timeout` seconds in all, or until `limit` of them have ended, and give (task, outcome).

    In input order, None for those that go on. When the time runs out, `on_timeout` says what becomes of those:
    "nothing", "ignore" (see `ignore`) or "stop" (they are stopped and over, and a result that lands last is given).
    When `limit` is reached the others go on untouched.

    **Fails**: never for what a task did. **Cancelled**: the waiter ends, the tasks go on. Elixir: `Task.yield_many/2`.
    """
    seconds_left = seconds_or_none("timeout", timeout, zero=True)
    enough = count_or_none("limit", limit)
    then = choice("on_timeout", on_timeout, ("nothing", "ignore", "stop"))
    wanted = check_tasks(several("tasks", tasks))
    reached = await _ended(wanted, seconds_left, enough)
    late = [] if reached else [task for task in wanted if not task.done()]
    if then == "stop":
        await stop_all(late)
    elif then == "ignore":
        for task in late:
            ignore(task)
    stopped = {id(task) for task in late if then == "stop" and _was_stopped(task)}
    return [(task, None if id(task) in stopped else task.outcome()) for task in wanted]


async def shutdown(task: Task[T], grace: float = 5.0) -> Outcome[T] | None:
    """End `task` and return when it is over: its outcome when one landed first, None when we stopped it.

    `grace` seconds are given to what does not end at once; `grace=0` kills without waiting. What cannot be ended (a
    function in a thread, a coroutine that swallows every cancel) is given up after the grace: `Failed(TaskStopped)`
    with `.abandoned`. A function in a process is killed: after the grace if it looks at `cancelled()`, else at once.

    **Fails**: never for what the task did. **Cancelled**: the task is ended all the same, then the cancel goes on.
    Elixir: `Task.shutdown/2`.
    """
    patience = seconds("grace", grace, zero=True)
    check_tasks([task])
    if task.is_over():
        return task.outcome()
    cancelled = await end_all([task], patience)
    if cancelled is not None:
        raise cancelled
    outcome = task.outcome()
    if isinstance(outcome, Failed) and isinstance(outcome.error, TaskStopped) and not outcome.error.abandoned:
        return None
    return outcome


def ignore(task: Task[T]) -> Outcome[T] | None:
    """Let `task` go on without touching its scope when it fails; give its outcome if it has ended already.

    It is still stopped when its owner ends, and may still be awaited. Elixir: `Task.ignore/1`.
    """
    check_tasks([task])
    task.ignore()
    return task.outcome()


def completed(value: T) -> Task[T]:
    """Give a task that has already ended with `value`, for code that takes tasks. Elixir: `Task.completed/1`.

    >>> async def main() -> int:
    ...     return await completed(3)
    >>> asyncio.run(main())
    3
    """
    task: Task[T] = Task(
        completed, backend_for("loop", True), Owner(), running_loop(), None, None, site_of(sys._getframe())
    )
    task._settle(make_ok(value, None, None, 1, 0.0))
    task._over()
    return task


def check_tasks(tasks: list[Any]) -> list[Any]:
    """Check that all are tasks of this loop, before any is waited for."""
    for task in tasks:
        if not isinstance(task, Task):
            raise TypeError(
                f"this takes tasks that spawn gave, e.g. await_many([spawn(f, 1), spawn(f, 2)]); got {shown(task)}"
            )
        task.check_loop()
    return tasks


async def stop_all(tasks: list[Task[Any]]) -> None:
    """Stop tasks and wait until they are over, each with the patience of its backend."""
    cancelled = await end_all(tasks, None)
    if cancelled is not None:
        raise cancelled


async def end_all(tasks: list[Task[Any]], grace: float | None) -> asyncio.CancelledError | None:
    """Stop tasks, wait until they are over, abandon those that are not in time; gives a cancel that came meanwhile."""
    return await end_each([(task, grace) for task in tasks])


async def end_each(
    asked: list[tuple[Task[Any], float | None]], *, again: bool = True
) -> asyncio.CancelledError | None:
    """As `end_all`, all at the same time and each task with a grace of its own, which counts from now.

    Without `again`, one that was asked to end before is not asked a second time, which would cut its cleanup.
    """
    hasty = 0
    by_patience: dict[float, list[Task[Any]]] = {}
    for task, grace in asked:
        if again or task._why is None or grace == 0:
            task.end(TaskStopped(f"{task} was stopped"), None, grace or 0.0)
        by_patience.setdefault(task.patience(grace), []).append(task)
        if grace == 0:
            hasty = max(hasty, task.backend.capabilities.turns + 1)
    cancelled: asyncio.CancelledError | None = None
    for _ in range(hasty):
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError as error:
            cancelled = error
    loop = asyncio.get_running_loop()
    began = loop.time()
    for patience, tasks in sorted(by_patience.items(), key=_patience):
        left = max(0.0, began + patience - loop.time())
        _, came = await wait_for_end(partial(_are_over, tasks), _all_over(tasks), left)
        cancelled = came or cancelled
        for task in tasks:
            if not task.is_over():
                task.abandon()
    return cancelled


def _patience(item: tuple[float, list[Task[Any]]]) -> float:
    return item[0]


def _are_over(tasks: list[Task[Any]]) -> bool:
    return all(task.is_over() for task in tasks)


def _all_over(tasks: list[Task[Any]]) -> Any:
    """Resolve a future when all of `tasks` are over."""

    def subscribe(future: asyncio.Future[None]) -> None:
        left = [len([task for task in tasks if not task.is_over()])]

        def one_over() -> None:
            left[0] -= 1
            if left[0] <= 0:
                resolve(future)

        for task in tasks:
            if not task.is_over():
                task.when_over(one_over)

    return subscribe


async def _ended(tasks: list[Task[Any]], limit: float | None, enough: int | None = None) -> bool:
    """Wait until `enough` (None: all) of the distinct tasks have ended; False when `limit` seconds went by first."""
    distinct = {id(task): task for task in tasks}
    wanted = len(distinct) if enough is None else min(enough, len(distinct))
    waiting = [task for task in distinct.values() if not task.done()]
    left = wanted - (len(distinct) - len(waiting))
    if left <= 0:
        return True
    if limit == 0:
        return False
    loop = asyncio.get_running_loop()
    reached: asyncio.Future[None] = loop.create_future()
    timer = loop.call_later(limit, resolve, reached) if limit is not None else None

    def one_ended(task: Task[Any]) -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            resolve(reached)

    await _with_callbacks(waiting, one_ended, reached, timer)
    return left <= 0


async def _first_failure(tasks: list[Task[Any]], limit: float | None) -> Task[Any] | None:
    """Wait until all have ended, the first has failed (gives that one), or `limit` seconds went by."""
    for task in tasks:
        if task.failed():
            return task
    waiting = list({id(task): task for task in tasks if not task.done()}.values())
    if not waiting or limit == 0:
        return None
    loop = asyncio.get_running_loop()
    reached: asyncio.Future[None] = loop.create_future()
    timer = loop.call_later(limit, resolve, reached) if limit is not None else None
    left = len(waiting)
    first: list[Task[Any]] = []

    def one_ended(task: Task[Any]) -> None:
        nonlocal left
        left -= 1
        if task.failed():
            first.append(task)
        if left <= 0 or first:
            resolve(reached)

    await _with_callbacks(waiting, one_ended, reached, timer)
    return first[0] if first else None


@shows_children
async def _with_callbacks(
    tasks: list[Task[Any]], callback: Any, reached: asyncio.Future[None], timer: asyncio.TimerHandle | None
) -> None:
    """Await `reached` while `callback` hears of the ends of `tasks`; nothing is left behind."""
    for task in tasks:
        task.add_done_callback(callback)
    try:
        await reached
    finally:
        if timer is not None:
            timer.cancel()
        for task in tasks:
            task.remove_done_callback(callback)


async def _time_out(tasks: list[Task[Any]], call: str, limit: float | None) -> None:
    """The waiter's time ran out: end `tasks` and raise; a result that landed in the meantime is not looked at."""
    for task in tasks:
        task.end_as_timeout(TaskTimeout(f"{task} did not end within {call}", timeout=limit))
    await _ended(tasks, None)


def _was_stopped(task: Task[Any]) -> bool:
    outcome = task.outcome()
    return (
        isinstance(outcome, Failed) and isinstance(outcome.error, TaskStopped) and not outcome.error.abandoned
    )
