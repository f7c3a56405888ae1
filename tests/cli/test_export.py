"""What a run tells other programs: a log of events, metrics for Prometheus, spans for OpenTelemetry."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from atonce.cli.export.metrics import BOUNDS, exposition
from atonce.cli.tally import Failure, Tally
from tests.cli.command import Run, environment, items

VERBS = {
    "map": ["map", "-e", "12 // int(x)"],
    "thread": ["map", "--executor", "thread", "-e", "12 // int(x)"],
    "run": ["run", "test {} -gt 0"],
}
NAMES = ["0", "1", "2", "3"]


def lines(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (
            one.name,
            tuple(sorted((name, value) for name, value in one.labels.items() if name != "cmd")),
        ): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


# -- the log --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["thread", "run"])
def test_a_log_has_the_beginning_and_the_end_of_each_attempt(run: Run, verb: str) -> None:
    more = ["--retries", "1", "--retry-delay", "1ms", "--log", "events.log", "-o", "out.jsonl"]
    first, *rest = VERBS[verb]
    assert run(first, *more, *rest, ":::", *NAMES).code == 1
    found = lines("events.log")
    assert (found[0]["event"], found[0]["cmd"], found[-1]["event"]) == ("run.start", first, "run.stop")
    assert {name: found[-1][name] for name in ("why", "done", "ok", "failed", "retries")} == {
        "why": "finished",
        "done": 4,
        "ok": 3,
        "failed": 1,
        "retries": 1,
    }
    times = [row["t"] for row in found]
    assert times == sorted(times)
    of_tasks = [(row["event"], row["i"]) for row in found if row["event"].startswith("task.")]
    bad = ["task.start", "task.retry", "task.exception"]
    for i in range(4):
        assert [event for event, at in of_tasks if at == i] == (["task.start", "task.stop"] if i else bad)
    (failed,) = (row for row in found if row["event"] == "task.exception")
    assert failed["try"] == 2
    assert failed["err"]["type"] in ("ZeroDivisionError", "CommandFailed")
    assert failed["in"] in ("0", ["0"])


def test_a_log_of_batches_names_the_rows_that_fail(run: Run) -> None:
    more = ["--retries", "1", "--retry-delay", "1ms", "--log", "events.log", "-o", "out.jsonl"]
    assert run(*VERBS["map"], *more, ":::", *NAMES).code == 1
    found = lines("events.log")
    of_rows = [row for row in found if row["event"].startswith("row.")]
    assert [(row["event"], row["in"], row["try"]) for row in of_rows] == [
        ("row.retry", "0", 1),
        ("row.exception", "0", 2),
    ]
    (failed,) = (row for row in items(Path("out.jsonl")) if not row["ok"])
    assert of_rows[1]["err"] == failed["err"]
    assert sum(row["rows"] for row in found if row["event"] == "task.stop") >= 4
    assert any(row["event"] == "worker.start" for row in found)


def test_a_log_is_appended_to_and_has_no_passwords(run: Run, site: str) -> None:
    url = f"{site}/status/404".replace("//", "//ann:secret@")
    for _ in range(2):
        assert run("fetch", url, "--log", "events.log", "--retries", "0").code == 1
    found = lines("events.log")
    assert [row["event"] for row in found].count("run.stop") == 2
    assert "secret" not in Path("events.log").read_text()
    assert [row["err"]["type"] for row in found if row["event"] == "task.exception"] == [
        "HttpStatusError"
    ] * 2


def test_what_cannot_be_written_is_said_before_anything_runs(run: Run) -> None:
    for option in ("--log", "--metrics"):
        for path, said in (("none/there", "No such file"), (".", "it is a folder"), ("-", "give it a name")):
            ran = run("run", option, path, "touch {}", ":::", "touched")
            assert (ran.code, said in ran.err) == (2 if path == "-" else 74, True), ran.err
            assert not Path("touched").exists()
    assert run("map", "-e", "x", "--log", "/dev/full", ":::", "a").code == 74
    ran = run("map", "-e", "x", "--log", "a.log", "--metrics", "a.log", ":::", "a")
    assert (ran.code, "both name a.log" in ran.err, Path("a.log").exists()) == (2, True, False)


# -- metrics --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
def test_metrics_have_what_the_run_came_to(run: Run, verb: str) -> None:
    more = ["--retries", "1", "--retry-delay", "1ms", "--metrics", "run.prom"]
    first, *rest = VERBS[verb]
    assert run(first, *more, *rest, ":::", *NAMES).code == 1
    found = samples(Path("run.prom").read_text())
    assert found["atonce_tasks_total", (("outcome", "ok"),)] == 3
    assert found["atonce_tasks_total", (("outcome", "failed"),)] == 1
    kind = "exit" if verb == "run" else "exception"
    assert found["atonce_task_failures_total", (("kind", kind),)] == 1
    assert found["atonce_task_retries_total", ()] == 1
    assert found["atonce_task_expected", ()] == 4
    assert found["atonce_task_active", ()] == 0
    assert found["atonce_task_duration_seconds_count", ()] == 3
    assert found["atonce_run_ended", (("why", "finished"),)] == 1
    assert sorted(path.name for path in Path().iterdir() if "prom" in path.name) == ["run.prom"]


def test_metrics_are_there_while_the_run_goes_on(run: Run) -> None:
    ran = run("run", "--metrics", "run.prom", "cp run.prom {}", ":::", "seen")
    assert ran.code == 0
    during, after = (samples(Path(name).read_text()) for name in ("seen", "run.prom"))
    assert during["atonce_tasks_total", (("outcome", "ok"),)] == 0
    assert not any(name == "atonce_run_ended" for name, _ in during)
    assert after["atonce_tasks_total", (("outcome", "ok"),)] == 1


@given(st.lists(st.floats(1e-6, 1e3)), st.integers(0, 9), st.text(max_size=9))
def test_a_histogram_is_that_of_the_times_to_one_percent(spans: list[float], busy: int, why: str) -> None:
    tally = Tally()
    for span in spans:
        tally.well("x", span, 1)
    tally.badly("y", Failure("timeout", "TaskTimeout", "m", "l"), 3)
    found = samples(exposition("map", tally, busy, 1.0, 2.0, why))
    assert found["atonce_run_ended", (("why", why),)] == 1
    assert found["atonce_task_active", ()] == busy
    assert found["atonce_task_retries_total", ()] == 2
    assert math.isclose(
        found["atonce_task_duration_seconds_sum", ()], sum(spans), rel_tol=0.006, abs_tol=1e-6
    )
    counts = [found["atonce_task_duration_seconds_bucket", (("le", f"{bound:g}"),)] for bound in BOUNDS]
    assert counts == sorted(counts)
    for bound, count in zip(BOUNDS, counts, strict=True):
        assert (
            sum(span < bound * 0.99 for span in spans) <= count <= sum(span < bound * 1.01 for span in spans)
        )
    assert found["atonce_task_duration_seconds_bucket", (("le", "+Inf"),)] == len(spans)


# -- spans ----------------------------------------------------------------------------------------------------------

WITH_AN_SDK = """
import json, sys
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from atonce.cli.export import spans
from atonce.cli.main import main

provider, exporter, reader = TracerProvider(), InMemorySpanExporter(), InMemoryMetricReader()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
metrics.set_meter_provider(MeterProvider([reader]))
spans.SHARE = float(sys.argv[1])
code = main(sys.argv[2:])
found = [json.loads(span.to_json(indent=None)) for span in exporter.get_finished_spans()]
points = [
    (metric.name, dict(point.attributes), getattr(point, "count", None) or getattr(point, "value", None))
    for resource in reader.get_metrics_data().resource_metrics
    for scope in resource.scope_metrics
    for metric in scope.metrics
    for point in metric.data.data_points
]
print(json.dumps({"code": code, "spans": found, "points": points}))
"""


def with_an_sdk(share: float, *args: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", WITH_AN_SDK, str(share), *args],
        capture_output=True,
        env=environment(),
        check=True,
        stdin=subprocess.DEVNULL,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("verb", ["thread", "run"])
def test_a_run_is_a_span_and_each_failed_attempt_one_below_it(tmp_path: Path, verb: str) -> None:
    first, *rest = VERBS[verb]
    more = ["--otel", "--retries", "1", "--retry-delay", "1ms", "-o", str(tmp_path / "out.jsonl")]
    found = with_an_sdk(0.0, first, *more, *rest, ":::", *NAMES)
    *attempts, whole = found["spans"]
    assert (found["code"], whole["name"], whole["parent_id"]) == (1, f"atonce {first}", None)
    assert {name: whole["attributes"][f"atonce.{name}"] for name in ("done", "ok", "failed", "why")} == {
        "done": 4,
        "ok": 3,
        "failed": 1,
        "why": "finished",
    }
    assert [span["attributes"]["atonce.attempt"] for span in attempts] == [1, 2]
    for span in attempts:
        assert span["parent_id"] == whole["context"]["span_id"]
        assert span["attributes"]["atonce.item.i"] == 0
        assert span["status"]["status_code"] == "ERROR"
        assert whole["start_time"] <= span["start_time"] <= span["end_time"] <= whole["end_time"]
    kind = attempts[0]["attributes"]["error.type"]
    assert ["atonce.task.duration", {"atonce.cmd": first}, 3] in found["points"]
    assert ["atonce.task.duration", {"atonce.cmd": first, "error.type": kind}, 2] in found["points"]
    assert ["atonce.task.retries", {"atonce.cmd": first}, 1] in found["points"]


def test_of_attempts_that_end_well_a_share_has_spans() -> None:
    assert len(with_an_sdk(1.0, *VERBS["thread"], "--otel", ":::", "1", "2")["spans"]) == 3
    assert len(with_an_sdk(0.0, *VERBS["thread"], "--otel", ":::", "1", "2")["spans"]) == 1


def test_without_an_sdk_spans_are_refused_and_it_is_said_how_to_have_one(run: Run) -> None:
    ran = run("run", "--otel", "touch {}", ":::", "touched")
    assert (ran.code, "opentelemetry-instrument" in ran.err, Path("touched").exists()) == (2, True, False)
