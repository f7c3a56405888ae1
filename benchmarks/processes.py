"""Plain functions in processes, against every pool: small calls, large payloads, CPU-bound work, one call at a time."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import cache
from typing import Any

from harness import Contender, Target, announce, finish, in_thread, measure, on_loop, options

WORKERS = 2
LIMIT = 5.0
MIB = 1 << 20
#: What `burn` takes some 20 ms for.
ROUNDS = 550_000


def noop(item: Any) -> Any:
    """Work that does not wait."""
    return item


def burn(rounds: int) -> int:
    """Work for a CPU."""
    total = 0
    for number in range(rounds):
        total += number * number % 7
    return total


# -- the pools, each made once and warm ---------------------------------------------------------------------------


@cache
def executor() -> ProcessPoolExecutor:
    """The standard library's pool, on a forkserver as ours."""
    return ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("forkserver"))


@cache
def old_pool() -> Any:
    """multiprocessing.Pool."""
    return multiprocessing.get_context("forkserver").Pool(WORKERS)


@cache
def loky_pool() -> Any:
    """loky's reusable executor."""
    from loky import get_reusable_executor

    return get_reusable_executor(max_workers=WORKERS)


@cache
def pebble_pool() -> Any:
    """pebble: the one that kills a worker at its time limit."""
    from pebble import ProcessPool

    return ProcessPool(WORKERS, context=multiprocessing.get_context("forkserver"))


@cache
def mpire_pool() -> Any:
    """mpire, which chunks by itself."""
    from mpire import WorkerPool

    return WorkerPool(WORKERS, start_method="forkserver", keep_alive=True)


@cache
def joblib_pool() -> Any:
    """joblib, which grows its batches until each takes a fifth of a second."""
    from joblib import Parallel

    return Parallel(WORKERS)


def burn_when_told(channel: Any) -> None:
    """A child's life: burn so often as it is told, and say when that is done, until nobody is there any more."""
    with suppress(EOFError):
        while times := channel.recv():
            channel.send(sum(1 for _ in range(times) if burn(ROUNDS) >= 0))


@cache
def bare_children() -> list[Any]:
    """Two processes that are told once what to do: all that the machine can give."""
    context = multiprocessing.get_context("forkserver")
    channels = []
    for _ in range(WORKERS):
        ours, theirs = context.Pipe()
        context.Process(target=burn_when_told, args=(theirs,), daemon=True).start()
        channels.append(ours)
    return channels


def close_pools() -> None:
    """End all of them."""
    if executor.cache_info().currsize:
        executor().shutdown()
    for made in (old_pool, pebble_pool, mpire_pool):
        if made.cache_info().currsize:
            with suppress(Exception):
                getattr(made(), "terminate", made().stop if hasattr(made(), "stop") else None)()
    if bare_children.cache_info().currsize:
        for channel in bare_children():
            channel.send(0)
    if loky_pool.cache_info().currsize:
        loky_pool().shutdown(kill_workers=True)


# -- contenders ---------------------------------------------------------------------------------------------------

Make = Callable[[int], Any]


def by_atonce(make: Make, work: Callable[[Any], Any] = noop, **given: Any) -> Callable[[int], float]:
    """The subject: a stream on the loop, each item with a time limit."""

    async def body(items: int) -> int:
        import atonce

        done = 0
        async for _ in atonce.stream(
            make(items), work, on="process", max_concurrency=WORKERS, timeout=LIMIT, **given
        ):
            done += 1
        return done

    return on_loop(body)


def by_blocking(make: Make, **given: Any) -> Callable[[int], float]:
    """The subject from a script."""

    def body(items: int) -> int:
        from atonce import blocking

        results = blocking.stream(
            make(items), noop, on="process", max_concurrency=WORKERS, timeout=LIMIT, **given
        )
        return sum(1 for _ in results)

    return in_thread(body)


def by_executor(make: Make, chunk: int, work: Callable[[Any], Any] = noop) -> Callable[[int], float]:
    """ProcessPoolExecutor.map."""
    return in_thread(lambda items: sum(1 for _ in executor().map(work, make(items), chunksize=chunk)))


def by_old_pool(make: Make, chunk: int) -> Callable[[int], float]:
    """multiprocessing.Pool.imap."""
    return in_thread(lambda items: sum(1 for _ in old_pool().imap(noop, make(items), chunksize=chunk)))


def by_loky(make: Make) -> Callable[[int], float]:
    """loky's map."""
    return in_thread(lambda items: sum(1 for _ in loky_pool().map(noop, make(items))))


def by_joblib(make: Make) -> Callable[[int], float]:
    """joblib.Parallel."""

    def body(items: int) -> int:
        from joblib import delayed

        return len(joblib_pool()(delayed(noop)(item) for item in make(items)))

    return in_thread(body)


def by_mpire(make: Make) -> Callable[[int], float]:
    """mpire's imap."""
    return in_thread(lambda items: sum(1 for _ in mpire_pool().imap(noop, make(items))))


def by_pebble(make: Make) -> Callable[[int], float]:
    """pebble's map with a time limit for each item."""
    return in_thread(
        lambda items: sum(1 for _ in pebble_pool().map(noop, make(items), timeout=LIMIT).result())
    )


def by_spawn(items: int) -> float:
    """The subject, one call at a time."""

    async def body(items: int) -> int:
        import atonce

        done = 0
        for item in range(items):
            done += await atonce.spawn(noop, item, on="process") == item
        return done

    return on_loop(body)(items)


def by_submit(items: int) -> float:
    """The pool, one call at a time."""
    return in_thread(
        lambda items: sum(executor().submit(noop, item).result() == item for item in range(items))
    )(items)


def serially(items: int) -> float:
    """No process at all."""
    return in_thread(lambda items: sum(1 for item in range(items) if burn(ROUNDS) >= 0))(items)


def by_halves(items: int) -> float:
    """Each of two processes has a half and nothing to say before its end."""

    def body(items: int) -> int:
        for channel in bare_children():
            channel.send(items // WORKERS)
        return sum(channel.recv() for channel in bare_children())

    return in_thread(body)(items)


def bursts(items: int) -> list[int]:
    """CPU-bound items."""
    return [ROUNDS] * items


def small(items: int) -> range:
    """Numbers."""
    return range(items)


def large(items: int) -> list[bytes]:
    """A megabyte each."""
    return [os.urandom(MIB)] * items


def arrays(items: int) -> list[Any]:
    """NumPy arrays of 8 MiB."""
    import numpy

    return [numpy.ones(MIB)] * items


def small_calls() -> list[Contender]:
    """All pools with the smallest of items."""
    return [
        Contender("atonce", by_atonce(small, buffer=1_000), "time limit each, buffer=1000"),
        Contender("atonce, default buffer", by_atonce(small), "time limit each"),
        Contender("atonce.blocking", by_blocking(small, buffer=1_000), "time limit each, buffer=1000"),
        Contender("ProcessPoolExecutor.map", by_executor(small, 1), "no time limit", 3_000),
        Contender("ProcessPoolExecutor.map, chunks of 100", by_executor(small, 100), "no time limit"),
        Contender("multiprocessing.Pool.imap", by_old_pool(small, 1), "no time limit", 5_000),
        Contender("multiprocessing.Pool.imap, chunks of 100", by_old_pool(small, 100), "no time limit"),
        Contender("loky", by_loky(small), "no time limit", 3_000),
        Contender("joblib", by_joblib(small), "batches by itself, no time limit each"),
        Contender("mpire", by_mpire(small), "chunks by itself"),
        Contender("pebble", by_pebble(small), "time limit each", 3_000),
    ]


def payloads(name: str, make: Make) -> list[Contender]:
    """Those that have no chunks to hide behind."""
    return [
        Contender("atonce", by_atonce(make), "time limit each"),
        Contender("ProcessPoolExecutor.map", by_executor(make, 1)),
        Contender("multiprocessing.Pool.imap", by_old_pool(make, 1)),
        Contender("loky", by_loky(make)),
        Contender("pebble", by_pebble(make), "time limit each"),
    ]


def main() -> None:
    """Run all comparisons of this topic."""
    given = options(__doc__)
    announce("processes")
    small_targets = [
        Target("ProcessPoolExecutor.map", 1 / 25),
        Target("pebble", 1 / 20),
        Target("joblib", 1.0),
        Target("ProcessPoolExecutor.map, chunks of 100", 2.0),
    ]
    cpu = [
        Contender("atonce", by_atonce(bursts, burn), "time limit each"),
        Contender("ProcessPoolExecutor.map", by_executor(bursts, 1, burn)),
        Contender("one process", serially),
        Contender("two bare processes, half each", by_halves, "the limit"),
    ]
    spawns = [Contender("atonce", by_spawn), Contender("ProcessPoolExecutor.submit+result", by_submit)]
    sections = [
        measure(
            "Stream of no-ops, 2 processes",
            small_calls(),
            given,
            items=given.count(50_000),
            targets=small_targets,
        ),
        measure(
            "Stream of 1 MiB of bytes there and back, 2 processes",
            payloads("bytes", large),
            given,
            items=given.count(300),
            targets=[Target("ProcessPoolExecutor.map", 0.7)],
            warmup=10,
        ),
        measure(
            "Stream of NumPy arrays of 8 MiB there and back, 2 processes",
            payloads("arrays", arrays),
            given,
            items=given.count(60),
            warmup=4,
        ),
        measure(
            "CPU-bound work of some 20 ms an item, 2 processes on 2 cores",
            cpu,
            given,
            items=given.count(100),
            targets=[Target("one process", 1 / 1.9)],
            warmup=4,
        ),
        measure("Start one call and wait", spawns, given, items=given.count(2_000), warmup=100),
    ]
    finish("processes", sections, given)
    close_pools()


if __name__ == "__main__":
    main()
