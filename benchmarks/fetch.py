"""The client's CPU for 1,000 loopback URLs: `parallel_fetch` against a hand-written aiohttp gather with a semaphore."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial

from harness import Contender, Section, Target, announce, finish, measure, options

BOUND = 50
LIMIT = 5.0

Body = Callable[[list[str]], Awaitable[int]]
Clock = Callable[[], float]


async def by_atonce(urls: list[str]) -> int:
    """The subject, with all its limits and retries on; the bound for one host is that of all, as for the others."""
    from atonce import parallel_fetch

    outcomes = await parallel_fetch(urls, max_concurrency=BOUND, per_host=BOUND, timeout=LIMIT)
    return sum(outcome.ok and outcome.value.status == 200 for outcome in outcomes)


async def by_aiohttp(urls: list[str]) -> int:
    """What a careful person writes by hand."""
    import aiohttp

    gate = asyncio.Semaphore(BOUND)
    timeout = aiohttp.ClientTimeout(total=LIMIT)
    async with aiohttp.ClientSession(timeout=timeout) as session:

        async def one(url: str) -> bytes:
            async with gate, session.get(url) as response:
                response.raise_for_status()
                return await response.read()

        return len(await asyncio.gather(*[one(url) for url in urls]))


async def by_aiohttp_outcomes(urls: list[str]) -> int:
    """The same, where one failure does not hide the other answers and the size of a body is capped."""
    import aiohttp

    gate = asyncio.Semaphore(BOUND)
    timeout = aiohttp.ClientTimeout(total=LIMIT)
    async with aiohttp.ClientSession(timeout=timeout) as session:

        async def one(url: str) -> bytes:
            async with gate, session.get(url) as response:
                response.raise_for_status()
                body = b""
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > 10_000_000:
                        raise ValueError("too large")
                return body

        answers = await asyncio.gather(*[one(url) for url in urls], return_exceptions=True)
        return sum(isinstance(answer, bytes) for answer in answers)


def asking(body: Body, clock: Clock, base: str) -> Callable[[int], float]:
    """A contender's `run`: microseconds of this process for so many URLs."""

    async def timed(items: int) -> float:
        urls = [f"{base}/{number}" for number in range(items)]
        started = clock()
        done = await body(urls)
        taken = clock() - started
        if done != items:
            raise RuntimeError(f"{done} answers for {items} URLs")
        return taken * 1e6

    return lambda items: asyncio.run(timed(items))


@contextmanager
def server(size: int, delay: float = 0.0) -> Iterator[str]:
    """A server in a process of its own: so many bytes an answer, after so many seconds; gives its address."""
    command = [sys.executable, __file__, "--serve", str(size), str(delay)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        if not port:
            raise RuntimeError("the server did not start: is aiohttp installed?")
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.stdin.close()


async def serve(size: int, delay: float) -> None:
    """The server's part: answer until standard input ends."""
    from aiohttp import web

    body = b"x" * size

    async def answer(request: web.BaseRequest) -> web.Response:
        if delay:
            await asyncio.sleep(delay)
        return web.Response(body=body)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1_024)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


def contenders(clock: Clock, base: str) -> list[Contender]:
    """The subject and the code that it replaces."""
    run = partial(asking, clock=clock, base=base)
    return [
        Contender("atonce", run(by_atonce), "parallel_fetch"),
        Contender("aiohttp gather+Semaphore", run(by_aiohttp)),
        Contender("aiohttp gather+Semaphore, outcomes and a cap", run(by_aiohttp_outcomes)),
    ]


def main() -> None:
    """Run all comparisons of this topic."""
    given = options(__doc__)
    announce("fetch")
    goal = [Target("aiohttp gather+Semaphore", 1.2)]
    items = given.count(1_000)
    sections: list[Section] = []
    for size in (2_000, 100_000):
        with server(size) as base:
            job = f"{items:,} loopback URLs of {size:,} bytes, {BOUND} at once"
            cpu = contenders(time.process_time, base)
            wall = contenders(time.perf_counter, base)
            sections.append(
                measure(
                    f"CPU of the client, {job}", cpu, given, items=items, targets=goal, unit="us of CPU a URL"
                )
            )
            if size == 2_000:
                sections.append(measure(f"Time gone by, {job}", wall, given, items=items, unit="us a URL"))
    finish("fetch", sections, given)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        asyncio.run(serve(int(sys.argv[2]), float(sys.argv[3])))
    else:
        main()
