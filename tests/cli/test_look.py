"""`atonce report`, `trace`, `doctor` and `completion`, on journals of real runs."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from atonce.cli.look.doctor import cgroup_cpus, cgroup_memory, facts
from atonce.cli.program import VERBS
from tests.cli.command import Run, ended, items, started
from tests.report.journals import bad, end, good, head, written
from tests.report.test_perfetto import check


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "pages.jsonl"
    path.write_bytes(written(head(), good(0, 0.1, 0.5), good(1, 0.3, 1.5, tries=3), bad(2, 0.2, 2.0), end()))
    return path


def test_the_report_of_a_real_run_says_what_its_receipt_said(run: Run, site: str) -> None:
    urls = [f"{site}/ok?{n}" for n in range(5)] + [f"{site}/missing"]
    Path("urls.txt").write_text("\n".join(urls))
    ran = run("fetch", "-i", "urls.txt", "-o", "pages.jsonl")
    counted = ran.err.split("   → ")[0].split("   6 in")[0]
    report = run("report", "pages.jsonl")
    assert (report.code, report.err) == (0, "")
    assert report.lines[0].startswith(counted)
    assert all(record["t"] >= record["s"] - 0.01 for record in items(Path("pages.jsonl")))


@pytest.mark.parametrize("executor", ["process", "thread"])
def test_records_of_a_map_say_when_their_items_ended(run: Run, executor: str) -> None:
    Path("n.txt").write_text("".join(f"{n}\n" for n in range(40)))
    assert run("map", "-e", "1 / (int(x) % 20)", "n.txt", "-o", "o.jsonl", "--executor", executor).code == 1
    found = items(Path("o.jsonl"))
    assert len(found) == 40
    assert all(0.0 <= record["t"] < 60.0 for record in found)
    whole = json.loads(run("report", "o.jsonl", "--json").out)
    assert (whole["ok"], whole["failed"]) == (38, 2)
    assert sum(whole["throughput"]["ok"]) == 38


def test_numbers_as_json(run: Run, journal: Path) -> None:
    whole = json.loads(run("report", str(journal), "--json").out)
    assert (whole["ok"], whole["failed"], whole["retries"], whole["saved"], whole["elapsed"]) == (
        2,
        1,
        2,
        1,
        2.0,
    )
    assert whole["errors"][0]["label"] == "HTTP 404"
    part = json.loads(run("report", str(journal), "--json", "--slowest", "1").out)
    assert list(part) == ["slowest"]
    assert [one["item"] for one in part["slowest"]] == ["https://a.example/1"]


def test_errors_and_the_slowest_alone(run: Run, journal: Path) -> None:
    assert run("report", str(journal), "--errors").lines == [
        "1  HTTP 404",
        "    Not Found",
        "    e.g. https://b.example/2",
        "    b.example 1",
    ]
    assert run("report", str(journal), "--slowest", "2").lines == [
        "  took      ended   attempts   item",
        "  300 ms       ok          3   https://a.example/1",
        "  200 ms   failed          1   https://b.example/2",
    ]


def test_markdown_takes_nothing_of_an_item_for_its_own(run: Run, tmp_path: Path) -> None:
    (tmp_path / "o.jsonl").write_bytes(written(head(), bad(0, item="a|b *c* <img>\n# d"), end()))
    text = run("report", "o.jsonl", "--md").out.decode()
    assert "a\\|b \\*c\\* &lt;img&gt;\\\\n\\# d" in text


def test_the_page_goes_beside_the_journal_or_where_it_is_said(
    run: Run, journal: Path, tmp_path: Path
) -> None:
    assert run("report", str(journal), "--html").code == 0
    beside = (tmp_path / "pages.html").read_text("utf-8")
    assert run("report", str(journal), "--html", "other.html").code == 0
    assert run("report", "--html", str(journal)).code == 0
    assert Path("other.html").read_text("utf-8") == beside
    assert beside.startswith("<!doctype html>")
    assert not list(tmp_path.glob("*.part"))


def test_a_table_is_reported_by_the_journal_beside_it(run: Run) -> None:
    Path("rows.csv").write_text("n\n1\n2\n0\n")
    assert run("map", "-e", "1 / int(x['n'])", "rows.csv", "--into", "q", "-o", "out.csv").code == 1
    whole = json.loads(run("report", "out.csv", "--json").out)
    assert (whole["ok"], whole["failed"], whole["errors"][0]["label"]) == (2, 1, "ZeroDivisionError")


def test_standard_input_and_packed_journals(run: Run, journal: Path, tmp_path: Path) -> None:
    packed = tmp_path / "p.jsonl.gz"
    packed.write_bytes(gzip.compress(journal.read_bytes()))
    assert (
        run("report", str(packed)).out.replace(b"p.jsonl.gz", b"pages.jsonl")
        == run("report", str(journal)).out
    )
    assert b"2 ok" in ended("report", "-", stdin=journal.read_bytes()).stdout
    packed.write_bytes(gzip.compress(journal.read_bytes())[:-20])
    assert run("report", str(packed)).code == 0


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("report", "none.jsonl"), 74, "cannot read none.jsonl: No such file"),
        (("report", "plain.txt"), 2, "plain.txt is no journal: it has no line that is a record"),
        (("report", "empty.jsonl"), 2, "empty.jsonl is no journal: it is empty"),
        (("report", "pages.jsonl", "x.html"), 2, "--html before it says where the page goes"),
        (("report", "pages.jsonl", "--html", "--json"), 2, "give one of them"),
        (("report", "pages.jsonl", "--html", "no/such/place.html"), 74, "cannot write no/such/place.html"),
        (("report", "pages.jsonl", "--slowest", "0"), 2, "0 is not in the range"),
        (("trace", "pages.jsonl"), 2, "Missing option '-o'"),
        (("trace", "pages.jsonl", "-o", "t.svg"), 2, "end it in .json, .json.gz, .html"),
        (("trace", "pages.jsonl", "-o", "no/such/t.json"), 74, "cannot write no/such/t.json"),
        (("trace", "old.jsonl", "-o", "t.json"), 2, "has no instants"),
        (("completion", "csh"), 2, "'csh' is not one of"),
    ],
)
def test_a_mistake_is_a_sentence(
    run: Run, journal: Path, args: tuple[str, ...], code: int, said: str
) -> None:
    Path("plain.txt").write_text("a line\n")
    Path("empty.jsonl").touch()
    Path("old.jsonl").write_bytes(written(head(), good(0, t=None), end()))
    ran = run(*args)
    assert ran.code == code
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_a_journal_of_a_program_that_was_killed_has_a_report(run: Run, journal: Path) -> None:
    data = journal.read_bytes()
    journal.write_bytes(data[: data.rindex(b'{"atonce"') - 20])
    ran = run("report", str(journal))
    assert ran.code == 0
    assert "still running, or cut off" in ran.out.decode()
    assert "the last line was torn" in ran.out.decode()


@pytest.mark.parametrize("name", ["t.json", "t.json.gz"])
def test_a_trace_is_valid(run: Run, journal: Path, name: str) -> None:
    ran = run("trace", str(journal), "-o", name)
    assert (ran.code, ran.err) == (0, f"3 items on 1 lanes -> {name}\n")
    data = Path(name).read_bytes()
    events = json.loads(gzip.decompress(data) if name.endswith(".gz") else data)["traceEvents"]
    check(events)
    assert sum(one["ph"] == "X" for one in events) == 3


def test_a_trace_can_be_the_page(run: Run, journal: Path) -> None:
    assert run("trace", str(journal), "-o", "t.html").code == 0
    assert Path("t.html").read_text("utf-8").startswith("<!doctype html>")


def test_the_report_ends_quietly_when_nobody_reads_it(journal: Path) -> None:
    with started("report", str(journal), "--slowest", "3") as child:
        assert child.stdout is not None
        child.stdout.close()
        child.wait(timeout=20.0)
        assert child.stderr is not None
        err = child.stderr.read()
    assert b"Traceback" not in err


def test_the_doctor_names_what_a_bug_report_needs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://ann:secret@proxy.example:3128")
    monkeypatch.setenv("ATONCE_JOBS", "7")
    ran = run("doctor")
    text = ran.out.decode()
    assert ran.code == 0
    for name in ("Python", "event loop", "CPUs", "open files", "processes start", "aiohttp", "terminal"):
        assert f"\n{name} " in f"\n{text}"
    assert "proxy.example:3128" in text
    assert "secret" not in text


def test_what_the_doctor_cannot_find_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> int:
        raise OSError("not here")

    monkeypatch.setattr(os, "sysconf", broken)
    assert dict(facts())["memory"] == "cannot be told: not here"


def test_the_limits_of_a_control_group(tmp_path: Path) -> None:
    assert cgroup_cpus(tmp_path) is cgroup_memory(tmp_path) is None
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    (tmp_path / "memory.max").write_text("2000000000\n")
    assert (cgroup_cpus(tmp_path), cgroup_memory(tmp_path)) == (1.5, 2_000_000_000)
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert cgroup_cpus(tmp_path) is cgroup_memory(tmp_path) is None
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert cgroup_cpus(tmp_path) is None


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_names_each_verb_and_its_shell_can_read_it(run: Run, shell: str, tmp_path: Path) -> None:
    ran = run("completion", shell)
    assert ran.code == 0
    assert all(verb in ran.out.decode() for verb in VERBS)
    where = shutil.which(shell)
    if where is not None:
        (tmp_path / "script").write_bytes(ran.out)
        subprocess.run([where, "-n", str(tmp_path / "script")], check=True, timeout=20.0)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("rep", ["report"]),
        ("report --sl", ["--slowest"]),
        ("map --executor th", ["thread"]),
        ("completion ", ["bash", "zsh", "fish"]),
        ("report pag", ["pages.jsonl"]),
    ],
)
def test_bash_completes(run: Run, journal: Path, words: str, said: list[str]) -> None:
    script = run("completion", "bash").out.decode()
    parts = ["atonce", *words.split(" ")]
    typed = " ".join(f"'{one}'" for one in parts)
    ask = f"COMP_WORDS=({typed}); COMP_CWORD={len(parts) - 1}; _atonce; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    found = subprocess.run(
        ["bash", "-c", f"{script}\n{ask}"], capture_output=True, check=True, timeout=20.0, cwd=journal.parent
    )
    assert found.stdout.decode().split() == said
