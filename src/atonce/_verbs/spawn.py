"""`spawn`: start a call now, and get its `Task`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from inspect import CO_COROUTINE, CO_VARARGS, CO_VARKEYWORDS
from sys import _getframe
from types import FunctionType
from typing import Any, TypeVar, TypeVarTuple, overload

from atonce._backends.choose import On, backend_for
from atonce._model.call import check_call, is_async
from atonce._model.checks import label, seconds_or_none
from atonce._runtime.owner import current_task, here, running_loop, scope_var, task_owner
from atonce._runtime.site import site_of
from atonce._verbs.task import Task

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_LOOP = backend_for("loop", True)
_VAR_OR_KEYWORD = CO_VARARGS | CO_VARKEYWORDS


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
def spawn(  # type: ignore[misc]  # mypy cannot match *Ts against *args: Any
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
        coroutine = flags & CO_COROUTINE != 0
    else:
        check_call("fn", fn, args)
        coroutine = is_async(fn)
    if timeout is not None:
        timeout = seconds_or_none("timeout", timeout)
    if name is not None:
        name = label("name", name)
    frame = _getframe(1)
    owner = scope_var.get()
    if owner is None:
        current = here.owner
        if current is None or current_task(current.loop) is not current.task:
            current = task_owner(running_loop())
        owner, loop = current, current.loop
        site = (frame.f_code, frame.f_lasti)  # the user's: what is ours calls this in a scope alone
    else:
        loop = running_loop()
        site = site_of(frame)
    backend = _LOOP if coroutine and on is None else backend_for(on, coroutine)
    return Task(fn, backend, owner, loop, timeout, name, site).begin(args, coroutine)
