"""The option values that several verbs share: `Retry` and `Rate`, checked when they are made."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any, Literal, Protocol, TypeAlias

from atonce._model.checks import LARGEST, choice, count, is_tenacitys, seconds, seconds_or_none, shown

Jitter: TypeAlias = Literal["full", "equal", "decorrelated"] | None
#: Exception types, a predicate of the exception, or a retry object of tenacity.
RetryOn: TypeAlias = (
    type[BaseException] | tuple[type[BaseException], ...] | Callable[[Any], bool | float | int | None]
)
#: A count, or a stop object of tenacity.
Count: TypeAlias = int | Callable[[Any], bool]
#: Seconds, or a wait object of tenacity.
Delay: TypeAlias = float | Callable[[Any], float]

_UNITS = {
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "m": 60.0,
    "min": 60.0,
    "minute": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
}
_RATE_TEXT = re.compile(r"\s*([0-9]{1,20})\s*/\s*([a-z]+)\s*")


class Seen(Protocol):
    """What is known of an attempt that failed."""

    attempt_number: int
    seconds_since_start: float
    upcoming_sleep: float


@dataclass(frozen=True, slots=True)
class Budget:
    """As `attempts` of a `Retry`: at most `most`, and none that would begin over `seconds` after the first one."""

    most: int
    seconds: float

    def __call__(self, seen: Seen) -> bool:
        """Whether this attempt was the last one."""
        return (
            seen.attempt_number >= self.most or seen.seconds_since_start + seen.upcoming_sleep > self.seconds
        )


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how soon to try again.

    `attempts` counts the first one too. The pause before attempt n+1 grows from `base_delay` seconds by doubling, at
    most `max_delay`; `jitter` spreads it ("full": 0 to the pause, "equal": half to the pause, "decorrelated": from
    `base_delay` to three times the last pause, None: exactly the pause; Brooker, "Exponential Backoff And Jitter",
    2015). `retry_on` is an exception type, a tuple of them, or a predicate that gets the exception and returns True,
    False or the pause in seconds (for Retry-After). `deadline` seconds bound all attempts and pauses together; it
    cuts a running attempt. A cancel, KeyboardInterrupt and SystemExit are never retried.

    tenacity's objects are taken too: a stop object as `attempts`, a wait object as `base_delay` (it alone decides the
    pause), a retry object that looks at exceptions as `retry_on`.

    >>> Retry(attempts=5, jitter=None).attempts
    5
    """

    attempts: Count = 3
    base_delay: Delay = 0.1
    max_delay: float = 5.0
    jitter: Jitter = "full"
    retry_on: RetryOn = Exception
    deadline: float | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.attempts, Budget) or is_tenacitys("stop_base", self.attempts)):
            object.__setattr__(self, "attempts", count("attempts", self.attempts))
        if not is_tenacitys("wait_base", self.base_delay):
            seconds("base_delay", self.base_delay, zero=True)
        seconds("max_delay", self.max_delay)
        choice("jitter", self.jitter, ("full", "equal", "decorrelated", None))
        seconds_or_none("deadline", self.deadline)
        check_retry_on(self.retry_on)

    @property
    def most(self) -> int:
        """The most attempts that there can be."""
        if isinstance(self.attempts, Budget):
            return self.attempts.most
        return self.attempts if isinstance(self.attempts, int) else LARGEST

    @classmethod
    def of(cls, value: Retry | int | None) -> Retry | None:
        """Read what `retry=` takes: a `Retry`, a count of attempts, or None for one attempt."""
        if value is None or isinstance(value, Retry):
            return value
        if isinstance(value, (bool, type)) or not hasattr(value, "__index__"):
            raise TypeError(
                f"retry is a Retry or a number of attempts, e.g. retry=Retry(attempts=3); got {shown(value)}"
            )
        return cls(attempts=count("retry", value))


def check_retry_on(value: Any) -> None:
    """Check `retry_on`: exception types, a predicate, or a retry object of tenacity."""
    types = value if isinstance(value, tuple) else (value,)
    if types and all(isinstance(one, type) and issubclass(one, BaseException) for one in types):
        return
    if is_tenacitys("retry_base", value):
        _check_retry_object(value)
    elif (
        not callable(value)
        or isinstance(value, type)
        or any(is_tenacitys(one, value) for one in _NO_PREDICATES)
    ):
        raise TypeError(
            "retry_on is an exception type, a tuple of them, or a predicate, e.g. retry_on=(OSError, TimeoutError); "
            f"got {shown(value)}"
        )


_NO_PREDICATES = ("stop_base", "wait_base")
_LOOKS_AT_RESULTS = {"retry_if_result", "retry_if_not_result", "retry_unless_exception_type"}


def _check_retry_object(value: Any) -> None:
    """Refuse those that look at results, and those that must be awaited; combinations are looked into."""
    if type(value).__name__ in _LOOKS_AT_RESULTS or iscoroutinefunction(type(value).__call__):
        raise TypeError(
            f"retry_on is asked about exceptions only, at once; {type(value).__name__} needs more: "
            "raise an exception in the function, e.g. retry_on=retry_if_exception_type(NotReady)"
        )
    for part in getattr(value, "retries", ()):
        _check_retry_object(part)


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` starts in each `per` seconds, spread smoothly: one start every `per / count` seconds.

    Written "10/s", "300/min" or "1000/h" where an option takes a rate.

    >>> Rate.of("300/min")
    Rate(count=300, per=60.0)
    """

    count: int
    per: float = 1.0

    def __post_init__(self) -> None:
        count("count", self.count)
        seconds("per", self.per)

    @classmethod
    def of(cls, value: Rate | str | None) -> Rate | None:
        """Read what `rate=` takes: a `Rate`, its written form, or None for no limit."""
        if value is None or isinstance(value, Rate):
            return value
        if not isinstance(value, str):
            raise TypeError(
                f"rate is a Rate or text, e.g. rate='10/s' or Rate(10, per=1.0); got {shown(value)}"
            )
        match = _RATE_TEXT.fullmatch(value.lower())
        if match is None or match[2] not in _UNITS or int(match[1]) == 0:
            raise ValueError(f"rate is written '10/s', '300/min' or '1000/h'; got {shown(value)}")
        if int(match[1]) > LARGEST:
            raise ValueError(f"rate is at most 10**9 starts, e.g. rate='300/min'; got {shown(value)}")
        return cls(int(match[1]), per=_UNITS[match[2]])
