"""Which failures are tried again, and when: curl's list, idempotent methods only, Retry-After within the time left."""

from __future__ import annotations

import re
import socket
from typing import Final

from atonce._model.errors import FetchError, HttpStatusError

IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
#: The longest pause in seconds that a server can ask for with Retry-After; more is cut to it.
LONGEST: Final = 60.0

_SECONDS = re.compile(r"([0-9]{1,20})(?:\.[0-9]*)?")


def is_transient(error: FetchError) -> bool:
    """Whether another attempt may do better: no connection or a broken one, a timeout, a status of curl's list, a
    name server that is out of order (a name that does not exist stays so)."""
    if isinstance(error, HttpStatusError):
        return error.status in STATUSES
    if error.kind == "dns":
        return _names_later(error)
    return error.kind in ("connect", "timeout")


def _names_later(error: BaseException | None) -> bool:
    """Whether the resolver said "try again" (EAI_AGAIN)."""
    for _ in range(8):
        if error is None:
            break
        if isinstance(error, socket.gaierror):
            return error.errno == socket.EAI_AGAIN
        error = error.__cause__ or error.__context__
    return False


def retry_after(value: str | None, wall: float) -> float | None:
    """Seconds that a Retry-After header asks for, at most `LONGEST`; None when it asks for nothing that makes sense.

    `wall` is the time of day in seconds since the epoch, for the form with a date (RFC 9110, section 10.2.3).

    >>> retry_after("120", 0.0), retry_after("Thu, 01 Jan 1970 00:00:05 GMT", 2.0), retry_after("-1", 0.0)
    (60.0, 3.0, None)
    """
    if value is None or len(value) > 64:
        return None
    text = value.strip()
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    else:
        seconds = _until(text, wall)
    return min(seconds, LONGEST) if seconds > 0.0 else None


def _until(text: str, wall: float) -> float:
    from email.utils import mktime_tz, parsedate_tz

    parts = parsedate_tz(text)
    if parts is None:
        return 0.0
    try:
        return mktime_tz(parts) - wall
    except (OverflowError, ValueError):
        return 0.0
