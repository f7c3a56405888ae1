"""What can be read in a terminal that was written something, and whether a page of the docs shows it so."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pyte

COLUMNS, LINES = 80, 24


def screen_of(text: str) -> pyte.Screen:
    """A terminal that was written this to."""
    screen = pyte.Screen(COLUMNS, LINES)
    pyte.Stream(screen).feed(text)
    return screen


def lines_of(screen: pyte.Screen) -> str:
    """What can be read there."""
    return "\n".join(line.rstrip() for line in screen.display).strip("\n")


def without_times(text: str) -> str:
    """The same for each run: numbers that differ are left out, and the spaces that make up for their width."""
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:]+Z", "TIME", text)
    text = re.sub(r"(?m)^  time: .*\n", "", text)  # said of a run of a second and more
    text = re.sub(r"[\d,.]+ ?(µs|ms|s|B)\b|[\d,.]+/(s|min)", "N", text)
    return re.sub(r"(N|[\s━╸╺]| eta )+", "", text)  # a line may be wrapped elsewhere


def check(page: Path, name: str, seen: str, varying: str = r"(?!)") -> None:
    """The page shows it, but for times, and for what matches the pattern `varying`."""
    written = page.read_text(encoding="utf-8")
    block = re.compile(rf"(?<=^```text seen {name}\n).*?(?=\n```$)", re.MULTILINE | re.DOTALL)
    [shown] = block.findall(written)
    if os.environ.get("ATONCE_WRITE_DOCS"):
        page.write_text(block.sub(lambda _: seen, written), encoding="utf-8")
        return
    assert without_times(re.sub(varying, "", shown)) == without_times(re.sub(varying, "", seen))
