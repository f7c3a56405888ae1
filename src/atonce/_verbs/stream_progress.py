"""`Stream.progress`: a run of a stream as it is seen on standard error."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sized
from dataclasses import replace

from atonce._model import checks
from atonce._runtime.progress import Progress, Silent, View
from atonce._runtime.showing import WAYS, choose
from atonce._runtime.terminal import Terminal
from atonce._verbs.stream_run import StreamRun
from atonce._verbs.stream_spec import Shown, Spec

#: The variable that says which way of showing is taken.
VARIABLE = "ATONCE_PROGRESS"
log = logging.getLogger("atonce")


def with_progress(spec: Spec, label: str | None, total: int | None) -> Spec:
    """The same stream, seen; everything that can be wrong is said here."""
    how = os.environ.get(VARIABLE) or "auto"
    if how not in WAYS:
        raise ValueError(f"{VARIABLE} is one of {', '.join(WAYS)}; got {how!r}")
    known = checks.count_or_none("total", total, least=0)
    if known is None and isinstance(spec.items, Sized):
        known = len(spec.items)
    return replace(spec, shown=Shown(checks.label("label", label) or spec.name, known, how))


class RunCounts:
    """The counts of a run as they are shown: what has ended counts, whether the consumer has seen it or not."""

    def __init__(self, run: StreamRun, total: int | None) -> None:
        self.total: int | None = total
        self._run = run

    @property
    def done(self) -> int:
        """Items that have ended."""
        return self._run.window.given

    @property
    def failed(self) -> int:
        """Items that did not end well."""
        return self._run.failed

    @property
    def ok(self) -> int:
        """Items that did."""
        return self.done - self.failed

    @property
    def retries(self) -> int:
        """Further attempts."""
        return self._run.statistics().retried

    @property
    def left(self) -> int | None:
        """Items that have not ended."""
        return None if self.total is None else max(0, self.total - self.done)


class RunProgress:
    """Shows a run from its start to its stop, by a timer of its loop."""

    def __init__(self, run: StreamRun, shown: Shown) -> None:
        self._run = run
        self._began: float = run.loop.time()
        view = View(shown.label, RunCounts(run, shown.total), lambda: run.statistics().running)
        self._progress: Progress = choose(shown.how, view, Terminal.here(), has_receipt=False)
        self._timer: asyncio.TimerHandle | None = None
        self._show(self._progress.start)
        self._wait()

    def stop(self) -> None:
        """Show the last of it."""
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        why = "finished" if self._run.is_finished() and self._run.input_error is None else "stopped"
        self._show(lambda: self._progress.stop(self._elapsed(), why))

    def _wait(self) -> None:
        self._timer = self._run.loop.call_later(self._progress.interval, self._tick)

    def _tick(self) -> None:
        self._show(lambda: self._progress.tick(self._elapsed()))
        self._wait()

    def _elapsed(self) -> float:
        return self._run.loop.time() - self._began

    def _show(self, step: Callable[[], None]) -> None:
        """Take one step; no display is worth a run."""
        try:
            step()
        except Exception:
            self._progress = Silent(mute=True)
            log.warning(
                "the progress of %s cannot be shown, and is not shown further", self._run, exc_info=True
            )
