"""Plain functions in threads, against the standard library's thread pool."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from harness import Contender, announce, finish, in_thread, measure, options

THREADS = 32


def noop(item: int) -> int:
    """Work that does not wait."""
    return item


def by_stream(items: int) -> int:
    """The subject."""
    from atonce import blocking

    return sum(1 for _ in blocking.stream(range(items), noop, max_concurrency=THREADS))


def by_stream_limited(items: int) -> int:
    """The subject with a time limit for each item, which the pool does not have."""
    from atonce import blocking

    return sum(1 for _ in blocking.stream(range(items), noop, max_concurrency=THREADS, timeout=5.0))


def by_pool_map(items: int) -> int:
    """The pool: takes the whole input at once, and its threads are new each time."""
    with ThreadPoolExecutor(THREADS) as pool:
        return sum(1 for _ in pool.map(noop, range(items)))


def by_streamable(items: int) -> int:
    """streamable's threads."""
    from streamable import stream

    return sum(1 for _ in stream(range(items)).map(noop, concurrency=THREADS))


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
    streams = [
        Contender("atonce", in_thread(by_stream), "blocking.stream"),
        Contender("atonce with a time limit each", in_thread(by_stream_limited)),
        Contender("ThreadPoolExecutor.map", in_thread(by_pool_map), "not lazy"),
        Contender("streamable", in_thread(by_streamable)),
    ]
    spawns = [
        Contender("atonce", in_thread(spawn_result), "blocking.spawn, result"),
        Contender("ThreadPoolExecutor.submit, result", in_thread(submit_result)),
    ]
    sections = [
        measure("Stream of no-op plain functions, 32 threads", streams, given, items=given.count(50_000)),
        measure("Start one plain function and wait", spawns, given, items=given.count(5_000)),
    ]
    finish("threads", sections, given)


if __name__ == "__main__":
    main()
