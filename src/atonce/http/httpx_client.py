"""The port to httpx and httpx2, for clients of the user's; neither is imported here."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

from atonce._model.errors import FetchError
from atonce.http.body import Body, accepted_codings
from atonce.http.client import Answer, chain, coding, common_failure, failure, is_followed
from atonce.http.request import Hop, stays_home
from atonce.http.response import Headers


class HttpxClient:
    """Sends messages through an `httpx.AsyncClient` or an `httpx2.AsyncClient`."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._library = sys.modules[_library(client)]
        self.limits: tuple[int | None, int | None] = _limits(client)

    async def send(self, hop: Hop, seconds: float | None) -> Answer:
        """Send one message; httpx has no total timeout, so one of asyncio's covers it."""
        body = Body(hop.request.max_bytes)
        try:
            async with asyncio.timeout(seconds):
                return await self._exchange(hop, body)
        except Exception as error:
            told = self._explained(hop, error, seconds, body.so_far())
            if told is None:
                raise
            raise told from error

    async def _exchange(self, hop: Hop, body: Body) -> Answer:
        client = self._client
        headers = list(hop.headers)
        if not any(name.lower() == "accept-encoding" for name, _ in headers):
            headers.append(("Accept-Encoding", accepted_codings()))
        message = client.build_request(
            hop.method, hop.address.url, headers=headers, content=hop.body, timeout=None
        )
        options: dict[str, Any] = {"stream": True, "follow_redirects": False}
        if hop.foreign:
            for name in [name for name in message.headers if stays_home(name) and name.lower() != "host"]:
                del message.headers[name]
            options["auth"] = None
        response = await client.send(message, **options)
        try:
            fields = Headers.of_bytes(tuple(response.headers.raw))
            if is_followed(hop, response.status_code, fields):
                return Answer(response.status_code, fields, b"")
            encoding = coding(hop, response.status_code, fields)
            if (
                response.is_stream_consumed
            ):  # a mock transport gives answers that httpx has read, and decoded, already
                body.expect(None)
                body.feed(response.content)
                return Answer(response.status_code, fields, body.whole())
            body.expect(encoding)
            async for chunk in response.aiter_raw():
                body.feed(chunk)
            return Answer(response.status_code, fields, body.whole())
        finally:
            await response.aclose()

    def _explained(self, hop: Hop, error: Exception, seconds: float | None, so_far: str) -> FetchError | None:
        """What an error of httpx means to the caller; None when it is no failure of the message."""
        known = common_failure(hop, error, seconds)
        if known is not None:
            return known
        library = self._library
        text = " ".join(str(error).split())[:200] or type(error).__name__
        if isinstance(error, (library.InvalidURL, library.UnsupportedProtocol)):
            return failure(
                hop, "refused", f"{library.__name__} does not take the URL ({text}); nothing was sent"
            )
        if isinstance(error, library.TimeoutException):
            return failure(hop, "timeout", f"the client's own timeout ({text})")
        if isinstance(error, library.ConnectError):
            if any(isinstance(one, socket.gaierror) for one in chain(error)):
                return failure(hop, "dns", f"the name {hop.address.host} is not found ({text})")
            return failure(hop, "connect", f"no connection to {hop.address.host}:{hop.address.port} ({text})")
        if isinstance(error, library.RemoteProtocolError) and not _is_cut(text):
            return failure(hop, "protocol", f"the answer is not HTTP{so_far} ({text})")
        if isinstance(error, library.TransportError):
            return failure(hop, "connect", f"the connection broke{so_far} ({text}); the answer is not whole")
        return None


def _is_cut(text: str) -> bool:
    """Whether h11's complaint is that the peer went away, not that it speaks no HTTP."""
    return "peer closed connection" in text or "Server disconnected" in text


def _library(client: Any) -> str:
    return next(
        library
        for cls in type(client).__mro__
        if (library := cls.__module__.split(".")[0]) in ("httpx", "httpx2")
    )


def _limits(client: Any) -> tuple[int | None, int | None]:
    """The limit on connections of the client's pool; it is not public, so that None (unknown) will do too."""
    pool = getattr(getattr(client, "_transport", None), "_pool", None)
    most = getattr(pool, "_max_connections", None)
    return (most if isinstance(most, int) and 0 < most < 10**9 else None), None


def adapt(client: Any) -> HttpxClient:
    """The port to a client of the user's."""
    return HttpxClient(client)
