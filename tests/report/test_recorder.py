"""The recorder: what ran while its block lasted, with attempts, in bounded memory."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import atonce
from atonce import Recorder, Retry, blocking, spawn, stream, telemetry
from atonce.testing import run_virtual
from tests.report.test_perfetto import check


async def numbers(count: int) -> AsyncIterator[int]:
    for n in range(count):
        yield n


async def flaky(n: int) -> int:
    await asyncio.sleep(1.0)
    if n == 1:
        raise ValueError("</script> no 1")
    return n


def recorded(limit: int = 100) -> Recorder:
    """Three items on two lanes; the one that always fails is tried twice."""

    async def main() -> Recorder:
        with Recorder(limit) as recorder:
            retry = Retry(attempts=2, base_delay=1.0, jitter=None)
            async with stream(range(3), flaky, max_concurrency=2, retry=retry) as outcomes:
                async for _ in outcomes:
                    pass
        return recorder

    return run_virtual(main)


def test_items_attempts_and_failures_are_counted() -> None:
    report = recorded().report()
    assert (report.ok, report.failed, report.retries, report.ended) == (2, 1, 1, 4)
    assert [(one.label, one.count, one.message) for one in report.causes] == [
        ("ValueError", 1, "</script> no 1")
    ]
    assert report.why == "finished"


def test_each_attempt_has_a_slice_and_an_arrow_leads_to_the_next() -> None:
    events = json.loads(recorded().perfetto())["traceEvents"]
    check(events)
    slices = [one for one in events if one["ph"] == "X" and one["args"]["item"] == "flaky[1]"]
    assert [one["args"]["attempt"] for one in slices] == [1, 2]
    assert [one["dur"] for one in slices] == [1_000_000, 1_000_000]
    arrows = {one["ph"]: one for one in events if one["ph"] in "sf"}
    assert slices[0]["ts"] < arrows["s"]["ts"] < slices[0]["ts"] + slices[0]["dur"]
    assert arrows["f"]["ts"] == slices[1]["ts"]
    assert [one["name"] for one in events if one["ph"] == "i"] == ["stream.start", "stream.stop"]


def test_the_ring_keeps_the_newest_and_says_how_many_are_gone() -> None:
    recorder = recorded(limit=2)
    assert recorder.dropped == 2
    assert len(recorder.report().picture) == 2


def test_what_runs_is_shown_as_running() -> None:
    async def main() -> list[str]:
        with Recorder() as recorder:
            task = spawn(asyncio.sleep, 5.0)
            await asyncio.sleep(2.0)
            report = recorder.report()
            await task
        assert list(report.picture.spans) == [2_000_000]
        return [one.state for one in report.slowest]

    assert run_virtual(main) == ["running"]


def test_a_task_that_is_stopped_is_cancelled_and_not_failed() -> None:
    async def main() -> Recorder:
        with Recorder() as recorder:
            task = spawn(asyncio.sleep, 5.0)
            await asyncio.sleep(1.0)
            task.stop()
            await asyncio.sleep(1.0)
        return recorder

    report = run_virtual(main).report()
    assert (report.ok, report.failed, report.cancelled) == (0, 0, 1)


def test_it_records_blocking_code_too() -> None:
    with Recorder() as recorder:
        assert len(list(blocking.stream(range(20), abs, max_concurrency=3))) == 20
    report = recorder.report()
    assert (report.ok, report.failed) == (20, 0)
    check(json.loads(recorder.perfetto())["traceEvents"])


def test_after_its_block_it_hears_nothing() -> None:
    with Recorder() as recorder:
        pass
    list(blocking.stream(range(3), abs))
    assert recorder.report().ended == 0
    assert not any("recorder" in entry[0] for entry in telemetry.handlers)


def test_a_block_that_raises_ends_it_all_the_same() -> None:
    with pytest.raises(KeyError), Recorder():
        raise KeyError("mine")
    assert not any("recorder" in entry[0] for entry in telemetry.handlers)


def test_two_recorders_record_both() -> None:
    with Recorder() as outer, Recorder() as inner:
        list(blocking.stream(range(3), abs))
    assert outer.report().ok == inner.report().ok == 3


def test_one_can_be_used_again_and_begins_anew() -> None:
    recorder = Recorder()
    for count in (2, 5):
        with recorder:
            list(blocking.stream(range(count), abs))
        assert recorder.report().ok == count


def test_before_its_block_it_is_empty() -> None:
    assert Recorder().report().ended == 0
    assert Recorder().html().startswith("<!doctype html>")


def test_it_writes_what_the_name_says(tmp_path: Path) -> None:
    recorder = recorded()
    for name in ("a.html", "a.json", "a.json.gz"):
        recorder.save(tmp_path / name)
    assert (tmp_path / "a.html").read_text("utf-8") == recorder.html()
    assert (tmp_path / "a.json").read_text("ascii") == recorder.perfetto()
    assert gzip.decompress((tmp_path / "a.json.gz").read_bytes()).decode() == recorder.perfetto()
    with pytest.raises(ValueError, match=r"end it in \.html, \.json or \.json\.gz"):
        recorder.save(tmp_path / "a.svg")


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "9", None])
def test_a_limit_that_is_none_is_refused_at_the_call(limit: object) -> None:
    with pytest.raises((TypeError, ValueError), match="limit is a whole number.*limit=4"):
        Recorder(limit)  # type: ignore[arg-type]  # what a type checker would say is said at run time too


def test_it_is_on_the_face_of_the_library() -> None:
    assert atonce.Recorder is Recorder
