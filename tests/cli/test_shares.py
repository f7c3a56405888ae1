"""What the time of all items went into: the rule, and what the receipt and the report say of real runs."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.cli.work import shares
from atonce.cli.work.shares import ENOUGH, Moment, Shares
from tests.cli.command import Run, command, environment, records

MOMENTS = st.builds(Moment, *[st.integers(0, 1_000)] * 4)
LOOKS = st.lists(st.tuples(st.floats(0.001, 10.0), MOMENTS), min_size=ENOUGH, max_size=60)


def shares_of(err: str) -> dict[str, int]:
    """The line of a receipt, in percent."""
    [line] = [line for line in err.splitlines() if line.startswith("  time: ")]
    parts = [part.rpartition(" ") for part in line.removeprefix("  time: ").split("   ")]
    return {what: int(share.removesuffix("%")) for what, _, share in parts}


@given(LOOKS)
def test_shares_are_of_all_items_for_as_long_as_they_were_there(looks: list[tuple[float, Moment]]) -> None:
    found = Shares()
    for span, moment in looks:
        found.add(span, moment)
    fractions = found.fractions()
    whole = sum(span * sum(moment) for span, moment in looks)
    assert (fractions is None) == (whole == 0.0)
    if fractions is not None:
        assert sum(fractions.values()) == pytest.approx(1.0, abs=0.002)
        running = sum(span * moment.running for span, moment in looks)
        assert fractions["running"] == pytest.approx(running / whole, abs=0.001)
        assert shares.read(json.loads(json.dumps(fractions))) == fractions


@given(st.lists(st.tuples(st.floats(0.001, 10.0), MOMENTS), max_size=ENOUGH - 1))
def test_too_few_looks_say_nothing(looks: list[tuple[float, Moment]]) -> None:
    found = Shares()
    for look in looks:
        found.add(*look)
    assert found.fractions() is None


@given(
    st.recursive(
        st.none() | st.floats() | st.text(),
        lambda one: st.dictionaries(st.sampled_from([*shares.WORDS, "x"]), one),
    )
)
def test_whatever_a_record_has_there_is_read_or_left(value: object) -> None:
    found = shares.read(value)
    assert found is None or shares.said(found)


def test_work_is_running(run: Run) -> None:
    ran = run("run", "-j4", "sleep 1.3 # {}", ":::", *"abcd")
    assert shares_of(ran.err)["running"] >= 90


def test_pauses_before_further_attempts_are_backing_off(run: Run) -> None:
    letters = "abcdefghijkl"
    ran = run(
        "map", "-e", "1 / 0", "--executor", "thread", "--retries", "1", "--retry-delay", "3s", ":::", *letters
    )
    assert shares_of(ran.err)["backing off"] >= 80


def test_what_waits_for_others_at_its_host_is_queued_and_the_report_says_so_too(run: Run, site: str) -> None:
    urls = [f"{site}/slow/0.3?{n}" for n in range(6)]
    ran = run("fetch", *urls, "-j6", "--per-host", "1", "-o", "out.jsonl")
    assert 55 <= shares_of(ran.err)["queued"] <= 85
    recorded = records(Path("out.jsonl"))[-1]["shares"]
    assert 0.55 <= recorded["queued"] <= 0.85
    assert json.loads(run("report", "out.jsonl", "--json").out)["shares"] == recorded
    assert f"queued {recorded['queued']:.0%}" in run("report", "out.jsonl").out.decode()
    assert f"queued {recorded['queued']:.0%}" in run("report", "out.jsonl", "--md").out.decode()
    assert run("report", "out.jsonl", "--html", "page.html").code == 0
    assert "of the items&#x27; time queued" in Path("page.html").read_text()


def test_a_reader_of_the_output_that_is_slow_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.txt").write_text("".join(f"{number}\n" for number in range(3_000)))
    line = command("map", "-e", "x * 1000", "in.txt")
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.read1(1_000)  # it has begun
        until = time.monotonic() + 2.0
        while time.monotonic() < until:
            child.stdout.read1(1_000)
            time.sleep(0.05)
        child.stdout.read()
        assert shares_of(child.stderr.read().decode())["waiting for output"] >= 80


def test_a_journal_without_shares_has_none_in_its_report(run: Run) -> None:
    run("map", "-e", "x", "-o", "out.jsonl", ":::", "a")
    assert "shares" not in records(Path("out.jsonl"))[-1]
    assert json.loads(run("report", "out.jsonl", "--json").out)["shares"] is None
    assert b"time:" not in run("report", "out.jsonl").out
