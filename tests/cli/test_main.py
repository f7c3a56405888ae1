"""The entry of the program answers everything with an exit code and a sentence."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from atonce.cli import exits, program
from atonce.cli.main import main
from tests.cli.command import ended, environment


def failing_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    @click.command("burst")
    def burst() -> None:
        raise error

    monkeypatch.setitem(program.program.commands, "burst", burst)
    return main(["burst"])


def test_a_bug_is_70_and_asks_for_a_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing_with(ZeroDivisionError("oh"), monkeypatch) == exits.BUG
    said = capsys.readouterr().err
    assert said.startswith("atonce: this is a bug in atonce; please report it")
    assert "ZeroDivisionError: oh" in said


def test_ctrl_c_before_anything_started_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    assert failing_with(KeyboardInterrupt(), monkeypatch) == exits.INTERRUPTED


def test_a_refusal_is_its_sentence_and_its_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing_with(exits.Refusal("no \x1b[31m such", exits.INPUT_OUTPUT), monkeypatch) == 74
    assert capsys.readouterr().err == "atonce: no \\x1b[31m such\n"


@pytest.mark.parametrize("package", ["click", "aiohttp"])
def test_a_package_that_is_not_there_is_named_with_how_to_get_it(package: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None\nfrom atonce.cli.main import main\nsys.exit(main(['fetch', 'x']))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
        timeout=20,
    )
    assert done.returncode == exits.USAGE
    assert done.stderr == f"atonce: the program needs {package}: pip install 'atonce[cli]'\n"


def test_the_program_is_also_a_module_and_shows_its_version() -> None:
    done = ended("--version")
    assert done.returncode == 0
    assert done.stdout.startswith(b"atonce ")


def test_without_a_verb_the_help_is_shown_and_it_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == exits.USAGE
    assert "Commands:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("why", "failed", "code"),
    [
        ("finished", 0, 0),
        ("finished", 3, 1),
        ("halted", 1, 3),
        ("deadline", 0, 75),
        ("interrupted", 5, 130),
        ("pipe", 0, 141),
    ],
)
def test_why_a_run_ended_decides_about_the_code_before_the_failures_do(
    why: str, failed: int, code: int
) -> None:
    assert exits.code_of(why, failed) == code
