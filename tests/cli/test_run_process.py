"""`atonce run` as a process of its own: signals, being killed, pipes that close, and what is left behind (nothing)."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import command, ended, environment, is_gone, items, records, started, wait_for


def _pids(folder: Path) -> list[int]:
    return [int(one.read_text()) for one in folder.glob("pid-*") if one.read_text().endswith("\n")]


def _all_gone(folder: Path) -> bool:
    return all(is_gone(pid) for pid in _pids(folder))


#: A command that says its number and that of another that it has started, and then takes its time.
SLOW = "echo $$ > pid-{#}; sh -c 'echo $$ > pid-inner-$PPID; sleep 1000; :' & {:raw}; wait; sleep 1000"


def _slow(folder: Path, first: str = "true", *options: str, **more: Any) -> Any:
    return started("run", "-j2", *options, SLOW, ":::", first, first, first, cwd=folder, **more)


def test_the_first_interrupt_lets_commands_end_and_the_second_ends_them(tmp_path: Path) -> None:
    with _slow(tmp_path, "true", "--grace", "60s", "-o", "o.jsonl") as child:
        wait_for(lambda: len(_pids(tmp_path)) == 4, "the commands")
        child.send_signal(signal.SIGINT)
        assert child.stderr is not None
        assert b"waiting up to 1m" in _line_with(child, b"stopping")
        assert not any(is_gone(pid) for pid in _pids(tmp_path))
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=20) == 130
        said = child.stderr.read()
    assert b"Traceback" not in said
    assert _all_gone(tmp_path)
    assert {one["err"]["kind"] for one in items(tmp_path / "o.jsonl")} == {"cancelled"}
    assert records(tmp_path / "o.jsonl")[-1]["why"] == "interrupted"


def _line_with(child: subprocess.Popen[bytes], text: bytes) -> bytes:
    assert child.stderr is not None
    for line in child.stderr:
        if text in line:
            return line
    raise AssertionError(f"{text!r} was not said")


def test_sigterm_ends_commands_when_the_grace_is_over(tmp_path: Path) -> None:
    with _slow(tmp_path, "true", "--grace", "100ms") as child:
        wait_for(lambda: len(_pids(tmp_path)) == 4, "the commands")
        child.terminate()
        assert child.wait(timeout=20) == 143
    assert _all_gone(tmp_path)


def test_a_third_interrupt_leaves_at_once_and_no_command_survives_it(tmp_path: Path) -> None:
    with _slow(tmp_path, "trap '' TERM", "--term-seq", "TERM,100s,KILL") as child:
        wait_for(lambda: len(_pids(tmp_path)) == 4, "the commands")
        child.send_signal(signal.SIGINT)
        _line_with(child, b"stopping")
        while child.poll() is None:
            child.send_signal(signal.SIGINT)
            try:
                child.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
        assert child.returncode == 130
    wait_for(lambda: _all_gone(tmp_path), "the end of the commands")


def test_no_command_and_no_file_survives_when_the_program_is_killed(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    env = environment(TMPDIR=str(temporary))
    with subprocess.Popen(
        command("run", "-j2", SLOW, ":::", "echo a", "echo b"), cwd=tmp_path, env=env
    ) as child:
        wait_for(lambda: len(_pids(tmp_path)) == 4, "the commands")
        time.sleep(
            0.5
        )  # the guard is told of a command a moment after that began, which nobody outside can see
        child.kill()
    wait_for(lambda: _all_gone(tmp_path), "the end of the commands")
    assert list(temporary.iterdir()) == []


def test_killed_at_any_time_it_goes_on_where_it_was(tmp_path: Path) -> None:
    words = [
        "run",
        "-q",
        "-j2",
        "-o",
        "o.jsonl",
        "--resume",
        "echo {} >> log; echo {}",
        ":::",
        *map(str, range(60)),
    ]
    for kills in range(1, 6):
        with started(*words, cwd=tmp_path) as child:
            wait_for(partial(_has_records, tmp_path, 6 * kills), "some records")
            child.kill()
    last = subprocess.run(command(*words), cwd=tmp_path, env=environment(), capture_output=True, check=False)
    assert last.returncode == 0, last.stderr
    found = items(tmp_path / "o.jsonl")
    assert sorted(int(one["in"]) for one in found) == list(range(60))
    assert all(one["out"]["stdout"] == f"{one['in']}\n" for one in found)


def _has_records(folder: Path, count: int) -> bool:
    try:
        return (folder / "o.jsonl").read_bytes().count(b"\n") >= count
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("mode", "line"), [("--group", "seq 100000 #"), ("--line-buffer", "yes 1 #"), ("--ungroup", "yes 1 #")]
)
def test_a_reader_that_has_enough_ends_the_run_quietly(tmp_path: Path, mode: str, line: str) -> None:
    line = f"{shlex.join(command('run', '-j2', mode, line, ':::'))} $(seq 50) | head -1"
    ran = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        check=False,
    )
    assert ran.stdout == b"1\n"
    assert b"Traceback" not in ran.stderr
    assert b"bug" not in ran.stderr


def test_output_larger_than_what_is_kept_in_memory_comes_whole(tmp_path: Path) -> None:
    ran = ended("run", "-q", "-j4", "head -c 20000000 /dev/zero | tr '\\0' x; echo #", ":::", "1", "2", "3")
    assert ran.stdout == (b"x" * 20_000_000 + b"\n") * 3


def test_nothing_is_left_running_or_open_after_a_run(tmp_path: Path) -> None:
    script = (
        "import os, sys; from atonce.cli.main import main; main(sys.argv[1:]);"
        " print(len(os.listdir('/proc/self/fd')), file=sys.stderr);"
        " main(sys.argv[1:]); print(len(os.listdir('/proc/self/fd')), file=sys.stderr);"
        "\ntry:\n os.waitpid(-1, os.WNOHANG)\nexcept ChildProcessError: print('alone', file=sys.stderr)"
    )
    words = [
        command()[0],
        "-W",
        "error",
        "-c",
        script,
        "run",
        "-q",
        "-j4",
        "--line-buffer",
        "echo",
        ":::",
        *"abcdef",
    ]
    ran = subprocess.run(words, env=environment(), capture_output=True, check=True)
    first, second, alone = ran.stderr.split()
    assert (first, alone) == (second, b"alone")


def test_a_daemon_that_a_command_leaves_is_not_waited_for(tmp_path: Path) -> None:
    for mode in ("--group", "--line-buffer"):
        with started(
            "run", "-q", mode, "sleep 1000 & echo $! > pid-1; echo done #", ":::", "x", cwd=tmp_path
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"done\n"
            assert child.wait(timeout=20) == 0
        (pid,) = _pids(tmp_path)
        assert not is_gone(pid)
        os.kill(pid, signal.SIGKILL)


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("a disk that is full is mounted by root alone")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        env = environment(TMPDIR=str(disk))
        ran = ended("run", "-q", "head -c 3000000 /dev/zero; true #", ":::", "1", "2", env=env)
        assert ran.returncode == 74
        assert b"disk for the output of commands is full" in ran.stderr
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
