"""The tour of the standard library runs, ends well, and leaves nothing."""

from __future__ import annotations

import runpy
import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path

from tests.cli.command import ROOT, environment
from tests.examples.processes import marked_with

TOUR = ROOT / "examples" / "stdlib_tour.py"


def toured(*args: str, mark: str = "") -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-W", "error", str(TOUR), *args]
    env = environment(ATONCE_TEST_MARK=mark)
    return subprocess.run(line, capture_output=True, text=True, env=env, timeout=50, check=False)


def test_a_short_tour_shows_receipt_and_report_and_leaves_nothing() -> None:
    mark = uuid.uuid4().hex
    done = toured("--limit", "12", mark=mark)
    assert done.returncode == 0, done.stderr
    assert "✓ 12 ok" in done.stderr
    assert "Traceback" not in done.stderr
    assert "12 modules" in done.stdout
    assert "longest modules" in done.stdout
    assert marked_with(mark) == []


def test_the_site_has_all_kinds_of_weather_and_always_the_same() -> None:
    site = runpy.run_path(str(TOUR.with_name("stdlib_site.py")))
    names = site["pages"]()
    kinds = Counter(site["weather"](name) for name in names)
    assert set(kinds) == {"fine", "slow", "busy", "stalled", "broken", "dead"}
    assert kinds["fine"] > 0.8 * len(names) > 200
    assert site["weather"]("_markupbase.py") == "busy"
    assert set(site["GHOSTS"]) < set(names)


def test_your_own_urls_are_reported_by_status_type_and_size(site: str, tmp_path: Path) -> None:
    path = tmp_path / "urls.txt"
    path.write_text(f"# mine\n{site}/text/hello\n{site}/big/12345\n{site}/status/404\n")
    done = toured(str(path))
    assert done.returncode == 0, done.stderr
    assert "2 ok" in done.stderr
    assert "HTTP 404" in done.stderr
    assert "200 text/plain" in done.stdout
    assert "12,345" in done.stdout


def test_a_missing_file_is_said_in_a_sentence(tmp_path: Path) -> None:
    done = toured(str(tmp_path / "missing.txt"))
    assert done.returncode == 1
    assert "No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr
