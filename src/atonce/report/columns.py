"""A picture as bytes that a page takes in: columns of small numbers, deflated, some ten bytes an item; pure."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

from atonce.report.facts import Picture

#: A picture has no more steps of time than these: no screen shows them, and what they would say costs bytes.
STEPS = 4_000_000
#: Bytes of items' texts that a page carries; beyond, only those of failures and of the slowest are in it.
MOST_TEXT = 8_000_000


def compact(picture: Picture, named: Iterable[int] = ()) -> tuple[dict[str, Any], str]:
    """What a page needs to read the columns, and the columns as base64 of their deflated bytes.

    `named` are the numbers of items whose texts are kept where there is no room for all.
    """
    unit = max(1, -(-picture.end // STEPS))
    starts = [start // unit for start in picture.starts]
    spans = [
        (start + span) // unit - first
        for start, span, first in zip(picture.starts, picture.spans, starts, strict=True)
    ]
    columns = [
        _varints(_steps(starts)),
        _varints(spans),
        _varints(picture.lanes),
        _varints(picture.states),
        _varints(picture.attempts),
        _varints(picture.causes),
        _texts(picture, set(named)),
    ]
    about = {
        "count": len(picture),
        "unit": unit,
        "end": -(-picture.end // unit),
        "sizes": [len(one) for one in columns],
        "lanes": list(picture.names),
        "labels": list(picture.labels),
        "marks": [{"at": mark.at, "name": mark.name, "text": mark.text} for mark in picture.marks[:2_000]],
    }
    packed = zlib.compress(b"".join(columns), 9)
    return about, base64.b64encode(packed).decode("ascii")


def _texts(picture: Picture, named: set[int]) -> bytes:
    """A line for each item; those for which there is no room are empty."""
    items: Sequence[str] = picture.items
    if sum(map(len, items)) > MOST_TEXT:
        kept = zip(items, picture.states, picture.numbers, strict=True)
        items = [text if state or number in named else "" for text, state, number in kept]
    return "\n".join(item.replace("\n", "\u240a") for item in items).encode("utf-8", "replace")


def _steps(values: Iterable[int]) -> list[int]:
    """Each value less the one before it."""
    found = []
    before = 0
    for value in values:
        found.append(value - before)
        before = value
    return found


def _varints(values: Iterable[int]) -> bytes:
    """Seven bits a byte, the lowest first; the last byte of a number is below 128.

    >>> _varints([1, 127, 300]).hex()
    '017fac02'
    """
    found = bytearray()
    for value in values:
        rest = value
        while rest > 127:
            found.append(rest & 127 | 128)
            rest >>= 7
        found.append(rest)
    return bytes(found)
