"""`capture`: a verb that raises, turned into one that gives an outcome."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from atonce._model.outcome import Failed, Ok, Outcome

T = TypeVar("T")


async def capture(awaitable: Awaitable[T]) -> Outcome[T]:
    """Await something and give `Ok(value)` or `Failed(error)` instead of a value or a raise.

    **Cancelled**: your own cancel is no failure and goes on, as do KeyboardInterrupt and SystemExit.

    >>> async def main():
    ...     return await capture(retry_with_backoff(int, "x", attempts=1))
    >>> type(asyncio.run(main()).error).__name__
    'ValueError'
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        value = await awaitable
    except Exception as error:
        return Failed(error, elapsed=loop.time() - began)
    return Ok(value, elapsed=loop.time() - began)


def capture_call(call: Callable[[], T]) -> Outcome[T]:
    """The same for a plain call."""
    began = time.monotonic()
    try:
        value = call()
    except Exception as error:
        return Failed(error, elapsed=time.monotonic() - began)
    return Ok(value, elapsed=time.monotonic() - began)
