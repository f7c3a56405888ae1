"""What telemetry tells of a stream, and that nobody who listens badly can harm it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from atonce import Retry, stream, telemetry
from atonce.testing import FakeBackend

pytestmark = pytest.mark.virtual
Event = tuple[str, Mapping[str, Any], Mapping[str, Any]]


@pytest.fixture
def events() -> Iterator[list[Event]]:
    seen: list[Event] = []
    telemetry.attach("test", "*", lambda *event: seen.append(event))
    yield seen
    telemetry.detach("test")


async def fail_at_one(n: int) -> int:
    await asyncio.sleep(n)
    if n == 1:
        raise ValueError(n)
    return n


async def run(**options: Any) -> None:
    async for _ in stream(range(3), fail_at_one, name="numbers", **options):
        pass


@pytest.mark.parametrize("on", [None, FakeBackend()], ids=["loop", "fake"])
async def test_a_stream_and_each_item_of_it_tell_their_start_and_their_end(
    events: list[Event], on: Any
) -> None:
    await run(on=on)
    told = [
        (event, metadata.get("index")) for event, _, metadata in events if metadata.get("name") == "numbers"
    ]
    assert told[0] == ("stream.start", None)
    assert told[-1] == ("stream.stop", -1)
    ends = {0: "task.stop", 1: "task.exception", 2: "task.stop"}
    assert sorted(told[1:-1]) == sorted(
        [*(("task.start", n) for n in ends), *((end, n) for n, end in ends.items())]
    )
    assert all(told.index(("task.start", n)) < told.index((end, n)) for n, end in ends.items())
    [(measured, metadata)] = [
        (measured, metadata) for event, measured, metadata in events if event == "task.exception"
    ]
    assert isinstance(metadata["error"], ValueError)
    assert measured["elapsed"] == 1.0


async def test_the_end_of_a_stream_tells_what_was_delivered_and_what_failed(events: list[Event]) -> None:
    await run()
    [(_, measured, _)] = [event for event in events if event[0] == "stream.stop"]
    assert (measured["delivered"], measured["failed"]) == (3, 1)


async def test_each_further_attempt_is_told(events: list[Event]) -> None:
    await run(retry=Retry(3, base_delay=0.0))
    assert [metadata["index"] for event, _, metadata in events if event == "task.retry"] == [1, 1]


async def test_leaving_early_tells_the_end_once(events: list[Event]) -> None:
    async with stream(range(3), fail_at_one) as results:
        async for _ in results:
            break
    assert [event for event, _, _ in events].count("stream.stop") == 1


async def test_nobody_is_told_what_he_did_not_ask_for() -> None:
    seen: list[str] = []
    telemetry.attach("test", ["stream.start", "task.ex*"], lambda event, *_: seen.append(event))
    await run()
    telemetry.detach("test")
    assert sorted(seen) == ["stream.start", "task.exception"]


async def test_a_listener_that_raises_is_detached_and_logged_once_and_harms_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*event: Any) -> None:
        raise RuntimeError("broken listener")

    telemetry.attach("broken", "*", broken)
    with caplog.at_level(logging.ERROR, logger="atonce.telemetry"):
        got = [outcome.ok async for outcome in stream(range(3), fail_at_one)]
    assert got == [True, False, True]
    assert len(caplog.records) == 1
    assert not telemetry.detach("broken")
