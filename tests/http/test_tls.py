"""A connection that cannot be trusted is an error by name; nothing is sent over it, and nothing falls back."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trustme

from atonce._model.errors import FetchError
from atonce.http.fetch import fetch
from atonce.http.many import parallel_fetch
from tests.http.server import redirect, serving, text

AUTHORITY = trustme.CA()
TRUSTING = ssl.create_default_context(cadata=AUTHORITY.cert_pem.bytes().decode())


def server_side(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


GOOD = server_side(AUTHORITY.issue_cert("127.0.0.1"))
YESTERDAY = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)

UNTRUSTED = {
    "expired": (server_side(AUTHORITY.issue_cert("127.0.0.1", not_after=YESTERDAY)), TRUSTING, "expired"),
    "for another host": (server_side(AUTHORITY.issue_cert("other.example")), TRUSTING, "127.0.0.1"),
    "signed by itself": (
        server_side(trustme.CA().issue_cert("127.0.0.1")),
        TRUSTING,
        "unable to get local issuer",
    ),
    "signed by nobody whom the system knows": (GOOD, True, "unable to get local issuer"),
}


@pytest.mark.parametrize(("certificate", "verify", "says"), UNTRUSTED.values(), ids=UNTRUSTED)
async def test_a_certificate_that_cannot_be_trusted_is_a_tls_error(
    certificate: ssl.SSLContext, verify: bool | ssl.SSLContext, says: str
) -> None:
    async with serving(text("secret"), tls=certificate) as server:
        with pytest.raises(FetchError, match=f"certificate is refused.*{says}") as caught:
            await fetch(server.url(), verify=verify)
        assert caught.value.kind == "tls"
        assert isinstance(caught.value.__cause__, Exception)
        assert server.connections <= 1
        assert server.asked == []


async def test_a_context_of_ones_own_is_used() -> None:
    async with serving(text("hello"), tls=GOOD) as server:
        assert (await fetch(server.url(), verify=TRUSTING)).text() == "hello"
        outcomes = await parallel_fetch([server.url()] * 3, verify=TRUSTING)
        assert [outcome.ok for outcome in outcomes] == [True] * 3


async def test_verify_false_takes_any_certificate() -> None:
    async with serving(text("hello"), tls=GOOD) as server:
        assert (await fetch(server.url(), verify=False)).text() == "hello"


async def test_connections_with_and_without_verification_are_not_mixed() -> None:
    async with serving(text("hello"), tls=GOOD) as server:
        lax = asyncio.create_task(fetch(server.url(), verify=False))
        with pytest.raises(FetchError):
            await fetch(server.url(), retry=1)
        assert (await lax).status == 200


async def test_http_on_an_https_port_and_https_on_an_http_port_are_errors() -> None:
    async with serving(text("hello"), tls=GOOD) as server:
        with pytest.raises(FetchError) as caught:
            await fetch(server.url().replace("https", "http"), retry=1, timeout=1.0)
        assert caught.value.kind in ("connect", "protocol")

    async def speak_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with listening(speak_http) as port:
        with pytest.raises(FetchError, match="is it really https") as caught:
            await fetch(f"https://127.0.0.1:{port}/", retry=1, timeout=1.0)
        assert caught.value.kind == "tls"


@contextlib.asynccontextmanager
async def listening(accept: Any) -> AsyncIterator[int]:
    """A bare listener, for what happens before TLS; gives its port."""
    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        await listener.wait_closed()
        await asyncio.sleep(0.01)


async def test_a_server_that_only_speaks_an_old_tls_is_refused() -> None:
    old = server_side(AUTHORITY.issue_cert("127.0.0.1"))
    modern = ssl.create_default_context(cadata=AUTHORITY.cert_pem.bytes().decode())
    modern.minimum_version = ssl.TLSVersion.TLSv1_3
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    async with serving(text("hello"), tls=old) as server:
        with pytest.raises(FetchError) as caught:
            await fetch(server.url(), verify=modern, retry=1)
        assert caught.value.kind in ("tls", "connect")  # by whether the server says why before it closes
        assert server.asked == []


async def test_a_handshake_that_never_ends_is_cut_by_the_timeout() -> None:
    released = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await released.wait()
        writer.transport.abort()

    async with listening(accept) as port:
        with pytest.raises(FetchError) as caught:
            await fetch(f"https://127.0.0.1:{port}/", timeout=0.15, retry=1)
        assert caught.value.kind == "timeout"
        released.set()


async def test_a_reset_in_the_handshake_is_a_connect_error() -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()

    async with listening(accept) as port:
        with pytest.raises(FetchError) as caught:
            await fetch(f"https://127.0.0.1:{port}/", timeout=1.0, retry=1)
        assert caught.value.kind == "connect"


async def test_credentials_stay_behind_when_https_becomes_http() -> None:
    async with serving(text("plain")) as plain, serving({}, tls=GOOD) as secure:
        secure.routes["*"] = redirect(plain.url())
        await fetch(secure.url(), headers={"Authorization": "Bearer abc"}, verify=TRUSTING)
        assert "Authorization" in secure.asked[0].headers
        assert "Authorization" not in plain.asked[0].headers
