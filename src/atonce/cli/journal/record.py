"""The records of a run: one JSON object a line, which is output and journal at once.

A header, then a record for each item, `{"i", "key", "in", "ok", "out" or "err", "s", "try", "t"}`, then an end. `i` is
the item's position in the input, `key` tells items apart across runs, `s` is seconds with all attempts and pauses, and
`t`, where it is known, is how many seconds after the start of the run the item ended.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from atonce.cli.journal.spec import Spec

VERSION: Final = 1
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str)
_TEXT: Final = json.encoder.encode_basestring

#: What JSON leaves as it is and a terminal or a line reader does not: C1 controls, separators, direction marks.
_UNSAFE: Final = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def header(run: str, spec: Spec, source: str | None, now: float) -> dict[str, Any]:
    """The first line of a run in a journal; `does` is what `spec` is the hash of, in words."""
    return {
        "atonce": VERSION,
        "run": run,
        "cmd": spec.verb,
        "spec": spec.hash,
        "does": list(spec.does),
        "input": source,
        "started": instant(now),
    }


def ok_row(
    i: int, key: str | None, item: Any, out: Any, seconds: float, attempts: int, ended: float | None = None
) -> dict[str, Any]:
    """The record of an item that came out well, `ended` seconds after the start of the run."""
    return _row({"i": i, "key": key, "in": item, "ok": True, "out": out}, seconds, attempts, ended)


def failed_row(
    i: int,
    key: str | None,
    item: Any,
    err: Mapping[str, Any],
    seconds: float,
    attempts: int,
    ended: float | None = None,
) -> dict[str, Any]:
    """The record of an item that failed, `ended` seconds after the start of the run."""
    return _row({"i": i, "key": key, "in": item, "ok": False, "err": err}, seconds, attempts, ended)


def _row(row: dict[str, Any], seconds: float, attempts: int, ended: float | None) -> dict[str, Any]:
    """A record with its times."""
    row["s"], row["try"] = round(seconds, 6), attempts
    if ended is not None:
        row["t"] = round(ended, 6)
    return row


def good_text(
    i: int, key: str | None, item: Any, out: str, seconds: float, attempts: int, ended: float | None = None
) -> str:
    """The record of an item that came out well, as text without its line end; `out` is JSON already."""
    at = "" if ended is None else f',"t":{ended:.6f}'
    return (
        f'{{"i":{i},"key":{_TEXT(key) if key is not None else "null"},"in":{_said(item)},"ok":true,'
        f'"out":{out},"s":{seconds:.6f},"try":{attempts}{at}}}'
    )


def bad_text(
    i: int,
    key: str | None,
    item: Any,
    err: Mapping[str, Any],
    seconds: float,
    attempts: int,
    ended: float | None = None,
) -> str:
    """The record of an item that failed, as text without its line end."""
    return _ENCODER.encode(failed_row(i, key, item, err, seconds, attempts, ended))


def safe(text: str) -> bytes:
    """Records as bytes, with what could do something to a terminal written out."""
    if (
        text.isascii() and "\x7f" not in text
    ):  # nothing of what is looked for: most records, in a fraction of the time
        return text.encode()
    return _UNSAFE.sub(_escaped, text).encode("utf-8")


def end(
    done: int, ok: int, failed: int, why: str, now: float, shares: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """The last line of a journal; `shares` are those of the time of all items, where enough was seen."""
    row = {"atonce": VERSION, "end": instant(now), "done": done, "ok": ok, "failed": failed, "why": why}
    return row if shares is None else {**row, "shares": dict(shares)}


def encode(row: Mapping[str, Any]) -> bytes:
    """A record as one line of UTF-8; ValueError for what JSON cannot say (an infinite number)."""
    return safe(_ENCODER.encode(row)) + b"\n"


def _said(item: Any) -> str:
    return _TEXT(item) if type(item) is str else _ENCODER.encode(item)


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def instant(now: float) -> str:
    """A time of day (seconds since the epoch) as UTC, to the millisecond.

    >>> instant(0.5)
    '1970-01-01T00:00:00.500Z'
    """
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
