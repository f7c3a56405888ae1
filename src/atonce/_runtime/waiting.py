"""Waiting for an end that must come, with a bound, and without letting a cancel cut it short."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from contextvars import Context
from typing import Any


async def wait_for_end(
    is_over: Callable[[], bool], subscribe: Callable[[asyncio.Future[None]], None], grace: float
) -> tuple[bool, asyncio.CancelledError | None]:
    """Wait until `is_over()`, at most `grace` seconds.

    `subscribe` gets a future that the other side resolves when it may be over. Cancels that arrive in the meantime
    are held back: gives (over, the last cancel), and the caller raises the cancel when it has cleaned up.
    """
    cancelled: asyncio.CancelledError | None = None
    loop = asyncio.get_running_loop()
    until = loop.time() + grace
    while not is_over() and loop.time() < until:
        ended: asyncio.Future[None] = loop.create_future()
        subscribe(ended)
        timer = loop.call_at(until, resolve, ended)
        try:
            await ended
        except asyncio.CancelledError as error:
            cancelled = error
        finally:
            timer.cancel()
    return is_over(), cancelled


def resolve(future: asyncio.Future[None]) -> None:
    """Resolve a future that nobody else may have resolved yet."""
    if not future.done():
        future.set_result(None)


def start_awaiting(
    loop: asyncio.AbstractEventLoop, value: Any, context: Context | None = None
) -> asyncio.Task[Any]:
    """Await `value` in a task; a coroutine becomes the task itself, so that a cancel before its first step ends it."""

    async def whole() -> Any:
        return await value

    return loop.create_task(value if inspect.iscoroutine(value) else whole(), context=context)


def after_turns(loop: asyncio.AbstractEventLoop, turns: int, function: Callable[[], object]) -> None:
    """Call `function()` when `turns` turns of the loop have gone by, time for what is under way to arrive."""
    if turns:
        loop.call_soon(after_turns, loop, turns - 1, function)
    else:
        function()
