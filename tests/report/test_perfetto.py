"""The trace: valid JSON of the format's own words, whose slices never overlap in a lane."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import pairwise
from typing import Any

from hypothesis import given

from atonce.report.facts import Report
from atonce.report.perfetto import perfetto
from tests.report.journals import any_journal, bad, end, good, head, read, written

#: What the format asks of each kind of event, beside `name` (of arrows `cat` too).
NEEDED = {
    "X": {"ts": int, "dur": int, "pid": int, "tid": int, "cat": str},
    "C": {"ts": int, "pid": int, "args": dict},
    "M": {"pid": int, "args": dict},
    "s": {"ts": int, "pid": int, "tid": int, "id": int, "cat": str},
    "f": {"ts": int, "pid": int, "tid": int, "id": int, "cat": str},
    "i": {"ts": int, "pid": int, "s": str},
}


def events_of(report: Report) -> list[dict[str, Any]]:
    found = json.loads("".join(perfetto(report)))["traceEvents"]
    check(found)
    return found


def check(events: list[dict[str, Any]]) -> None:
    """The rules of the format that a viewer relies on."""
    lanes: dict[int, list[tuple[int, int]]] = defaultdict(list)
    arrows: dict[int, list[str]] = defaultdict(list)
    for event in events:
        assert event["name"].__class__ is str
        for name, kind in NEEDED[event["ph"]].items():
            assert isinstance(event[name], kind), (event, name)
        if event["ph"] == "X":
            assert event["ts"] >= 0
            assert event["dur"] >= 0
            lanes[event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
        elif event["ph"] in "sf":
            arrows[event["id"]].append(event["ph"])
        elif event["ph"] == "C":
            assert all(isinstance(value, (int, float)) and value >= 0 for value in event["args"].values())
    for spans in lanes.values():
        assert all(a[1] <= b[0] for a, b in pairwise(spans))
    assert all(kinds == ["s", "f"] for kinds in arrows.values())


def test_a_slice_says_what_when_and_how() -> None:
    events = events_of(read(written(head(), good(0, 0.5, 0.5), bad(1, 0.25, 0.5), end()), pictured=True))
    slices = [one for one in events if one["ph"] == "X"]
    assert [(one["ts"], one["dur"], one["cat"], one["args"]["item"]) for one in slices] == [
        (0, 500_000, "ok", "https://a.example/0"),
        (250_000, 250_000, "failed", "https://b.example/1"),
    ]
    assert slices[1]["args"]["error"] == "HTTP 404"
    assert {one["tid"] for one in slices} == {1, 2}
    names = [one["args"]["name"] for one in events if one["name"] == "thread_name"]
    assert names == ["fetch 00", "fetch 01"]


def test_counters_say_how_many_run_and_have_failed() -> None:
    events = events_of(read(written(head(), good(0, 1.0, 1.0), bad(1, 0.5, 0.75), end()), pictured=True))
    counted = [(one["ts"], one["args"]) for one in events if one["ph"] == "C"]
    assert max(args["running"] for _, args in counted if "running" in args) == 2
    assert [args["failed"] for _, args in counted if "failed" in args][-1] == 1
    assert [args["running"] for _, args in counted if "running" in args][-1] == 0


@given(any_journal())
def test_any_journal_gives_a_valid_trace(data: bytes) -> None:
    events = events_of(read(data, pictured=True))
    assert sum(one["ph"] == "X" for one in events) == read(data).timed
