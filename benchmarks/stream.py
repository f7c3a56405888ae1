"""A bounded stream of small coroutines with a time limit for each item, against the ways that people write it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import elixir_peer
from harness import Contender, Options, Section, Target, announce, finish, measure, on_loop, options

BOUND = 100
LIMIT = 5.0

Work = Callable[[int], Awaitable[int]]
Body = Callable[[int], Awaitable[int]]


async def noop(item: int) -> int:
    """Work that does not wait."""
    return item


async def suspending(item: int) -> int:
    """Work that lets the loop go round once."""
    await asyncio.sleep(0)
    return item


def atonce_stream(work: Work, *, ordered: bool = True) -> Body:
    """The subject."""

    async def body(items: int) -> int:
        import atonce

        done = 0
        async for _ in atonce.stream(
            range(items), work, max_concurrency=BOUND, timeout=LIMIT, ordered=ordered
        ):
            done += 1
        return done

    return body


def worker_loop(work: Work) -> Body:
    """The limit: so many tasks that share one iterator, nothing else."""

    async def body(items: int) -> int:
        source = iter(range(items))
        results: list[int] = []

        async def worker(source: Iterator[int]) -> None:
            for item in source:
                result = await work(item)
                results.append(result)

        await asyncio.gather(*[worker(source) for _ in range(BOUND)])
        return len(results)

    return body


def gather_semaphore(work: Work) -> Body:
    """What most people write."""

    async def body(items: int) -> int:
        gate = asyncio.Semaphore(BOUND)

        async def one(item: int) -> int:
            async with gate, asyncio.timeout(LIMIT):
                return await work(item)

        return len(await asyncio.gather(*[one(item) for item in range(items)]))

    return body


def group_semaphore(work: Work) -> Body:
    """The same with structure."""

    async def body(items: int) -> int:
        gate = asyncio.Semaphore(BOUND)

        async def one(item: int) -> int:
            async with gate, asyncio.timeout(LIMIT):
                return await work(item)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(item)) for item in range(items)]
        return len([task.result() for task in tasks])

    return body


def by_streamable(work: Work, *, ordered: bool = True) -> Body:
    """streamable: no time limit for an item."""

    async def body(items: int) -> int:
        from streamable import stream

        done = 0
        async for _ in stream(range(items)).map(work, concurrency=BOUND, as_completed=not ordered):
            done += 1
        return done

    return body


def by_aiometer(work: Work) -> Body:
    """aiometer: unordered, no time limit for an item."""

    async def body(items: int) -> int:
        import aiometer

        done = 0
        async with aiometer.amap(work, range(items), max_at_once=BOUND) as results:
            async for _ in results:
                done += 1
        return done

    return body


def by_aiostream(work: Work, *, ordered: bool = True) -> Body:
    """aiostream: no time limit for an item."""

    async def body(items: int) -> int:
        from aiostream import stream

        source = stream.iterate(range(items))
        function: Any = work
        done = 0
        async with stream.map(source, function, ordered=ordered, task_limit=BOUND).stream() as results:
            async for _ in results:
                done += 1
        return done

    return body


def by_anyio(work: Work) -> Body:
    """anyio: a task group with a capacity limiter and a time limit, results kept by index."""

    async def body(items: int) -> int:
        import anyio

        gate = anyio.CapacityLimiter(BOUND)
        results: dict[int, int] = {}

        async def one(item: int) -> None:
            async with gate:
                with anyio.fail_after(LIMIT):
                    results[item] = await work(item)

        async with anyio.create_task_group() as group:
            for item in range(items):
                group.start_soon(one, item)
        return len(results)

    return body


def contenders(work: Work, elixir_job: str) -> list[Contender]:
    """All who can deliver in order, and aiometer, who cannot."""
    return [
        Contender("atonce", on_loop(atonce_stream(work)), "time limit each"),
        Contender("bare worker loop", on_loop(worker_loop(work)), "the limit: no time limits, no stream"),
        Contender("gather+Semaphore+timeout", on_loop(gather_semaphore(work))),
        Contender("TaskGroup+Semaphore+timeout", on_loop(group_semaphore(work))),
        Contender("streamable", on_loop(by_streamable(work)), "no time limit"),
        Contender("aiometer", on_loop(by_aiometer(work)), "unordered, no time limit", 20_000),
        Contender("aiostream", on_loop(by_aiostream(work)), "no time limit", 10_000),
        Contender("anyio group+CapacityLimiter+fail_after", on_loop(by_anyio(work)), "", 20_000),
        elixir_peer.contender("Elixir Task.async_stream", elixir_job, "time limit each"),
    ]


def unordered() -> list[Contender]:
    """First done, first out."""
    return [
        Contender("atonce", on_loop(atonce_stream(noop, ordered=False)), "time limit each"),
        Contender("bare worker loop", on_loop(worker_loop(noop)), "the limit: no time limits, no stream"),
        Contender("streamable", on_loop(by_streamable(noop, ordered=False)), "no time limit"),
        Contender("aiometer", on_loop(by_aiometer(noop)), "no time limit", 20_000),
        Contender("aiostream", on_loop(by_aiostream(noop, ordered=False)), "no time limit", 10_000),
        elixir_peer.contender("Elixir Task.async_stream", "stream_unordered", "time limit each"),
    ]


def sized(name: str, body: Body, sizes: list[int]) -> list[Contender]:
    """One way to do it, at several sizes; short streams are run many times over."""
    run = on_loop(body)

    def again(items: int) -> float:
        times = max(1, 20_000 // items)
        return sum(run(items) for _ in range(times)) / times

    return [Contender(f"{name}, {size:,}", again, "", size) for size in sizes]


def flatness(given: Options) -> Section:
    """Whether an item costs the same in a short and in a long stream."""
    sizes = [1_000, 10_000, 100_000] + ([] if given.quick else [1_000_000])
    everyone = sized("atonce", atonce_stream(noop), sizes)
    everyone += sized("gather+Semaphore+timeout", gather_semaphore(noop), sizes[:3])
    longest = everyone[len(sizes) - 1]
    return measure(
        f"Time an item from {sizes[0]:,} to {sizes[-1]:,} items",
        everyone,
        given,
        items=sizes[-1],
        subject=longest.name,
        targets=[Target(everyone[0].name, 1.25)],
    )


def main() -> None:
    """Run all comparisons of this topic."""
    given = options(__doc__, flat="also time an item at 10^3, 10^4, 10^5, 10^6 items")
    announce("stream")
    ordered_targets = [
        Target("Elixir Task.async_stream", 0.25),
        Target("streamable", 0.4),
        Target("gather+Semaphore+timeout", 0.17),
    ]
    suspending_targets = [Target("gather+Semaphore+timeout", 0.25)]
    items = given.count(100_000)
    sections = [
        measure(
            "Ordered stream of no-op coroutines, bound 100",
            contenders(noop, "stream"),
            given,
            items=items,
            targets=ordered_targets,
        ),
        measure(
            "Ordered stream of coroutines that suspend once, bound 100",
            contenders(suspending, "stream_suspending"),
            given,
            items=items,
            targets=suspending_targets,
        ),
        measure("Unordered stream of no-op coroutines, bound 100", unordered(), given, items=items),
    ]
    if "flat" in given.flags:
        sections.append(flatness(given))
    finish("stream", sections, given)


if __name__ == "__main__":
    main()
