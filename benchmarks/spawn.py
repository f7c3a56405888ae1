"""Start one task and await it, again and again, against the ways to do that in asyncio, anyio and Elixir."""

from __future__ import annotations

import asyncio
import sys

import elixir_peer
from harness import Contender, Target, announce, finish, measure, on_loop, options

EAGER = sys.version_info >= (3, 12)


async def noop(item: int) -> int:
    """Work that does not wait."""
    return item


async def suspending(item: int) -> int:
    """Work that lets the loop go round once."""
    await asyncio.sleep(0)
    return item


async def by_atonce(items: int) -> int:
    """The subject."""
    from atonce import spawn

    done = 0
    for item in range(items):
        done += await spawn(noop, item) == item
    return done


async def by_atonce_suspending(items: int) -> int:
    """The subject, where no eager start can help."""
    from atonce import spawn

    done = 0
    for item in range(items):
        done += await spawn(suspending, item) == item
    return done


async def by_create_task(items: int) -> int:
    """Bare asyncio: nobody owns the task."""
    done = 0
    for item in range(items):
        done += await asyncio.create_task(noop(item)) == item
    return done


async def by_create_task_suspending(items: int) -> int:
    """Bare asyncio, with one suspension."""
    done = 0
    for item in range(items):
        done += await asyncio.create_task(suspending(item)) == item
    return done


async def by_eager_factory(items: int) -> int:
    """Bare asyncio with the eager task factory, which a program must choose for its whole loop."""
    if sys.version_info >= (3, 12):
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    return await by_create_task(items)


async def by_group(items: int) -> int:
    """asyncio's TaskGroup: one group owns all."""
    done = 0
    async with asyncio.TaskGroup() as group:
        for item in range(items):
            done += await group.create_task(noop(item)) == item
    return done


async def by_anyio(items: int) -> int:
    """anyio's task group: one group owns all."""
    import anyio

    done = 0
    async with anyio.create_task_group() as group:
        for item in range(items):
            done += await group.start_soon(noop, item) == item
    return done


def contenders() -> list[Contender]:
    """All who can start and await one task at a time."""
    found = [
        Contender("atonce", on_loop(by_atonce), "spawn+await"),
        Contender("create_task+await", on_loop(by_create_task)),
        Contender("TaskGroup.create_task+await", on_loop(by_group)),
        Contender("anyio start_soon+await", on_loop(by_anyio), "", 20_000),
        elixir_peer.contender("Elixir Task.async+await", "spawn"),
    ]
    if EAGER:
        found.append(Contender("create_task+await, eager factory", on_loop(by_eager_factory)))
    return found


def main() -> None:
    """Run all comparisons of this topic."""
    given = options(__doc__)
    announce("spawn")
    targets = [Target("Elixir Task.async+await", 1.0)] if EAGER else [Target("create_task+await", 1.25)]
    items = given.count(100_000)
    suspended = [
        Contender("atonce", on_loop(by_atonce_suspending), "spawn+await"),
        Contender("create_task+await", on_loop(by_create_task_suspending)),
    ]
    sections = [
        measure("Start and await one no-op coroutine", contenders(), given, items=items, targets=targets),
        measure("Start and await one coroutine that suspends once", suspended, given, items=items),
    ]
    finish("spawn", sections, given)


if __name__ == "__main__":
    main()
