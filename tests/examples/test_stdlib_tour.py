"""The tour of the standard library runs, ends well, and leaves nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil

from tests.cli.command import ROOT, environment

TOUR = ROOT / "examples" / "stdlib_tour.py"


def toured(*args: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-W", "error", str(TOUR), *args]
    return subprocess.run(line, capture_output=True, text=True, env=environment(), timeout=50, check=False)


def test_a_short_tour_shows_receipt_and_report() -> None:
    done = toured("--limit", "25")
    assert done.returncode == 0, done.stderr
    assert "✓ 24 ok   ✗ 1 failed" in done.stderr
    assert "Traceback" not in done.stderr
    assert "24 modules" in done.stdout
    assert "longest modules" in done.stdout
    assert not [
        one for one in psutil.process_iter(["cmdline"]) if "stdlib_site.py" in str(one.info["cmdline"])
    ]


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
