"""A web site for the tests of the program, in a process of its own that ends when its standard input does."""

from __future__ import annotations

import asyncio
import os
from collections import Counter, defaultdict

from aiohttp import web

asked: Counter[str] = Counter()
gates: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)


async def answer(request: web.Request) -> web.StreamResponse:
    """Do what the path says."""
    kind, _, rest = request.path.strip("/").partition("/")
    asked[request.path] += 1
    match kind:
        case "slow":
            await asyncio.sleep(float(rest))
        case "gate":
            await gates[rest].wait()
        case "open":
            gates[rest].set()
        case "echo":
            body = await request.text()
            agent, type = request.headers["User-Agent"], request.content_type
            return web.json_response({"method": request.method, "body": body, "agent": agent, "type": type})
        case "away" if int(rest):
            raise web.HTTPFound(f"/away/{int(rest) - 1}")
        case "status":
            return web.Response(status=int(rest), text="as you wish")
        case "busy" if asked[request.path] == 1:
            return web.Response(status=429, headers={"Retry-After": "0.05"})
        case "headers":
            return web.json_response(dict(request.headers))
        case "raw":
            return web.Response(body=bytes(range(256)), content_type="application/octet-stream")
        case "text":
            return web.Response(body=rest.encode(), content_type="text/plain", charset="utf-8")
        case "control":
            return web.Response(text="\x1b[31m\x9b\u202e\u2028 end")
        case "big":
            return web.Response(body=b"x" * int(rest))
        case "robots.txt":
            return web.Response(
                text="User-agent: *\nDisallow: /private\n\nUser-agent: snail\nCrawl-delay: 0.3\n"
            )
        case "asked":
            return web.json_response(asked)
        case "infinite":
            return web.Response(text='{"far": 1e999}', content_type="application/json")
    return web.Response(text=f"this is {request.path}")


async def serve() -> None:
    """Say the address, and serve until nobody holds standard input any more."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=512).start()
    os.write(1, f"http://127.0.0.1:{runner.addresses[0][1]}\n".encode())
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, lambda: None if os.read(0, 1) else ended.set())
    await ended.wait()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve())
