"""A server on loopback that can misbehave at any byte: every path is answered by a coroutine with the bare socket."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field

Handler = Callable[["Exchange"], Awaitable[None]]


@dataclass
class Exchange:
    """One request as it arrived, and the socket to answer it on."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    reader: asyncio.StreamReader = field(repr=False)
    writer: asyncio.StreamWriter = field(repr=False)

    async def send(self, *pieces: bytes, gap: float = 0.0) -> None:
        """Write bytes as they are, with a pause between pieces."""
        for number, piece in enumerate(pieces):
            if number and gap:
                await asyncio.sleep(gap)
            self.writer.write(piece)
            await self.writer.drain()

    async def answer(
        self,
        body: bytes | str = b"",
        status: int = 200,
        headers: Iterable[tuple[str, str]] | dict[str, str] = (),
    ) -> None:
        """Write a proper answer; one to HEAD has no body."""
        whole = answer(body, status, headers)
        await self.send(whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if self.method == "HEAD" else whole)

    async def until_gone(self) -> None:
        """Wait until the other side closes the connection."""
        await self.reader.read(1)

    def reset(self) -> None:
        """Break the connection off with a TCP reset."""
        self.writer.transport.abort()


def answer(
    body: bytes | str = b"", status: int = 200, headers: Iterable[tuple[str, str]] | dict[str, str] = ()
) -> bytes:
    """The bytes of a proper answer."""
    data = body.encode() if isinstance(body, str) else body
    pairs = headers.items() if isinstance(headers, dict) else headers
    lines = [
        f"HTTP/1.1 {status} Whatever",
        f"Content-Length: {len(data)}",
        *(f"{name}: {value}" for name, value in pairs),
    ]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + data


class Server:
    """What `serving` gives: where it listens, and all that it was asked."""

    def __init__(self, routes: dict[str, Handler], scheme: str) -> None:
        self.routes = routes
        self.port = 0
        self.asked: list[Exchange] = []
        self.connections = 0
        self.running = 0
        self.peak = 0
        self._scheme = scheme
        self._tasks: set[asyncio.Task[None]] = set()

    def url(self, path: str = "/", host: str = "127.0.0.1", user: str = "") -> str:
        """The URL of a path here."""
        return f"{self._scheme}://{user}{host}:{self.port}{path}"

    def paths(self) -> list[str]:
        """What it was asked, in order."""
        return [exchange.path for exchange in self.asked]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side ends it."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        number = self.connections
        try:
            while (exchange := await _read(reader, writer, number)) is not None:
                self.asked.append(exchange)
                self.running += 1
                self.peak = max(self.peak, self.running)
                try:
                    await self._route(exchange.path)(exchange)
                finally:
                    self.running -= 1
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    def _route(self, path: str) -> Handler:
        return self.routes.get(path.partition("?")[0]) or self.routes.get("*") or _not_found

    async def stop(self) -> None:
        """End every connection."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> Exchange | None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")[:-2]
    method, path, _ = first.split(" ")
    headers = dict(line.split(": ", 1) if ": " in line else (line.rstrip(":"), "") for line in lines)
    length = int(headers.get("Content-Length", "0"))
    return Exchange(method, path, headers, await reader.readexactly(length), number, reader, writer)


async def _not_found(exchange: Exchange) -> None:
    await exchange.answer("not here", status=404)


@contextlib.asynccontextmanager
async def serving(
    routes: dict[str, Handler] | Handler, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    """Listen on a free port of 127.0.0.1 for as long as the block runs; `routes` is by path, "*" for all others."""
    table = routes if isinstance(routes, dict) else {"*": routes}
    server = Server(table, "http" if tls is None else "https")
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls, backlog=1000)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await server.stop()
        await listener.wait_closed()
        await asyncio.sleep(0)  # transports close their sockets in the next turn


def text(body: bytes | str, status: int = 200, headers: dict[str, str] | None = None) -> Handler:
    """A route that always gives the same proper answer."""

    async def handler(exchange: Exchange) -> None:
        await exchange.answer(body, status, headers or {})

    return handler


def redirect(to: str, status: int = 302) -> Handler:
    """A route that leads elsewhere."""
    return text(b"moved", status, {"Location": to})


def raw(*pieces: bytes, gap: float = 0.0, then_close: bool = False) -> Handler:
    """A route that writes bytes as they are."""

    async def handler(exchange: Exchange) -> None:
        await exchange.send(*pieces, gap=gap)
        if then_close:
            exchange.writer.close()

    return handler


async def silence(exchange: Exchange) -> None:
    """A route that never answers."""
    await asyncio.Event().wait()


async def echo(exchange: Exchange) -> None:
    """A route that gives back what was asked."""
    lines = [
        f"{exchange.method} {exchange.path}",
        *(f"{name}: {value}" for name, value in exchange.headers.items()),
    ]
    await exchange.answer("\n".join(lines).encode() + b"\n\n" + exchange.body)


def closed_port() -> int:
    """A port on which nobody listens."""
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
