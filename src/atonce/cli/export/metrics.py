"""`--metrics FILE`: what a run has come to, in Prometheus's text format, written again every few seconds."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from atonce._runtime.terminal import visible
from atonce.cli.exits import INPUT_OUTPUT, Refusal
from atonce.cli.export.exporter import Scene
from atonce.cli.rows.text import reason
from atonce.cli.tally import Tally

#: Seconds between two times that the file is written.
PERIOD: Final = 5.0
#: The upper bounds of the histogram's buckets, in seconds.
BOUNDS: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
)
_Sample = tuple[str, Mapping[str, str], float]


class Metrics:
    """Keeps a file that is whole at any moment, for node_exporter's textfile collector and the like."""

    events: tuple[str, ...] = ()

    def __init__(self, path: str, scene: Scene) -> None:
        self._path = path
        self._scene = scene
        self._started = time.time()
        self._written = time.monotonic()
        self._write(None)

    def event(self, event: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        """Nothing: what is counted is asked for."""

    def tick(self) -> None:
        """Write it again when it is time; a failure is told at the end, when that fails too."""
        now = time.monotonic()
        if now - self._written >= PERIOD:
            self._written = now
            with suppress(Refusal):
                self._write(None)

    def close(self, why: str) -> None:
        """Write it for the last time."""
        self._write(why)

    def _write(self, why: str | None) -> None:
        scene = self._scene
        busy = scene.busy() if why is None else 0
        text = exposition(scene.spec.verb, scene.tally, busy, self._started, time.time(), why)
        part = f"{self._path}.part"
        try:
            Path(part).write_text(text, encoding="utf-8")
            os.replace(part, self._path)
        except OSError as error:
            with suppress(OSError):
                Path(part).unlink(missing_ok=True)
            message = f"cannot write --metrics {visible(self._path)}: {reason(error)}"
            raise Refusal(message, INPUT_OUTPUT) from None


def exposition(verb: str, tally: Tally, busy: int, started: float, now: float, why: str | None = None) -> str:
    """A run as a text that Prometheus reads; times of day are seconds since the epoch, `why` it ended, if it did."""
    lines: list[str] = []
    for name, kind, help, samples in _families(tally, busy, started, now, why):
        lines += [f"# HELP {name} {help}", f"# TYPE {name} {kind}"]
        lines += (_line(end, {"cmd": verb, **labels}, value, name) for end, labels, value in samples)
    return "\n".join([*lines, ""])


def _line(end: str, labels: Mapping[str, str], value: float, name: str) -> str:
    written = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{end}{{{written}}} {value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _families(
    tally: Tally, busy: int, started: float, now: float, why: str | None
) -> Iterator[tuple[str, str, str, Iterable[_Sample]]]:
    outcomes = (("ok", tally.ok), ("failed", tally.failed))
    yield (
        "atonce_tasks_total",
        "counter",
        "Items that have ended.",
        [("", {"outcome": outcome}, count) for outcome, count in outcomes],
    )
    yield (
        "atonce_task_failures_total",
        "counter",
        "Items that failed, by kind.",
        [("", {"kind": kind}, count) for kind, count in sorted(tally.kinds.items())],
    )
    yield "atonce_task_retries_total", "counter", "Further attempts.", [("", {}, tally.retries)]
    yield "atonce_task_active", "gauge", "Items that run now.", [("", {}, busy)]
    if tally.total is not None:
        yield "atonce_task_expected", "gauge", "Items of the whole run.", [("", {}, tally.total)]
    yield (
        "atonce_task_duration_seconds",
        "histogram",
        "Seconds that items took which ended well, to one percent.",
        _histogram(tally),
    )
    yield "atonce_run_start_time_seconds", "gauge", "When the run began.", [("", {}, round(started, 3))]
    yield "atonce_run_updated_time_seconds", "gauge", "When this was written.", [("", {}, round(now, 3))]
    if why is not None:
        yield "atonce_run_ended", "gauge", "The run is over, and why.", [("", {"why": why}, 1)]


def _histogram(tally: Tally) -> Iterator[_Sample]:
    times = tally.times
    for bound in BOUNDS:
        yield "_bucket", {"le": f"{bound:g}"}, times.within(bound)
    yield "_bucket", {"le": "+Inf"}, times.count
    yield "_sum", {}, round(times.total(), 6)
    yield "_count", {}, times.count
