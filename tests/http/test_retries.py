"""What is tried again, how often, when, and what is told in the end."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce._model.errors import FetchError, HttpStatusError
from atonce._model.options import Retry
from atonce.http.fetch import fetch
from atonce.http.retries import LONGEST, retry_after
from tests.http.server import Exchange, Handler, closed_port, serving, silence, text

AT_ONCE = Retry(attempts=3, base_delay=0.0, max_delay=0.001)


def at_last(*before: Handler, then: Handler | None = None) -> Handler:
    """A route that answers differently each time."""
    turns = [*before, then or text("at last")]
    number = iter(range(100))

    async def handler(exchange: Exchange) -> None:
        await turns[min(next(number), len(turns) - 1)](exchange)

    return handler


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_a_passing_status_is_tried_again(status: int) -> None:
    async with serving(at_last(text("", status), text("", status))) as server:
        response = await fetch(server.url(), retry=AT_ONCE)
        assert (response.text(), response.attempts) == ("at last", 3)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 501, 505])
async def test_a_lasting_status_is_not(status: int) -> None:
    async with serving(text("no", status)) as server:
        with pytest.raises(HttpStatusError) as caught:
            await fetch(server.url(), retry=AT_ONCE)
        assert len(server.asked) == 1
        assert (caught.value.status, caught.value.response.text()) == (status, "no")


async def test_the_last_failure_is_raised_with_the_attempts_as_notes() -> None:
    async with serving(at_last(text("", 500), text("", 502), then=text("", 503))) as server:
        with pytest.raises(HttpStatusError, match="503 Service Unavailable") as caught:
            await fetch(server.url(), retry=AT_ONCE)
        assert len(server.asked) == 3
        assert any(
            "3 attempts" in note and "500" in note and "502" in note for note in caught.value.__notes__
        )


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
async def test_idempotent_methods_are_tried_again(method: str) -> None:
    async with serving(at_last(text("", 503))) as server:
        assert (await fetch(server.url(), method=method, retry=AT_ONCE)).attempts == 2


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_other_methods_are_not(method: str) -> None:
    async with serving(text("", 503)) as server:
        with pytest.raises(HttpStatusError):
            await fetch(server.url(), method=method, retry=AT_ONCE)
        assert len(server.asked) == 1


async def test_a_retry_on_of_ones_own_is_the_whole_rule() -> None:
    def is_missing(error: BaseException) -> bool:
        return isinstance(error, HttpStatusError) and error.status == 404

    own = Retry(attempts=3, base_delay=0.0, retry_on=is_missing)
    async with serving({"/404": text("", 404), "/503": text("", 503)}) as server:
        for path, times in (("/404", 3), ("/503", 1)):
            server.asked.clear()
            with pytest.raises(HttpStatusError):
                await fetch(server.url(path), method="POST", retry=own)
            assert len(server.asked) == times


async def test_a_connection_that_is_refused_or_broken_is_tried_again() -> None:
    with pytest.raises(FetchError) as caught:
        await fetch(f"http://127.0.0.1:{closed_port()}/", retry=AT_ONCE)
    assert any("3 attempts" in note for note in caught.value.__notes__)

    async def breaks(exchange: Exchange) -> None:
        exchange.reset()

    async with serving(at_last(breaks)) as server:
        assert (await fetch(server.url(), retry=AT_ONCE)).text() == "at last"


async def test_each_attempt_has_the_whole_timeout() -> None:
    async with serving(at_last(silence, silence)) as server:
        response = await fetch(server.url(), timeout=0.1, retry=AT_ONCE)
        assert response.attempts == 3
        assert response.elapsed < 0.1


async def test_what_never_was_http_is_not_tried_again() -> None:
    async def garbage(exchange: Exchange) -> None:
        await exchange.send(b"garbage\r\n\r\n")

    async with serving(garbage) as server:
        with pytest.raises(FetchError):
            await fetch(server.url(), retry=AT_ONCE)
        assert len(server.asked) == 1


async def test_a_count_stands_for_a_retry_and_none_for_one_attempt() -> None:
    async with serving(text("", 500)) as server:
        for retry, times in ((None, 1), (1, 1)):
            server.asked.clear()
            with pytest.raises(HttpStatusError):
                await fetch(server.url(), retry=retry)
            assert len(server.asked) == times


# -- Retry-After --------------------------------------------------------------------------------------------------


async def test_retry_after_is_waited_for_even_where_the_usual_pause_is_none() -> None:
    async with serving(at_last(text("", 429, {"Retry-After": "0.2"}))) as server:
        began = time.monotonic()
        assert (await fetch(server.url(), retry=AT_ONCE)).attempts == 2
        assert 0.2 <= time.monotonic() - began < 1.0


async def test_a_retry_after_that_does_not_fit_into_the_deadline_ends_it_at_once() -> None:
    async with serving(text("busy", 503, {"Retry-After": "3600"})) as server:
        began = time.monotonic()
        with pytest.raises(HttpStatusError, match="503"):
            await fetch(server.url(), retry=AT_ONCE, deadline=5.0)
        assert time.monotonic() - began < 1.0
        assert len(server.asked) == 1


WALL = 1_800_000_000.0
TEN_YEARS = 10 * 365 * 86_400
SAID = {
    "5": 5.0,
    " 5 ": 5.0,
    "2.5": 2.5,
    "60": 60.0,
    "61": LONGEST,
    str(TEN_YEARS): LONGEST,
    "9" * 20: LONGEST,
    "9" * 60: None,
    "0": None,
    "-5": None,
    "+5": None,
    "NaN": None,
    "inf": None,
    "1e9": None,
    "": None,
    "soon": None,
    "٥": None,
    "x" * 100_000: None,
    formatdate(WALL + 7, usegmt=True): 7.0,
    formatdate(WALL + TEN_YEARS, usegmt=True): LONGEST,
    formatdate(WALL - 7, usegmt=True): None,
    "Wed, 21 Oct 99999 07:28:00 GMT": None,
    "Sunday, 06-Nov-94 08:49:37 GMT": None,
}


@pytest.mark.parametrize(("value", "seconds"), SAID.items(), ids=range(len(SAID)))
def test_retry_after_in_seconds_or_as_a_date_is_clamped(value: str, seconds: float | None) -> None:
    assert retry_after(value, WALL) == seconds


def test_without_the_header_there_is_no_such_pause() -> None:
    assert retry_after(None, WALL) is None


@given(st.text(), st.floats(0, 4e9))
def test_whatever_a_server_says_the_pause_is_bounded(value: str, wall: float) -> None:
    seconds = retry_after(value, wall)
    assert seconds is None or 0.0 < seconds <= LONGEST


# -- deadline -----------------------------------------------------------------------------------------------------


async def test_the_deadline_cuts_a_running_attempt() -> None:
    async with serving(silence) as server:
        began = time.monotonic()
        with pytest.raises(FetchError) as caught:
            await fetch(server.url(), deadline=0.15, retry=AT_ONCE)
        assert caught.value.kind == "timeout"
        assert 0.1 < time.monotonic() - began < 1.0
        assert len(server.asked) == 1


async def test_the_deadline_is_over_all_attempts() -> None:
    async with serving(silence) as server:
        began = time.monotonic()
        with pytest.raises(FetchError):
            await fetch(server.url(), timeout=0.1, deadline=0.25, retry=Retry(attempts=50, base_delay=0.0))
        assert time.monotonic() - began < 1.0
        assert len(server.asked) == 3


async def test_a_retry_may_bring_the_deadline_and_the_shorter_one_holds() -> None:
    async with serving(silence) as server:
        for deadlines in ((0.1, 9.0), (9.0, 0.1), (0.1, None)):
            began = time.monotonic()
            with pytest.raises(FetchError):
                await fetch(
                    server.url(), deadline=deadlines[1], retry=Retry(base_delay=0.0, deadline=deadlines[0])
                )
            assert time.monotonic() - began < 1.0


async def test_a_pause_that_does_not_fit_into_the_deadline_is_not_begun() -> None:
    async with serving(text("", 500)) as server:
        began = time.monotonic()
        with pytest.raises(HttpStatusError):
            await fetch(server.url(), deadline=1.0, retry=Retry(base_delay=30.0, max_delay=30.0, jitter=None))
        assert time.monotonic() - began < 0.5


async def test_a_pause_can_be_cancelled() -> None:
    async with serving(text("", 500)) as server:
        task = asyncio.create_task(
            fetch(server.url(), retry=Retry(base_delay=30.0, max_delay=30.0, jitter=None))
        )
        while not server.asked:
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
