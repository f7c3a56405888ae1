"""Which of many waits, each with a time limit of its own, runs out next."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

K = TypeVar("K")

#: So few entries are never cleared.
_FEW = 64


class Due(Generic[K]):
    """One timer for all waits; a wait that ends in time is not taken out but met later, or swept with many others.

    Waits that begin one after another with equal limits enter at the heap's end, which costs no comparison but one.
    At most half of the entries, and `_FEW`, are of waits that have ended.
    """

    __slots__ = ("_entered", "_heap", "_sweep_at")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, K]] = []
        self._entered = 0
        self._sweep_at = _FEW

    def __len__(self) -> int:
        return len(self._heap)

    def enter(self, when: float, key: K, goes_on: Callable[[K], bool]) -> bool:
        """A wait that runs out at `when`; True when it is the next, so that the timer has to be set anew."""
        heap = self._heap
        if len(heap) >= self._sweep_at:
            heap[:] = [entry for entry in heap if goes_on(entry[2])]
            heapify(heap)
            self._sweep_at = 2 * len(heap) + _FEW
        self._entered += 1
        entry = (when, self._entered, key)
        heappush(heap, entry)
        return heap[0] is entry

    def expired(self, now: float, goes_on: Callable[[K], bool]) -> list[K]:
        """Take out the waits that go on and have run out by `now`, the earliest first."""
        found: list[K] = []
        heap = self._heap
        while heap and (heap[0][0] <= now or not goes_on(heap[0][2])):
            key = heappop(heap)[2]
            if goes_on(key):
                found.append(key)
        return found

    def next_ring(self) -> float | None:
        """When the earliest entry runs out; None when there is none."""
        return self._heap[0][0] if self._heap else None
