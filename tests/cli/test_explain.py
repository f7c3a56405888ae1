"""The program that `--explain` prints runs, and gives what the command gives (`map`'s are in test_map.py)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command import Run, environment


def output_of(program: bytes) -> str:
    """What a program prints; it has nothing to complain about."""
    Path("same.py").write_bytes(program)
    done = subprocess.run(
        [sys.executable, "-W", "error", "same.py"],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
        timeout=30,
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(
    "args",
    [
        ["echo", "<{}>", "{.}", "{/}", "{//}", "{/.}", ":::", "a b/c d.tar.gz", "x.y", "don't"],
        ["echo {} {/.}; echo $HOME", ":::", "a b/c d.tar.gz", "*", "don't"],
        ["echo", "{#}-{2}-{1}", ":::", "a", "b", ":::", "1", "2"],
        ["echo", ":::", "a b", "c", ":::", "1"],
        ["echo {}", ":::", "a b", "c", ":::", "1"],
        ["-i", "t.csv", "echo", "{city}: {name}"],
        ["-i", "t.txt", "--rate", "50/s", "printf", "%s\\n"],
    ],
)
def test_the_program_of_a_run_gives_the_same_output(run: Run, args: list[str]) -> None:
    Path("t.csv").write_text("name,city\nAnn Lee,Oslo\nBo,Rome\n")
    Path("t.txt").write_text("a b\n$c\n")
    ran = run("run", "-k", "--timeout", "20s", "--retries", "1", "--explain", *args)
    assert (ran.code, ran.err) == (0, "")
    assert output_of(ran.out) == run("run", "-k", *args).out.decode()


@pytest.mark.parametrize("how", ["arguments", "csv"])
def test_the_program_of_a_fetch_gives_the_same_answers(run: Run, site: str, how: str) -> None:
    urls = [f"{site}/{path}" for path in ("a", "text/b", "status/404")]
    Path("t.csv").write_text("n,link\n" + "".join(f"{n},{url}\n" for n, url in enumerate(urls)))
    args = [*urls] if how == "arguments" else ["-i", "t.csv"]
    args += ["-k", "--ok", "2xx,404", "-H", "Accept: text/plain"]
    ran = run("fetch", *args, "--explain")
    assert (ran.code, ran.err) == (0, "")
    assert b"text/plain" not in ran.out
    rows = [json.loads(line) for line in output_of(ran.out).splitlines()]
    expected = [json.loads(line) for line in run("fetch", *args).lines]
    assert [row["in"] for row in rows] == urls
    for row, record in zip(rows, expected, strict=True):
        assert row["ok"] == record["ok"]
        assert row["out"].items() <= record["out"].items()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["run", "--explain", "echo", "{%}", ":::", "a"], "{%}"),
        (["run", "--explain", "-n", "2", "echo", ":::", "a"], "leave out --batch"),
        (["run", "--explain", "-0", "-i", "t.txt", "echo"], "lines, CSV and JSONL"),
        (["fetch", "--explain", "--url-template", "http://x/{}", "a"], "leave it out"),
    ],
)
def test_what_has_no_such_program_is_refused(run: Run, args: list[str], said: str) -> None:
    Path("t.txt").write_text("a\n")
    ran = run(*args)
    assert (ran.code, said in ran.err, ran.out) == (2, True, b"")
