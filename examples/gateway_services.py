"""The four services behind the gateway, each a small web server in a process of its own that can be killed.

`product` is quick, `reviews` is slow for every tenth item, `price` fails for some, `stock` is what the show kills; the
number of the item decides. A process ends when whoever started it closes its standard input, or dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable, Iterator
from subprocess import PIPE

from aiohttp import web
from stdlib_site import until_stdin_ends

NAMES = ("product", "reviews", "price", "stock")


class Process:
    """A service in a process of its own, as a child of a supervisor: it has a `name`, and `serve` is one run of it."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.url = f"http://127.0.0.1:{port}"
        self.pid = 0
        self._command = (sys.executable, __file__, name, str(port))

    async def serve(self, ready: Callable[[], None]) -> None:
        """Fail when the process ends; end it when cancelled."""
        process = await asyncio.create_subprocess_exec(*self._command, stdin=PIPE, start_new_session=True)
        self.pid = process.pid
        ready()
        try:
            raise ChildProcessError(f"{self.name} ended with exit code {await process.wait()}")
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


@contextlib.contextmanager
def reserved_ports(count: int) -> Iterator[list[int]]:
    """Ports that stay ours while services come and go: each is held by a socket that does not listen."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind(("127.0.0.1", 0))
        yield [one.getsockname()[1] for one in sockets]


class Service:
    """One of the four, in its process."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: set[int] = set()

    async def answer(self, request: web.Request) -> web.Response:
        """What it knows about an item."""
        item = int(request.match_info["item"])
        is_first = item not in self.asked
        self.asked.add(item)
        if self.name == "reviews" and item % 10 == 7:
            await asyncio.sleep(1.0)
        if self.name == "price" and (item % 10 == 3 or (item % 10 == 5 and is_first)):
            return web.Response(status=503)
        known = {
            "reviews": [f"{item} of {item + 1} would buy it again"],
            "price": 10 + item,
            "stock": item % 50,
        }
        return web.json_response(known.get(self.name, f"thing number {item}"))

    async def health(self, request: web.Request) -> web.Response:
        """Say that it is there."""
        return web.json_response("up")

    async def run(self, port: int) -> None:
        """Serve until standard input ends."""
        app = web.Application()
        app.add_routes([web.get("/items/{item:\\d+}", self.answer), web.get("/health", self.health)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, reuse_port=True).start()
        await until_stdin_ends()
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(Service(sys.argv[1]).run(int(sys.argv[2])))
