"""Plain functions in threads, against the standard library's thread pool."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from harness import Contender, Target, announce, finish, in_thread, measure, on_loop, options

THREADS = 32
#: The pool takes its whole input at once; with this the subject has as many results in hand as that needs, and no more.
BUFFER = 1_000


def noop(item: int) -> int:
    """Work that does not wait."""
    return item


def by_stream(items: int, **given: Any) -> int:
    """The subject."""
    from atonce import blocking

    return sum(1 for _ in blocking.stream(range(items), noop, max_concurrency=THREADS, **given))


async def by_async_stream(items: int, **given: Any) -> int:
    """The subject on a loop of the caller's own."""
    from atonce import stream

    return await _count(stream(range(items), noop, max_concurrency=THREADS, **given))


async def _count(outcomes: Any) -> int:
    count = 0
    async for _ in outcomes:
        count += 1
    return count


def by_pool_map(items: int) -> int:
    """The pool: takes the whole input at once, and its threads are new each time."""
    with ThreadPoolExecutor(THREADS) as pool:
        return sum(1 for _ in pool.map(noop, range(items)))


def by_streamable(items: int) -> int:
    """streamable's threads."""
    from streamable import stream

    return sum(1 for _ in stream(range(items)).map(noop, concurrency=THREADS))


def pause(item: int) -> int:
    """A call that blocks for a millisecond, as a quick service does."""
    time.sleep(0.001)
    return item


def pauses_by_stream(items: int) -> int:
    """The subject."""
    from atonce import blocking

    return sum(1 for _ in blocking.stream(range(items), pause, max_concurrency=THREADS))


async def pauses_by_async_stream(items: int) -> int:
    """The subject on a loop of the caller's own."""
    from atonce import stream

    return await _count(stream(range(items), pause, max_concurrency=THREADS))


def pauses_by_pool_map(items: int) -> int:
    """The pool."""
    with ThreadPoolExecutor(THREADS) as pool:
        return sum(1 for _ in pool.map(pause, range(items)))


def pauses_by_bare_threads(items: int) -> int:
    """The ideal: threads that take from one iterator, in no order, bounded by nothing, and nobody consumes."""
    source, done = iter(range(items)), []

    def work() -> None:
        for item in source:
            result = pause(item)
            done.append(result)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(done)


async def spawn_await(items: int) -> int:
    """The subject on a loop of the caller's own, one call at a time."""
    from atonce import spawn

    count = 0
    for item in range(items):
        count += await spawn(noop, item) == item
    return count


async def run_in_executor(items: int) -> int:
    """asyncio's own way, one call at a time."""
    loop, count = asyncio.get_running_loop(), 0
    for item in range(items):
        count += await loop.run_in_executor(None, noop, item) == item
    return count


def spawn_result(items: int) -> int:
    """The subject, one call at a time."""
    from atonce import blocking

    return sum(blocking.spawn(noop, item).result() == item for item in range(items))


def submit_result(items: int) -> int:
    """The pool, one call at a time."""
    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.submit(noop, item).result() == item for item in range(items))


def main() -> None:
    """Run all comparisons of this topic."""
    given = options(__doc__)
    announce("threads")
    pool = "ThreadPoolExecutor.map"
    streams = [
        Contender("atonce", in_thread(partial(by_stream, buffer=BUFFER)), "blocking.stream, buffer=1000"),
        Contender("atonce, default buffer", in_thread(by_stream), "blocking.stream"),
        Contender("atonce with a time limit each", in_thread(partial(by_stream, buffer=BUFFER, timeout=5.0))),
        Contender("atonce, async face", on_loop(partial(by_async_stream, buffer=BUFFER)), "buffer=1000"),
        Contender("atonce, async face, default buffer", on_loop(by_async_stream)),
        Contender(pool, in_thread(by_pool_map), "not lazy"),
        Contender("streamable", in_thread(by_streamable)),
    ]
    pauses = [
        Contender("atonce", in_thread(pauses_by_stream), "blocking.stream"),
        Contender("atonce, async face", on_loop(pauses_by_async_stream)),
        Contender(pool, in_thread(pauses_by_pool_map), "not lazy"),
        Contender("bare threads over one iterator", in_thread(pauses_by_bare_threads), "the ideal"),
    ]
    spawns = [
        Contender("atonce", on_loop(spawn_await), "await spawn"),
        Contender("atonce.blocking", in_thread(spawn_result), "blocking.spawn, result"),
        Contender("ThreadPoolExecutor.submit, result", in_thread(submit_result)),
        Contender("loop.run_in_executor", on_loop(run_in_executor), "await"),
    ]
    sections = [
        measure(
            "Stream of no-op plain functions, 32 threads",
            streams,
            given,
            items=given.count(50_000),
            targets=[Target(pool, 0.15)],
        ),
        measure(
            "Blocking calls of 1 ms through 32 threads",
            pauses,
            given,
            items=given.count(10_000),
            targets=[Target("bare threads over one iterator", 1.05)],
        ),
        measure("Start one plain function and wait", spawns, given, items=given.count(5_000)),
    ]
    finish("threads", sections, given)


if __name__ == "__main__":
    main()
