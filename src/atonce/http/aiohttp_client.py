"""The port to aiohttp, for sessions of the user's and for the ones that fetch makes; imported only when needed."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.http_exceptions import BadHttpMessage, TransferEncodingError
from multidict import CIMultiDict
from yarl import URL

from atonce._model.errors import FetchError
from atonce.http.body import Body, accepted_codings
from atonce.http.client import Answer, coding, common_failure, failure, is_followed
from atonce.http.proxy import NoProxy, Proxies
from atonce.http.request import Hop, stays_home
from atonce.http.response import Headers

#: Name lookups at a time; each is a thread, which cannot be stopped while the system's resolver does not answer.
LOOKUPS = 16

#: Redirects and decoding are done here, with bounds; None is no timer, and replaces aiohttp's five minutes.
_PLAIN: dict[str, Any] = {
    "allow_redirects": False,
    "raise_for_status": False,
    "auto_decompress": False,
    "timeout": aiohttp.ClientTimeout(total=None),
}


class AiohttpClient:
    """Sends messages through an `aiohttp.ClientSession`."""

    def __init__(self, session: aiohttp.ClientSession, *, ours: bool, proxies: Proxies | None = None) -> None:
        self._session = session
        self._ours = ours
        self._proxies = proxies
        connector = session.connector
        total, per_host = (0, 0) if ours or connector is None else (connector.limit, connector.limit_per_host)
        self.limits: tuple[int | None, int | None] = (total or None, per_host or None)

    async def send(self, hop: Hop, seconds: float | None) -> Answer:
        """Send one message; aiohttp's own timer, if any, covers it from the connection to the end of the body."""
        try:
            response = await self._session.request(
                hop.method, URL(hop.address.url, encoded=True), **self._options(hop, seconds)
            )
        except Exception as error:
            told = explained(hop, error, seconds, " before it answered")
            if told is None:
                raise
            raise told from error
        body = Body(hop.request.max_bytes)
        try:
            status, headers = response.status, response.headers
            if is_followed(hop, status, headers):
                response.release()
                return Answer(status, Headers.of_bytes(response.raw_headers), b"")
            body.expect(coding(hop, status, headers))
            content = response.content
            while chunk := await content.readany():
                body.feed(chunk)
                if content.at_eof():
                    break
            return Answer(status, Headers.of_bytes(response.raw_headers), body.whole())
        except Exception as error:
            response.close()
            told = explained(hop, error, seconds, body.so_far())
            if told is None:
                raise
            raise told from error
        except BaseException:
            response.close()
            raise

    async def close(self) -> None:
        """Close a session that fetch made, its connections included."""
        await self._session.close()

    def _options(self, hop: Hop, seconds: float | None) -> dict[str, Any]:
        """What aiohttp is told beside method and URL; for a plain GET of our own always the same dict."""
        if self._ours and seconds is None and hop.plain and self._proxies is None:
            return _PLAIN
        options = dict(_PLAIN)
        if seconds is not None:
            options["timeout"] = aiohttp.ClientTimeout(total=seconds)
        if hop.body is not None:
            options["data"] = hop.body
        if hop.headers or not self._ours:
            headers = options["headers"] = CIMultiDict(hop.headers)
            if not self._ours:
                headers.setdefault("Accept-Encoding", accepted_codings())
        if hop.request.verify is not True:
            options["ssl"] = hop.request.verify
        if hop.foreign and not self._ours:
            options["middlewares"] = (_leave_home,)
        if self._proxies is not None and (proxy := self._proxies.for_address(hop.address)) is not None:
            options["proxy"] = proxy
        return options


class SmallSocket(socket.socket):
    """Reads at most 64 KB at once.

    asyncio asks for 256 KB, which glibc takes from the system and gives back for each read, however little comes:
    20 us a request, unless the heap happens to have a hole of that size.
    """

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Read what is there, at most 64 KB."""
        return super().recv(min(size, 65_536), flags)


def _small_socket(info: Any) -> socket.socket:
    family, kind, proto, _, _ = info
    return SmallSocket(family, kind, proto)


async def _leave_home(request: aiohttp.ClientRequest, handler: Any) -> aiohttp.ClientResponse:
    """Take the credentials that a session adds by itself off a message to another origin."""
    for name in [name for name in request.headers if stays_home(name) and name.lower() != "host"]:
        request.headers.popall(name, None)
    answer: aiohttp.ClientResponse = await handler(request)
    return answer


def adapt(session: aiohttp.ClientSession) -> AiohttpClient:
    """The port to a session of the user's."""
    return AiohttpClient(session, ours=False)


def open_client(user_agent: str) -> AiohttpClient:
    """A client of our own: no cookies, no netrc, proxies of the environment, a bound on headers (8 KB each, 128)."""
    connector = aiohttp.TCPConnector(
        limit=0, limit_per_host=0, resolver=Resolver(), socket_factory=_small_socket
    )
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": user_agent, "Accept-Encoding": accepted_codings()},
        trust_env=False,
    )
    return AiohttpClient(session, ours=True, proxies=Proxies.of_environment())


def explained(hop: Hop, error: Exception, seconds: float | None, so_far: str) -> FetchError | None:
    """What an error of aiohttp means to the caller; None when it is no failure of the message."""
    known = common_failure(hop, error, seconds)
    if known is not None:
        return known
    if isinstance(error, NoProxy):
        return failure(hop, "refused", f"{error}; nothing was sent")
    if isinstance(error, ValueError):  # aiohttp.InvalidURL too
        return failure(hop, "refused", f"aiohttp does not take it ({_line(error)}); nothing was sent")
    if isinstance(error, (aiohttp.ClientError, OSError)):
        return _of_aiohttp(hop, error, so_far)
    return None


def _of_aiohttp(hop: Hop, error: Exception, so_far: str) -> FetchError:
    host = f"{hop.address.host}:{hop.address.port}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return failure(hop, "dns", f"the name {hop.address.host} is not found ({_reason(error)})")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return failure(hop, "connect", f"the proxy refused ({error.status} {error.message})")
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return failure(hop, "connect", f"no connection to the proxy of the environment ({_reason(error)})")
    if isinstance(error, aiohttp.ClientConnectorError):
        return failure(hop, "connect", f"no connection to {host} ({_reason(error)})")
    if isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError)):
        if _is_broken_framing(error):
            return failure(
                hop, "protocol", f"the answer is not HTTP{so_far} ({_line(error.__cause__ or error)})"
            )
        return failure(hop, "connect", f"the server closed the connection{so_far}; the answer is not whole")
    if isinstance(error, aiohttp.ClientResponseError):
        return failure(hop, "protocol", f"the answer is not HTTP{so_far} ({_line(error)})")
    return failure(hop, "connect", f"the connection broke{so_far} ({_line(error)})")


def _reason(error: aiohttp.ClientConnectorError) -> object:
    return error.os_error.strerror or error.os_error


def _is_broken_framing(error: Exception) -> bool:
    """Whether a body broke off because its chunks make no sense, rather than because the peer went away."""
    cause = error.__cause__
    kinds = (TransferEncodingError, BadHttpMessage)
    return isinstance(cause, kinds) and "Not enough data" not in str(cause)


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:197]}..."


class Resolver(AbstractResolver):
    """Looks names up by the system's resolver in threads that nobody waits for at exit.

    The loop's own executor would be joined at the end of `asyncio.run`, for as long as a dead name server is silent.
    """

    def __init__(self, lookup: Callable[..., list[Any]] = socket.getaddrinfo) -> None:
        self._lookup = lookup
        self._free = asyncio.Semaphore(LOOKUPS)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of `host`; a cancel leaves the thread to end by itself."""
        loop = asyncio.get_running_loop()
        async with self._free:
            found: asyncio.Future[list[Any]] = loop.create_future()
            threading.Thread(
                target=self._look,
                args=(loop, found, host, port, family),
                name=f"atonce-dns-{host[:60]}",
                daemon=True,
            ).start()
            infos = await found
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(
                hostname=host, host=_numeric(address), port=port, family=kind, proto=proto, flags=flags
            )
            for kind, _, proto, _, address in infos
            if kind in (socket.AF_INET, socket.AF_INET6) and len(address) in (2, 4)
        ]

    async def close(self) -> None:
        """Nothing is kept."""

    def _look(
        self,
        loop: asyncio.AbstractEventLoop,
        found: asyncio.Future[list[Any]],
        host: str,
        port: int,
        family: int,
    ) -> None:
        infos: list[Any] = []
        problem: BaseException | None = None
        try:
            infos = self._lookup(host, port, type=socket.SOCK_STREAM, family=family)
        except BaseException as error:
            problem = error if isinstance(error, OSError) else OSError(f"{type(error).__name__}: {error}")

        def tell() -> None:
            if found.done():
                return
            if problem is not None:
                found.set_exception(problem)
            else:
                found.set_result(infos)

        with suppress(RuntimeError):  # the loop is closed: nobody asks any more
            loop.call_soon_threadsafe(tell)


def _numeric(address: tuple[Any, ...]) -> str:
    """An address as text, with the scope of a link-local IPv6 one."""
    host = str(address[0])
    return f"{host}%{address[3]}" if len(address) == 4 and address[3] and "%" not in host else host
