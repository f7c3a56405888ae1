"""Errors that no test sees: how they are found out. What a test may leave behind (nothing) is `atonce.testing`'s."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

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
