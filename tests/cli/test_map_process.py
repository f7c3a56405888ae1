"""`atonce map` as a process of its own: killed, interrupted, cut off from its reader, and given very much."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.cli.command import command, ended, environment, items, records, started, wait_for
from tests.conftest import PROFILE

NIGHTLY = PROFILE == "nightly"
WORK = """
import asyncio, time

def f(x):
    time.sleep(0.002)
    return x + "!"

def long(x):
    time.sleep(0.0 if int(x) < 20 else 30.0)
    return x

async def long_async(x):
    await asyncio.sleep(0.0 if int(x) < 20 else 30.0)
    return x

def spin(x):
    while int(x) >= 20:
        pass
    return x
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("work.py").write_text(WORK)


def marked(mark: str) -> list[psutil.Process]:
    """The processes that have this mark in their environment: those that the program started, and itself."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("ATONCE_TEST_MARK") == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def with_mark(mark: str) -> dict[str, Any]:
    return {"env": environment(ATONCE_TEST_MARK=mark), "start_new_session": True}


def size_of(path: str) -> int:
    return os.path.getsize(path) if os.path.exists(path) else 0


def wait_for_size(child: subprocess.Popen[bytes], path: str, size: int) -> None:
    wait_for(lambda: child.poll() is not None or size_of(path) >= size, "some records")


def wait_for_nobody(mark: str) -> None:
    wait_for(lambda: not marked(mark), "the end of all workers")


# -- kill -9 ------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(600 if NIGHTLY else 240)
@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_killed_at_any_moment_and_resumed_it_is_as_if_nothing_had_happened(name: str) -> None:
    """The input is shuffled before each start: what is done is known by its content."""
    dice = random.Random(random.randrange(10**9))
    rows = [f"item {number % 400}" for number in range(500)]
    journal = name if name.endswith(".jsonl") else f"{name}.atonce.jsonl"
    kills = (50 if NIGHTLY else 8) // 2
    line = ["map", "work:f", "in.txt", "-o", name, "--resume"]
    for kill in range(kills):
        dice.shuffle(rows)
        Path("in.txt").write_text("".join(f"{row}\n" for row in rows))
        mark = f"{os.getpid()}-kill-{kill}"
        before = size_of(journal)
        goal = before + dice.randrange(90_000 // kills)
        with started(*line, **with_mark(mark)) as child:
            wait_for_size(child, journal, goal)
            time.sleep(dice.random() * 0.01)
            child.kill()
            child.wait()
        wait_for_nobody(mark)
    done = ended(*line)
    assert done.returncode == 0
    assert Counter(row["in"] for row in items(whole(journal))) == Counter(rows)
    assert all(row["ok"] and row["out"] == f"{row['in']}!" for row in items(whole(journal)))
    if name.endswith(".csv"):
        found = Path(name).read_text().splitlines()
        assert sorted(found[1:]) == sorted(f"{row},{row}!" for row in rows)
    left = {path for path in os.listdir() if path != "__pycache__"}
    assert left == {"work.py", "in.txt", name, journal}


def whole(journal: str) -> Path:
    """A journal, all of whose lines are whole."""
    assert records(Path(journal))
    return Path(journal)


# -- Ctrl-C -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [["work:long"], ["work:long", "--executor", "thread"], ["work:long_async"], ["work:spin"]],
    ids=["process", "thread", "loop", "busy process"],
)
@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_leaves_no_traceback_no_orphan_and_a_whole_journal(how: list[str], presses: int) -> None:
    """A terminal sends it to the whole group, workers included."""
    Path("in.txt").write_text("".join(f"{number}\n" for number in range(60)))
    mark = f"{os.getpid()}-ctrl-c"
    line = ["map", *how, "in.txt", "-o", "out.jsonl", "-j", "2"]
    grace = ["--grace", "200ms"] if presses == 1 else []
    with started(*line, *grace, **with_mark(mark)) as child:
        wait_for(lambda: size_of("out.jsonl") and len(complete("out.jsonl")) >= 20, "the quick items")
        os.killpg(child.pid, signal.SIGINT)
        assert child.stderr is not None
        said = child.stderr.readline()
        assert b"stopping: no new items; waiting up to" in said
        if presses == 2:
            os.killpg(child.pid, signal.SIGINT)
        _, err = child.communicate(timeout=20)
    assert child.returncode == 130
    assert b"Traceback" not in err
    assert f"go on:  atonce map {how[0]} in.txt".encode() in err
    wait_for_nobody(mark)
    *rows, end = records(Path("out.jsonl"))
    assert end["why"] == "interrupted"
    assert sum(row.get("ok", False) for row in rows) == 20


def complete(path: str) -> list[bytes]:
    return Path(path).read_bytes().split(b"\n")[1:-1]


@pytest.mark.parametrize("how", [["work:f"], ["work:f", "--executor", "thread"]], ids=["process", "thread"])
def test_ctrl_c_at_any_moment_and_resume_does_each_item_once(how: list[str]) -> None:
    dice = random.Random(random.randrange(10**9))
    Path("in.txt").write_text("".join(f"{number}\n" for number in range(400)))
    line = ["map", *how, "in.txt", "-o", "out.jsonl", "--resume", "--grace", "5s"]
    for _ in range(5 if NIGHTLY else 3):
        goal = size_of("out.jsonl") + dice.randrange(12_000)
        with started(*line, start_new_session=True) as child:
            wait_for_size(child, "out.jsonl", goal)
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGINT)
            _, err = child.communicate(timeout=20)
            assert b"Traceback" not in err
            assert child.returncode in (0, 130)
    assert ended(*line).returncode == 0
    good = [row["in"] for row in items(Path("out.jsonl")) if row["ok"]]
    assert sorted(good, key=int) == [str(number) for number in range(400)]


def test_a_run_that_waits_for_a_pipe_ends_at_ctrl_c() -> None:
    with started("map", "-e", "x", stdin=subprocess.PIPE, start_new_session=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"a\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"a\n"
        os.killpg(child.pid, signal.SIGINT)
        assert child.wait(timeout=20) == 130
        child.stdin.close()


def test_sigusr1_shows_what_runs() -> None:
    Path("in.txt").write_text("20\n")
    with started("map", "work:long", "in.txt", "--grace", "100ms", start_new_session=True) as child:
        assert child.stderr is not None
        said = b""
        while b"20" not in said:
            child.send_signal(signal.SIGUSR1) if signal_is_taken(child.pid) else None
            time.sleep(0.05)
            os.set_blocking(child.stderr.fileno(), False)
            said += child.stderr.read() or b""
        assert b"1 running:" in said
        child.send_signal(signal.SIGTERM)
        os.set_blocking(child.stderr.fileno(), True)
        assert child.wait(timeout=20) == 143


def signal_is_taken(pid: int) -> bool:
    """Whether a process has a handler for SIGUSR1; without one it would die of it."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt")).split()[1]
    return bool(int(caught, 16) >> (signal.SIGUSR1 - 1) & 1)


# -- streams ------------------------------------------------------------------------------------------------------


def test_standard_output_has_results_and_nothing_else() -> None:
    done = ended("map", "-e", "print('noise') or x", "-k", stdin=b"a\nb\n")
    assert done.returncode == 0
    assert [line for line in done.stdout.split(b"\n") if b"noise" not in line] == [b"a", b"b", b""]
    quiet = ended("map", "-e", "x", "-k", "-q", stdin=b"a\nb\n")
    assert (quiet.stdout, quiet.stderr) == (b"a\nb\n", b"")


def test_results_come_while_the_input_is_open() -> None:
    with started("map", "-e", "x.upper()", stdin=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for word in (b"a\n", b"b\n", b"c\n"):
            child.stdin.write(word)
            child.stdin.flush()
            assert child.stdout.readline() == word.upper()
        child.stdin.close()
        assert child.wait(timeout=20) == 0


def test_a_reader_that_has_seen_enough_ends_it_quietly() -> None:
    Path("in.txt").write_text("".join(f"{number}\n" for number in range(300_000)))
    with started("map", "-e", "x", "in.txt") as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()
        child.stdout.close()
        assert child.wait(timeout=20) == 141
        assert child.stderr.read() == b""


def test_a_line_of_megabytes_is_an_item() -> None:
    size = 100_000_000 if NIGHTLY else 5_000_000
    Path("in.txt").write_bytes(b"a" * size + b"\nb\n")
    done = ended("map", "-e", "len(x)", "-k", "in.txt")
    assert done.stdout == f"{size}\n1\n".encode()


# -- very much ----------------------------------------------------------------------------------------------------

MEASURED = """
import resource, sys
from atonce.cli.main import main
code = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("more", [[], ["-k"], ["-o", "out.jsonl"]], ids=["stdout", "in order", "journal"])
def test_memory_does_not_grow_with_the_input(more: list[str]) -> None:
    peaks = []
    for count in (10_000, 1_000_000 if NIGHTLY else 100_000):
        Path("in.txt").write_text("".join(f"line number {number}\n" for number in range(count)))
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, "map", "-q", "-e", "len(x)", "in.txt", "--overwrite", *more],
            env=environment(),
            capture_output=True,
            check=False,
            timeout=200,
        )
        assert done.returncode == 0
        results = done.stdout if "-o" not in more else Path("out.jsonl").read_bytes()
        assert results.count(b"\n") == count + (2 if "-o" in more else 0)
        peaks.append(int(done.stderr.split()[-1]))
    small, large = peaks
    assert large - small < 1024 * (32 if "-o" in more else 16)  # a key takes about 8 bytes


def test_the_program_needs_few_open_files() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft >= 64
    done = subprocess.run(
        ["bash", "-c", 'ulimit -n 64; exec "$@"', "bash", *command("map", "-e", "x", "-k", ":::", "a", "b")],
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (0, b"a\nb\n")
