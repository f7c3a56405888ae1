"""A failure that nobody looked at is logged, once, with where its task was spawned."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import atonce
from atonce import spawn

pytestmark = pytest.mark.virtual


async def fail() -> None:
    raise ValueError("unseen")


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[logging.LogRecord]]]:
    """What was logged by now, once everything that is not referred to is gone."""

    def look() -> list[logging.LogRecord]:
        gc.collect()
        return [record for record in caplog.records if record.name == "atonce"]

    with caplog.at_level(logging.DEBUG, logger="atonce"):
        yield look


async def test_a_failure_that_nobody_awaits_is_logged_once_with_its_spawn_site(logged: Any) -> None:
    spawn(fail, name="forgotten")
    await asyncio.sleep(1)
    [record] = logged()
    assert record.levelno == logging.ERROR
    message = record.getMessage()
    assert "forgotten" in message
    assert f"{__file__}:" in message
    assert "test_a_failure_that_nobody_awaits" in message
    assert record.exc_info is not None
    assert record.exc_info[1].args == ("unseen",)
    await asyncio.sleep(1)
    assert len(logged()) == 1


async def test_a_failure_is_not_logged_while_somebody_may_still_look(logged: Any) -> None:
    task = spawn(fail)
    await asyncio.sleep(1)
    assert logged() == []
    assert not task.outcome().ok  # type: ignore[union-attr]  # it has ended
    del task
    assert logged() == []


@pytest.mark.parametrize(
    "look",
    [
        lambda task: atonce.capture(task),  # noqa: PLW0108  # a coroutine function, not a call
        lambda task: atonce.poll(task),  # noqa: PLW0108  # as above
        lambda task: atonce.poll_many([task]),
        lambda task: atonce.shutdown(task),  # noqa: PLW0108  # as above
        lambda task: atonce.capture(atonce.await_many([task])),
        lambda task: atonce.capture(atonce.await_one(task)),
    ],
    ids=["await", "poll", "poll_many", "shutdown", "await_many", "await_one"],
)
async def test_looking_at_it_in_any_way_is_enough(logged: Any, look: Callable[[Any], Any]) -> None:
    task = spawn(fail)
    await asyncio.sleep(1)
    await look(task)
    del task
    assert logged() == []


async def test_an_ignored_failure_is_not_logged(logged: Any) -> None:
    atonce.ignore(spawn(fail))
    await asyncio.sleep(1)
    assert logged() == []


async def test_a_failure_that_a_scope_raises_is_not_logged_again(logged: Any) -> None:
    with pytest.raises(ValueError, match="unseen"):
        async with atonce.scope():
            spawn(fail)
            await asyncio.sleep(1)
    assert logged() == []


async def test_a_stopped_task_is_no_failure_to_be_logged(logged: Any) -> None:
    spawn(asyncio.sleep, 100).stop()
    await asyncio.sleep(1)
    assert logged() == []


async def test_failing_items_of_a_stream_are_not_logged_since_they_are_delivered(logged: Any) -> None:
    async def work(n: int) -> None:
        raise ValueError("unseen")

    async for _ in atonce.stream(range(3), work):
        pass
    assert logged() == []


async def test_losers_of_a_race_are_not_logged(logged: Any) -> None:
    assert await atonce.race([fail, lambda: asyncio.sleep(1, "won")], on="loop") == "won"
    assert logged() == []


async def test_a_done_callback_that_raises_is_logged_and_harms_nobody(logged: Any) -> None:
    called: list[str] = []

    def broken(task: Any) -> None:
        raise LookupError("broken callback")

    task = spawn(asyncio.sleep, 1, "value")
    task.add_done_callback(broken)
    task.add_done_callback(lambda ended: called.append("second"))
    assert await task == "value"
    assert called == ["second"]
    [record] = logged()
    assert "callback" in record.getMessage()
