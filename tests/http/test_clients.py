"""A client of the user's does the sending, with the same limits, errors and redirects, and stays the user's."""

from __future__ import annotations

import asyncio
import gzip
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp
import httpx
import pytest

from atonce._model.errors import FetchError, HttpStatusError, MisuseError
from atonce._model.options import Retry
from atonce.http.fetch import fetch
from atonce.http.many import fetch_stream, parallel_fetch
from tests.http.server import Exchange, closed_port, echo, raw, redirect, serving, silence, text

AT_ONCE = Retry(attempts=3, base_delay=0.0)
HEAD = b"HTTP/1.1 200 OK\r\n"
Opens = Callable[..., AbstractAsyncContextManager[Any]]


@asynccontextmanager
async def aiohttp_session(limit: int = 100, **options: Any) -> AsyncIterator[Any]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=limit), **options) as session:
        yield session


@asynccontextmanager
async def httpx_client(limit: int = 100, **options: Any) -> AsyncIterator[Any]:
    async with httpx.AsyncClient(
        limits=httpx.Limits(max_connections=limit), trust_env=False, **options
    ) as client:
        yield client


@asynccontextmanager
async def httpx2_client(limit: int = 100, **options: Any) -> AsyncIterator[Any]:
    httpx2 = pytest.importorskip("httpx2", reason="httpx2 is not installed")
    async with httpx2.AsyncClient(
        limits=httpx2.Limits(max_connections=limit), trust_env=False, **options
    ) as client:
        yield client


@pytest.fixture(params=[aiohttp_session, httpx_client, httpx2_client], ids=["aiohttp", "httpx", "httpx2"])
def opens(request: pytest.FixtureRequest) -> Opens:
    """What opens a client of one of the libraries."""
    made: Opens = request.param
    return made


async def test_the_client_sends_and_stays_open(opens: Opens) -> None:
    async with serving(echo) as server, opens(headers={"X-Mine": "1", "User-Agent": "mine"}) as client:
        for _ in range(3):
            response = await fetch(
                server.url("/a?b"), method="PUT", data=b"data", headers={"X-Call": "2"}, client=client
            )
        assert response.url == server.url("/a?b")
        assert server.connections == 1
        asked = server.asked[-1]
        lower = {name.lower(): value for name, value in asked.headers.items()}
        assert (asked.method, asked.path, asked.body) == ("PUT", "/a?b", b"data")
        assert (lower["x-mine"], lower["x-call"], lower["user-agent"]) == ("1", "2", "mine")
        assert not getattr(client, "closed", False)
        assert not getattr(client, "is_closed", False)


async def test_many_urls_go_through_the_client(opens: Opens) -> None:
    async with serving(echo) as server, opens() as client:
        outcomes = await parallel_fetch([server.url(f"/{n}") for n in range(20)], client=client, per_host=3)
        assert [outcome.unwrap().text().split()[1] for outcome in outcomes] == [f"/{n}" for n in range(20)]
        assert server.peak <= 3
        assert server.connections <= 3


async def test_the_body_is_decoded_once_and_with_the_cap(opens: Opens) -> None:
    body = gzip.compress(bytes(100_000))
    async with serving(text(body, headers={"Content-Encoding": "gzip"})) as server, opens() as client:
        assert (await fetch(server.url(), client=client)).body == bytes(100_000)
        with pytest.raises(FetchError, match="decoded") as caught:
            await fetch(server.url(), client=client, max_bytes=99_999)
        assert caught.value.kind == "too_large"


async def test_an_endless_body_stops_at_the_cap(opens: Opens) -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.send(HEAD + b"Connection: close\r\n\r\n")
        while True:
            await exchange.send(bytes(1 << 16))

    async with serving(endless) as server, opens() as client:
        with pytest.raises(FetchError) as caught:
            await fetch(server.url(), client=client, max_bytes=200_000)
        assert caught.value.kind == "too_large"


@pytest.mark.parametrize(
    ("route", "kind"),
    [
        (silence, "timeout"),
        (raw(HEAD + b"Content-Length: 1000\r\n\r\n", *[b"x"] * 100, gap=0.01), "timeout"),
        (raw(b"garbage\r\n\r\n", then_close=True), "protocol"),
        (raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), "protocol"),
        (raw(then_close=True), "connect"),
        (raw(HEAD + b"Content-Length: 9\r\n\r\nhalf", then_close=True), "connect"),
    ],
    ids=["silence", "drip", "garbage", "bad chunk", "close", "short"],
)
async def test_failures_have_the_same_kinds_with_every_client(opens: Opens, route: Any, kind: str) -> None:
    async with serving(route) as server, opens() as client:
        with pytest.raises(FetchError) as caught:
            await fetch(server.url(), client=client, timeout=0.2, retry=1)
        assert caught.value.kind == kind


async def test_connections_and_names_that_fail_have_their_kinds(opens: Opens) -> None:
    async with opens() as client:
        for url, kind in (
            (f"http://127.0.0.1:{closed_port()}/", "connect"),
            ("http://no-such-host.invalid/", "dns"),
        ):
            with pytest.raises(FetchError) as caught:
                await fetch(url, client=client, retry=1)
            assert caught.value.kind == kind


async def test_a_server_that_cannot_be_trusted_is_a_tls_error(opens: Opens) -> None:
    from tests.http.test_tls import GOOD

    async with serving(text(""), tls=GOOD) as server, opens() as client:
        with pytest.raises(FetchError) as caught:
            await fetch(server.url(), client=client, retry=1)
        assert caught.value.kind == "tls"


async def test_statuses_and_retries_are_ours(opens: Opens) -> None:
    turns = iter([503, 503, 200])

    async def route(exchange: Exchange) -> None:
        await exchange.answer("x", 404 if exchange.path == "/404" else next(turns))

    async with serving(route) as server, opens() as client:
        assert (await fetch(server.url(), client=client, retry=AT_ONCE)).attempts == 3
        with pytest.raises(HttpStatusError):
            await fetch(server.url("/404"), client=client)


async def test_what_the_client_adds_by_itself_stays_behind_too(opens: Opens) -> None:
    secrets = {"Authorization": "Bearer abc", "X-Api-Key": "abc", "X-Harmless": "1"}
    async with (
        serving(echo) as other,
        serving({}) as home,
        opens(headers=secrets, cookies={"a": "b"}) as client,
    ):
        home.routes["*"] = redirect(other.url())
        await fetch(home.url(), client=client)
        names = [{name.lower() for name in server.asked[0].headers} for server in (home, other)]
        assert {"authorization", "x-api-key", "x-harmless"} <= names[0]
        assert not {"authorization", "x-api-key", "cookie"} & names[1]
        assert "x-harmless" in names[1]


async def test_httpx_auth_is_used_at_home_and_stays_there() -> None:
    async with serving(echo) as other, serving({}) as home, httpx_client(auth=("user", "pass")) as client:
        home.routes["*"] = redirect(other.url())
        await fetch(home.url(), client=client)
        assert home.asked[0].headers["Authorization"].startswith("Basic ")
        assert "Authorization" not in other.asked[0].headers


async def test_waiting_for_a_connection_of_the_client_does_not_count(opens: Opens) -> None:
    async def slowly(exchange: Exchange) -> None:
        await asyncio.sleep(0.05)
        await exchange.answer("ok")

    async with serving(slowly) as server, opens(limit=1) as client:
        lone = [fetch(server.url(), client=client, timeout=0.2, retry=1) for _ in range(3)]
        many = parallel_fetch([server.url()] * 3, client=client, timeout=0.2, retry=1)
        *responses, outcomes = await asyncio.gather(*lone, many)
        assert all(response.status == 200 for response in responses)
        assert all(outcome.ok for outcome in outcomes)
        assert server.peak == 1


async def test_cancelling_gives_the_clients_connection_back(opens: Opens) -> None:
    async with serving({"/slow": silence, "/ok": text("ok")}) as server, opens(limit=1) as client:
        task = asyncio.create_task(fetch(server.url("/slow"), client=client))
        while not server.asked:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await fetch(server.url("/ok"), client=client, timeout=1.0)).text() == "ok"


async def test_a_closed_client_is_named_at_the_call(opens: Opens) -> None:
    async with opens() as client:
        pass
    with pytest.raises(MisuseError, match="client is closed"):
        await fetch("http://127.0.0.1/", client=client)
    with pytest.raises(MisuseError, match="client is closed"):
        fetch_stream([], client=client)


async def test_clients_that_block_are_refused_with_the_one_to_take() -> None:
    requests = pytest.importorskip("requests", reason="requests is not installed")
    with httpx.Client() as client, pytest.raises(TypeError, match=r"pass a httpx\.AsyncClient"):
        await fetch("http://127.0.0.1/", client=client)
    with requests.Session() as session, pytest.raises(TypeError, match="of requests, which blocks"):
        await fetch("http://127.0.0.1/", client=session)


async def test_verify_belongs_to_an_httpx_client() -> None:
    async with httpx_client() as client:
        with pytest.raises(ValueError, match=r"AsyncClient\(verify=\.\.\.\)"):
            await fetch("http://127.0.0.1/", client=client, verify=False)


async def test_a_subclass_of_a_client_is_a_client() -> None:
    class Mine(httpx.AsyncClient):
        pass

    async with serving(text("ok")) as server, Mine(trust_env=False) as client:
        assert (await fetch(server.url(), client=client)).text() == "ok"


async def test_a_mock_transport_of_httpx_works() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"path": request.url.path})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        response = await fetch("http://anywhere.example/a", client=client)
        assert response.json() == {"path": "/a"}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.ReadError("broken"), "connect"),
        (httpx.WriteError("broken"), "connect"),
        (httpx.ReadTimeout("slow"), "timeout"),
        (httpx.RemoteProtocolError("illegal header line"), "protocol"),
        (httpx.UnsupportedProtocol("gopher"), "refused"),
        (httpx.InvalidURL("odd"), "refused"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_the_errors_of_httpx_have_kinds(error: Exception, kind: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(FetchError) as caught:
            await fetch("http://a.example/", client=client, retry=1)
        assert caught.value.kind == kind


async def test_a_mistake_of_the_users_own_transport_stays_what_it_is() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise ZeroDivisionError

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(ZeroDivisionError):
            await fetch("http://a.example/", client=client)


async def test_a_mistake_in_a_middleware_of_an_aiohttp_session_stays_what_it_is() -> None:
    async def middleware(request: Any, handler: Any) -> Any:
        raise ZeroDivisionError

    async with aiohttp_session(middlewares=(middleware,)) as session:
        with pytest.raises(ZeroDivisionError):
            await fetch("http://127.0.0.1:1/", client=session)


async def test_an_aiohttp_session_of_another_loop_is_refused() -> None:
    async def make() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    loop = asyncio.new_event_loop()
    try:
        session = await asyncio.to_thread(loop.run_until_complete, make())
        with pytest.raises(MisuseError, match="another event loop"):
            await fetch("http://127.0.0.1/", client=session)
        (outcome,) = await parallel_fetch(["http://127.0.0.1/"], client=session)
        assert not outcome.ok
        assert isinstance(outcome.error, MisuseError)
        await asyncio.to_thread(loop.run_until_complete, session.close())
    finally:
        loop.close()


async def test_the_sessions_own_rules_do_not_interfere() -> None:
    options: dict[str, Any] = {"raise_for_status": True, "timeout": aiohttp.ClientTimeout(total=0.01)}
    routes = {"/404": text("no", 404), "/a": redirect("/404")}
    async with serving(routes) as server, aiohttp_session(**options) as session:
        response = await fetch(server.url("/a"), client=session, ok="any")
        assert (response.status, response.text()) == (404, "no")


def test_no_library_is_imported_to_tell_a_client() -> None:
    assert "atonce.http.choose" in sys.modules
    import inspect

    from atonce.http import choose

    assert not {"import httpx", "import aiohttp"} & {
        line.strip() for line in inspect.getsource(choose).splitlines()
    }
