"""Which statuses a caller takes for a good answer: what `ok=` means."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from http import HTTPStatus

from atonce._model.checks import shown

Statuses = str | int | Iterable[int | str]

_WORD = re.compile(r"([1-9])xx|([1-9][0-9][0-9])(?:-([1-9][0-9][0-9]))?")


def statuses(ok: Statuses) -> frozenset[int]:
    """Read `ok=`: "2xx", "2xx,404", "200-299", a number, several of these in a list, or "any".

    >>> 404 in statuses("2xx,404"), 500 in statuses([200, "3xx"])
    (True, False)
    """
    if isinstance(ok, str):
        return _read(ok)
    if isinstance(ok, (bool, bytes)) or not isinstance(ok, (int, Iterable)):
        raise TypeError(
            f"ok is the statuses that are good, e.g. ok='2xx,404' or ok=[200, 404]; got {shown(ok)}"
        )
    several = [ok] if isinstance(ok, int) else list(ok)
    found: frozenset[int] = frozenset()
    for one in several:
        if isinstance(one, bool) or not isinstance(one, (int, str)):
            raise TypeError(
                f"ok is the statuses that are good, e.g. ok='2xx,404' or ok=[200, 404]; got {shown(ok)}"
            )
        found |= _read(str(int(one)) if isinstance(one, int) else one)
    if not found:
        raise ValueError(f"ok names at least one status, e.g. ok='2xx'; got {shown(ok)}")
    return found


@lru_cache(maxsize=256)
def _read(text: str) -> frozenset[int]:
    found: set[int] = set()
    for word in text.split(","):
        plain = word.strip().lower()
        if plain == "any":
            found.update(range(100, 1000))
            continue
        match = _WORD.fullmatch(plain)
        if match is None:
            raise ValueError(f"ok is written '2xx', '2xx,404', '200-299' or 'any'; got {shown(text)}")
        hundred, first, last = match.groups()
        low = int(hundred) * 100 if hundred else int(first)
        high = low + 99 if hundred else int(last or first)
        if high < low:
            raise ValueError(
                f"ok's range {shown(plain)} ends before it starts: write e.g. '200-299', or '2xx'"
            )
        found.update(range(low, high + 1))
    return frozenset(found)


def phrase(status: int) -> str:
    """A status with its words, "404 Not Found"."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
