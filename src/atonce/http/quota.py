"""What a server says is left of its quota: the RateLimit headers, in the forms that are in use."""

from __future__ import annotations

import re
from typing import Final

from atonce.http.response import Headers
from atonce.http.retries import LONGEST

#: A reset above this is a time of day, as GitHub's is, and not a number of seconds.
_AN_INSTANT: Final = 1e8
_FORMS: Final = (
    ("ratelimit-remaining", "ratelimit-reset"),
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ("x-rate-limit-remaining", "x-rate-limit-reset"),
)
_NUMBER: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{0,9})?")
#: Of a structured field: a parameter or a key, of the newest drafts (r, t) and of those before.
_FIELD: Final = re.compile(r"(?<![A-Za-z-])(r|t|remaining|reset)\s*=\s*([0-9]{1,15}(?:\.[0-9]{0,9})?)")


def used_up(headers: Headers, wall: float) -> float | None:
    """Seconds, `LONGEST` at most, in which a host has nothing left for us; None when it has, or says nothing.

    `wall` is the time of day in seconds since the epoch. Sources: IETF draft-ietf-httpapi-ratelimit-headers, drafts 3
    (`RateLimit-Remaining`, `RateLimit-Reset`), 7 (`RateLimit: limit=9, remaining=0, reset=5`) and 10
    (`RateLimit: "default";r=0;t=5`), and the `X-` forms before it. Of several policies the longest wait counts.

    >>> used_up(Headers([("RateLimit", '"default";r=0;t=5')]), 0.0)
    5.0
    >>> used_up(Headers([("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "1700000030")]), 1700000000.0)
    30.0
    >>> used_up(Headers([("RateLimit-Remaining", "3"), ("RateLimit-Reset", "5")]), 0.0)
    """
    if not headers.mention(b"rate"):
        return None
    waits = [_wait(headers.get(left), headers.get(reset), wall) for left, reset in _FORMS]
    for text in headers.getall("ratelimit"):
        for policy in text[:1_000].split('"')[:: 2 if '"' in text else 1]:
            found = dict(_FIELD.findall(policy))
            waits.append(
                _wait(found.get("r", found.get("remaining")), found.get("t", found.get("reset")), wall)
            )
    return min(max(waits), LONGEST) if max(waits) > 0.0 else None


def _wait(left: str | None, reset: str | None, wall: float) -> float:
    """Seconds until there is something again; 0.0 when something is left, or nobody says."""
    if (
        left is None
        or reset is None
        or not (_NUMBER.fullmatch(left.strip()) and _NUMBER.fullmatch(reset.strip()))
    ):
        return 0.0
    if float(left) > 0.0:
        return 0.0
    seconds = float(reset)
    return seconds - wall if seconds > _AN_INSTANT else seconds
