"""What is to be run, as a value."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import CO_COROUTINE, CO_VARARGS, CO_VARKEYWORDS, iscoroutinefunction, signature
from types import FunctionType
from typing import Any

from atonce._model.checks import function, shown

_VAR_OR_KEYWORD = CO_VARARGS | CO_VARKEYWORDS


def is_async(fn: Callable[..., Any]) -> bool:
    """Whether calling `fn` gives a coroutine: an `async def`, a partial of one, an object whose `__call__` is one."""
    if type(fn) is FunctionType and fn.__code__.co_flags & CO_COROUTINE:
        return True
    while isinstance(fn, partial):
        fn = fn.func
    if isinstance(fn, type):
        return False  # calling a class makes an object, even where calling that object gives a coroutine
    return iscoroutinefunction(fn) or iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004  # asks what it is, not whether


def check_call(name: str, fn: object, args: tuple[Any, ...]) -> Callable[..., Any]:
    """Check that `fn` is a function that takes `args`, before anything starts."""
    checked = function(name, fn)
    try:
        wanted = signature(checked)
    except (ValueError, TypeError):
        return checked
    try:
        wanted.bind(*args)
    except TypeError as error:
        raise TypeError(
            f"{fn_name(checked)}{shown_signature(wanted)} cannot be called with {len(args)} argument(s): {error}"
        ) from None
    return checked


def checked_is_async(fn: Callable[..., Any], args: tuple[Any, ...]) -> bool:
    """Check that `fn` is a function that takes `args`, and say whether it is async; quick for plain functions."""
    if type(fn) is FunctionType:
        code = fn.__code__
        flags = code.co_flags
        if code.co_argcount != len(args) or flags & _VAR_OR_KEYWORD or code.co_kwonlyargcount:
            check_call("fn", fn, args)
        return flags & CO_COROUTINE != 0
    check_call("fn", fn, args)
    return is_async(fn)


def shown_signature(wanted: object) -> str:
    """Show a signature in a message."""
    return shown(wanted)[len("<Signature ") : -1] if shown(wanted).startswith("<Signature ") else ""


def fn_name(fn: Callable[..., Any]) -> str:
    """The name by which messages call a function."""
    while isinstance(fn, partial):
        fn = fn.func
    name = getattr(fn, "__qualname__", None) or type(fn).__qualname__
    return str(name)
