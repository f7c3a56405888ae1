"""What docs/program.md shows of a terminal, of a pipe, and of those without colours or without moves, is what is seen.

ATONCE_WRITE_DOCS=1 puts what is seen now into the page.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pyte
import pytest

from tests.cli.command import ROOT, command, environment, in_terminal, wait_for
from tests.cli.screens import check, lines_of, screen_of

PAGE = ROOT / "docs" / "program.md"
WORK = """
import pathlib, time

def square(number):
    if number == "3":
        raise ValueError("three is right out")
    while number == "6" and not pathlib.Path("go").exists():
        time.sleep(0.01)
    return int(number) ** 2
"""
LINE = ["map", "work:square", "-j2", "-o", "squares.jsonl", ":::", "1", "2", "3", "4", "5", "6"]
#: Shown when all is done that does not wait for the file `go`.
MIDWAY = "5/6"
TERMINALS = {"terminal": {}, "no-color": {"NO_COLOR": "1"}, "dumb": {"TERM": "dumb"}}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work.py").write_text(WORK)
    monkeypatch.chdir(tmp_path)


def seen_in_a_terminal(**env: str) -> tuple[pyte.Screen, pyte.Screen]:
    """The terminal midway, and at the end; what waits goes on when the number has been shown."""
    text = in_terminal(*LINE, keys={MIDWAY: Path("go").touch}, **env).text
    head, number, tail = text.partition(MIDWAY)
    end_of_frame = "\r\x1b" if "\x1b" in head else "\r\n"
    return screen_of(head + number + tail.partition(end_of_frame)[0]), screen_of(text)


def colours_of(screen: pyte.Screen) -> set[str]:
    """The colours of what can be read there."""
    return {cell.fg for row in screen.buffer.values() for cell in row.values() if cell.data != " "}


def seen_in_a_log() -> str:
    """Standard error in a file, where standard output is a file too."""
    with Path("log").open("wb") as log:
        child = subprocess.Popen(command(*LINE), stdin=subprocess.DEVNULL, stderr=log, env=environment())
        try:
            wait_for(lambda: MIDWAY in Path("log").read_text(), "a line of progress")
            Path("go").touch()
            assert child.wait(20) == 1
        finally:
            child.kill()
            child.wait()
    return Path("log").read_text().rstrip("\n")


@pytest.mark.parametrize("name", TERMINALS)
def test_a_terminal_of_80_columns_shows_what_the_page_shows(name: str) -> None:
    midway, end = seen_in_a_terminal(**TERMINALS[name])
    check(PAGE, name, f"{lines_of(midway)}\n\n... and at the end:\n\n{lines_of(end)}")
    assert ("━" in lines_of(midway)) == (name != "dumb")
    assert "━" not in lines_of(end)
    found = colours_of(midway) | colours_of(end)
    assert (found > {"default"}) == (name == "terminal"), found


def test_a_log_has_the_lines_that_the_page_shows() -> None:
    check(PAGE, "log", seen_in_a_log())
