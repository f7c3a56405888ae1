"""Events of tasks, and who hears them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

import atonce
from atonce import spawn, telemetry

pytestmark = pytest.mark.virtual


@pytest.fixture
def events() -> Iterator[list[tuple[str, Mapping[str, Any], Mapping[str, Any]]]]:
    seen: list[tuple[str, Mapping[str, Any], Mapping[str, Any]]] = []
    telemetry.attach("test", "task.*", lambda *event: seen.append(event))
    yield seen
    telemetry.detach("test")


async def fail() -> None:
    raise ValueError


async def test_a_task_tells_its_start_and_its_end_with_how_long_it_took(events: list[Any]) -> None:
    task = spawn(asyncio.sleep, 5, name="sleeper")
    await task
    assert [event for event, _, _ in events] == ["task.start", "task.stop"]
    assert events[1][1]["elapsed"] == 5.0
    assert {metadata["name"] for _, _, metadata in events} == {"sleeper"}
    assert {metadata["id"] for _, _, metadata in events} == {task.id}


async def test_a_failure_tells_its_error(events: list[Any]) -> None:
    await atonce.capture(spawn(fail))
    assert [event for event, _, _ in events] == ["task.start", "task.exception"]
    assert isinstance(events[1][2]["error"], ValueError)


async def test_each_further_attempt_is_told_with_its_pause(events: list[Any]) -> None:
    await atonce.capture(atonce.retry_with_backoff(fail, attempts=3, base_delay=2.0, jitter=None))
    retries = [
        (measured["delay"], metadata["attempt"])
        for event, measured, metadata in events
        if event == "task.retry"
    ]
    assert retries == [(2.0, 1), (4.0, 2)]


async def test_a_task_that_was_spawned_before_anyone_listened_tells_its_end() -> None:
    seen: list[str] = []
    task = spawn(asyncio.sleep, 5)
    telemetry.attach("late", "*", lambda event, *_: seen.append(event))
    await task
    telemetry.detach("late")
    assert seen == ["task.stop"]


def test_a_name_is_attached_once() -> None:
    telemetry.attach("twice", "*", print)
    try:
        with pytest.raises(ValueError, match="twice"):
            telemetry.attach("twice", "*", print)
    finally:
        assert telemetry.detach("twice")
    assert not telemetry.detach("twice")


def test_a_listener_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="handler"):
        telemetry.attach("none", "*", None)  # type: ignore[arg-type]  # that is what is tested


@pytest.mark.parametrize(
    ("wanted", "heard"),
    [
        ("*", True),
        ("task.*", True),
        ("task.start", True),
        (["stream.*", "task.start"], True),
        ("task", False),
        ("task.star", False),
        ("stream.*", False),
        ([], False),
    ],
)
def test_events_are_wanted_by_name_or_by_their_beginning(wanted: Any, heard: bool) -> None:
    seen: list[str] = []
    telemetry.attach("wanting", wanted, lambda event, *_: seen.append(event))
    telemetry.emit("task.start", {}, {})
    telemetry.detach("wanting")
    assert bool(seen) == heard


async def test_a_listener_that_raises_is_detached_and_logged_and_the_others_hear_on(
    events: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*event: Any) -> None:
        raise RuntimeError("broken listener")

    telemetry.attach("broken", "*", broken)
    with caplog.at_level(logging.ERROR, logger="atonce.telemetry"):
        await spawn(asyncio.sleep, 1)
    assert len(caplog.records) == 1
    assert "broken" in caplog.records[0].getMessage()
    assert len(events) == 2


async def test_a_listener_may_detach_itself(events: list[Any]) -> None:
    def once(*event: Any) -> None:
        telemetry.detach("once")

    telemetry.attach("once", "*", once)
    await spawn(asyncio.sleep, 1)
    assert len(events) == 2
    assert not telemetry.detach("once")
