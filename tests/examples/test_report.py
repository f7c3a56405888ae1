"""The report example is whole although some of its sources are not."""

from __future__ import annotations

import subprocess
import sys
import uuid
from html.parser import HTMLParser
from pathlib import Path

from tests.cli.command import ROOT, environment
from tests.examples.processes import marked_with

REPORT = ROOT / "examples" / "report.py"
PARTS = ["Releases", "Largest modules", "Functions", "Interpreter", "Platform", "Weather", "Downloads"]


class Page(HTMLParser):
    """What a reader of a page sees, by tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: dict[str, list[str]] = {}
        self._tag = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.seen.setdefault(self._tag, []).append(data.strip())


def reported(*outputs: Path, mark: str = "") -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-W", "error", str(REPORT), *map(str, outputs)]
    env = environment(ATONCE_TEST_MARK=mark)
    return subprocess.run(line, capture_output=True, text=True, env=env, timeout=50, check=False)


def test_page_and_markdown_have_every_part_and_say_what_is_missing_and_why(tmp_path: Path) -> None:
    mark, page, text = uuid.uuid4().hex, tmp_path / "report.html", tmp_path / "report.md"
    done = reported(page, text, mark=mark)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    seen = Page(page.read_text()).seen
    assert seen["h2"] == PARTS
    assert seen["em"] == ["left out: TaskTimeout", "failed: HttpStatusError"]
    cells = dict(zip(seen["td"][::2], seen["td"][1::2], strict=True))
    assert cells["3.11"] == "2022-10-24"
    assert int(cells["functions"].replace(",", "")) > 1_000
    assert cells["says"] == f"Python {sys.version.split()[0]}"
    assert cells["implementation"] == "CPython"
    lines = text.read_text().splitlines()
    assert [line[3:] for line in lines if line.startswith("## ")] == PARTS
    assert "*left out: TaskTimeout*" in lines
    assert marked_with(mark) == []


def test_without_a_file_it_is_printed() -> None:
    done = reported()
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("# A report on this Python\n\n## Releases\n\n- 3.11: **2022-10-24**\n")
