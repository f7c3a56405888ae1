"""Lanes: which of them each span takes, so that no two on one lane overlap; pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

#: Microseconds by which rounding may let the end of a span lie after the start of the next one.
SLACK = 2


def packed(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """Give each (start, end), sorted by start, the lowest lane that is free, as (start, span, lane).

    A start that lies in its predecessor by no more than rounding does begins where that ends. There are as many lanes
    as spans at one moment.

    >>> list(packed([(0, 5), (2, 9), (4, 6), (9, 10)]))
    [(0, 5, 0), (2, 7, 1), (5, 1, 0), (9, 1, 0)]
    """
    busy: list[tuple[int, int]] = []
    free: list[int] = []
    ends: list[int] = []
    for began, ended in spans:
        start = began
        while busy and busy[0][0] <= began + SLACK:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if free:
            lane = heapq.heappop(free)
            start = max(start, ends[lane])
        else:
            lane = len(ends)
            ends.append(0)
        end = ends[lane] = max(start, ended)
        heapq.heappush(busy, (end, lane))
        yield start, end - start, lane
