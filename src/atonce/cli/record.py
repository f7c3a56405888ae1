"""The records of a run: one JSON object a line, which is output and journal at once.

A header, then a record for each item, `{"i", "key", "in", "ok", "out" or "err", "s", "try"}`, then an end. `i` is the
item's position in the input, `key` tells items apart across runs, `s` is seconds with all attempts and pauses.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

VERSION: Final = 1

#: What JSON leaves as it is and a terminal or a line reader does not: C1 controls, separators, direction marks.
_UNSAFE: Final = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class Keys:
    """Names items by their content, so that a row keeps its key when others come, go or move.

    A repeated item has its number after the key, in the order of the input ("a41f09c2e1b04d77-2").
    """

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._repeated: dict[int, int] = {}

    def of(self, item: str) -> str:
        """The key of the next item."""
        digest = hashlib.sha256(item.encode("utf-8", "surrogatepass")).digest()[:8]
        number = int.from_bytes(digest, "big")
        if number not in self._seen:
            self._seen.add(number)
            return digest.hex()
        count = self._repeated[number] = self._repeated.get(number, 1) + 1
        return f"{digest.hex()}-{count}"


def spec_of(verb: str, **shaping: object) -> str:
    """A hash of what decides about the results: the verb and the options that shape them."""
    text = json.dumps([verb, shaping], sort_keys=True, default=sorted)
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def header(run: str, verb: str, spec: str, source: str | None, now: float) -> dict[str, Any]:
    """The first line of a journal."""
    return {
        "atonce": VERSION,
        "run": run,
        "cmd": verb,
        "spec": spec,
        "input": source,
        "started": instant(now),
    }


def ok_row(
    i: int, key: str, item: str, out: Mapping[str, Any], seconds: float, attempts: int
) -> dict[str, Any]:
    """The record of an item that came out well."""
    return {"i": i, "key": key, "in": item, "ok": True, "out": out, "s": round(seconds, 6), "try": attempts}


def failed_row(
    i: int, key: str, item: str, err: Mapping[str, Any], seconds: float, attempts: int
) -> dict[str, Any]:
    """The record of an item that failed."""
    return {"i": i, "key": key, "in": item, "ok": False, "err": err, "s": round(seconds, 6), "try": attempts}


def end(done: int, ok: int, failed: int, why: str, now: float) -> dict[str, Any]:
    """The last line of a journal."""
    return {"atonce": VERSION, "end": instant(now), "done": done, "ok": ok, "failed": failed, "why": why}


def encode(row: Mapping[str, Any]) -> bytes:
    """A record as one line of UTF-8; ValueError for what JSON cannot say (an infinite number)."""
    text = json.dumps(row, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _UNSAFE.sub(_escaped, text).encode("utf-8") + b"\n"


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def instant(now: float) -> str:
    """A time of day (seconds since the epoch) as UTC, to the millisecond.

    >>> instant(0.5)
    '1970-01-01T00:00:00.500Z'
    """
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
