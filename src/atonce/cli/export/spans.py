"""`--otel`: a run as spans and metrics of OpenTelemetry, through the SDK that the user has set up."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from atonce.cli.exits import Refusal
from atonce.cli.export.exporter import Scene

try:
    from opentelemetry import metrics, trace
except ModuleNotFoundError:
    raise Refusal("--otel needs a package: pip install 'atonce[otel]'") from None

#: The share of attempts that ended well which have a span whatever they took; those that failed all have one.
SHARE: Final = 0.01
#: Above this share of the times an attempt is slow and has a span, once so many have ended.
SLOW: Final = 0.99
ENOUGH: Final = 100
_NOWHERE: Final = (trace.ProxyTracerProvider, trace.NoOpTracerProvider)


class Spans:
    """One span for the run; below it one for each attempt that failed or was slow, and for one in a hundred others."""

    events: tuple[str, ...] = ("task.*", "worker.lost")

    def __init__(self, scene: Scene) -> None:
        if isinstance(trace.get_tracer_provider(), _NOWHERE):
            raise Refusal(
                "--otel has nowhere to send spans: no OpenTelemetry SDK is set up; start the program with"
                " opentelemetry-instrument (pip install opentelemetry-distro opentelemetry-exporter-otlp)"
            )
        verb, does = scene.spec.verb, scene.spec.does
        self._scene = scene
        self._name = does[0] if verb == "map" and does and not does[0].startswith("-") else verb
        self._kind = trace.SpanKind.CLIENT if verb == "fetch" else trace.SpanKind.INTERNAL
        self._tries: Counter[int] = Counter()
        self._slow = float("inf")
        self._tracer = trace.get_tracer("atonce")
        meter = metrics.get_meter("atonce")
        self._durations = meter.create_histogram("atonce.task.duration", "s", "How long attempts took.")
        self._retries = meter.create_counter("atonce.task.retries", "1", "Further attempts.")
        self._labels: dict[str, str] = {"atonce.cmd": verb}
        self._run = self._tracer.start_span(
            f"atonce {verb}",
            attributes={**self._labels, "atonce.spec": scene.spec.hash, "process.pid": os.getpid()},
        )
        self._context = trace.set_span_in_context(self._run)

    def event(self, event: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        """The end of an attempt, or of a worker."""
        if event == "worker.lost":
            self._run.add_event(event, {"error": str(metadata.get("error")), "pid": metadata.get("pid", 0)})
        elif event != "task.start" and self._scene.is_item(event, metadata):
            self._ended(event, measurements["elapsed"], metadata["index"], metadata.get("error"))

    def _ended(self, event: str, elapsed: float, index: int, error: BaseException | None) -> None:
        attempt = self._tries.pop(index, 0) + 1
        labels = self._labels
        if error is not None:
            labels = {**labels, "error.type": type(error).__name__}
        self._durations.record(elapsed, labels)
        if event == "task.retry":
            self._tries[index] = attempt
            self._retries.add(1, self._labels)
        if error is not None or elapsed > self._slow or random.random() < SHARE:
            self._span(elapsed, index, attempt, error)

    def _span(self, elapsed: float, index: int, attempt: int, error: BaseException | None) -> None:
        """A span of what has ended just now; items are no names of it, because there are many of them."""
        ended = time.time_ns()
        span = self._tracer.start_span(
            self._name,
            self._context,
            self._kind,
            {"atonce.index": index, "atonce.attempt": attempt},
            start_time=ended - int(elapsed * 1e9),
        )
        if self._kind is trace.SpanKind.CLIENT and attempt > 1:
            span.set_attribute("http.request.resend_count", attempt - 1)
        for name, value in self._scene.item(index).items():
            if isinstance(value, int):
                span.set_attribute(f"atonce.item.{name}", value)
        if error is not None:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(trace.StatusCode.ERROR, str(error)[:500])
        span.end(ended)

    def tick(self) -> None:
        """See what is slow by now."""
        times = self._scene.tally.times
        if times.count >= ENOUGH:
            self._slow = times.quantile(SLOW)

    def close(self, why: str) -> None:
        """End the span of the run; the SDK sends what it has when the program ends."""
        tally = self._scene.tally
        counts = {"done": tally.done, "ok": tally.ok, "failed": tally.failed, "retries": tally.retries}
        self._run.set_attributes({f"atonce.{name}": count for name, count in counts.items()})
        self._run.set_attribute("atonce.why", why)
        if why not in ("finished", "succeeded"):
            self._run.set_status(trace.StatusCode.ERROR, why)
        self._run.end()
