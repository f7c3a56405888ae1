"""The event loop as a backend: coroutines, each on the loop that spawned it."""

from __future__ import annotations

import asyncio
import sys
from asyncio import Task
from collections.abc import Callable
from contextvars import Context
from typing import Any

from atonce._backends.contract import Capabilities, Desk, Receiver, Running
from atonce._backends.loop_lanes import AT_ONCE, LoopLanes, on_the_loop
from atonce._runtime.owner import children_over, current_task, task_owners

#: How many eager starts may lie within each other on the stack; a deeper one waits for its turn of the loop. Before
#: Python 3.12 there are none.
DEEPEST_EAGER = 16 if sys.version_info >= (3, 12) else 0
_depth = 0

#: `Task` to type checkers that know no `eager_start`; to ask for the version in each call would cost a percent.
_EagerTask: Callable[..., asyncio.Task[Any]] = Task


class LoopBackend:
    """Runs `async def` functions on the running event loop; a plain function given to it runs there too and blocks it.

    A timeout or a stop takes effect at the next await.
    """

    capabilities: Capabilities = Capabilities(
        name="loop",
        stops="at the next await",
        ends=True,
        shares_memory=True,
        default_concurrency=100,
        patience=None,
        turns=3,
    )

    def start(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        is_async: bool,
        context: Context | None,
        to: Receiver,
    ) -> Running:
        """Start a task; from Python 3.12 on its first step runs before this returns, unless nested too deep."""
        global _depth
        steps = run_call(to, fn if is_async else on_the_loop(fn), args)
        loop = to.loop
        name = getattr(
            fn, "__qualname__", None
        )  # worth having, and cheaper than the number asyncio would make up
        if loop.get_task_factory() is not None:
            return loop.create_task(steps, name=name, context=context)
        if _depth >= DEEPEST_EAGER:
            return Task(steps, loop=loop, name=name, context=context)
        _depth += 1
        try:
            return _EagerTask(steps, loop=loop, name=name, context=context, eager_start=True)
        finally:
            _depth -= 1
            del to, steps  # the traceback of an error in that step keeps this frame

    def lanes(self, desk: Desk, bound: int, over: Callable[[], None]) -> LoopLanes:
        """Serve a stream by asyncio tasks that pull item after item."""
        return LoopLanes(desk, bound, over)


def retrieve_later(task: asyncio.Task[Any] | None) -> None:
    """An interrupt goes through the loop itself: nobody need be told that its task's exception was not retrieved."""
    if task is not None:
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())


async def run_call(to: Receiver, fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """One call from begin to end; what it spawned and left is over before its end is told."""
    clock = to.clock  # `to.clock()` would look for a method first, and cost twice as much
    to.began = clock()
    try:
        value = await fn(*args)
    except BaseException as error:
        if current_task(to.loop) in task_owners and not isinstance(error, AT_ONCE):
            await children_over(current_task(to.loop))
        to.raised(error)
        if isinstance(error, KeyboardInterrupt):
            retrieve_later(asyncio.current_task())
            raise
    else:
        if current_task(to.loop) in task_owners:
            await children_over(current_task(to.loop))
        to.returned(value)
    finally:
        del to
