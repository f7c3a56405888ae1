"""Journals for tests: written by the program's own functions, whole or not, and any bytes that begin like one."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from atonce.cli.journal import record
from atonce.cli.journal.spec import spec_of
from atonce.report.facts import Report
from atonce.report.reading import report_of

NOON = 1_764_000_000.0
EVIL = "</script><img src=x onerror=\"document.title='pwned'\">'\"&\u202e\x1b[31m"


def head(run: str = "7f3a", at: float = NOON) -> dict[str, Any]:
    return record.header(run, spec_of("fetch", (), {}), "urls.txt", at)


def good(
    i: int, s: float = 0.1, t: float | None = 1.0, *, item: Any = None, tries: int = 1
) -> dict[str, Any]:
    item = f"https://a.example/{i}" if item is None else item
    return record.ok_row(i, f"k{i}", item, None, s, tries, t)


def bad(i: int, s: float = 0.1, t: float | None = 1.0, *, item: Any = None, **err: Any) -> dict[str, Any]:
    item = f"https://b.example/{i}" if item is None else item
    return record.failed_row(
        i, f"k{i}", item, {"kind": "http", "type": "E", "msg": "Not Found", "status": 404, **err}, s, 1, t
    )


def end(at: float = NOON + 2.0, why: str = "finished") -> dict[str, Any]:
    return record.end(0, 0, 0, why, at)


def written(*rows: dict[str, Any]) -> bytes:
    return b"".join(record.encode(row) for row in rows)


def read(data: bytes, **options: Any) -> Report:
    return report_of(lambda: iter([data]), "pages.jsonl", **options)


TIMES = st.none() | st.floats(0.0, 1e7) | st.integers(-5, 10**20) | st.just("soon")
ERRORS = st.dictionaries(
    st.sampled_from(["kind", "type", "msg", "host", "status", "why", "exit", "signal"]),
    st.sampled_from(["http", "timeout", "exit", "signal", "dns", "cancelled", "rejected", "odd"])
    | st.text(max_size=12)
    | st.integers(-70, 700)
    | st.none(),
) | st.text(max_size=4)
RECORDS = st.fixed_dictionaries(
    {"ok": st.booleans()},
    optional={
        "i": st.integers(),
        "key": st.sampled_from("abcdef") | st.none(),
        "in": st.text(max_size=20)
        | st.just(EVIL)
        | st.just({"url": "http://x.example"})
        | st.just("http://[bad"),
        "err": ERRORS,
        "s": TIMES,
        "t": TIMES,
        "try": st.integers(-1, 5) | st.booleans(),
    },
)
ENDS = st.fixed_dictionaries(
    {"atonce": st.just(1), "end": st.text(max_size=5) | st.just("2026-11-24T16:12:27.420Z")}
)
HEADS = st.just(head()) | st.fixed_dictionaries(
    {"atonce": st.just(1)}, optional={"started": st.text(max_size=4), "does": st.none()}
)
LINES = (RECORDS | RECORDS | ENDS | HEADS).map(json.dumps).map(str.encode) | st.binary(max_size=12)


@st.composite
def any_journal(draw: st.DrawFn) -> bytes:
    """A head, then lines of all kinds, then perhaps a torn one."""
    first = record.encode(head())
    rest = b"".join(line + b"\n" for line in draw(st.lists(LINES, max_size=30)))
    return first + rest[: len(rest) - draw(st.integers(0, 30))] if draw(st.booleans()) else first + rest
