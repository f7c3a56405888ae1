"""What supervision adds to a spawn, and what a fleet of children costs, side by side with Elixir."""

from __future__ import annotations

import asyncio

import elixir_peer
from harness import Contender, Target, announce, finish, measure, on_loop, options

FLEET = 1_000


async def noop(item: int) -> int:
    """Work that does not wait."""
    return item


async def forever() -> None:
    """Work that ends when it is stopped."""
    await asyncio.get_running_loop().create_future()


async def by_nolink(items: int) -> int:
    """The subject: one supervised task after another."""
    from atonce import Supervisor

    done = 0
    async with Supervisor() as sup:
        for item in range(items):
            done += await sup.spawn_nolink(noop, item) == item
    return done


async def by_linked(items: int) -> int:
    """The same, each tied to its caller."""
    from atonce import Supervisor

    done = 0
    async with Supervisor() as sup:
        for item in range(items):
            done += await sup.spawn(noop, item) == item
    return done


async def by_bounded(items: int) -> int:
    """The same under a bound, which has to be looked at each time."""
    from atonce import Supervisor

    done = 0
    async with Supervisor(max_children=10) as sup:
        for item in range(items):
            done += await sup.spawn_nolink(noop, item) == item
    return done


async def by_spawn(items: int) -> int:
    """Nobody but the asyncio task owns it."""
    from atonce import spawn

    done = 0
    for item in range(items):
        done += await spawn(noop, item) == item
    return done


async def by_create_task(items: int) -> int:
    """Bare asyncio: nobody owns the task."""
    done = 0
    for item in range(items):
        done += await asyncio.create_task(noop(item)) == item
    return done


async def by_children(items: int) -> int:
    """The subject: all children at the same time, then all are stopped."""
    from atonce import Supervisor

    async with Supervisor() as sup:
        for _ in range(items):
            sup.start_child(forever, restart="permanent")
        await asyncio.sleep(0)
        return sup.count_children()


async def by_fleets(items: int) -> int:
    """The same in fleets of a thousand, one after another."""
    return sum([await by_children(FLEET) for _ in range(items // FLEET)])


async def by_tasks(items: int) -> int:
    """Bare asyncio: tasks that are cancelled and gathered."""
    tasks = [asyncio.create_task(forever()) for _ in range(items)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    return len(await asyncio.gather(*tasks, return_exceptions=True))


async def by_task_fleets(items: int) -> int:
    """The same in fleets of a thousand: what Python's garbage collection makes of many at the same time."""
    return sum([await by_tasks(FLEET) for _ in range(items // FLEET)])


def main() -> None:
    """Run all comparisons of this topic."""
    given = options(__doc__)
    announce("supervisor")
    tasks = [
        Contender("atonce", on_loop(by_nolink), "spawn_nolink+await"),
        Contender("atonce, linked", on_loop(by_linked), "sup.spawn+await"),
        Contender("atonce, max_children=10", on_loop(by_bounded), "spawn_nolink+await"),
        Contender("atonce, not supervised", on_loop(by_spawn), "spawn+await"),
        Contender("create_task+await", on_loop(by_create_task)),
        elixir_peer.contender("Elixir Task.Supervisor.async_nolink+await", "supervisor_spawn"),
    ]
    children = [
        Contender("atonce", on_loop(by_children), "start_child, then leave"),
        Contender(f"atonce, {FLEET:,} at a time", on_loop(by_fleets)),
        Contender("create_task, cancel, gather", on_loop(by_tasks)),
        Contender(f"create_task, cancel, gather, {FLEET:,} at a time", on_loop(by_task_fleets)),
        elixir_peer.contender(
            "Elixir DynamicSupervisor.start_child, then stop", "supervisor_children", items=5_000
        ),
    ]
    fleet = max(FLEET, given.count(100_000) // FLEET * FLEET)
    sections = [
        measure(
            "Start and await one no-op coroutine under a supervisor",
            tasks,
            given,
            items=given.count(100_000),
            targets=[
                Target("atonce, not supervised", 1.3),
                Target("Elixir Task.Supervisor.async_nolink+await", 1.0),
            ],
        ),
        measure(
            "Start children that run for ever, then stop them all",
            children,
            given,
            items=fleet,
            targets=[Target(f"atonce, {FLEET:,} at a time", 1.25)],
            unit="us a child",
        ),
    ]
    finish("supervisor", sections, given)


if __name__ == "__main__":
    main()
