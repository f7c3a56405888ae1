"""The blocking face against `asyncio.run` around the async face, and against the standard ways into a loop's thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial

from harness import Contender, announce, finish, in_thread, measure, options

BOUND = 100
LIMIT = 5.0


async def noop(item: int) -> int:
    """Work that does not wait."""
    return item


def stream_blocking(items: int) -> int:
    """The subject: a plain `for` over a stream whose work runs on the private loop."""
    from atonce import blocking

    return sum(1 for _ in blocking.stream(range(items), noop, max_concurrency=BOUND, timeout=LIMIT))


def map_blocking(items: int) -> int:
    """The subject's list form."""
    from atonce import blocking

    return len(blocking.parallel_map(range(items), noop, max_concurrency=BOUND, timeout=LIMIT))


def stream_in_run(items: int) -> int:
    """The async face in a loop of its own."""
    import atonce

    async def body() -> int:
        done = 0
        async for _ in atonce.stream(range(items), noop, max_concurrency=BOUND, timeout=LIMIT):
            done += 1
        return done

    return asyncio.run(body())


def gather_in_run(items: int) -> int:
    """What most people write."""

    async def body() -> int:
        gate = asyncio.Semaphore(BOUND)

        async def one(item: int) -> int:
            async with gate, asyncio.timeout(LIMIT):
                return await noop(item)

        return len(await asyncio.gather(*[one(item) for item in range(items)]))

    return asyncio.run(body())


def spawn_blocking(items: int) -> int:
    """The subject: start one task and wait for it in this thread."""
    from atonce import blocking

    return sum(blocking.spawn(noop, item).result() == item for item in range(items))


def spawn_in_run(items: int) -> int:
    """A new loop for each call, as scripts do."""
    import atonce

    async def body(item: int) -> int:
        return await atonce.spawn(noop, item)

    return sum(asyncio.run(body(item)) == item for item in range(items))


def with_loop_thread(body: Callable[[asyncio.AbstractEventLoop, int], int], items: int) -> int:
    """Give `body` an event loop that runs in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        return body(loop, items)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def threadsafe(loop: asyncio.AbstractEventLoop, items: int) -> int:
    """asyncio's own way into another thread's loop."""
    return sum(asyncio.run_coroutine_threadsafe(noop(item), loop).result() == item for item in range(items))


def anyio_portal(items: int) -> int:
    """anyio's way into another thread's loop."""
    from anyio.from_thread import start_blocking_portal

    with start_blocking_portal() as portal:
        return sum(portal.call(noop, item) == item for item in range(items))


def main() -> None:
    """Run all comparisons of this topic."""
    given = options(__doc__)
    announce("blocking")
    streams = [
        Contender("atonce", in_thread(stream_blocking), "blocking.stream"),
        Contender("atonce.blocking.parallel_map", in_thread(map_blocking)),
        Contender("asyncio.run around atonce.stream", in_thread(stream_in_run)),
        Contender("asyncio.run around gather+Semaphore+timeout", in_thread(gather_in_run)),
    ]
    spawns = [
        Contender("atonce", in_thread(spawn_blocking), "blocking.spawn, result"),
        Contender("run_coroutine_threadsafe, result", in_thread(partial(with_loop_thread, threadsafe))),
        Contender("anyio blocking portal", in_thread(anyio_portal)),
        Contender("asyncio.run around atonce.spawn, each time", in_thread(spawn_in_run), "", 500),
    ]
    sections = [
        measure(
            "Stream of no-op coroutines from plain code, bound 100",
            streams,
            given,
            items=given.count(100_000),
        ),
        measure(
            "Start one coroutine from plain code and wait",
            spawns,
            given,
            items=given.count(5_000),
            warmup=100,
        ),
    ]
    finish("blocking", sections, given)


if __name__ == "__main__":
    main()
