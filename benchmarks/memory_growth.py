"""Bytes that each task leaves behind: resident memory of a fresh interpreter and its workers after many tasks and more.

`python benchmarks/memory_growth.py [--items 1000000]` measures all ways.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

HERE = Path(__file__)
PROC = Path("/proc")
PAGE = 4096
#: So many of the items are run before the first measurement: caches and windows fill once.
WARM = 10
#: Bytes a task that are no growth: less than half of the smallest object.
SMALL = 6.0

Way = Callable[[int], Awaitable[None]]


def noop(item: int) -> int:
    """Work that does not wait."""
    return item


async def anoop(item: int) -> int:
    """The same on a loop."""
    return item


def by_stream(on: str) -> Way:
    """A stream of so many items, each with a time limit."""

    async def run(items: int) -> None:
        from atonce import stream

        work = anoop if on == "loop" else noop
        async for _ in stream(range(items), work, on=on, max_concurrency=4, timeout=60.0):
            pass

    return run


def by_spawn(on: str) -> Way:
    """So many tasks, a hundred at once."""

    async def run(items: int) -> None:
        from atonce import await_many, spawn

        work = anoop if on == "loop" else noop
        for first in range(0, items, 100):
            await await_many([spawn(work, item, on=on) for item in range(first, min(first + 100, items))])

    return run


WAYS: dict[str, Way] = {
    f"{verb} on {on}": make(on)
    for verb, make in (("stream", by_stream), ("spawn", by_spawn))
    for on in ("loop", "thread", "process")
}


def resident(pid: int) -> int:
    """Bytes of a process that are in memory now."""
    return int((PROC / str(pid) / "statm").read_text().split()[1]) * PAGE


def below(pid: int) -> list[int]:
    """The processes that it started, and theirs."""
    lists = (PROC / str(pid) / "task").glob("*/children")
    found = [int(child) for one in lists for child in one.read_text().split()]
    return found + [lower for child in found for lower in below(child)]


def sizes() -> tuple[int, int]:
    """Bytes of this process, and of all below it."""
    gc.collect()
    return resident(os.getpid()), sum(resident(pid) for pid in below(os.getpid()))


async def grown(way: Way, items: int, rounds: int) -> tuple[float, float]:
    """Bytes a task after a tenth of the items, here and below: the least of up to so many rounds, as a leak is in each.

    A forked worker makes the pages that it shares its own one by one, for many rounds: they end at the first small one.
    """
    await way(items // WARM)
    least = float("inf"), float("inf")
    while rounds and max(least) > SMALL:
        rounds -= 1
        before = sizes()
        await way(items)
        after = sizes()
        here, there = ((now - then) / items for now, then in zip(after, before, strict=True))
        least = min(least[0], here), min(least[1], there)
    return least


def measured(name: str, items: int, rounds: int = 1) -> tuple[float, float]:
    """The same, in a fresh interpreter."""
    command = [sys.executable, str(HERE), "--child", name, "--items", str(items), "--rounds", str(rounds)]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    here, there = json.loads(answer.stdout)
    return here, there


def main() -> None:
    """Measure all ways, or be the fresh interpreter of one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--child", choices=WAYS)
    given = parser.parse_args()
    if given.child is not None:
        print(json.dumps(asyncio.run(grown(WAYS[given.child], given.items, given.rounds))))
        return
    for name in WAYS:
        here, there = measured(name, given.items, given.rounds)
        print(f"{name:20} {here:8.3f} bytes a task of {given.items:,}, {there:8.3f} in workers", flush=True)


if __name__ == "__main__":
    main()
