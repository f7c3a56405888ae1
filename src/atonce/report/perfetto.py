"""A picture as the JSON that Perfetto, Chrome and Speedscope read: slices, counters, arrows and marks; pure."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from atonce.report.facts import STATES, Picture, Report

_PROCESS: Final = 1
#: Moments at which the counters are told.
_MOMENTS: Final = 500


def perfetto(report: Report) -> Iterator[str]:
    """The file, piece by piece: an object with `traceEvents`; times are microseconds."""
    yield '{"displayTimeUnit":"ms","traceEvents":[\n'
    first = True
    for event in events(report):
        text = json.dumps(event, ensure_ascii=True, separators=(",", ":"))
        yield text if first else f",\n{text}"
        first = False
    yield "\n]}\n"


def events(report: Report) -> Iterator[dict[str, Any]]:
    """All events: names of lanes, then slices (which never overlap on one lane), arrows, counters and marks."""
    picture = report.picture
    yield _named("process_name", 0, report.name)
    for lane, name in enumerate(picture.names):
        number = lane - picture.names.index(name)
        yield _named("thread_name", lane + 1, f"{name or 'lane'} {number:02d}")
        yield {**_named("thread_sort_index", lane + 1, ""), "args": {"sort_index": lane}}
    for n in range(len(picture)):
        yield _slice(picture, n)
    yield from _arrows(picture)
    yield from _counters(picture)
    for mark in picture.marks:
        about = {
            "name": mark.name,
            "ph": "i",
            "s": "p",
            "ts": round(mark.at * 1e6),
            "pid": _PROCESS,
            "tid": 0,
        }
        yield {**about, "args": {"text": mark.text}}


def _named(what: str, lane: int, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": _PROCESS, "tid": lane, "args": {"name": name}}


def _slice(picture: Picture, n: int) -> dict[str, Any]:
    state = STATES[picture.states[n]]
    args: dict[str, Any] = {"item": picture.items[n], "attempt": picture.attempts[n], "outcome": state}
    if picture.causes[n]:
        args["error"] = picture.labels[picture.causes[n]]
    colour = {"failed": "terrible", "cancelled": "bad"}.get(state)
    found = {
        "name": picture.items[n][:60] or picture.names[picture.lanes[n]] or "item",
        "cat": state,
        "ph": "X",
        "ts": picture.starts[n],
        "dur": picture.spans[n],
        "pid": _PROCESS,
        "tid": picture.lanes[n] + 1,
        "args": args,
    }
    return found if colour is None else {**found, "cname": colour}


def _arrows(picture: Picture) -> Iterator[dict[str, Any]]:
    """From each attempt to the next one at the same item."""
    before: dict[int, int] = {}
    arrow = 0
    for n, thread in enumerate(picture.threads):
        if thread < 0:
            continue
        earlier = before.get(thread)
        before[thread] = n
        if earlier is None:
            continue
        arrow += 1
        about = {"name": "retry", "cat": "retry", "id": arrow, "pid": _PROCESS}
        last = picture.starts[earlier] + max(0, picture.spans[earlier] - 1)
        yield {**about, "ph": "s", "ts": last, "tid": picture.lanes[earlier] + 1}
        yield {**about, "ph": "f", "bp": "e", "ts": picture.starts[n], "tid": picture.lanes[n] + 1}


def _counters(picture: Picture) -> Iterator[dict[str, Any]]:
    """How many run, how many have failed, and how many end a second, at evenly spaced moments."""
    if not len(picture):
        return
    ends = sorted(zip(map(sum, zip(picture.starts, picture.spans, strict=True)), picture.states, strict=True))
    every = max(1, -(-picture.end // _MOMENTS))
    running: list[int] = []
    next_start = next_end = failed = 0
    for moment in range(0, picture.end + every, every):
        next_start = _begun(picture, next_start, moment, running)
        ended = next_end
        while next_end < len(ends) and ends[next_end][0] <= moment:
            failed += ends[next_end][1] == 1
            next_end += 1
        while running and running[0] <= moment:
            heapq.heappop(running)
        yield _counter("running", moment, len(running))
        yield _counter("failed", moment, failed)
        yield _counter("ended a second", moment, round((next_end - ended) * 1e6 / every, 3))


def _begun(picture: Picture, n: int, moment: int, running: list[int]) -> int:
    starts: Sequence[int] = picture.starts
    while n < len(starts) and starts[n] <= moment:
        heapq.heappush(running, starts[n] + picture.spans[n])
        n += 1
    return n


def _counter(name: str, moment: int, value: float) -> dict[str, Any]:
    return {"name": name, "ph": "C", "ts": moment, "pid": _PROCESS, "args": {name: value}}
