"""`spawn`: start a call now, and get its `Task`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from types import FunctionType
from typing import Any, TypeVar, TypeVarTuple, overload

from atonce._backends.choose import On, backend_for
from atonce._model.call import check_call, is_async
from atonce._model.checks import label, seconds_or_none
from atonce._runtime import telemetry
from atonce._runtime.owner import current_owner, scope_var
from atonce._runtime.site import OURS, site_of
from atonce._verbs.task import Task

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_VAR_OR_KEYWORD = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS


@overload
def spawn(
    fn: Callable[[*Ts], Coroutine[Any, Any, T]],
    *args: *Ts,
    on: On = None,
    timeout: float | None = None,
    name: str | None = None,
) -> Task[T]: ...
@overload
def spawn(
    fn: Callable[[*Ts], T], *args: *Ts, on: On = None, timeout: float | None = None, name: str | None = None
) -> Task[T]: ...
def spawn(
    fn: Callable[..., Any], *args: Any, on: On = None, timeout: float | None = None, name: str | None = None
) -> Task[Any]:
    """Start `fn(*args)` now and give its `Task`; go on with other work, and await the task when you need its value.

    An `async def` runs on the loop, any other function in a thread, unless `on` says otherwise. For keywords pass a
    `functools.partial` or a lambda. Prefer `stream` or `parallel_map` for many calls of one function: `spawn` puts no
    bound on how many run.

    `timeout`: seconds the task may take, from its start. **Fails**: `TypeError` here when `fn` cannot be called with
    `args`; what the task raises is raised where it is awaited, and logged once when it never is. **Cancelled**: the
    task belongs to the innermost `scope`, else to the current asyncio task, and is stopped when that ends. **Costs**
    about a quarter more than `asyncio.create_task`. Elixir: `Task.async/1`.

    >>> async def main() -> int:
    ...     task = spawn(sum, [1, 2, 3])
    ...     return await task
    >>> asyncio.run(main())
    6
    """
    if type(fn) is FunctionType:
        code = fn.__code__
        flags = code.co_flags
        if code.co_argcount != len(args) or flags & _VAR_OR_KEYWORD or code.co_kwonlyargcount:
            check_call("fn", fn, args)
        coroutine = bool(flags & inspect.CO_COROUTINE)
    else:
        check_call("fn", fn, args)
        coroutine = is_async(fn)
    if timeout is not None:
        timeout = seconds_or_none("timeout", timeout)
    if name is not None:
        name = label("name", name)
    frame = sys._getframe(1)
    code = frame.f_code
    site = site_of(frame) if code.co_filename.startswith(OURS) else (code, frame.f_lasti)
    task: Task[Any] = Task(fn, backend_for(on, coroutine), current_owner(), timeout, name, site)
    return begin(task, args, coroutine)


def begin(task: Task[T], args: tuple[Any, ...], is_async: bool, context: Context | None = None) -> Task[T]:
    """Hand `task` to its owner and to its backend, with its timer."""
    owner = task.owner
    if owner.is_scope:
        owner.adopt(task)
        context = context or copy_context()
    else:
        owner.children.add(task)
    if telemetry.handlers:
        telemetry.emit("task.start", {"time": task.clock()}, {"name": task.name, "id": task.id})
    if context is not None:
        context.run(scope_var.set, None)
    try:
        running = task.backend.start(task.fn, args, is_async, context, task)
    except BaseException:
        owner.release(task)
        raise
    task.started(running)
    return task
