"""One timer ends all requests that are due, and a cancel by somebody else always goes first."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from atonce._model.errors import FetchError
from atonce.http.client import Answer
from atonce.http.fetcher import Fetcher, Job
from atonce.http.gate import Gate
from atonce.http.request import Hop, Request
from atonce.http.response import Headers
from atonce.http.watch import Watch


class Client:
    """Answers after some time; a deaf one swallows every cancel."""

    limits = (None, None)

    def __init__(self, seconds: float, *, deaf: bool = False) -> None:
        self.seconds = seconds
        self.deaf = deaf

    async def send(self, hop: Hop, seconds: float | None) -> Answer:
        assert seconds is None
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            if not self.deaf:
                raise
        return Answer(200, Headers(), b"")


def fetcher(client: Any, timeout: float = 1.0) -> tuple[Fetcher, Watch]:
    watch = Watch(timeout, time.monotonic)
    return Fetcher(Request.of(timeout=timeout), client, Gate(None, None), watch), watch


@pytest.mark.parametrize("deaf", [False, True])
async def test_a_late_request_is_a_timeout_and_its_cancel_is_taken_back(deaf: bool) -> None:
    fetching, watch = fetcher(Client(5.0, deaf=deaf), timeout=0.03)
    with pytest.raises(FetchError) as caught:
        await fetching.attempt(Job("http://a.example/"))
    assert caught.value.kind == "timeout"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    watch.close()


async def test_each_of_many_is_ended_when_its_own_time_is_up() -> None:
    fetching, watch = fetcher(Client(5.0), timeout=0.05)
    lived: list[float] = []

    async def one(delay: float) -> None:
        await asyncio.sleep(delay)
        began = time.monotonic()
        with pytest.raises(FetchError):
            await fetching.attempt(Job("http://a.example/"))
        lived.append(time.monotonic() - began)

    await asyncio.gather(*(one(0.01 * number) for number in range(8)))
    assert all(0.049 <= seconds < 0.2 for seconds in lived)
    watch.close()


async def test_who_is_in_time_is_left_alone() -> None:
    fetching, watch = fetcher(Client(0.0), timeout=0.02)
    for _ in range(3):
        assert (await fetching.attempt(Job("http://a.example/"))).status == 200
    await asyncio.sleep(0.03)
    assert (await fetching.attempt(Job("http://a.example/"))).status == 200
    watch.close()


async def test_a_cancel_in_the_same_tick_as_the_timeout_stays_a_cancel() -> None:
    fetching, watch = fetcher(Client(5.0), timeout=1.0)
    task = asyncio.create_task(fetching.attempt(Job("http://a.example/")))
    await asyncio.sleep(0)
    watch.timeout = 0.0
    watch._ring()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    watch.close()
