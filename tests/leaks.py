"""What a test may leave behind (nothing), and how that is found out."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any
from unittest.mock import patch

import psutil

PATIENCE = 5.0
"""Seconds that something may take to be gone: the system reports the end of threads and processes late."""

PERSISTENT_THREADS = ("atonce-loop", "atonce-idle")
"""Threads that live until interpreter exit, by the beginning of their name."""

POOLED_THREADS = ("atonce-thread",)
"""Threads that may stay as long as they are idle, that is, wait in one of `IDLE_FUNCTIONS` of atonce."""

IDLE_FUNCTIONS = frozenset({"_next", "_await_call", "_idle"})

SOURCE = f"{os.sep}atonce{os.sep}_"
"""In the path of every file of atonce in which a worker could wait."""


# -- what is there ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Census:
    """All that outlives a function call, at one moment: a key that is never used twice, and a description."""

    things: dict[object, str]

    def added_since(self, before: Census) -> list[str]:
        """Describe what is there now and was not there before."""
        return sorted(text for key, text in self.things.items() if key not in before.things)


def census() -> Census:
    """Count threads, child processes and open files."""
    return Census({**_threads(), **_children(), **_descriptors()})


def _threads() -> dict[object, str]:
    """Every thread that runs Python, those started without `threading` included."""
    known = {thread.ident: thread for thread in threading.enumerate()}
    return {
        thread or ident: f"thread {thread.name if thread else ident} still runs at {_site(frame)}"
        for ident, frame in sys._current_frames().items()
        if not (thread := known.get(ident)) or not _may_stay(thread, frame)
    }


def _may_stay(thread: threading.Thread, frame: FrameType) -> bool:
    if thread.name.startswith(PERSISTENT_THREADS):
        return True
    return thread.name.startswith(POOLED_THREADS) and is_idle(frame)


def is_idle(frame: FrameType | None) -> bool:
    """Whether the innermost frame that is atonce's own is one in which a worker waits for its next call."""
    while frame is not None:
        if SOURCE in frame.f_code.co_filename:
            return frame.f_code.co_name in IDLE_FUNCTIONS
        frame = frame.f_back
    return False


def _site(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} ({frame.f_code.co_name})"


def _children() -> dict[object, str]:
    """Child processes and theirs, the dead that nobody waited for included."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)  # takes nobody's exit code
    except ChildProcessError:
        return {}  # there is no child, so no need to read about every process of the machine
    found: dict[object, str] = {}
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            found[child] = f"process {child.pid} ({child.name()}) is still {child.status()}"
    return found


def _descriptors() -> dict[object, str]:
    """Open file descriptors; empty where the system does not tell."""
    found: dict[object, str] = {}
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                target = os.readlink(f"/proc/self/fd/{name}")
                found["fd", name, target] = f"file descriptor {name} is still open on {target}"
    return found


def leftovers(before: Census, patience: float = PATIENCE) -> list[str]:
    """Describe what is there and was not before, once it had time to go away."""
    gc.collect()
    until = time.monotonic() + patience
    pause = 0.001
    while (left := census().added_since(before)) and time.monotonic() < until:
        time.sleep(pause)
        pause = min(2 * pause, 0.05)
    return left


# -- what went wrong where no test sees it ------------------------------------------------------------------------


@dataclass
class Trouble:
    """Errors that Python or asyncio could only report; a test that provokes one takes it with `expect`."""

    reports: list[str] = field(default_factory=list)

    def expect(self, fragment: str) -> list[str]:
        """Take the reports that contain `fragment`; there must be one."""
        gc.collect()
        taken = [report for report in self.reports if fragment in report]
        assert taken, f"nothing was reported that contains {fragment!r}; reports: {self.reports}"
        self.reports[:] = [report for report in self.reports if fragment not in report]
        return taken


class _AsyncioLog(logging.Handler):
    """Records what asyncio logs and no exception handler got."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(logging.WARNING)
        self.trouble = trouble
        self.seen_elsewhere = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        if not getattr(self.seen_elsewhere, "now", False):
            self.trouble.reports.append(f"asyncio logged: {record.getMessage()}")


@contextlib.contextmanager
def watching() -> Iterator[Trouble]:
    """Record unraisable errors, errors that end threads, calls of any loop's exception handler and asyncio's log."""
    trouble = Trouble()
    log = _AsyncioLog(trouble)
    handle = asyncio.BaseEventLoop.call_exception_handler

    def unraisable(report: sys.UnraisableHookArgs) -> None:
        trouble.reports.append(
            f"unraisable: {report.err_msg or 'in'} {report.object!r}: {report.exc_value!r}"
        )

    def ended_thread(report: threading.ExceptHookArgs) -> None:
        if report.exc_type is not SystemExit:
            name = report.thread.name if report.thread else "?"
            trouble.reports.append(f"thread {name} died: {report.exc_value!r}")

    def handler_called(loop: asyncio.BaseEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        trouble.reports.append(f"event loop: {context.get('message')}: {error!r} {_about(context)}")
        log.seen_elsewhere.now = True
        try:
            handle(loop, context)
        finally:
            log.seen_elsewhere.now = False

    logger = logging.getLogger("asyncio")
    logger.addHandler(log)
    try:
        with (
            patch.object(sys, "unraisablehook", unraisable),
            patch.object(threading, "excepthook", ended_thread),
            patch.object(asyncio.BaseEventLoop, "call_exception_handler", handler_called),
        ):
            yield trouble
    finally:
        logger.removeHandler(log)


def _about(context: dict[str, Any]) -> str:
    return " ".join(repr(context[key]) for key in ("task", "future", "handle") if key in context)
