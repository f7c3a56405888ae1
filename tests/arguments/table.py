"""The table of all options of all public callables: which are numbers, and what each may be.

It is not the list of what is tested: that is read from the signatures. An option that is new in a signature and in no
row here fails `test_every_option_of_every_public_callable_is_in_the_table`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

import atonce
import atonce.blocking
import atonce.testing

LARGEST = 10**9


@dataclass(frozen=True)
class Rule:
    """What one numeric option may be."""

    kind: Literal["seconds", "count", "bytes", "retry", "rate"]
    zero: bool = False
    none: bool = False


TASK_LIMIT = Rule("seconds", none=True)
WAIT = Rule("seconds", zero=True, none=True)
GRACE = Rule("seconds", zero=True)
COUNT = Rule("count")
COUNT_OR_NONE = Rule("count", none=True)
BYTES = Rule("bytes", none=True)
RETRY = Rule("retry", none=True)
RATE = Rule("rate", none=True)

#: What an option of this name may be, whoever has it.
RULES: dict[str, Rule] = {
    "attempts": COUNT,
    "base_delay": GRACE,
    "batch_size": COUNT,
    "buffer": COUNT_OR_NONE,
    "count": COUNT,
    "deadline": TASK_LIMIT,
    "drain": GRACE,
    "follow": Rule("count", zero=True),
    "grace": GRACE,
    "hedge": WAIT,
    "limit": COUNT_OR_NONE,
    "max_bytes": BYTES,
    "max_children": Rule("count", zero=True, none=True),
    "max_concurrency": COUNT_OR_NONE,
    "max_delay": Rule("seconds"),
    "max_mailbox": COUNT,
    "max_queue": COUNT,
    "max_restarts": Rule("count", zero=True),
    "max_seconds": Rule("seconds"),
    "max_tasks_per_worker": COUNT_OR_NONE,
    "max_threads": COUNT,
    "memory_limit": BYTES,
    "most": COUNT,
    "per": Rule("seconds"),
    "per_host": COUNT_OR_NONE,
    "rate": RATE,
    "retry": RETRY,
    "seconds": GRACE,
    "workers": COUNT_OR_NONE,
    "timeout": TASK_LIMIT,
}

#: And where that depends on whose option it is.
OWN_RULES: dict[tuple[str, str], Rule] = {
    ("await_one", "timeout"): WAIT,
    ("await_many", "timeout"): WAIT,
    ("poll", "timeout"): WAIT,
    ("poll_many", "timeout"): WAIT,
    ("Task.result", "timeout"): WAIT,
    ("Recorder", "limit"): COUNT,
    ("process_batch", "max_concurrency"): COUNT,
    ("fetch_stream", "max_concurrency"): COUNT,
    ("parallel_fetch", "max_concurrency"): COUNT,
}

#: Options that are no numbers.
OTHERS = {
    *(
        "args",
        "awaitable",
        "callback",
        "client",
        "data",
        "each",
        "events",
        "fallback",
        "fn",
        "fns",
        "handler",
        "headers",
    ),
    *(
        "id",
        "initializer",
        "items",
        "json",
        "kwargs",
        "method",
        "name",
        "ok",
        "on",
        "preload",
        "on_timeout",
        "ordered",
        "jitter",
        "retry_on",
    ),
    *("arg", "init", "reason", "reply", "share"),
    *("backoff", "children", "on_full", "restart", "strategy"),
    *("self", "sources", "steps", "task", "tasks", "until", "url", "urls", "value", "verb", "verify"),
}

#: Public names whose calls are not made by users: values that verbs give, and errors.
GIVEN = {
    "BatchResult",
    "Failed",
    "IDLE",
    "MISSING",
    "NO_REPLY",
    "Ok",
    "Outcome",
    "Response",
    "Stream",
    "telemetry",
}


def public(face: Any) -> Iterator[tuple[str, Any]]:
    """The public names of a face and what they stand for."""
    for name in sorted(face.__all__):
        yield name, getattr(face, name)


def is_error(thing: Any) -> bool:
    """Whether it is a class of exceptions."""
    return isinstance(thing, type) and issubclass(thing, BaseException)


def callables(face: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    """What users call on a face: its verbs, its constructors, and `Task.result`."""
    for name, thing in public(face):
        if name == "Task":
            yield "Task.result", thing.result
        elif name not in GIVEN and not is_error(thing):
            yield name, thing


def options(name: str, thing: Callable[..., Any]) -> Iterator[str]:
    """The names of its parameters; `**options` stands for those of `fetch`, which it passes on."""
    for parameter in inspect.signature(thing).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD and parameter.name == "options":
            yield from (option for option in options("fetch", atonce.fetch) if option not in ("self", "url"))
        else:
            yield parameter.name


def rule_of(name: str, option: str) -> Rule | None:
    """The row of one option, None when there is none."""
    return OWN_RULES.get((name, option)) or RULES.get(option)


def numeric(face: Any) -> list[tuple[str, str, Rule]]:
    """Every (callable, option, rule) of the numeric options of a face, read from the signatures."""
    found = []
    for name, thing in callables(face):
        for option in options(name, thing):
            rule = rule_of(name, option)
            if rule is not None and option not in OTHERS:
                found.append((name, option, rule))
    return found


# -- values -------------------------------------------------------------------------------------------------------


class Index:
    """A whole number of somebody else's, as numpy's are."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __index__(self) -> int:
        return self.number

    def __repr__(self) -> str:
        return f"Index({self.number})"


class Unprintable:
    """Something that cannot even be shown."""

    def __repr__(self) -> str:
        raise ValueError("no repr")


NAN, INF = float("nan"), float("inf")

#: Wrong for every numeric option.
NEVER: list[Any] = [
    *(True, False, "5", "", b"5", [], (), {}, object, int, float, 1j, Unprintable()),
    *(NAN, -NAN, INF, -INF, -1, -0.5, -(10**9), Fraction(-1, 2), Index(-1)),
    *(timedelta(seconds=1), Decimal(1), Decimal("NaN"), Decimal("Infinity")),
    *(1e10, 1e300, 10**400, Fraction(10**400)),
]
NO_COUNT: list[Any] = [0.5, 1.0, 2.5, Fraction(3, 2), Fraction(4, 1), Decimal(4)]
ZEROS: list[Any] = [0, 0.0, -0.0, Fraction(0), Index(0)]

NO_RATE: list[Any] = [
    *(True, False, 0, 5, 2.5, NAN, INF, b"5/s", [], Decimal(1), timedelta(seconds=1)),
    *("", "5", "5/", "/s", "0/s", "-1/s", "1.5/s", "nan/s", "inf/s", "5/fortnight", "5 per s", "٥/s"),
    *(f"{LARGEST + 1}/s", "9" * 5000 + "/s"),
]


def largest(rule: Rule) -> int:
    """The most that a rule takes."""
    return 2**63 - 1 if rule.kind == "bytes" else LARGEST


def wrong(rule: Rule) -> list[Any]:
    """The values that a rule refuses."""
    if rule.kind == "rate":
        return NO_RATE
    values = [*NEVER, largest(rule) + 1, *(() if rule.kind == "seconds" else NO_COUNT)]
    values = [one for one in values if not (rule.kind == "seconds" and isinstance(one, Index))]
    if not rule.zero:
        values += [zero for zero in ZEROS if rule.kind == "seconds" or type(zero) in (int, Index)]
        values = [one for one in values if not (rule.kind == "seconds" and isinstance(one, Index))]
    elif rule.kind == "count":
        values += [0.0]
    if not rule.none:
        values.append(None)
    return values


def legal(rule: Rule) -> list[Any]:
    """Some values that a rule takes, those at its edges included."""
    if rule.kind == "rate":
        return [None, "5/s", " 300 / MIN ", "1000/hour", f"{LARGEST}/s", atonce.Rate(2, per=0.5)]
    values: list[Any]
    if rule.kind == "seconds":
        values = [1, 0.5, 1e-9, Fraction(1, 2), LARGEST, float(LARGEST)]
        values += [0, 0.0, -0.0, Fraction(0)] if rule.zero else []
    else:
        values = [1, 7, largest(rule), Index(3)]
        values += [0, Index(0)] if rule.zero else []
    if rule.kind == "retry":
        values += [atonce.Retry()]
    return [*values, None] if rule.none else values


def shown(value: Any) -> str:
    """A short name for a value, for the name of a test."""
    try:
        text = repr(value)
    except ValueError:
        return "unprintable"
    return text if len(text) < 30 else f"{text[:12]}..{len(text)}"
