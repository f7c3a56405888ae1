"""`--report` and `--trace` at run time: what `atonce report` and `atonce trace` make of the same records."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.cli.command import Run


@pytest.mark.parametrize("output", ["out.jsonl", "out.csv"])
def test_a_run_leaves_its_report_and_its_trace(run: Run, output: str) -> None:
    more = ["--report", "r.html", "--trace", "t.json.gz"]
    assert run("map", "-e", "1 / int(x)", "-o", output, *more, ":::", "1", "2", "0").code == 1
    assert "<html" in Path("r.html").read_text()
    names = {
        event.get("name")
        for event in json.loads(gzip.decompress(Path("t.json.gz").read_bytes()))["traceEvents"]
    }
    assert {"1", "2", "0"} <= names
    assert not list(Path().glob("*.part"))


@pytest.mark.parametrize(("end", "form"), [("md", "--md"), ("json", "--json"), ("txt", None)])
def test_a_report_has_the_form_that_its_name_says(run: Run, end: str, form: str | None) -> None:
    assert run("run", "-o", "out.jsonl", "--report", f"r.{end}", "true", ":::", "a", "b").code == 0
    ran = run("report", "out.jsonl", *([form] if form else []))
    assert Path(f"r.{end}").read_text().split() == ran.out.decode().split()


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--report", "r.html"], 2, "add -o OUT.jsonl"),
        (["-o", "out.jsonl", "--report", "r.pdf"], 2, "end it in .html, .md, .json, .txt"),
        (["-o", "out.jsonl", "--trace", "no/such/t.json"], 74, "there is no such folder"),
    ],
)
def test_what_cannot_be_made_is_said_before_anything_starts(
    run: Run, args: list[str], code: int, said: str
) -> None:
    ran = run("map", "-e", "x", *args, ":::", "a")
    assert (ran.code, said in ran.err, ran.out) == (code, True, b"")
    assert not Path("out.jsonl").exists()


def test_a_run_that_is_stopped_early_has_its_report_too(run: Run) -> None:
    ran = run("map", "-e", "1 / 0", "--fail-fast", "-o", "out.jsonl", "--report", "r.json", ":::", "a", "b")
    assert ran.code == 3
    assert json.loads(Path("r.json").read_text())["why"] == "halted"
