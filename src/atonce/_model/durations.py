"""Durations and sizes as people write them (`1h30m`, `10K`), read and shown."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_NUMBER: Final = r"[0-9]{1,12}(?:\.[0-9]{1,9})?"
_BARE: Final = re.compile(_NUMBER)
_DURATION: Final = re.compile("".join(rf"(?:({_NUMBER}){unit})?" for unit in _UNITS))
_SIZE: Final = re.compile(rf"({_NUMBER})\s*(?:([kmgt])(i)?)?b?", re.IGNORECASE)
LONGEST: Final = 1e9


def seconds(text: str) -> float:
    """Read a duration above zero; a bare number is seconds.

    >>> seconds("1h30m"), seconds("1.5s"), seconds("250ms"), seconds("30")
    (5400.0, 1.5, 0.25, 30.0)
    """
    plain = text.strip().lower()
    if _BARE.fullmatch(plain):
        found = float(plain)
    elif plain and (match := _DURATION.fullmatch(plain)):
        found = sum(
            float(part) * unit for part, unit in zip(match.groups(), _UNITS.values(), strict=True) if part
        )
    else:
        raise ValueError(f"{text!r} is no duration: write 30, 1.5s, 2m, 1h30m or 250ms")
    if not 0.0 < found <= LONGEST:
        raise ValueError(f"{text!r} is no duration to wait: it is above 0 and at most 10^9 seconds")
    return found


class Share(float):
    """So many percent of what such things take, in place of seconds."""


def seconds_or_share(text: str) -> float:
    """Read a duration, or a `Share`.

    >>> seconds_or_share("2m"), seconds_or_share("300%"), type(seconds_or_share("300%")).__name__
    (120.0, 300.0, 'Share')
    """
    plain = text.strip()
    if not plain.endswith("%"):
        return seconds(text)
    number = plain[:-1]
    if not (_BARE.fullmatch(number) and 100 < float(number) <= 1e6):
        raise ValueError(f"{text!r} is no share of what others take: it is above 100%, e.g. 300%")
    return Share(number)


def size(text: str) -> int:
    """Read a number of bytes from 1: K, M, G, T are thousands, Ki, Mi, Gi, Ti are 1024s.

    >>> size("10K"), size("1.5MB"), size("2MiB"), size("512")
    (10000, 1500000, 2097152, 512)
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no size: write 500, 10K, 2M or 2MiB")
    number, letter, binary = match.groups()
    power = " kmgt".index(letter.lower()) if letter else 0
    found = round(float(number) * float(1024 if binary else 1000) ** power)
    if not 1 <= found <= 10**15:
        raise ValueError(f"{text!r} is no size to bound by: it is from 1 byte to 1000T")
    return found


def brief(span: float) -> str:
    """A duration as it is written on the command line, to the tenth of a second above one.

    >>> brief(0.2), brief(4.0), brief(24.34), brief(125.0), brief(5400.0)
    ('200ms', '4s', '24.3s', '2m05s', '1h30m')
    """
    if round(span * 1000) < 1000:
        return f"{span * 1000:.0f}ms"
    if round(span, 1) < 60.0:
        return f"{round(span, 1):g}s"
    minutes, rest = divmod(round(span), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s" if rest else f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if minutes else f"{hours}h"


def exact(span: float) -> str:
    """A duration that reads back as the same number of seconds.

    >>> exact(5.0), exact(0.0625)
    ('5s', '0.0625s')
    """
    return f"{span:.9f}".rstrip("0").rstrip(".") + "s"


def latency(span: float) -> str:
    """How long an item took, to two figures.

    >>> latency(0.0831), latency(2.14), latency(75.0)
    ('83 ms', '2.1 s', '75 s')
    """
    if span < 0.9995:
        return f"{span * 1000:.0f} ms" if span >= 0.00095 else f"{span * 1000:.1f} ms"
    return f"{span:.1f} s" if span < 9.95 else f"{span:.0f} s"


def bytes_shown(count: int) -> str:
    """A number of bytes, to two or three figures.

    >>> bytes_shown(512), bytes_shown(18_240), bytes_shown(182_000_000)
    ('512 B', '18 KB', '182 MB')
    """
    number = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if number < 999.5 or unit == "GB":
            break
        number /= 1000.0
    return f"{number:.1f} {unit}" if number < 9.95 and unit != "B" else f"{number:,.0f} {unit}"


def rate(value: float) -> str:
    """Items a second.

    >>> rate(3.0), rate(1234.5)
    ('3.0', '1,234')
    """
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.1f}"
