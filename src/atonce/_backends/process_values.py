"""Calls as frames, and replies as values or errors: the parent's side of what travels."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, ContextVar
from types import ModuleType
from typing import Any

from atonce._backends import pickling, wire
from atonce._backends.forkserver import EXITED, NOT_STARTED
from atonce._model.call import fn_name
from atonce._model.errors import NotSerializable, RemoteError, WorkerLost
from atonce._runtime.notes import annotate

_INSTEAD = "pass what can be pickled (open files and locks inside the function), or run it with on='thread'"


def call_frame(fn: Callable[..., Any], args: tuple[Any, ...], is_async: bool, context: Context) -> Any:
    """The frame of a call by itself; raises `NotSerializable` in the caller."""
    buffers: list[Any] = []
    try:
        data = pickling.dump((fn, args, is_async, variables_of(context)), buffers)
    except pickling.CannotTravel as error:
        raise _refused(fn, args) from error.__cause__ or error
    return wire.frame(wire.CALL, data, buffers)


def function_frame(fn: Callable[..., Any], is_async: bool, context: Context) -> Any:
    """The frame that gives a worker the function of a stream."""
    buffers: list[Any] = []
    try:
        data = pickling.dump((fn, is_async, variables_of(context)), buffers)
    except pickling.CannotTravel as error:
        raise _refused(fn, ()) from error.__cause__ or error
    return wire.frame(wire.FUNCTION, data, buffers)


def initializer_bytes(initializer: Callable[[], object]) -> bytes:
    """The argument `initializer` as new workers get it."""
    try:
        return pickling.dump(initializer)
    except pickling.CannotTravel as error:
        raise NotSerializable(f"initializer cannot be sent to a process: {error}") from error


def item_frame(item: Any, large: bool) -> Any:
    """The frame of one item of a stream, which is likely to be `large` when the one before it was."""
    buffers: list[Any] = []
    try:
        data = pickling.dump_large(item, buffers) if large else pickling.dump(item, buffers)
    except pickling.CannotTravel as error:
        raise NotSerializable(
            f"the item cannot be sent to a process: {error}; {_INSTEAD}"
        ) from error.__cause__
    return wire.frame(wire.ITEM, data, buffers)


def _refused(fn: Callable[..., Any], args: tuple[Any, ...]) -> NotSerializable:
    """Say which of function and arguments cannot travel."""
    for what, value in [("function", fn), *((f"argument {place}", arg) for place, arg in enumerate(args, 1))]:
        try:
            pickling.dump_whole(value)
        except pickling.CannotTravel as error:
            return NotSerializable(
                f"the {what} of {fn_name(fn)} cannot be sent to a process: {error}; {_INSTEAD}"
            )
    return NotSerializable(f"the call of {fn_name(fn)} cannot be sent to a process; {_INSTEAD}")


# -- replies ------------------------------------------------------------------------------------------------------


def check_reply(kind: int, began: float, ended: float) -> None:
    """Raise `Garbled` for a reply of no known kind, or of a call that ended before it began."""
    if not wire.VALUE <= kind <= wire.UNLOADABLE:
        raise wire.Garbled(f"it sent back a reply of an unknown kind, {kind}")
    if not began <= ended:
        raise wire.Garbled(f"it sent back a reply of a call from {began:g} to {ended:g}")


def error_of(kind: int, data: Any) -> BaseException:
    """What a reply other than a value says."""
    if kind == wire.ERROR or kind == wire.UNREADY:
        return _raised(data)
    if kind == wire.UNDUMPABLE:
        reason = pickling.load(data)
        return NotSerializable(f"the work was done, but its result cannot be sent back: {reason}; {_INSTEAD}")
    what, reason, text = pickling.load(data)
    error = NotSerializable(
        f"the {what} could not be loaded in the worker process: {reason}; what it needs must be importable there too"
    )
    annotate(error, f"atonce: in the worker process:\n{text}")
    return error


def _raised(data: Any) -> BaseException:
    name, message, text, error = pickling.load_error(data)
    if error is None:
        error = RemoteError(message, type_name=name, traceback_text=text)
    annotate(error, f"atonce: in the worker process:\n{text}")
    return error


def value_of(data: Any, buffers: list[Any] | None) -> Any:
    """The value of a reply; raises `NotSerializable` where it cannot be made here."""
    try:
        return pickling.load(data, buffers)
    except BaseException as error:
        raise NotSerializable(
            f"the work was done, but its result cannot be loaded here: {pickling.one_line(error)}; {_INSTEAD}"
        ) from error


def lost(what: str, ending: tuple[int, int]) -> WorkerLost | OSError:
    """The error of a call whose worker died."""
    kind, value = ending
    if kind == NOT_STARTED:
        return OSError(value, "no process could be started for this call")
    if kind == EXITED:
        return WorkerLost(f"the worker process {what} ended with exit code {value}", exitcode=value)
    name = f"signal {value}"
    with suppress(ValueError):
        name = signal.Signals(value).name
    hint = "; perhaps the machine ran out of memory" if value == signal.SIGKILL else ""
    return WorkerLost(f"the worker process {what} was killed by {name}{hint}", signal=value)


# -- context variables --------------------------------------------------------------------------------------------

_places: dict[ContextVar[Any], tuple[str, str]] = {}


def variables_of(context: Context) -> list[tuple[str, str, bytes]]:
    """The context variables that a worker can find by module and name, with their values as far as they pickle."""
    found: list[tuple[str, str, bytes]] = []
    for variable, value in context.items():
        if variable.name.startswith("atonce_"):
            continue
        place = _places.get(variable) or _find(variable)
        if place is not None:
            with suppress(pickling.CannotTravel):
                found.append((*place, pickling.dump(value)))
    return found


def _find(variable: ContextVar[Any]) -> tuple[str, str] | None:
    """Where a context variable can be imported from."""
    for module_name, module in list(sys.modules.items()):
        names = vars(module).items() if module_name != "__main__" and isinstance(module, ModuleType) else ()
        name = next((name for name, value in list(names) if value is variable), None)
        if name is not None:
            _places[variable] = (module_name, name)
            return module_name, name
    return None
