"""An API gateway: one page from four services, whatever becomes of any of them.

    python examples/gateway.py               a show of some 5 s: 300 pages, and a service is killed in between
    python examples/gateway.py --serve 8080  serves http://127.0.0.1:8080/items/1 and /status until SIGTERM or Ctrl-C

All that runs is one tree of supervisors. It is started from the top, and stopped from the bottom:

    gateway ── services    four web servers, each in a process: one that dies is started again a second later
             ├ cache       what they answered within the last half second
             ├ pollers     ask each service for its health; one that gets no answer dies, and is started again
             └ listener    answers requests; when the program is to end it goes first, once what came in is answered

The services are in gateway_services.py, the cache in cache.py, the show in gateway_show.py.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from aiohttp import web
from cache import Cache
from gateway_services import NAMES, Process, reserved_ports
from gateway_show import show

from atonce import Child, Outcome, Retry, Supervisor, aggregate, fetch, source

#: How long a page waits for each of its parts, and what stands in for it; without a product there is no page.
PARTS: dict[str, dict[str, Any]] = {
    "product": {"timeout": 0.5},
    "reviews": {"timeout": 0.25, "fallback": []},
    "price": {"timeout": 0.5, "fallback": None},
    "stock": {"timeout": 0.5, "fallback": "unknown"},
}
#: Seconds for which an answer of a service is good.
TTL = 0.5

Key = tuple[str, str]


async def load(urls: Mapping[str, str], key: Key) -> Any:
    """Ask a service; the cache does so for a key that it does not have: the name of a service, and a path."""
    service, path = key
    return (await fetch(f"{urls[service]}/{path}", timeout=1.5, retry=2)).json()


async def poll(urls: Mapping[str, str], service: str, cache: Cache) -> None:
    """Renew what is known of the health of a service. Nothing is caught: after a failure it is started again."""
    while True:
        await cache.put((service, "health"), await load(urls, (service, "health")))
        await asyncio.sleep(0.1)


class Listener:
    """What answers requests, as a child of a supervisor: it has a `name`, and `serve` is one run of it."""

    name = "listener"

    def __init__(self, cache: Cache, port: int) -> None:
        self.cache = cache
        self.port = port
        self.received = self.in_flight = 0

    async def serve(self, ready: Callable[[], None]) -> None:
        """Listen until cancelled; then answer what has come in."""
        app = web.Application()
        app.add_routes([web.get("/items/{item:\\d+}", self.page), web.get("/status", self.status)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=4.0)
        await runner.setup()
        with socket.create_server(("127.0.0.1", self.port)) as listening:
            self.port = listening.getsockname()[1]  # the same one when it is started again
            site = web.SockSite(runner, listening)
            await site.start()
            ready()
            try:
                await asyncio.Event().wait()
            finally:
                await close_door(site, listening)
                await runner.cleanup()

    async def page(self, request: web.Request) -> web.Response:
        """All about one item. A service that fails or is late costs its part of the page, and nothing else."""
        path = f"items/{request.match_info['item']}"
        sources = {name: source(self.cache.get, (name, path), **how) for name, how in PARTS.items()}
        self.received += 1
        self.in_flight += 1
        try:
            parts = await aggregate(sources)
        finally:
            self.in_flight -= 1
        page = {name: part.unwrap_or(None) for name, part in parts.items()}
        page["sources"] = {name: described(part) for name, part in parts.items()}
        return web.json_response(page, status=200 if parts["product"].ok else 502)

    async def status(self, request: web.Request) -> web.Response:
        """How the services are: what the pollers found lately, else what is found now."""
        sources = {
            name: source(self.cache.get, (name, "health"), timeout=0.3, fallback="down") for name in NAMES
        }
        services = {name: found.unwrap() for name, found in (await aggregate(sources)).items()}
        counts = {"received": self.received, "in_flight": self.in_flight}
        return web.json_response({"services": services, **counts})


async def close_door(site: web.SockSite, listening: socket.socket) -> None:
    """Let nobody in any more, and lose nobody who is inside."""
    asyncio.get_running_loop().remove_reader(listening)
    await asyncio.sleep(0)  # a server that is closed in the turn in which it accepted connections loses them
    await asyncio.sleep(0)
    await site.stop()
    await asyncio.sleep(0.05)  # time for their requests; after that, connections without one are closed


def described(part: Outcome[Any]) -> str:
    """How a part of a page came about, in a few words."""
    if part.error is None:
        return "ok"
    why = getattr(part.error, "kind", type(part.error).__name__)
    return f"fallback ({why})" if part.fallback else f"failed ({why})"


def supervised(processes: Sequence[Process], port: int) -> tuple[Supervisor, Listener]:
    """The whole tree, ready to be entered, and the listener in it."""
    urls = {one.name: one.url for one in processes}
    cache = Cache(partial(load, urls), ttl=TTL)
    listener = Listener(cache, port)
    services = Supervisor(
        children=[Child(one) for one in processes],
        backoff=Retry(base_delay=1.0, max_delay=5.0, jitter=None),
        name="services",
    )
    pollers = Supervisor(
        children=[Child(poll, urls, name, cache, name=f"poll {name}") for name in NAMES],
        backoff=Retry(base_delay=0.1, max_delay=0.5),
        max_restarts=1_000,  # a service may be away for long, and its poller is there to wait for it
        name="pollers",
    )
    line = [Child(services), Child(cache), Child(pollers), Child(listener)]
    return Supervisor(children=line, name="gateway"), listener


async def main(port: int | None) -> None:
    """Start everything; then serve until somebody ends it, or give the show."""
    with reserved_ports(len(NAMES)) as ports:
        processes = [Process(name, at) for name, at in zip(NAMES, ports, strict=True)]
        supervisor, listener = supervised(processes, port or 0)
        async with supervisor:
            url = f"http://127.0.0.1:{listener.port}"
            print(f"the gateway listens on {url}", flush=True)
            if port is not None:
                await asyncio.Event().wait()
            logging.getLogger("atonce").setLevel(
                logging.CRITICAL
            )  # the show says itself what is started again
            await show(url, processes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--serve", type=int, metavar="PORT", help="serve until SIGTERM or Ctrl-C; 0: any port"
    )
    try:
        asyncio.run(main(parser.parse_args().serve))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
