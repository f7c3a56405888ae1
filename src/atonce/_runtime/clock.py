"""The clock port: seconds on the running loop's own clock, which tests may make virtual."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Reads a clock in seconds."""

    def __call__(self) -> float: ...


#: Loop types seen so far, and whether their clock is `time.monotonic`.
_plain: dict[type, bool] = {}


def clock_of(loop: asyncio.AbstractEventLoop) -> Clock:
    """Give the function that reads `loop`'s clock.

    asyncio's own loops read `time.monotonic` through a method; calling it directly halves the price of a reading.
    """
    plain = _plain.get(type(loop))
    if plain is None:
        plain = _plain[type(loop)] = getattr(type(loop), "time", None) is asyncio.BaseEventLoop.time
    return time.monotonic if plain else loop.time


def is_virtual(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether `loop` keeps a time of its own, in which real threads cannot take part."""
    return bool(getattr(loop, "atonce_virtual_time", False))
