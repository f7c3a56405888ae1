"""Which backend `on=` means; the one place that knows the concrete ones, and imports them when they are needed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Literal, TypeAlias

from atonce._backends.contract import Backend
from atonce._backends.loop import LoopBackend
from atonce._model.checks import shown

On: TypeAlias = Literal["loop", "thread", "process"] | Backend | Executor | None

_loop = LoopBackend()


def _thread() -> Backend:
    from atonce._backends.thread import default_backend

    return default_backend()


def _process() -> Backend:
    from atonce._backends.process import default_backend

    return default_backend()


_NAMED: dict[str, Callable[[], Backend]] = {"loop": lambda: _loop, "thread": _thread, "process": _process}

_CHOICE = f"{', '.join(map(repr, _NAMED))}, a backend object or a concurrent.futures.Executor"


def backend_for(on: On, is_async: bool) -> Backend:
    """An `async def` runs on the loop and any other callable in a thread, unless `on` says otherwise."""
    if on is None:
        return _loop if is_async else _thread()
    if isinstance(on, str):
        make = _NAMED.get(on)
        if make is None:
            raise ValueError(f"on is {_CHOICE}; got {shown(on)}")
        return make()
    if isinstance(on, Executor):
        from atonce._backends.executor import ExecutorBackend

        return ExecutorBackend(on)
    if hasattr(on, "capabilities") and hasattr(on, "start") and hasattr(on, "lanes"):
        return on
    raise TypeError(f"on is {_CHOICE}; got {shown(on)}")
