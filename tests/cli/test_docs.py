"""The sessions in docs/program.md and docs/examples.md give what they show."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command import ROOT, environment

PAGES = ("program.md", "examples.md")
SESSION = re.compile(r"^```console run\n(.*?)^```", re.MULTILINE | re.DOTALL)
SESSIONS = [
    pytest.param(session, id=f"{page}-{number}")
    for page in PAGES
    for number, session in enumerate(SESSION.findall((ROOT / "docs" / page).read_text(encoding="utf-8")))
]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def steps(session: str) -> list[tuple[str, str]]:
    """Each command with what it shows."""
    parts = re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]
    return [(line, shown) for line, _, shown in (part.partition("\n") for part in parts)]


def test_there_are_sessions() -> None:
    assert len(SESSIONS) >= 2


@pytest.mark.parametrize("session", SESSIONS)
def test_a_session_gives_what_it_shows(session: str, tmp_path: Path) -> None:
    mark = "----- next -----"
    script = [f'atonce() {{ "{sys.executable}" -m atonce "$@"; }}']
    script += [f'python() {{ (cd "{ROOT}" && exec "{sys.executable}" "$@"); }}']
    for line, _ in steps(session):
        script += [line, f'{{ code=$?; echo "{mark}"; }} 2>/dev/null; (exit $code)']
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=50,
    )
    found = done.stdout.split(f"{mark}\n")
    checker = doctest.OutputChecker()
    for (line, shown), got in zip(steps(session), found, strict=False):
        assert checker.check_output(shown, got, FLAGS), f"$ {line}\n{got}"
    assert len(found) == len(steps(session)) + 1
