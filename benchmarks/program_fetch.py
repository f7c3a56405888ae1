"""`atonce fetch` with a thousand connections, against a script with bare aiohttp: the CPU of the whole program."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from fetch import server
from harness import Contender, Target, announce, finish, measure, options

CONNECTIONS = 1_000
URLS = 5_000
SIZE = 1_000
#: Seconds until the server answers, so that a thousand are really under way at once.
DELAY = 0.05
#: The least that does the job: no limit for one host, no retry, no record, no time limit; it ends at the first failure.
BARE = """
import asyncio, sys, aiohttp

async def main():
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=int(sys.argv[1]))) as session:

        async def one(url):
            async with session.get(url) as response:
                response.raise_for_status()
                return response.status, await response.text()

        with open(sys.argv[2]) as file:
            found = await asyncio.gather(*[one(line.strip()) for line in file])
    for status, body in found:
        print(status, body)

asyncio.run(main())
"""
Line = Callable[[Path], list[str]]


def by_program(urls: Path) -> list[str]:
    """The subject: a record with status, headers, body and times for each URL."""
    bounds = ["-j", str(CONNECTIONS), "--per-host", str(CONNECTIONS)]
    return [sys.executable, "-m", "atonce", "fetch", "-q", "-i", str(urls), *bounds]


def by_script(urls: Path) -> list[str]:
    """The script; connections stay open between requests, as the program's do."""
    return [sys.executable, "-c", BARE, str(CONNECTIONS), str(urls)]


def cpu(line: Line, base: str, folder: Path) -> Callable[[int], float]:
    """A contender's `run`: microseconds of CPU of the program, its start and its end included."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")

    def run(items: int) -> float:
        urls = folder / f"{items}.txt"
        urls.write_text("".join(f"{base}/{number}\n" for number in range(items)))
        out = folder / "out"
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with out.open("wb") as file:
            subprocess.run(line(urls), stdout=file, env=environment, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        with out.open("rb") as file:
            found = sum(1 for _ in file)
        if found != items:
            raise RuntimeError(f"{found} lines for {items} URLs")
        return (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) * 1e6

    return run


def main() -> None:
    """Run the comparison of this topic."""
    given = options(__doc__)
    announce("program_fetch")
    items = given.count(URLS)
    with tempfile.TemporaryDirectory() as folder, server(SIZE, DELAY) as base:
        contenders = [
            Contender("atonce fetch", cpu(by_program, base, Path(folder)), "retries, limits, records"),
            Contender("bare aiohttp script", cpu(by_script, base, Path(folder)), "none of it"),
        ]
        found = measure(
            f"CPU of the program, {items:,} loopback URLs of {SIZE:,} bytes, {CONNECTIONS:,} connections",
            contenders,
            given,
            items=items,
            targets=[Target("bare aiohttp script", 1.3)],
            unit="us of CPU a URL",
            subject="atonce fetch",
            warmup=100,
        )
    finish("program_fetch", [found], given)


if __name__ == "__main__":
    main()
