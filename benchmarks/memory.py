"""Bytes that one live sleeping task takes, each measurement in a fresh interpreter."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import elixir_peer
from harness import Absent, Contender, Target, announce, finish, measure, options

STATM = Path("/proc/self/statm")

Start = Callable[[], object]


async def nap() -> None:
    """Sleep for an hour."""
    await asyncio.sleep(3600)


def by_atonce() -> object:
    """The subject."""
    from atonce import spawn

    return spawn(nap)


def by_atonce_limited() -> object:
    """The subject with a time limit for each task."""
    from atonce import spawn

    return spawn(nap, timeout=7200.0)


def by_create_task() -> object:
    """Bare asyncio."""
    return asyncio.create_task(nap())


def by_create_task_limited() -> object:
    """Bare asyncio with a time limit for each task."""

    async def limited() -> None:
        async with asyncio.timeout(7200.0):
            await nap()

    return asyncio.create_task(limited())


WAYS: dict[str, Start] = {
    way.__name__: way for way in (by_atonce, by_atonce_limited, by_create_task, by_create_task_limited)
}


def resident() -> int:
    """Bytes of this process that are in memory now."""
    return int(STATM.read_text().split()[1]) * 4096


def heap() -> int:
    """Bytes that Python objects take now, as tracemalloc sees them."""
    return tracemalloc.get_traced_memory()[0]


async def taken(start: Start, items: int, meter: Callable[[], int]) -> int:
    """What so many tasks take once all of them sleep."""
    keep = [start() for _ in range(100)]
    await asyncio.sleep(0.01)
    gc.collect()
    before = meter()
    keep += [start() for _ in range(items)]
    await asyncio.sleep(0.01)
    gc.collect()
    after = meter()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    return after - before


def child(way: str, items: int, *, trace: bool) -> None:
    """The fresh interpreter's part: measure, and print the bytes."""
    if trace:
        tracemalloc.start()
    print(json.dumps(asyncio.run(taken(WAYS[way], items, heap if trace else resident))))


def measured(way: str, meter: str) -> Callable[[int], float]:
    """A contender's `run`: bytes, from a fresh interpreter."""

    def run(items: int) -> float:
        if meter == "rss" and not STATM.exists():
            raise Absent("resident size is read from /proc")
        command = [sys.executable, __file__, "--child", way, str(items), meter]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if "ModuleNotFoundError" in answer.stderr:
            raise Absent(answer.stderr.strip().splitlines()[-1])
        if answer.returncode:
            raise RuntimeError(answer.stderr)
        return float(answer.stdout)

    return run


def contenders(meter: str, *, limited: bool = False) -> list[Contender]:
    """The two of one table, and Elixir where its own figure compares."""
    if limited:
        return [
            Contender("atonce", measured("by_atonce_limited", meter), "spawn(timeout=)"),
            Contender("create_task+asyncio.timeout", measured("by_create_task_limited", meter)),
        ]
    found = [
        Contender("atonce", measured("by_atonce", meter), "spawn"),
        Contender("create_task", measured("by_create_task", meter)),
    ]
    if meter == "rss":
        found.append(elixir_peer.contender("Elixir Task.async", "memory", "as the BEAM counts it"))
    return found


def main() -> None:
    """Run all comparisons of this topic."""
    given = options(__doc__)
    announce("memory")
    items = given.count(100_000)
    goal = [Target("create_task", 1.5)]
    limited = "A sleeping task with a time limit, resident memory"
    size = "bytes a task"
    sections = [
        measure(
            "A sleeping task, resident memory", contenders("rss"), given, items=items, targets=goal, unit=size
        ),
        measure(
            "A sleeping task, Python's heap", contenders("heap"), given, items=items, targets=goal, unit=size
        ),
        measure(limited, contenders("rss", limited=True), given, items=items, unit=size),
    ]
    finish("memory", sections, given)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], int(sys.argv[3]), trace=sys.argv[4] == "heap")
    else:
        main()
