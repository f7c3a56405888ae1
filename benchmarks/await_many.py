"""Start many tasks, then await all of them, against gather, TaskGroup and Elixir's await_many."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import elixir_peer
from harness import Contender, Section, announce, finish, measure, on_loop, options


async def noop(item: int) -> int:
    """Work that does not wait."""
    return item


async def by_atonce(items: int) -> int:
    """The subject."""
    from atonce import await_many, spawn

    return len(await await_many([spawn(noop, item) for item in range(items)], timeout=30.0))


async def by_gather(items: int) -> int:
    """asyncio's gather of tasks, with one deadline."""
    async with asyncio.timeout(30.0):
        return len(await asyncio.gather(*[asyncio.create_task(noop(item)) for item in range(items)]))


async def by_group(items: int) -> int:
    """asyncio's TaskGroup, with one deadline."""
    async with asyncio.timeout(30.0), asyncio.TaskGroup() as group:
        tasks = [group.create_task(noop(item)) for item in range(items)]
    return len([task.result() for task in tasks])


async def by_anyio(items: int) -> int:
    """anyio's task group, with one deadline."""
    import anyio

    with anyio.fail_after(30.0):
        async with anyio.create_task_group() as group:
            handles = [group.start_soon(noop, item) for item in range(items)]
    return len([handle.return_value for handle in handles])


def contenders() -> Sequence[Contender]:
    """All who can wait for many."""
    return [
        Contender("atonce", on_loop(by_atonce), "spawn, await_many"),
        Contender("create_task, gather", on_loop(by_gather)),
        Contender("TaskGroup", on_loop(by_group)),
        Contender("anyio task group", on_loop(by_anyio)),
        elixir_peer.contender("Elixir Task.async, await_many", "await_many"),
    ]


def main() -> None:
    """Run all comparisons of this topic."""
    given = options(__doc__)
    announce("await_many")
    sections: list[Section] = [
        measure(f"Start {items:,} tasks and await all, one deadline", contenders(), given, items=items)
        for items in (given.count(1_000), given.count(50_000))
    ]
    finish("await_many", sections, given)


if __name__ == "__main__":
    main()
