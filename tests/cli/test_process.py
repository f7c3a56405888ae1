"""The program as a process of its own: pipes, signals, terminals, and what it imports."""

from __future__ import annotations

import json
import os
import pty
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.cli.command import command, ended, environment, in_terminal, items, records, started, wait_for


def test_urls_come_from_a_pipe_when_nothing_else_is_given(site: str) -> None:
    for more in ([], ["-"], ["-i", "-"]):
        done = ended("fetch", *more, stdin=f"{site}/a\n{site}/b\n".encode())
        assert (done.returncode, len(records(done.stdout))) == (0, 2)


def test_records_come_while_the_input_is_still_open(site: str) -> None:
    with started("fetch", stdin=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(f"{site}/a\n".encode())
        child.stdin.flush()
        assert b'"ok":true' in child.stdout.readline()
        child.stdin.close()
        assert child.wait() == 0


def test_a_reader_that_has_seen_enough_ends_the_program_quietly(site: str) -> None:
    urls = "".join(f"{site}/big/100000?{number}\n" for number in range(200)).encode()
    with started("fetch", stdin=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdin.write(urls)
        child.stdin.close()
        child.stdout.readline()
        child.stdout.close()
        assert child.wait() == 141
        assert child.stderr.read() == b""


def test_a_slow_reader_costs_no_item_its_time(site: str) -> None:
    urls = "".join(f"{site}/big/200000?{number}\n" for number in range(20)).encode()
    with started("fetch", "--timeout", "500ms", "--retries", "0", stdin=subprocess.PIPE) as child:
        assert child.stdin is not None
        child.stdin.write(urls)
        child.stdin.close()
        child.stdin = None
        time.sleep(1.0)  # the pipe is full for longer than the limit of an item
        out, _ = child.communicate()
        assert child.returncode == 0
        assert all(record["ok"] for record in records(out))


def asked_of(site: str) -> dict[str, int]:
    """How often the site has been asked for each path."""
    with urlopen(f"{site}/asked") as answer:
        counts: dict[str, int] = json.load(answer)
    return counts


def urls_with_slow_ones(site: str, folder: Path, slow: int = 2) -> list[str]:
    path = folder / "urls.txt"
    path.write_text("".join(f"{site}/slow/{slow}?{n}\n" for n in range(4)) + f"{site}/a\n" * 3)
    return ["-i", str(path), "-o", str(folder / "out.jsonl"), "--per-host", "4", "-j", "4"]


@pytest.mark.parametrize(
    ("number", "code", "why"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_the_first_signal_waits_for_what_runs(
    site: str, tmp_path: Path, number: int, code: int, why: str
) -> None:
    path, out, gate = tmp_path / "urls.txt", tmp_path / "out.jsonl", f"/gate/{why}"
    path.write_text(f"{site}/first\n" + f"{site}{gate}\n" * 30)
    with started("fetch", "-i", str(path), "-o", str(out), "-j", "2", "--per-host", "2") as child:
        wait_for(lambda: out.exists() and items(out), "the first record")
        wait_for(lambda: asked_of(site).get(gate) == 2, "two that wait")
        child.send_signal(number)
        assert child.stderr is not None
        assert b"stopping: no new items; waiting up to 10s for 2 running" in child.stderr.readline()
        urlopen(f"{site}/open/{why}").close()
        _, err = child.communicate()
        assert child.returncode == code
    rows = items(out)
    assert [row["ok"] for row in rows] == [True] * 3
    assert records(out)[-1]["why"] == why
    assert f"go on:  atonce fetch -i {path} -o {out} -j 2 --per-host 2 --resume" in err.decode()


def test_a_hang_up_lets_what_runs_end_beyond_the_grace(tmp_path: Path) -> None:
    out, gate = tmp_path / "out.jsonl", tmp_path / "gate"
    script = f"test {{}} = 0 || while ! test -e {gate}; do sleep 0.02; done"
    words = ["run", "-j", "2", "--grace", "10ms", "-o", str(out), script, ":::", *map(str, range(9))]
    with started(*words) as child:
        wait_for(lambda: out.exists() and items(out), "the first record")
        child.send_signal(signal.SIGHUP)
        assert child.stderr is not None
        assert b"hung up: no new items; " in child.stderr.readline()
        gate.touch()
        _, err = child.communicate()
        assert child.returncode == 129
    rows = items(out)
    assert all(row["ok"] for row in rows)
    assert 2 <= len(rows) <= 4
    assert records(out)[-1]["why"] == "hangup"
    assert b"--resume" in err


def test_a_terminal_that_is_closed_is_a_hang_up_and_its_bar_no_failure(tmp_path: Path) -> None:
    out, gate = tmp_path / "out.jsonl", tmp_path / "gate"
    script = f"test {{}} = 0 || while ! test -e {gate}; do sleep 0.02; done"
    words = ["run", "-j", "2", "-o", str(out), script, ":::", *map(str, range(9))]
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe(sys.executable, command(*words), environment())
    try:
        shown = b""
        while b"1/9" not in shown:
            shown += os.read(terminal, 65_536)
    finally:
        os.close(terminal)
        gate.touch()
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 129
    assert records(out)[-1]["why"] == "hangup"


def test_the_second_signal_cancels_and_the_journal_is_complete(site: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    urls = [f"{site}/a", f"{site}/slow/30?1", f"{site}/slow/30?2"]
    with started("fetch", *urls, "-o", str(out)) as child:
        wait_for(lambda: out.exists() and items(out), "the first record")
        child.send_signal(signal.SIGINT)
        assert child.stderr is not None
        assert b"stopping" in child.stderr.readline()
        child.send_signal(signal.SIGINT)
        _, err = child.communicate()
        assert child.returncode == 130
    rows = {row["in"]: row for row in items(out)}
    assert [rows[url]["err"]["kind"] for url in urls[1:]] == ["cancelled", "cancelled"]
    assert records(out)[-1]["done"] == 3
    assert b"Traceback" not in err


def test_the_grace_ends_the_wait_by_itself(site: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with started("fetch", f"{site}/a", f"{site}/slow/30", "-o", str(out), "--grace", "200ms") as child:
        wait_for(lambda: out.exists() and items(out), "the first record")
        child.send_signal(signal.SIGTERM)
        assert child.wait() == 143
    assert items(out)[-1]["err"]["kind"] == "cancelled"


def test_ctrl_c_ends_a_run_that_waits_for_its_input(site: str) -> None:
    with started("fetch", stdin=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(f"{site}/a\n".encode())
        child.stdin.flush()
        child.stdout.readline()
        child.send_signal(signal.SIGINT)
        assert child.wait() == 130
        child.stdin.close()


def test_ctrl_c_twice_ends_a_run_whose_reader_does_not_read(site: str) -> None:
    urls = "".join(f"{site}/big/200000?{number}\n" for number in range(20)).encode()
    with started("fetch", "--grace", "100ms", stdin=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(urls)
        child.stdin.close()
        child.stdout.read(1)
        child.send_signal(signal.SIGINT)
        assert child.wait() == 130


def test_a_terminal_shows_a_bar_that_is_gone_in_the_end(site: str, tmp_path: Path) -> None:
    screen = in_terminal("fetch", f"{site}/slow/0.4", f"{site}/a", "-o", str(tmp_path / "out.jsonl"))
    assert screen.code == 0
    assert "━" in screen.text
    assert "1/2" in screen.text
    assert "\x1b[?25h" in screen.text
    last = screen.text.rpartition("\x1b[2K")[2]
    assert "2 ok" in last
    assert "━" not in last


def test_a_terminal_that_shows_records_has_no_bar(site: str) -> None:
    screen = in_terminal("fetch", f"{site}/slow/0.2")
    assert '"ok":true' in screen.text
    assert "━" not in screen.text


def test_a_dumb_terminal_and_no_color_get_plain_text(site: str, tmp_path: Path) -> None:
    screen = in_terminal("fetch", f"{site}/slow/0.2", "-o", str(tmp_path / "a"), TERM="dumb")
    assert "\x1b" not in screen.text
    screen = in_terminal("fetch", f"{site}/slow/0.2", "-o", str(tmp_path / "b"), NO_COLOR="1")
    assert "\x1b[32m" not in screen.text
    assert "━" in screen.text


def test_ctrl_c_in_a_terminal_says_what_happens_and_leaves_no_traceback(site: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    urls = [f"{site}/a", f"{site}/slow/30"]
    screen = in_terminal("fetch", *urls, "-o", str(out), keys={"1/2": b"\x03", "Ctrl-C again": b"\x03"})
    assert screen.code == 130
    assert "stopping: no new items" in screen.text
    assert "■ stopped" in screen.text
    assert "Traceback" not in screen.text
    assert "\x1b[?25h" in screen.text


def test_a_pipe_gets_no_control_characters_and_utf8_or_words(site: str) -> None:
    done = ended("fetch", f"{site}/a", f"{site}/status/404")
    assert b"\x1b" not in done.stderr
    assert "✓ 1 ok" in done.stderr.decode()
    done = ended("fetch", f"{site}/a", env=environment(PYTHONIOENCODING="ascii"))
    assert done.stderr.startswith(b"ok: 1 ok")


def test_few_open_files_lower_the_number_of_requests_and_say_so(site: str) -> None:
    args = command("fetch", f"{site}/a", "-j", "5000")
    line = f"ulimit -n 256; exec {shlex.join(args)}"
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, env=environment(), check=False, timeout=20
    )
    assert done.returncode == 0
    assert b"at most 192 requests at a time" in done.stderr


def test_a_disk_that_fills_up_leaves_whole_records(site: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    args = command("fetch", f"{site}/big/3000?1", f"{site}/big/3000?2", f"{site}/big/3000?3", "-o", str(out))
    line = f"ulimit -f 8; exec {shlex.join(args)}"  # blocks of 1024 bytes
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, env=environment(), check=False, timeout=20
    )
    assert done.returncode == 74
    assert b"cannot write" in done.stderr
    assert [row["ok"] for row in items(out)] == [True, True]


def imported_by(*args: str) -> set[str]:
    lines = ended_with_times(*args).splitlines()
    return {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}


def ended_with_times(*args: str) -> str:
    line = [sys.executable, "-X", "importtime", "-m", "atonce", *args]
    done = subprocess.run(line, capture_output=True, env=environment(), check=False, timeout=20)
    assert done.returncode == 0
    return done.stderr.decode()


@pytest.mark.parametrize("args", [["--help"], ["fetch", "--help"], ["map", "--help"], ["--version"]])
def test_help_starts_without_the_big_packages(args: list[str]) -> None:
    found = imported_by(*args)
    assert "click" in found
    assert not found & {"aiohttp", "rich", "rich.console", "hypothesis", "yarl"}


def test_the_program_ends_when_standard_error_is_closed(site: str) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        command("fetch", f"{site}/a"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=write,
        env=environment(),
        check=False,
        timeout=20,
    )
    os.close(write)
    assert (done.returncode, len(records(done.stdout))) == (0, 1)
