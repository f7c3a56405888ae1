"""Ctrl-C and the death of the parent: whatever workers do, the prompt is back and nobody is left."""

from __future__ import annotations

import pytest
from tests.blocking.scripts import Ended, interrupt, killed, marked

SOON = 1.5
"""Seconds until the prompt is back; the contract says 0.5, on a machine that has nothing else to do."""

GONE = 4.0
"""Seconds after the death of the parent; the contract says 2."""

#: What a worker does; "up" is said once by each.
BUSY: dict[str, str] = {
    "a Python loop": """
        def work(n):
            print("up", flush=True)
            while True:
                sum(range(1_000))
    """,
    "C code that keeps the GIL": """
        def work(n):
            print("up", flush=True)
            ctypes.PyDLL(None).sleep(60)
    """,
    "deaf to signals": """
        def work(n):
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            print("up", flush=True)
            while True:
                time.sleep(60)
    """,
    "stopped by a signal": """
        def work(n):
            print("up", flush=True)
            os.kill(os.getpid(), signal.SIGSTOP)
    """,
    "children of its own": """
        def work(n):
            children = [subprocess.Popen(["sleep", "60"]) for _ in range(2)]
            print("up", flush=True)
            time.sleep(60)
    """,
    "processes of its own": """
        def below(n):
            print("up", flush=True)
            time.sleep(60)
        def work(n):
            blocking.parallel_map([n], below, on="process")
    """,
}

START = """
        import asyncio, ctypes, os, signal, subprocess, threading, time
        import atonce
        from atonce import blocking, ProcessBackend
"""

STREAM = """
        for outcome in blocking.stream(range(9), work, on="process", max_concurrency=2):
            pass
"""

TASKS = """
        async def main():
            await atonce.await_many([atonce.spawn(work, n, on="process") for n in range(2)])
        asyncio.run(main())
"""

BLOCK = """
        with ProcessBackend(workers=2) as processes, blocking.scope():
            blocking.spawn(work, 1, on=processes)
            time.sleep(60)
"""

IDLE = """
        blocking.parallel_map(range(20), abs, on="process")
        print("up", flush=True)
        time.sleep(60)
"""


def assert_prompt_is_back(ended: Ended) -> None:
    """It ended by the interrupt, soon, with one traceback, its own."""
    assert ended.code in (-2, 130), ended
    assert ended.seconds < SOON, ended
    assert ended.err.rstrip().endswith("KeyboardInterrupt"), ended.err
    assert ended.err.count("Traceback") <= 2, ended.err  # asyncio.run shows the cancel that it became
    for noise in ("never retrieved", "Exception ignored", "Fatal", "in work", "in below", "WorkerLost"):
        assert noise not in ended.err, ended.err


@pytest.mark.parametrize(
    "busy", ["a Python loop", "C code that keeps the GIL", "deaf to signals", "children of its own"]
)
def test_ctrl_c_ends_busy_workers_and_leaves_nobody(busy: str) -> None:
    with marked() as left:
        ended = interrupt(START + BUSY[busy] + STREAM, says="up")
        assert not left()
    assert_prompt_is_back(ended)


@pytest.mark.parametrize("wait", [TASKS, BLOCK, IDLE], ids=["tasks on a loop", "a block", "idle workers"])
def test_ctrl_c_ends_workers_wherever_their_parent_waits(wait: str) -> None:
    with marked() as left:
        ended = interrupt(START + BUSY["C code that keeps the GIL"] + wait, says="up")
        assert not left()
    assert_prompt_is_back(ended)


@pytest.mark.parametrize("wait", [STREAM, TASKS], ids=["a stream", "tasks on a loop"])
def test_a_second_ctrl_c_does_no_harm(wait: str) -> None:
    with marked() as left:
        ended = interrupt(START + BUSY["C code that keeps the GIL"] + wait, says="up", times=2)
        assert not left()
    assert ended.code != 0
    assert ended.seconds < 2 * SOON
    assert "Fatal" not in ended.err


def test_after_a_ctrl_c_that_was_caught_processes_work_again() -> None:
    again = """
        try:
            blocking.parallel_map(range(2), work, on="process")
        except KeyboardInterrupt:
            began = time.monotonic()
            print(blocking.parallel_map(range(4), abs, on="process"), flush=True)
            print("again after", time.monotonic() - began, flush=True)
    """
    with marked() as left:
        ended = interrupt(START + BUSY["C code that keeps the GIL"] + again, says="up")
        assert not left()
    assert (ended.code, ended.err) == (0, "")
    assert "[0, 1, 2, 3]" in ended.out
    assert float(ended.out.split()[-1]) < SOON


@pytest.mark.parametrize(
    "busy", ["a Python loop", "C code that keeps the GIL", "stopped by a signal", "processes of its own"]
)
def test_nobody_outlives_a_parent_that_is_killed(busy: str) -> None:
    assert killed(START + BUSY[busy] + STREAM, says="up") < GONE


def test_idle_workers_do_not_outlive_a_parent_that_is_killed() -> None:
    assert killed(START + IDLE, says="up") < GONE


def test_a_parent_that_is_killed_while_its_modules_are_preloaded_leaves_nobody(tmp_path: object) -> None:
    preloading = f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        with open({str(tmp_path)!r} + "/atonce_slow.py", "w") as file:
            file.write("import time; print('up', flush=True); time.sleep(15)")
        blocking.spawn(abs, 1, on=ProcessBackend(preload=["atonce_slow"])).result()
    """
    assert killed(START + preloading, says="up") < GONE
