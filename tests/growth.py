"""How much memory a stream takes on top, in a process where other things may allocate too."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import AsyncIterator, Callable
from typing import Any

from tests.running import IS_BRIEF

LITTLE = 300_000
"""Bytes that a stream of any length may keep on top: its window, its lanes and what Python caches on the way."""
MANY = 20_000 if IS_BRIEF else 100_000
"""Items of a long stream: one object kept for each, and its place in a list, is more than `LITTLE`."""
WARM = 1_000
"""Results after which a stream has all that it keeps."""


async def growth(make: Callable[[], AsyncIterator[Any]], little: int = LITTLE) -> tuple[int, int]:
    """Take streams whole; gives how many results one has, and the most bytes that it takes on top after the first.

    What grows with the stream does so each time. What does not, such as a table of the interpreter that doubles just
    then, is half a megabyte once: then (when it is not `little`) it is measured again, up to three times.
    """
    peaks: list[int] = []
    count = 0
    while len(peaks) < 3 and min(peaks, default=little) >= little:
        count, peak = await _peak(make())
        peaks.append(peak)
    return count, min(peaks)


async def _peak(stream: AsyncIterator[Any]) -> tuple[int, int]:
    count = base = 0
    tracemalloc.start()
    try:
        async for _ in stream:
            count += 1
            if count == WARM:
                gc.collect()
                tracemalloc.reset_peak()
                base, _ = tracemalloc.get_traced_memory()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return count, peak - base
