"""Many URLs: an outcome for each, bounded in all and for each host, and one bad one harms no other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from atonce._model.errors import FetchError, HttpStatusError
from atonce._model.options import Rate, Retry
from atonce._model.outcome import Failed, Ok
from atonce.http.many import fetch_stream, parallel_fetch
from tests.http.server import Exchange, Handler, closed_port, echo, redirect, serving, silence, text

AT_ONCE = Retry(attempts=3, base_delay=0.0)


def after(seconds: float, body: str = "late") -> Handler:
    async def handler(exchange: Exchange) -> None:
        await asyncio.sleep(seconds)
        await exchange.answer(body)

    return handler


def backwards(count: int) -> Handler:
    """Answer each number after the next one: the last is the first to be answered."""
    answered = [asyncio.Event() for _ in range(count + 1)]
    answered[count].set()

    async def handler(exchange: Exchange) -> None:
        number = int(exchange.path.rpartition("/")[2])
        await answered[number + 1].wait()
        await exchange.answer(str(number))
        answered[number].set()

    return handler


async def test_outcomes_come_in_the_order_of_the_urls() -> None:
    async with serving(backwards(20)) as server:
        urls = [server.url(f"/{number}") for number in range(20)]
        outcomes = await parallel_fetch(urls, per_host=20)
        assert [outcome.unwrap().text() for outcome in outcomes] == [str(number) for number in range(20)]
        assert [outcome.index for outcome in outcomes] == list(range(20))
        assert [outcome.input for outcome in outcomes] == urls
        assert all(outcome.attempts == 1 and outcome.elapsed > 0.0 for outcome in outcomes)


async def test_a_stream_gives_them_in_order_or_as_they_come() -> None:
    for ordered, comes in ((True, list(range(20))), (False, list(range(19, -1, -1)))):
        async with serving(backwards(20)) as server:
            urls = [server.url(f"/{number}") for number in range(20)]
            numbers = [one.index async for one in fetch_stream(urls, per_host=20, ordered=ordered)]
            assert numbers == comes


async def test_each_failure_is_its_own_outcome() -> None:
    routes = {"/ok": text("ok"), "/404": text("no", 404), "/slow": silence, "/loop": redirect("/loop")}
    async with serving(routes) as server:
        dead = f"http://127.0.0.1:{closed_port()}/"
        urls = [*(server.url(path) for path in routes), dead, "ftp://x/", ""]
        outcomes = await parallel_fetch(urls, timeout=0.2, retry=1)
        kinds = [
            outcome.value.status if outcome.ok else getattr(outcome.error, "kind", "") for outcome in outcomes
        ]
        assert kinds == [200, "status", "timeout", "redirect", "connect", "refused", "refused"]
        assert isinstance(outcomes[1], Failed)
        assert isinstance(outcomes[1].error, HttpStatusError)
        assert outcomes[1].error.response.text() == "no"


async def test_values_raise_the_first_failure_and_succeeded_leaves_it_out() -> None:
    async with serving({"/ok": text("ok"), "/404": text("", 404), "/slow": silence}) as server:
        urls = [server.url("/slow"), server.url("/404"), server.url("/ok")]
        began = time.monotonic()
        with pytest.raises(HttpStatusError):
            await anext(aiter(fetch_stream(urls).values()))
        assert time.monotonic() - began < 2.0
        good = [outcome.value.text() async for outcome in fetch_stream(urls[1:]).succeeded()]
        assert good == ["ok"]


async def test_no_urls_give_no_outcomes() -> None:
    assert await parallel_fetch([]) == []
    assert [outcome async for outcome in fetch_stream(())] == []


async def test_urls_may_come_from_any_iterable() -> None:
    async with serving(echo) as server:

        def generated() -> Iterator[str]:
            yield from (server.url(f"/{number}") for number in range(5))

        async def awaited() -> AsyncIterator[str]:
            for number in range(5):
                yield server.url(f"/{number}")

        for urls in (generated(), awaited(), tuple(generated()), dict.fromkeys(generated())):
            assert [outcome.ok for outcome in await parallel_fetch(urls)] == [True] * 5


async def test_the_input_is_pulled_no_further_than_any_stream_pulls() -> None:
    pulled = 0

    async with serving(echo) as server:

        async def endless() -> AsyncIterator[str]:
            nonlocal pulled
            while True:
                pulled += 1
                yield server.url(f"/{pulled}")

        async with fetch_stream(endless(), max_concurrency=4, per_host=2) as stream:
            async for outcome in stream:
                assert outcome.ok
                await asyncio.sleep(0.01)
                assert pulled <= (outcome.index or 0) + 1 + 4 + 16 + 1
                if outcome.index == 20:
                    break


# -- bounds -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "per_host", "peak"), [(50, 6, 6), (4, 50, 4), (50, None, 50), (1, 6, 1)])
async def test_the_server_never_sees_more_at_once_than_the_bounds_and_it_sees_them(
    width: int, per_host: int | None, peak: int
) -> None:
    full = asyncio.Event()

    async def hold(exchange: Exchange) -> None:
        if server.running >= peak:
            full.set()
        await full.wait()
        await asyncio.sleep(0.005)  # time for one too many
        await exchange.answer("ok")

    async with serving(hold) as server:
        urls = [server.url()] * (peak + 7)
        outcomes = await parallel_fetch(urls, max_concurrency=width, per_host=per_host)
        assert all(outcome.ok for outcome in outcomes)
        assert (server.peak, server.running) == (peak, 0)
        assert server.connections <= peak


async def test_each_host_and_port_has_its_own_bound() -> None:
    async with serving(after(0.02)) as one, serving(after(0.02)) as other:
        urls = [server.url() for server in (one, other) for _ in range(12)]
        assert all(outcome.ok for outcome in await parallel_fetch(urls, per_host=3))
        assert (one.peak, other.peak) == (3, 3)


async def test_a_busy_host_at_the_head_does_not_idle_the_others() -> None:
    async with serving(after(0.06)) as slow, serving(text("quick")) as quick:
        urls = [slow.url()] * 6 + [quick.url()] * 20
        times: dict[int, float] = {}
        began = time.monotonic()
        async for outcome in fetch_stream(urls, max_concurrency=6, per_host=1, ordered=False):
            times[outcome.index or 0] = time.monotonic() - began
        assert max(times[index] for index in range(6, 26)) < times[4] < times[5]


async def test_a_redirect_counts_where_it_leads() -> None:
    async with serving(after(0.02)) as target, serving({}) as start:

        async def slowly(exchange: Exchange) -> None:
            await asyncio.sleep(0.01)
            await redirect(target.url())(exchange)

        start.routes["*"] = slowly
        urls = [start.url(f"/{number}") for number in range(10)]
        assert all(outcome.ok for outcome in await parallel_fetch(urls, per_host=2))
        assert (start.peak, target.peak) == (2, 2)


async def test_two_hosts_that_redirect_to_each_other_do_not_lock_up() -> None:
    async with serving({}) as one, serving({}) as other:
        for here, there in ((one, other), (other, one)):
            here.routes.update({"/start": redirect(there.url("/end")), "/end": text("end")})
        urls = [server.url("/start") for _ in range(10) for server in (one, other)]
        outcomes = await asyncio.wait_for(parallel_fetch(urls, per_host=1), 5)
        assert [outcome.unwrap().text() for outcome in outcomes] == ["end"] * 20


async def test_waiting_for_a_place_counts_neither_against_timeout_nor_deadline() -> None:
    async with serving(after(0.06)) as server:
        outcomes = await parallel_fetch([server.url()] * 6, per_host=1, timeout=0.2, deadline=0.25, retry=1)
        assert all(outcome.ok for outcome in outcomes)


async def test_each_request_has_its_timeout_by_itself() -> None:
    async with serving({"/slow": silence, "/ok": after(0.03)}) as server:
        urls = [server.url(path) for path in ("/slow", "/ok", "/ok", "/slow", "/ok", "/ok")]
        began = time.monotonic()
        outcomes = await parallel_fetch(urls, per_host=2, timeout=0.15, retry=1)
        assert [outcome.ok for outcome in outcomes] == [False, True, True, False, True, True]
        assert 0.15 <= time.monotonic() - began < 0.6
        errors = [outcome.error for outcome in outcomes if not outcome.ok]
        assert all(isinstance(error, FetchError) and error.kind == "timeout" for error in errors)
        assert all(0.14 < outcome.elapsed < 0.5 for outcome in outcomes if not outcome.ok)


async def test_a_rate_spaces_requests_and_retries_alike() -> None:
    times: list[float] = []

    async def route(exchange: Exchange) -> None:
        times.append(time.monotonic())
        await exchange.answer("", 503 if len(times) <= 3 else 200)

    async with serving(route) as server:
        began = time.monotonic()
        outcomes = await parallel_fetch([server.url()] * 5, rate=Rate(50), retry=AT_ONCE)
        assert all(outcome.ok for outcome in outcomes)
        assert len(times) == 8
        assert times[-1] - began > 0.99 * 7 / 50


# -- retries ------------------------------------------------------------------------------------------------------


async def test_an_item_that_is_tried_again_says_so_in_its_outcome() -> None:
    asked: dict[str, int] = {}

    async def route(exchange: Exchange) -> None:
        asked[exchange.path] = asked.get(exchange.path, 0) + 1
        await exchange.answer("x", 503 if asked[exchange.path] <= int(exchange.path[1:]) else 200)

    async with serving(route) as server:
        outcomes = await parallel_fetch([server.url(f"/{number}") for number in range(5)], retry=AT_ONCE)
        assert [(outcome.ok, outcome.attempts) for outcome in outcomes] == [
            (True, 1),
            (True, 2),
            (True, 3),
            (False, 3),
            (False, 3),
        ]
        assert [outcome.value.attempts for outcome in outcomes if outcome.ok] == [1, 2, 3]
        assert all(any("3 attempts" in note for note in o.error.__notes__) for o in outcomes if not o.ok)


async def test_an_item_that_rests_takes_no_place() -> None:
    asked: list[str] = []

    async def route(exchange: Exchange) -> None:
        asked.append(exchange.path)
        await exchange.answer("", 503 if asked.count("/a") == 1 and exchange.path == "/a" else 200)

    async with serving(route) as server:
        pause = Retry(attempts=2, base_delay=0.2, jitter=None)
        urls = [server.url("/a"), *(server.url("/b") for _ in range(5))]
        outcomes = await parallel_fetch(urls, max_concurrency=1, retry=pause)
        assert all(outcome.ok for outcome in outcomes)
        assert asked == ["/a", "/b", "/b", "/b", "/b", "/b", "/a"]


async def test_the_deadline_of_an_item_runs_from_its_first_place_over_all_attempts() -> None:
    async with serving(silence) as server:
        began = time.monotonic()
        retry = Retry(attempts=50, base_delay=0.0)
        outcomes = await parallel_fetch(
            [server.url()] * 2, per_host=1, timeout=0.1, deadline=0.25, retry=retry
        )
        assert time.monotonic() - began < 1.5
        assert [outcome.ok for outcome in outcomes] == [False, False]
        assert len(server.asked) >= 4


async def test_a_deadline_that_passes_while_an_item_waits_for_its_next_place_is_a_timeout() -> None:
    async def route(exchange: Exchange) -> None:
        if exchange.path == "/long":
            await asyncio.sleep(0.2)
        await exchange.answer("", 503 if exchange.path == "/fails" else 200)

    async with serving(route) as server:
        pause = Retry(attempts=2, base_delay=0.02, jitter=None)
        urls = [server.url("/fails"), server.url("/long")]
        failed, good = await parallel_fetch(urls, per_host=1, deadline=0.15, timeout=1.0, retry=pause)
        assert not failed.ok
        assert isinstance(failed.error, FetchError)
        assert failed.error.kind == "timeout"
        assert "no time was left after 1 attempts" in str(failed.error)
        assert not good.ok  # its own deadline, from its own place


# -- leaving ------------------------------------------------------------------------------------------------------


async def test_leaving_early_stops_all_requests_and_closes_all_connections() -> None:
    async with serving({"/ok": text("ok"), "*": silence}) as server:
        urls = [server.url("/ok"), *(server.url(f"/{number}") for number in range(30))]
        async with fetch_stream(urls, per_host=None) as stream:
            async for outcome in stream:
                assert outcome.ok
                break
        assert len(asyncio.all_tasks()) <= 1 + server.connections
        async for _ in fetch_stream(urls, per_host=None):
            break
        for _ in range(20):
            await asyncio.sleep(0)


async def test_a_cancel_stops_everything_and_goes_on() -> None:
    async with serving(silence) as server:
        task = asyncio.create_task(parallel_fetch([server.url()] * 30, per_host=4))
        while server.running < 4:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_cancel_while_a_timeout_rings_is_still_a_cancel() -> None:
    async with serving(silence) as server:
        for delay in (0.048, 0.049, 0.05, 0.051):
            task = asyncio.create_task(
                parallel_fetch([server.url()] * 3, timeout=0.05, retry=Retry(100, 0.0))
            )
            await asyncio.sleep(delay)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


async def test_a_stream_can_be_iterated_again_and_each_run_asks_again() -> None:
    async with serving(echo) as server:
        stream = fetch_stream([server.url()] * 3)
        for _ in range(2):
            assert [outcome.ok async for outcome in stream] == [True] * 3
        assert len(server.asked) == 6


async def test_one_run_keeps_its_connections_though_its_consumer_is_slow() -> None:
    async with serving(echo) as server:
        async for outcome in fetch_stream([server.url()] * 5, max_concurrency=1):
            assert isinstance(outcome, Ok)
            await asyncio.sleep(0.005)
        assert server.connections == 1
