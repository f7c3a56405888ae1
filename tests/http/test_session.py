"""The client that fetch makes for itself: opened for the first, closed by the last, and nothing is left of it."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from typing import Any

import pytest

from atonce._model.errors import FetchError
from atonce.http.address import address_of
from atonce.http.aiohttp_client import LOOKUPS, Resolver
from atonce.http.fetch import fetch
from atonce.http.many import fetch_stream, parallel_fetch
from atonce.http.proxy import Proxies
from atonce.http.session import PLACES
from tests.http.server import Exchange, closed_port, echo, serving, silence, text


def sockets() -> int:
    """Open sockets of this process."""
    folder = "/proc/self/fd"
    count = 0
    for name in os.listdir(folder):
        try:
            count += os.readlink(f"{folder}/{name}").startswith("socket:")
        except OSError:
            continue
    return count


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts in /proc")
async def test_after_a_fetch_no_socket_of_it_is_open() -> None:
    before = sockets()
    async with serving({"/ok": text("ok"), "/404": text("", 404), "/slow": silence}) as server:
        await fetch(server.url("/ok"))
        with pytest.raises(FetchError):
            await fetch(server.url("/404"))
        with pytest.raises(FetchError):
            await fetch(server.url("/slow"), timeout=0.05, retry=1)
        await parallel_fetch([server.url("/ok")] * 20)
    await asyncio.sleep(0)
    assert sockets() == before


async def test_fetches_that_overlap_share_connections() -> None:
    last = asyncio.Event()

    async def route(exchange: Exchange) -> None:
        if len(server.asked) == 1:
            await last.wait()
        await exchange.answer("ok")

    async with serving(route) as server:
        overlapping = asyncio.create_task(fetch(server.url()))
        while not server.asked:
            await asyncio.sleep(0.001)
        gate = asyncio.Semaphore(3)

        async def one() -> None:
            async with gate:
                await fetch(server.url())

        await asyncio.gather(*(one() for _ in range(30)))
        last.set()
        await overlapping
        assert server.connections <= 4


async def test_lone_fetches_have_a_bound_too_and_waiting_does_not_count() -> None:
    async def route(exchange: Exchange) -> None:
        await asyncio.sleep(0.1)
        await exchange.answer("ok")

    async with serving(route) as server:
        responses = await asyncio.gather(*(fetch(server.url(), timeout=2.0) for _ in range(PLACES + 50)))
        assert len(responses) == PLACES + 50
        assert server.peak == PLACES


async def test_each_loop_has_a_session_of_its_own() -> None:
    async with serving(echo) as server:
        url = server.url()

        def elsewhere() -> int:
            return asyncio.run(fetch(url)).status

        statuses = await asyncio.gather(
            *(asyncio.to_thread(elsewhere) for _ in range(4)), parallel_fetch([url] * 4)
        )
        assert statuses[:4] == [200] * 4
        await asyncio.get_running_loop().shutdown_default_executor()


def test_one_loop_after_another_in_one_thread() -> None:
    async def main() -> None:
        async with serving(echo) as server:
            assert (await fetch(server.url())).status == 200

    for _ in range(3):
        asyncio.run(main())


def test_a_loop_that_is_cut_short_leaves_no_open_session() -> None:
    async def main() -> None:
        async with serving(silence) as server:
            task = asyncio.create_task(fetch(server.url()))
            many = asyncio.create_task(parallel_fetch([server.url()] * 5))
            while len(server.asked) < 6:
                await asyncio.sleep(0.001)
            assert not task.done()
            assert not many.done()

    asyncio.run(main())
    gc.collect()


async def test_a_stream_that_is_never_iterated_opens_nothing() -> None:
    before = sockets()
    fetch_stream(["http://127.0.0.1:1/"])
    await asyncio.sleep(0)
    assert sockets() == before


# -- names --------------------------------------------------------------------------------------------------------


def slow_lookup(released: threading.Event, running: list[int]) -> Any:
    lock = threading.Lock()

    def lookup(*_: Any, **__: Any) -> list[Any]:
        with lock:
            running[0] += 1
            running[1] = max(running)
        released.wait(5)
        with lock:
            running[0] -= 1
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))]

    return lookup


async def test_a_lookup_that_is_cancelled_is_left_to_end_by_itself() -> None:
    released = threading.Event()
    resolver = Resolver(slow_lookup(released, [0, 0]))
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await resolver.resolve("a.example", 80)
    assert time.monotonic() - began < 1.0
    released.set()


async def test_lookups_have_a_bound() -> None:
    released, running = threading.Event(), [0, 0]
    resolver = Resolver(slow_lookup(released, running))
    tasks = [asyncio.create_task(resolver.resolve("a.example", 80)) for _ in range(LOOKUPS + 10)]
    while running[0] < LOOKUPS:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)
    assert running[1] == LOOKUPS
    released.set()
    found = await asyncio.gather(*tasks)
    assert all(addresses[0]["host"] == "127.0.0.1" for addresses in found)


async def test_an_odd_error_of_a_lookup_is_an_os_error() -> None:
    def lookup(*_: Any, **__: Any) -> list[Any]:
        raise UnicodeError("label too long")

    with pytest.raises(OSError, match="label too long"):
        await Resolver(lookup).resolve("a.example")


async def test_addresses_of_both_families_are_given_as_numbers() -> None:
    def lookup(*_: Any, **__: Any) -> list[Any]:
        tcp = (socket.SOCK_STREAM, 6, "")
        return [
            (socket.AF_INET6, *tcp, ("fe80::1", 80, 0, 3)),
            (socket.AF_INET6, *tcp, ("::1", 80, 0, 0)),
            (socket.AF_INET, *tcp, ("127.0.0.1", 80)),
            (socket.AF_INET6, *tcp, (10, b"no ipv6 in this Python")),
        ]

    found = await Resolver(lookup).resolve("a.example", 80)
    assert [one["host"] for one in found][:3] == ["fe80::1%3", "::1", "127.0.0.1"]


async def test_a_name_server_that_is_out_of_order_is_asked_again_and_a_missing_name_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    codes: list[int] = []

    def lookup(*_: Any, **__: Any) -> list[Any]:
        raise (
            socket.gaierror(codes[0], "no luck")
            if not codes[1:]
            else socket.gaierror(codes.pop(0), "no luck")
        )

    monkeypatch.setattr("atonce.http.aiohttp_client.Resolver", lambda: Resolver(lookup))
    for code, attempts in ((socket.EAI_AGAIN, 3), (socket.EAI_NONAME, 1)):
        codes[:] = [code]
        with pytest.raises(FetchError, match="not found") as caught:
            await fetch("http://a.example/", retry=3, deadline=5.0)
        assert caught.value.kind == "dns"
        notes = getattr(caught.value, "__notes__", [])
        assert any(f"{attempts} attempts" in note for note in notes) == (attempts > 1)


# -- proxies ------------------------------------------------------------------------------------------------------


def proxy_for(url: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str | None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    proxies = Proxies.of_environment()
    return None if proxies is None else proxies.for_address(address_of(url))


@pytest.mark.parametrize(
    ("url", "environment", "proxy"),
    [
        ("http://a.example/", {}, None),
        ("http://a.example/", {"http_proxy": "http://p:1"}, "http://p:1"),
        ("http://a.example/", {"http_proxy": "p:1"}, "http://p:1"),
        ("http://a.example/", {"https_proxy": "http://p:1"}, None),
        ("https://a.example/", {"https_proxy": "http://p:1"}, "http://p:1"),
        ("https://a.example/", {"ALL_PROXY": "http://p:1"}, "http://p:1"),
        ("http://a.example/", {"HTTP_PROXY": "http://p:1"}, "http://p:1"),
        ("http://a.example/", {"HTTP_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}, None),
        ("http://a.example/", {"http_proxy": "http://p:1", "no_proxy": "example"}, None),
        ("http://a.example:81/", {"http_proxy": "http://p:1", "no_proxy": "a.example:81"}, None),
        ("http://a.example/", {"http_proxy": "http://p:1", "no_proxy": "*"}, None),
        ("http://b.example/", {"http_proxy": "http://p:1", "no_proxy": "a.example"}, "http://p:1"),
        ("http://127.0.0.1/", {"http_proxy": "http://p:1"}, None),
        ("http://localhost:8000/", {"http_proxy": "http://p:1"}, None),
        ("http://[::1]/", {"http_proxy": "http://p:1"}, None),
    ],
)
def test_proxies_are_those_of_the_environment(
    url: str, environment: dict[str, str], proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert proxy_for(url, environment, monkeypatch) == proxy


async def test_a_fetch_goes_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving({"*": echo}) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url("", user="u:p@"))
        response = await fetch("http://a.example/x?y")
        assert response.url == "http://a.example/x?y"
        (asked,) = proxy.asked
        assert asked.path == "http://a.example/x?y"
        assert asked.headers["Host"] == "a.example"
        assert "Proxy-Authorization" in asked.headers


async def test_a_proxy_of_a_kind_that_is_not_spoken_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:1")
    with pytest.raises(FetchError, match="socks5"):
        await fetch("http://a.example/", retry=1)


async def test_a_proxy_that_refuses_or_is_not_there_is_a_connect_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving({"*": text("no", 403)}) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url(""))
        with pytest.raises(FetchError, match=r"the proxy refused .*403") as caught:
            await fetch("https://a.example/", retry=1)
        assert caught.value.kind == "connect"
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(FetchError, match="no connection to the proxy") as caught:
        await fetch("http://a.example/", retry=1)
    assert caught.value.kind == "connect"


async def test_a_proxy_that_cannot_be_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://[bad")
    with pytest.raises(FetchError, match="nothing was sent") as caught:
        await fetch("http://a.example/", retry=1)
    assert caught.value.kind == "refused"


# -- imports ------------------------------------------------------------------------------------------------------


def python(code: str) -> str:
    """Run a program in a fresh interpreter and give what it printed."""
    source = os.path.dirname(os.path.dirname(sys.modules["atonce"].__file__ or ""))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": source},
    )
    return done.stdout.strip()


def test_importing_fetch_imports_no_http_library() -> None:
    code = """
        import sys
        import atonce.http.fetch, atonce.http.many
        heavy = {"aiohttp", "yarl", "multidict", "httpx", "urllib.request", "http.client", "email"}
        print(sorted(heavy & set(sys.modules)))
    """
    assert python(code) == "[]"


def test_without_aiohttp_the_call_says_what_to_install() -> None:
    code = """
        import asyncio, sys
        sys.modules["aiohttp"] = None
        from atonce.http.fetch import fetch
        from atonce.http.many import fetch_stream, parallel_fetch

        async def stream():
            fetch_stream([])

        for call in (lambda: fetch("http://x/"), stream, lambda: parallel_fetch([])):
            try:
                asyncio.run(call())
            except ModuleNotFoundError as error:
                print(error.name, "pip install 'atonce[http]'" in str(error))
    """
    assert python(code).splitlines() == ["aiohttp True"] * 3


def test_with_httpx_alone_fetch_works_without_aiohttp() -> None:
    code = """
        import asyncio, sys
        for name in ("aiohttp", "yarl", "multidict"):
            sys.modules[name] = None
        import httpx
        from atonce.http.fetch import fetch

        def answer(request):
            if request.url.path == "/a":
                return httpx.Response(302, headers={"Location": "/b"})
            return httpx.Response(200, text="hi")

        async def main():
            async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
                print((await fetch("http://a.example/a", client=client)).text())

        asyncio.run(main())
    """
    assert python(code) == "hi"


def test_a_program_that_ends_while_a_name_is_looked_up_does_not_wait_for_it() -> None:
    code = """
        import asyncio, socket, time
        socket.getaddrinfo = lambda *args, **options: time.sleep(30)
        from atonce.http.fetch import fetch

        async def main():
            try:
                await fetch("http://a.example/", timeout=0.1, retry=1)
            except Exception as error:
                print(error.kind)

        began = time.monotonic()
        asyncio.run(main())
        print(time.monotonic() - began < 3)
    """
    began = time.monotonic()
    assert python(code).splitlines() == ["timeout", "True"]
    assert time.monotonic() - began < 10
