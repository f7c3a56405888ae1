"""`retry_with_backoff`: one call, tried again with growing, jittered pauses."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypedDict, TypeVar, TypeVarTuple, Unpack, overload

from atonce._backends.choose import On, backend_for
from atonce._model.call import check_call, fn_name, is_async
from atonce._model.checks import seconds_or_none
from atonce._model.errors import TaskTimeout
from atonce._model.options import Count, Delay, Jitter, Retry, RetryOn
from atonce._policy.backoff import again
from atonce._runtime import telemetry
from atonce._runtime.notes import Earlier
from atonce._verbs.child import run_child

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class RetryOptions(TypedDict, total=False):
    """The options of `retry_with_backoff`, for the type checker."""

    attempts: Count
    base_delay: Delay
    max_delay: float
    jitter: Jitter
    retry_on: RetryOn
    timeout: float | None
    deadline: float | None
    on: On


@overload
async def retry_with_backoff(
    fn: Callable[[*Ts], Coroutine[Any, Any, T]], *args: *Ts, **options: Unpack[RetryOptions]
) -> T: ...
@overload
async def retry_with_backoff(fn: Callable[[*Ts], T], *args: *Ts, **options: Unpack[RetryOptions]) -> T: ...
async def retry_with_backoff(  # type: ignore[misc]  # mypy cannot match *Ts against *args: Any
    fn: Callable[..., Any],
    *args: Any,
    attempts: Count = 3,
    base_delay: Delay = 0.1,
    max_delay: float = 5.0,
    jitter: Jitter = "full",
    retry_on: RetryOn = Exception,
    timeout: float | None = None,
    deadline: float | None = None,
    on: On = None,
) -> Any:
    """Call `fn(*args)` until it returns, at most `attempts` times, and give its value.

    `timeout`: seconds for each attempt; `deadline`: seconds for all of them and the pauses; `Retry` explains the
    others, and where tenacity's objects may stand. For the items of a stream pass `retry=` there.

    **Bounded**: by `attempts`, and by `deadline`, which cuts a running attempt. **Fails**: with the last exception,
    the attempts before it as notes. **Cancelled**: the running attempt is stopped and over, then the cancel goes on;
    a cancel, KeyboardInterrupt and SystemExit are never retried. Source: Brooker, "Exponential Backoff And Jitter".

    >>> async def main():
    ...     return await retry_with_backoff(int, "42", attempts=5)
    >>> asyncio.run(main())
    42
    """
    options = Retry(attempts, base_delay, max_delay, jitter, retry_on, deadline)
    limit = seconds_or_none("timeout", timeout)
    check_call("fn", fn, args)
    coroutine = is_async(fn)
    backend = backend_for(on, coroutine)

    async def once(attempt: int, left: float | None) -> Any:
        return await one_attempt(partial(run_child, fn, args, coroutine, backend), limit, left, options)

    return await attempt_until(once, options, fn_name(fn))


async def one_attempt(
    run: Callable[[float | None], Awaitable[T]], timeout: float | None, left: float | None, retry: Retry
) -> T:
    """Make an attempt under the shorter of its own `timeout` and what is `left` of the deadline; say which it was."""
    if left is None or (timeout is not None and timeout <= left):
        return await run(timeout)
    try:
        return await run(left)
    except TaskTimeout as error:
        if error.timeout != left:
            raise
        text = f"the attempts together took longer than deadline={retry.deadline:g} s"
        raise TaskTimeout(text, timeout=retry.deadline) from error


async def retrying(once: Callable[[int], Awaitable[T]], retry: Retry, name: str = "the call") -> T:
    """Await `once(attempt)` until it returns, as `retry` says; for verbs that bring their own attempt."""

    async def bounded(attempt: int, left: float | None) -> T:
        if left is None:
            return await once(attempt)
        limit = asyncio.timeout(left)
        try:
            async with limit:
                return await once(attempt)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise TaskTimeout(
                f"{name} took longer than deadline={retry.deadline:g} s", timeout=retry.deadline
            ) from error

    return await attempt_until(bounded, retry, name)


async def attempt_until(once: Callable[[int, float | None], Awaitable[T]], retry: Retry, name: str) -> T:
    """The loop of attempts: `once(attempt, seconds left)`, a pause, again."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    until = None if retry.deadline is None else began + retry.deadline
    earlier = Earlier()
    previous = 0.0
    while True:
        attempt = earlier.count + 1
        try:
            return await once(attempt, None if until is None else max(0.001, until - loop.time()))
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            delay = again(retry, error, attempt, previous, random.random, loop.time() - began)
            if delay is None or (until is not None and loop.time() + delay >= until):
                earlier.tell(error)
                raise
            earlier.add(error)
            metadata = {"name": name, "attempt": attempt, "error": error}
            telemetry.emit("task.retry", {"delay": delay}, metadata)
        previous = delay
        await asyncio.sleep(delay)
