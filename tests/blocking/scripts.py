"""Small programs in processes of their own, for what cannot happen inside a test run: Ctrl-C, exit, fork."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

import psutil


@dataclass(frozen=True)
class Ended:
    """How a program ended; `seconds` counts from the signal where one was sent, else from its last line."""

    code: int
    out: str
    err: str
    seconds: float


def start(program: str, *flags: str) -> subprocess.Popen[bytes]:
    """Start a program in a process group of its own, as a shell does; its pipes have no buffer."""
    return subprocess.Popen(
        [sys.executable, *flags, "-c", textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,  # `communicate` reads past a buffer: what came in one go with the awaited line would be lost
        start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def _wait_for(running: subprocess.Popen[bytes], line: str) -> str:
    assert running.stdout is not None
    seen = ""
    while line not in seen:
        text = running.stdout.readline()
        assert text, (
            f"it ended before it said {line!r}: {seen}{running.stderr.read() if running.stderr else b''!r}"
        )
        seen += text.decode()
    return seen


def run(program: str, *flags: str, says: str | None = None) -> Ended:
    """Run a program to its end; time counts from the line `says`."""
    with start(program, *flags) as running:
        try:
            seen = _wait_for(running, says) if says else ""
            began = time.monotonic()
            out, err = running.communicate(timeout=20)
        except BaseException:
            os.killpg(running.pid, signal.SIGKILL)
            raise
        return Ended(running.returncode, seen + out.decode(), err.decode(), time.monotonic() - began)


def interrupt(
    program: str, *, says: str, after: float = 0.05, how: int = signal.SIGINT, times: int = 1
) -> Ended:
    """Run a program, and send it a signal a moment after it said `says`."""
    with start(program) as running:
        try:
            seen = _wait_for(running, says)
            time.sleep(after)
            began = time.monotonic()
            for n in range(times):
                if n:
                    time.sleep(0.05)
                os.killpg(running.pid, how)
            out, err = running.communicate(timeout=20)
        except BaseException:
            os.killpg(running.pid, signal.SIGKILL)
            raise
        return Ended(running.returncode, seen + out.decode(), err.decode(), time.monotonic() - began)


@contextmanager
def marked() -> Iterator[Callable[[], list[str]]]:
    """Mark all programs that are started inside, and theirs; gives what lists those that are left."""
    mark = uuid.uuid4().hex

    def left() -> list[str]:
        return [repr(process) for process in psutil.process_iter() if _mark_of(process) == mark]

    with patch.dict(os.environ, ATONCE_TEST_MARK=mark):
        yield left


def _mark_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get("ATONCE_TEST_MARK")
    except psutil.Error:
        return None


def killed(program: str, *, says: str, after: float = 0.05) -> float:
    """Run a program and kill it, and nobody else, a moment after it said `says`; gives when all of it was gone."""
    with marked() as left, start(program) as running:
        try:
            _wait_for(running, says)
            time.sleep(after)
            assert len(left()) > 1, "nobody would be left behind"
            began = time.monotonic()
            running.kill()
            running.wait()
            while (found := left()) and time.monotonic() < began + 20:
                time.sleep(0.005)
            assert not found, found
            return time.monotonic() - began
        finally:
            for process in psutil.process_iter():
                if _mark_of(process) == os.environ["ATONCE_TEST_MARK"]:
                    process.kill()
