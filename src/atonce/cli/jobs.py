"""`Jobs`: how many items run at a time, as `-j` says it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from atonce._runtime.cpus import cpus

MOST: Final = 10**6
_WRITTEN: Final = re.compile(r"([+-]?)([0-9]{1,7})(%?)")


@dataclass(frozen=True, slots=True)
class Jobs:
    """`count` at first; `auto` finds the width by itself, `path` is a file that is read again when it changes."""

    count: int
    auto: bool = False
    path: str | None = None


def width(text: str, of: int) -> int:
    """Read a width, where `of` is the number of CPUs: `8`, `+2`, `-1`, `150%`; at least 1.

    >>> width("8", 4), width("+2", 4), width("-1", 4), width("-9", 4), width("150%", 4)
    (8, 6, 3, 1, 6)
    """
    match = _WRITTEN.fullmatch(text.strip())
    if match is None or (match[1] and match[3]):
        raise ValueError(f"{text!r} is no number of jobs: write 8, +2, -1 (of the CPUs), 150%, auto or @FILE")
    sign, digits, percent = match.groups()
    number = int(digits)
    if not sign and not 1 <= number <= MOST:
        raise ValueError(f"{text!r} is no number of jobs: it is from 1 to {MOST}")
    if percent:
        return max(1, of * number // 100)
    if sign:
        return min(MOST, max(1, of + (number if sign == "+" else -number)))
    return number


def read(text: str) -> Jobs:
    """Read what `-j` takes."""
    if text == "auto":
        return Jobs(cpus(), auto=True)
    if text.startswith("@"):
        return Jobs(in_file(text[1:]), path=text[1:])
    return Jobs(width(text, cpus()))


def in_file(path: str) -> int:
    """The width that a file has; ValueError where it has none."""
    try:
        with open(path, encoding="utf-8") as file:
            return width(file.readline().strip(), cpus())
    except OSError as error:
        raise ValueError(f"cannot read the number of jobs in {path}: {error.strerror}") from None
