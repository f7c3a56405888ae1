"""`atonce run` in this process: what commands get, what becomes of what they write, and how they end."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from tests.cli.command import Run, is_gone, items, records

PY = sys.executable


def test_each_argument_is_given_to_a_command(run: Run) -> None:
    ran = run("run", "-k", "echo", "<{}>", ":::", "a", "b c", "*")
    assert (ran.code, ran.lines) == (0, ["<a>", "<b c>", "<*>"])
    assert "3 ok" in ran.err


def test_lines_rows_and_columns_are_given_too(run: Run, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("name,city\nAnn Lee,Oslo\nBo,Rome\n")
    assert run("run", "-k", "-i", "t.csv", "echo {city}: {name}").lines == ["Oslo: Ann Lee", "Rome: Bo"]
    (tmp_path / "t.txt").write_text("a\nb\nc\n")
    assert run("run", "-k", "-n2", "-i", "t.txt", "echo").lines == ["a b", "c"]
    ran = run("run", "-i", "t.csv", "echo", "{nmae}")
    assert (ran.code, "did you mean {name}?" in ran.err) == (2, True)


def test_lines_of_files_are_joined_with_the_rest(run: Run, tmp_path: Path) -> None:
    (tmp_path / "numbers.txt").write_text("1\n2\n")
    (tmp_path / "names.txt").write_text("Ann Lee\nBo")
    ran = run(
        "run", "-k", "echo", "{2}-{1}-{3}", ":::", "a", "b", "::::", "numbers.txt", "::::+", "names.txt"
    )
    assert ran.lines == ["1-a-Ann Lee", "2-a-Bo", "1-b-Ann Lee", "2-b-Bo"]
    ran = run("run", "echo", "::::", "missing.txt")
    assert (ran.code, "cannot read missing.txt" in ran.err) == (74, True)


def test_options_end_where_the_command_begins(run: Run) -> None:
    assert run("run", "-q", "echo", "-j", "--help", ":::", "x").lines == ["-j --help x"]
    assert run("run", "-q", "--", "echo", "--", ":::", "x").lines == ["-- x"]


@pytest.mark.parametrize(
    "name", ["""My brother's 12" *** record  (costs $$$).jpg""", "-rf", "new\nline", "ü€ \x01", "a\\b`c`"]
)
@pytest.mark.parametrize("way", [["cat", "./{}"], ["cat ./{}"], ["cat < ./{} | cat"]])
def test_strange_names_are_one_argument(run: Run, tmp_path: Path, name: str, way: list[str]) -> None:
    (tmp_path / name).write_text("found\n")
    ran = run("run", *way, ":::", name)
    assert (ran.code, ran.lines) == (0, ["found"])


def test_composed_commands_and_repeated_places_work(run: Run) -> None:
    ran = run("run", "-k", "echo {} | wc -c; (echo {}; false) || echo {/}", ":::", "a/b", "c/d e")
    assert ran.lines == ["4", "a/b", "b", "6", "c/d e", "d e"]


def test_output_of_jobs_that_write_half_lines_is_never_mixed(run: Run) -> None:
    script = (
        "import sys, os\nfor n in range(60):\n    os.write(1, sys.argv[1].encode() * 5000)\n"
        "    os.write(2, b'x')\nos.write(1, b'\\n')"
    )
    ran = run("run", "-q", "-j8", PY, "-c", script, ":::", *"abcdefgh")
    assert sorted(ran.lines) == [one * 300_000 for one in "abcdefgh"]
    assert ran.err == "x" * 480


def test_standard_error_is_kept_apart_and_merged_only_by_the_command(run: Run) -> None:
    ran = run("run", "-q", "-k", "echo out {}; echo err {} >&2", ":::", "1", "2")
    assert (ran.lines, ran.err) == (["out 1", "out 2"], "err 1\nerr 2\n")
    ran = run("run", "-q", "-k", "(echo out {}; echo err {} >&2) 2>&1", ":::", "1", "2")
    assert (ran.lines, ran.err) == (["out 1", "err 1", "out 2", "err 2"], "")


def test_lines_can_come_as_they_are_written_whole_and_tagged(run: Run) -> None:
    line = "for n in 1 2 3; do printf '%s-' half; sleep 0.02; echo {}; done; printf end"
    ran = run("run", "-q", "-j4", "--line-buffer", "--tag={/}", line, ":::", "x/a", "x/b")
    assert sorted(ran.lines) == sorted(
        [f"{one}\t{what}" for one in "ab" for what in [f"half-x/{one}"] * 3 + ["end"]]
    )
    ran = run("run", "-q", "--tag", "printf '1\\n2\\n'; echo e >&2 #", ":::", "a")
    assert (ran.lines, ran.err) == (["a\t1", "a\t2"], "a\te\n")


def test_a_line_that_comes_early_is_shown_early(run: Run, tmp_path: Path) -> None:
    ran = run(
        *["run", "-q", "-j2", "--line-buffer"],
        "if [ {} = a ]; then echo first; until [ -e go ]; do sleep 0.01; done; echo third; else"
        " sleep 0.1; echo second; touch go; fi",
        *[":::", "a", "b"],
    )
    assert ran.lines == ["first", "second", "third"]


def test_commands_can_write_by_themselves(run: Run) -> None:
    assert run("run", "-q", "--ungroup", "echo", ":::", "a").lines == ["a"]


def test_a_command_reads_nothing_or_its_line_or_its_row(run: Run, tmp_path: Path) -> None:
    assert run("run", "-q", "cat; echo {}", ":::", "a").lines == ["a"]
    assert run("run", "-q", "--stdin", "line", "cat", ":::", "a b").lines == ["a b"]
    (tmp_path / "t.csv").write_text("n,m\n1,é\n")
    assert run("run", "-q", "--stdin", "row", "-i", "t.csv", "cat").lines == ['{"n": "1", "m": "é"}']


def test_records_have_the_exit_code_and_both_outputs(run: Run, tmp_path: Path) -> None:
    ran = run("run", "-k", "-o", "o.jsonl", "echo out; echo err >&2; exit {}", ":::", "0", "3")
    assert (ran.code, ran.out) == (1, b"")
    good, bad = items(tmp_path / "o.jsonl")
    assert (good["out"], good["in"]) == ({"exit": 0, "stdout": "out\n", "stderr": "err\n"}, "0")
    assert bad["out"]["exit"] == 3
    assert (bad["err"]["kind"], bad["err"]["exit"], bad["err"]["msg"]) == ("exit", 3, "exit 3: err")
    assert "--retry-failed -- 'echo out; echo err >&2; exit {}' ::: 0 3" in ran.err


def test_output_that_is_no_text_is_recorded_whole(run: Run, tmp_path: Path) -> None:
    run("run", "-q", "-o", "o.jsonl", "printf '\\377'", ":::", "0")
    assert items(tmp_path / "o.jsonl")[0]["out"]["stdout_base64"] == "/w=="


def test_a_death_by_a_signal_is_named(run: Run, tmp_path: Path) -> None:
    ran = run("run", "-o", "o.jsonl", "kill -SEGV $$ #", ":::", "0")
    assert (ran.code, items(tmp_path / "o.jsonl")[0]["err"]["kind"]) == (1, "signal")
    assert "signal SIGSEGV" in ran.err


def test_what_cannot_be_started_is_said_before_the_first_item(run: Run, tmp_path: Path) -> None:
    ran = run("run", "-o", "o.jsonl", "grpe", "{}", ":::", "a", "b")
    assert (ran.code, (tmp_path / "o.jsonl").exists()) == (127, False)
    assert '"grpe" is not on PATH (2 items not started). Did you mean "grep"?' in ran.err
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    ran = run("run", "./tool", ":::", "a")
    assert (ran.code, "chmod +x ./tool" in ran.err) == (126, True)
    assert run("run", ".", ":::", "a").code == 126
    assert run("run", "./nothing", ":::", "a").code == 127


def test_a_command_that_is_an_item_fails_by_itself(run: Run, tmp_path: Path) -> None:
    ran = run("run", "-q", "-o", "o.jsonl", "-k", "{}", "x", ":::", "echo", "nosuchthing")
    good, bad = items(tmp_path / "o.jsonl")
    assert (ran.code, good["out"]["stdout"], bad["err"]["kind"]) == (1, "x\n", "rejected")
    assert bad["err"]["exit"] == 127


def test_a_script_without_a_first_line_is_run_as_shells_do(run: Run, tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("echo got $1\n")
    (tmp_path / "tool").chmod(0o755)
    assert run("run", "-q", "-k", "./tool", ":::", "a", "b").lines == ["got a", "got b"]


def test_lines_are_commands_where_none_is_given(run: Run, tmp_path: Path) -> None:
    (tmp_path / "jobs.txt").write_text("echo a; echo b\ntrue\nexit 1\n")
    ran = run("run", "-k", "-i", "jobs.txt")
    assert (ran.code, ran.lines) == (1, ["a", "b"])


def test_a_failed_command_is_tried_again_and_its_last_output_counts(run: Run) -> None:
    line = "echo try >> {}; wc -l < {}; [ $(wc -l < {}) = 3 ]"
    ran = run("run", "--retries", "4", "--retry-delay", "1ms", line, ":::", "f")
    assert (ran.code, ran.lines) == (0, ["3"])
    assert "2 spent" in ran.err


def test_the_first_success_ends_a_race(run: Run) -> None:
    began = time.monotonic()
    ran = run("run", "-j3", "--halt", "now,success=1", "sleep {}; echo {}", ":::", "600", "0.05", "600")
    assert (ran.code, ran.lines) == (0, ["0.05"])
    assert time.monotonic() - began < 60


def test_a_command_and_all_that_it_started_ends_at_its_timeout(run: Run, tmp_path: Path) -> None:
    line = "trap '' TERM; sh -c 'echo $$ > inner; sleep 1000; :' & echo $$ > outer; sleep 1000 #"
    ran = run("run", "--timeout", "500ms", "--term-seq", "TERM,100ms,KILL", line, ":::", "x")
    assert ran.code == 1
    assert "timeout after 500ms" in ran.err
    for name in ("inner", "outer"):
        assert is_gone(int((tmp_path / name).read_text()))


def test_a_command_may_clean_up_when_it_is_ended(run: Run) -> None:
    line = "trap 'echo bye; exit 9' TERM; sleep 1000 & wait #"
    ran = run("run", "--timeout", "500ms", "--term-seq", "TERM,20s,KILL", line, ":::", "x")
    assert (ran.code, ran.lines) == (1, ["bye"])


def test_a_share_of_the_median_is_a_limit(run: Run) -> None:
    items = ["0.05"] * 10 + ["1000"]
    ran = run("run", "-j1", "-k", "--timeout", "2000%", "sleep", ":::", *items)
    assert (ran.code, "10 ok" in ran.err, "1  timeout" in ran.err) == (1, True, True)


def test_slots_are_numbered_from_one_and_given_again(run: Run) -> None:
    ran = run("run", "-q", "-j2", "echo {%} {#}; sleep 0.05 #", ":::", *"abcdef")
    slots, numbers = zip(*(line.split()[:2] for line in ran.lines), strict=True)
    assert set(slots) == {"1", "2"}
    assert sorted(numbers) == list("123456")


def test_a_dry_run_shows_the_commands(run: Run) -> None:
    ran = run("run", "--dry-run", "cp {} {.}.bak", ":::", "a b.c")
    assert ran.lines[0] == "0\tcp 'a b.c' 'a b'.bak"
    assert (
        run("run", "--dry-run", "cp", "{}", "{.}.bak", ":::", "a b.c").lines[0] == "0\tcp 'a b.c' 'a b.bak'"
    )


def test_what_each_command_wrote_is_kept_in_a_folder(run: Run, tmp_path: Path) -> None:
    ran = run("run", "-k", "--results", "res", "echo {}; echo e >&2", ":::", "../x y", "b")
    assert ran.lines == ["../x y", "b"]
    found = {one.name.partition("-")[0]: one for one in (tmp_path / "res").iterdir()}
    assert (found["x_y"] / "stdout").read_text() == "../x y\n"
    assert (found["b"] / "stderr").read_text() == "e\n"


def test_resume_runs_the_rest_and_retry_failed_what_failed(run: Run, tmp_path: Path) -> None:
    line = "echo {} >> log; test -e ok || [ {} != b ]"
    run("run", "-o", "o.jsonl", line, ":::", "a", "b")
    again = ["run", "-o", "o.jsonl", "--resume", line, ":::", "c", "b", "a"]
    assert run(*again).code == 1
    (tmp_path / "ok").touch()
    again[3] = "--retry-failed"
    assert run(*again).code == 0
    assert sorted((tmp_path / "log").read_text().split()) == ["a", "b", "b", "c"]
    ran = run("run", "-o", "o.jsonl", "--resume", "true", ":::", "a")
    assert (ran.code, "made by a different command" in ran.err) == (2, True)


def test_more_files_than_one_may_have_open_are_not_needed(run: Run) -> None:
    ran = run("run", "-q", "-j4", "-k", "[ {} != 0 ] || sleep 0.3; echo {}", ":::", *map(str, range(200)))
    assert ran.lines == [str(n) for n in range(200)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--line-buffer", "--ungroup", "true", ":::", "a"], "exclude each other"),
        (["--line-buffer", "-k", "true", ":::", "a"], "-k needs the whole output"),
        (["--ungroup", "-o", "o.jsonl", "true", ":::", "a"], "-o needs the whole output"),
        (["--tag", "--ungroup", "true", ":::", "a"], "--tag marks lines"),
        (["-i", "f", "true", ":::", "a"], "both give the items"),
        (["-n2", "true", ":::", "a", ":::", "b"], "one source of items"),
        (["echo '{}'", ":::", "a"], "stands within quotes"),
        (["--term-seq", "TERM,5s", "true", ":::", "a"], "TERM,5s,KILL"),
        (["--timeout", "50%", "true", ":::", "a"], "e.g. 300%"),
    ],
)
def test_wrong_usage_is_answered_with_what_is_right(run: Run, words: list[str], said: str) -> None:
    ran = run("run", *words)
    assert (ran.code, said in ran.err) == (2, True), ran.err


def test_no_item_is_no_failure(run: Run) -> None:
    assert run("run", "true", ":::").code == 0


def test_an_argument_that_no_program_can_take_fails_by_itself(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"a\0b\nc\n")
    ran = run("run", "-k", "-o", "o.jsonl", "-i", "in", "echo")
    assert [one["ok"] for one in items(tmp_path / "o.jsonl")] == [False, True]
    assert ran.code == 1
    assert records(tmp_path / "o.jsonl")[-1]["failed"] == 1
