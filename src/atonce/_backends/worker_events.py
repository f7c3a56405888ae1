"""What is told of workers: each starts once, and stops or is lost once."""

from __future__ import annotations

from collections import deque
from signal import SIGKILL
from typing import Any

from atonce._backends.forkserver import SIGNALLED
from atonce._backends.process_handle import Handle
from atonce._backends.process_values import lost
from atonce._runtime import telemetry


class WorkerEvents:
    """The events of one backend; they are kept until its lock is free, since who hears of them may look at it."""

    def __init__(self) -> None:
        self._kept: deque[tuple[str, dict[str, Any], dict[str, Any]]] = deque()

    def started(self, worker: Handle) -> None:
        """A worker is being forked."""
        self._keep("worker.start", worker)

    def stopped(self, worker: Handle, reason: str) -> None:
        """A worker is given up: `killed` for a timeout or a stop, `used up`, `surplus`, or its backend is `closed`."""
        self._keep("worker.stop", worker, reason=reason)

    def died(self, worker: Handle, ending: tuple[int, int] = (SIGNALLED, SIGKILL)) -> None:
        """A worker died by itself."""
        self._keep("worker.lost", worker, error=worker.failure or lost("of a process backend", ending))

    def _keep(self, event: str, worker: Handle, **metadata: object) -> None:
        if telemetry.handlers:
            self._kept.append((event, {"calls": worker.runs}, {"number": worker.number, **metadata}))

    def tell(self) -> None:
        """Tell what was kept; without the lock."""
        while self._kept:
            telemetry.emit(*self._kept.popleft())
