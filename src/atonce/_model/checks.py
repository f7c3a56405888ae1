"""Limits on what a caller may pass, each with the sentence that says the corrected form."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from datetime import timedelta
from difflib import get_close_matches
from numbers import Real
from typing import Any, SupportsIndex

LARGEST = 10**9
LARGEST_SIZE = 2**63 - 1


def seconds(name: str, value: object, *, zero: bool = False, none: bool = False) -> float:
    """Check a duration in seconds: a finite number above 0 (`zero=True`: from 0), at most 10**9.

    `none=True`: the message about a number too large says that None means no limit.
    """
    if type(value) is float and 0.0 < value <= LARGEST:
        return value
    if isinstance(value, timedelta):
        raise TypeError(
            f"{name} is a number of seconds: pass {name}={value.total_seconds()} instead of a timedelta"
        )
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(
            f"{name} is a number of seconds{_from_decimal(name, value)}, e.g. {name}=1.5; got {shown(value)}"
        )
    try:
        number = float(value)
    except OverflowError:
        number = -math.inf if str(value).startswith("-") else math.inf
    least = "0 or more" if zero else "above 0"
    if math.isnan(number) or number < 0 or (number == 0 and not zero):
        raise ValueError(f"{name} is a number of seconds {least}, e.g. {name}=1.5; got {shown(value)}")
    if number > LARGEST:
        hint = f"for no limit pass {name}=None" if none else f"pass e.g. {name}=1.5"
        raise ValueError(f"{name} is at most 10**9 seconds; got {shown(value)}; {hint}")
    return number


def _from_decimal(name: str, value: Any) -> str:
    """What to pass instead of a Decimal; looked at by name, since few programs import it."""
    if type(value).__name__ != "Decimal" or not value.is_finite():
        return ""
    return f": pass {name}={value} instead of a Decimal"


def seconds_or_none(name: str, value: object, *, zero: bool = False) -> float | None:
    """Check a duration in seconds where None means no limit."""
    return None if value is None else seconds(name, value, zero=zero, none=True)


def count(name: str, value: object, *, least: int = 1) -> int:
    """Check a whole number from `least` to 10**9; a bool or a float is not a count."""
    if type(value) is int and least <= value <= LARGEST:
        return value  # before 3.12 the look at SupportsIndex below takes some 10 us
    form = f"e.g. {name}={max(least, 4)}; got {shown(value)}"
    if isinstance(value, (bool, type)) or not isinstance(value, SupportsIndex):
        raise TypeError(f"{name} is a whole number, {form}")
    number = operator.index(value)
    if number < least:
        raise ValueError(f"{name} is a whole number from {least}, {form}")
    if number > LARGEST:
        raise ValueError(f"{name} is at most 10**9, {form}")
    return number


def count_or_none(name: str, value: object, *, least: int = 1) -> int | None:
    """Check a whole number where None means the default."""
    return None if value is None else count(name, value, least=least)


def size_or_none(name: str, value: object) -> int | None:
    """Check a number of bytes, up to 2**63 - 1, where None means no limit."""
    if type(value) is int and LARGEST < value <= LARGEST_SIZE:
        return value
    if isinstance(value, int) and value > LARGEST_SIZE:
        raise ValueError(f"{name} is at most 2**63 - 1 bytes, e.g. {name}=2**30; got {shown(value)}")
    return count_or_none(name, value)


def is_tenacitys(kind: str, value: object) -> bool:
    """Whether `value` is one of tenacity's objects ("stop_base", "wait_base", "retry_base"), told by name."""
    return any(one.__name__ == kind and one.__module__.startswith("tenacity.") for one in type(value).__mro__)


def choice(name: str, value: object, allowed: tuple[str | None, ...]) -> Any:
    """Check that `value` is one of `allowed`, and suggest the nearest one when it is not."""
    if any(value is one or (isinstance(value, str) and value == one) for one in allowed):
        return value
    words = " or ".join(repr(one) for one in allowed)
    near = get_close_matches(value, [one for one in allowed if one], n=1) if isinstance(value, str) else []
    hint = f"; did you mean {name}={near[0]!r}?" if near else ""
    raise ValueError(f"{name} is {words}; got {shown(value)}{hint}")


def flag(name: str, value: object) -> bool:
    """Check a yes-or-no option."""
    if isinstance(value, bool):
        return value
    raise TypeError(f"{name} is True or False; got {shown(value)}")


def function(name: str, value: object) -> Callable[..., Any]:
    """Check that `value` can be called, and tell a coroutine object from the function that made it."""
    if callable(value):
        return value
    if hasattr(value, "__await__"):
        close = getattr(value, "close", None)
        if callable(close):
            close()
        raise TypeError(
            f"{name} is a function, not the coroutine that it returned: pass the function and its arguments apart, "
            f"e.g. spawn(work, 1) instead of spawn(work(1))"
        )
    raise TypeError(f"{name} is a function; got {shown(value)}")


def label(name: str, value: object) -> str | None:
    """Check a task's name: printable text of at most 200 characters, or None."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"{name} is text, e.g. {name}='resize'; got {shown(value)}")
    if not value or len(value) > 200 or not value.isprintable():
        raise ValueError(f"{name} is 1 to 200 printable characters; got {shown(value)}")
    return value


def several(name: str, value: object) -> list[Any]:
    """Check an iterable of things that all must be there before anything starts."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise TypeError(f"{name} is a list (or another iterable) of them; got {shown(value)}")
    return list(value)


def shown(value: object, most: int = 80) -> str:
    """Show a value in a message: its repr, on one line and cut to `most` characters; never raises."""
    try:
        text = repr(value)
    except Exception:
        return f"<unprintable {type(value).__name__}>"
    text = text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text
    return text if len(text) <= most else f"{text[: most - 3]}..."
