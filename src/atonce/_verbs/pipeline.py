"""`async_pipeline`: one value through several steps, each in a task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from atonce._backends.choose import On, backend_for
from atonce._model.call import check_call, fn_name, is_async
from atonce._model.checks import seconds_or_none, several
from atonce._model.errors import TaskTimeout
from atonce._runtime.notes import annotate
from atonce._verbs.child import run_child


async def async_pipeline(
    value: Any, steps: Iterable[Callable[[Any], Any]], *, timeout: float | None = None, on: On = None
) -> Any:
    """Pass `value` through `steps`, one after the other, and give what the last one returns.

    Steps may be `async def` (on the loop) and plain functions (in threads) in any order; no steps give `value`.
    `timeout` seconds bound the whole pipeline. For many values use `stream(values, ...)` around it.

    **Fails**: with the step's own exception, whose notes name the step; the steps after it do not run; `TaskTimeout`
    names the step that was running. **Cancelled**: the running step is stopped and over, then the cancel goes on.
    Elixir: a pipe of `Task.async |> Task.await`.

    >>> async def add(n):
    ...     return n + 1
    >>> asyncio.run(async_pipeline(1, [add, str]))
    '2'
    """
    limit = seconds_or_none("timeout", timeout)
    checked = several("steps", steps)
    for step in checked:
        check_call("each of steps", step, (value,))
        backend_for(on, is_async(step))
    loop = asyncio.get_running_loop()
    until = None if limit is None else loop.time() + limit
    for number, step in enumerate(checked, start=1):
        coroutine = is_async(step)
        where = f"step {number} of {len(checked)}, {fn_name(step)}"
        left = None if until is None else until - loop.time()
        if left is not None and left <= 0:
            raise TaskTimeout(
                f"the pipeline took longer than timeout={limit:g} s, before {where}", timeout=limit
            )
        try:
            value = await run_child(step, (value,), coroutine, backend_for(on, coroutine), left, where)
        except TaskTimeout as error:
            if left is None or error.timeout != left:
                annotate(error, f"atonce: in {where} of the pipeline")
                raise
            raise TaskTimeout(
                f"the pipeline took longer than timeout={limit:g} s, in {where}", timeout=limit
            ) from error
        except BaseException as error:
            if not isinstance(error, asyncio.CancelledError):
                annotate(error, f"atonce: in {where} of the pipeline")
            raise
    return value
