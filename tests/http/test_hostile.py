"""A server that misbehaves costs an error by name, in time and within bounds; never a hang, a lie or the memory."""

from __future__ import annotations

import asyncio
import gzip
import resource
import time
import zlib

import pytest

from atonce._model.errors import FetchError
from atonce._model.options import Retry
from atonce.http.fetch import fetch
from atonce.http.many import parallel_fetch
from tests.http.server import Exchange, Handler, answer, closed_port, raw, serving, silence, text

HEAD = b"HTTP/1.1 200 OK\r\n"
ENDLESS = 10_000


async def failing(route: Handler, **options: object) -> FetchError:
    """Fetch from a server with this one route, once, and give the error that must come."""
    options = {"timeout": 0.2, "retry": 1, **options}
    async with serving(route) as server:
        began = time.monotonic()
        with pytest.raises(FetchError) as caught:
            await fetch(server.url(), **options)  # type: ignore[arg-type]  # a table of options
        assert time.monotonic() - began < 2.0
        assert not any(word in str(caught.value) for word in ("<", "Traceback"))
    return caught.value


def drip(*start: bytes, piece: bytes = b"x", gap: float = 0.01) -> Handler:
    return raw(*start, *[piece] * 300, gap=gap)


TIMEOUTS: dict[str, Handler] = {
    "never answers": silence,
    "drips its body byte by byte": drip(HEAD + b"Content-Length: 1000\r\n\r\n"),
    "drips its headers byte by byte": drip(HEAD + b"X-Slow: "),
    "drips chunks": drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", piece=b"1\r\nx\r\n"),
    "sends 1xx answers for ever": drip(piece=b"HTTP/1.1 103 Early Hints\r\n\r\n", gap=0.001),
    "stops in the middle of the body": raw(HEAD + b"Content-Length: 10\r\n\r\nhalf", b"", gap=5.0),
}


@pytest.mark.parametrize("route", TIMEOUTS.values(), ids=TIMEOUTS)
async def test_the_timeout_is_total_over_connect_headers_and_body(route: Handler) -> None:
    error = await failing(route)
    assert error.kind == "timeout"
    assert "timeout=0.2 s" in str(error)


KINDS: dict[str, tuple[Handler, str]] = {
    "garbage instead of a status line": (raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), "protocol"),
    "a negative length": (raw(HEAD + b"Content-Length: -3\r\n\r\nabc"), "protocol"),
    "a length that is no number": (raw(HEAD + b"Content-Length: 3x\r\n\r\nabc"), "protocol"),
    "two lengths that differ": (
        raw(HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
        "protocol",
    ),
    "a chunk size that is no number": (
        raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n"),
        "protocol",
    ),
    "a header line without a colon": (raw(HEAD + b"no colon here\r\n\r\n"), "protocol"),
    "a line break in a header name": (raw(HEAD + b"X\n-Y : 1\r\n\r\n"), "protocol"),
    "a header of a megabyte": (raw(HEAD + b"X-Big: " + b"x" * 1_000_000 + b"\r\n\r\n"), "protocol"),
    "200,000 headers": (raw(HEAD + b"X: y\r\n" * 200_000 + b"\r\n"), "protocol"),
    "a close without an answer": (raw(then_close=True), "connect"),
    "a body shorter than announced": (
        raw(HEAD + b"Content-Length: 9\r\n\r\nhalf", then_close=True),
        "connect",
    ),
    "a close in the middle of a chunk": (
        raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", then_close=True),
        "connect",
    ),
    "a close before the last chunk": (
        raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", then_close=True),
        "connect",
    ),
}


@pytest.mark.parametrize(("route", "kind"), KINDS.values(), ids=KINDS)
async def test_what_is_not_a_whole_http_answer_is_an_error_by_kind(route: Handler, kind: str) -> None:
    error = await failing(route, timeout=2.0)
    assert error.kind == kind, error
    assert error.__cause__ is not None


async def test_a_reset_in_the_middle_of_the_body_says_how_much_had_come() -> None:
    async def route(exchange: Exchange) -> None:
        await exchange.send(HEAD + b"Content-Length: 100\r\n\r\n12345")
        await asyncio.sleep(0.02)
        exchange.reset()

    error = await failing(route, timeout=2.0)
    assert error.kind == "connect"
    assert "5 bytes" in str(error)


async def test_a_port_where_nobody_listens_is_a_connect_error() -> None:
    with pytest.raises(FetchError, match=r"no connection to 127\.0\.0\.1") as caught:
        await fetch(f"http://127.0.0.1:{closed_port()}/", retry=1)
    assert caught.value.kind == "connect"


async def test_a_name_that_does_not_exist_is_a_dns_error() -> None:
    with pytest.raises(FetchError, match=r"name no-such-host\.invalid is not found") as caught:
        await fetch("http://no-such-host.invalid/", retry=1)
    assert caught.value.kind == "dns"


# -- size ---------------------------------------------------------------------------------------------------------


def grown(since: int) -> int:
    """How many bytes the peak of this process's memory has grown since `since`."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - since


def bomb(size: int) -> bytes:
    """A gzip body that is a thousandth of what it decodes to; the same block over and over, and no end."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = squeeze.compress(bytes(1 << 20)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\2\xff" + block * (size >> 20)


async def endless(exchange: Exchange) -> None:
    await exchange.send(HEAD + b"Connection: close\r\n\r\n")
    for _ in range(ENDLESS):
        await exchange.send(bytes(1 << 16))


async def test_an_endless_body_stops_at_the_cap() -> None:
    before = grown(0)
    error = await failing(endless, timeout=5.0, max_bytes=1_000_000)
    assert error.kind == "too_large"
    assert "max_bytes=1000000" in str(error)
    assert grown(before) < 20_000_000


async def test_an_announced_length_over_the_cap_is_refused_before_the_body() -> None:
    error = await failing(raw(HEAD + b"Content-Length: 99999999999\r\n\r\n"), max_bytes=1_000)
    assert (error.kind, "announced" in str(error)) == ("too_large", True)


async def test_a_gzip_bomb_stops_at_the_cap_with_little_memory() -> None:
    body = bomb(1 << 30)
    assert len(body) < 1_100_000
    before = grown(0)
    error = await failing(text(body, headers={"Content-Encoding": "gzip"}), timeout=5.0)
    assert error.kind == "too_large"
    assert "decoded" in str(error)
    assert grown(before) < 40_000_000


async def test_a_bomb_in_a_bomb_stops_at_the_cap_too() -> None:
    body = gzip.compress(bomb(1 << 30))
    error = await failing(
        text(body, headers={"Content-Encoding": "gzip, gzip"}), timeout=5.0, max_bytes=100_000
    )
    assert error.kind == "too_large"


async def test_a_body_of_exactly_the_cap_is_taken_plain_and_coded() -> None:
    plain = bytes(100_000)
    routes = {"/p": text(plain), "/z": text(gzip.compress(plain), headers={"Content-Encoding": "gzip"})}
    async with serving(routes) as server:
        for path in routes:
            assert (await fetch(server.url(path), max_bytes=100_000)).body == plain
            with pytest.raises(FetchError) as caught:
                await fetch(server.url(path), max_bytes=99_999)
            assert caught.value.kind == "too_large"


async def test_without_a_cap_a_large_body_comes_whole() -> None:
    body = bytes(range(256)) * 80_000
    async with serving(text(body)) as server:
        assert (await fetch(server.url(), max_bytes=None)).body == body


# -- tricks on the connection -------------------------------------------------------------------------------------


async def test_a_second_answer_that_nobody_asked_for_is_never_taken_for_the_next_one() -> None:
    async def twice(exchange: Exchange) -> None:
        await exchange.send(answer("first") + answer("smuggled"))

    async def plain(exchange: Exchange) -> None:
        await exchange.answer("second")

    async with serving({"/twice": twice, "/plain": plain}) as server:
        import aiohttp

        async with aiohttp.ClientSession() as session:
            assert (await fetch(server.url("/twice"), client=session)).text() == "first"
            assert (await fetch(server.url("/plain"), client=session)).text() == "second"


async def test_a_dead_keep_alive_connection_is_replaced_without_an_error() -> None:
    async def once(exchange: Exchange) -> None:
        await exchange.answer("ok")
        exchange.writer.close()

    import aiohttp

    async with serving(once) as server, aiohttp.ClientSession() as session:
        for _ in range(3):
            assert (await fetch(server.url(), client=session, retry=1)).text() == "ok"


async def test_an_answer_to_head_and_204_have_no_body_whatever_they_announce() -> None:
    async def head(exchange: Exchange) -> None:
        await exchange.send(HEAD + b"Content-Length: 5000000000\r\nContent-Encoding: gzip\r\n\r\n")

    async with serving(
        {"/h": head, "/n": raw(b"HTTP/1.1 204 None\r\nContent-Encoding: gzip\r\n\r\n")}
    ) as server:
        assert (await fetch(server.url("/h"), method="HEAD", timeout=0.5)).body == b""
        assert (await fetch(server.url("/n"), timeout=0.5)).body == b""


async def test_cancelling_in_the_middle_of_a_body_closes_the_connection_at_once() -> None:
    began, gone = asyncio.Event(), asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await exchange.send(HEAD + b"Content-Length: 1000000\r\n\r\nabc")
        began.set()
        await exchange.until_gone()
        gone.set()

    async with serving(slow) as server:
        for start in (fetch(server.url()), parallel_fetch([server.url()])):
            task = asyncio.create_task(start)
            await began.wait()
            await asyncio.sleep(0.02)  # the headers have arrived by now
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(gone.wait(), 1.0)
            began.clear()
            gone.clear()


async def test_a_cancel_is_never_retried_and_never_turned_into_an_error() -> None:
    async with serving(silence) as server:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await fetch(server.url(), retry=Retry(attempts=5, base_delay=0.0))
        assert len(server.asked) == 1
