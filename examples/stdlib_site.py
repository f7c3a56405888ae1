"""A web site that serves the source of this Python's standard library over loopback, with the weather of a real one.

It runs in a process of its own and ends when whoever started it closes its standard input, or dies. Which pages are
slow, busy or broken is decided by their names, so that every visit meets the same weather.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import sysconfig
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LIBRARY = Path(sysconfig.get_path("stdlib"))
LEFT_OUT = {
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "idle_test",
    "idlelib",
    "lib2to3",
    "turtledemo",
    "__pycache__",
}
GHOSTS = ("asyncio/telepathy.py", "concurrent/hopes.py", "this_page_moved.py")


def pages() -> list[str]:
    """The paths of all modules, and of a few that are linked to and are not there."""
    found = [path.relative_to(LIBRARY) for path in LIBRARY.rglob("*.py")]
    kept = [path.as_posix() for path in found if LEFT_OUT.isdisjoint(path.parts)]
    return sorted([*kept, *GHOSTS])


def weather(name: str) -> str:
    """What meets a visitor of a page: mostly "fine", else "slow", "busy", "stalled", "broken" or "dead"."""
    number = zlib.crc32(name.encode()) % 200
    for share, kind in ((8, "slow"), (14, "busy"), (17, "stalled"), (19, "broken"), (21, "dead")):
        if number < share:
            return kind
    return "fine"


@contextmanager
def serving() -> Iterator[str]:
    """Run the site for as long as the block lasts, and give its address."""
    command = [sys.executable, __file__]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True) as site:
        assert site.stdout is not None
        yield site.stdout.readline().strip()


async def serve() -> None:
    """Serve until standard input ends."""
    from aiohttp import web

    met: set[str] = set()

    async def answer(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        is_first = name not in met
        met.add(name)
        match weather(name):
            case "slow":
                await asyncio.sleep(0.6)
            case "busy" if is_first:
                return web.Response(status=503, headers={"Retry-After": "1"}, text="come back in a second")
            case "stalled" if is_first:
                await asyncio.sleep(60.0)
            case "broken":
                return web.Response(status=500, text="something is wrong here")
            case "dead":
                await asyncio.sleep(60.0)
        path = LIBRARY / name
        if name not in known:
            return web.Response(status=404, text="no such module")
        return web.Response(body=path.read_bytes(), content_type="text/x-python")

    async def index(request: web.Request) -> web.StreamResponse:
        return web.json_response([f"http://{request.host}/{name}" for name in pages()])

    known = set(pages()) - set(GHOSTS)
    app = web.Application()
    app.add_routes([web.get("/", index), web.get("/{name:.+}", answer)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}/", flush=True)
    await until_stdin_ends()
    await runner.cleanup()


async def until_stdin_ends() -> None:
    """Wait until nobody holds the other end of standard input."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(0, lambda: None if os.read(0, 1) else ended.set())
    await ended.wait()
    loop.remove_reader(0)


if __name__ == "__main__":
    asyncio.run(serve())
