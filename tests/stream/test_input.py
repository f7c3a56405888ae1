"""Where items come from: any iterable, lazily; what may block is pulled in a thread; a broken input is told as such."""

from __future__ import annotations

import asyncio
import collections
import itertools
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import atonce
from atonce import Ok, stream


async def same(n: Any) -> Any:
    return n


async def taken(view: Any) -> list[Any]:
    return [one async for one in view]


class Sequence:
    """The old protocol: `__getitem__` alone."""

    def __getitem__(self, index: int) -> int:
        if index > 2:
            raise IndexError
        return index


class Lying:
    """Says that it is longer than it is."""

    def __len__(self) -> int:
        return 1_000

    def __iter__(self) -> Iterator[int]:
        return iter(range(3))


def generated() -> Iterator[int]:
    yield from range(3)


async def agenerated() -> AsyncIterator[int]:
    for n in range(3):
        await asyncio.sleep(0)
        yield n


class AsyncPlain:
    """An async iterable that is no generator and cannot be closed."""

    def __aiter__(self) -> AsyncIterator[int]:
        return self.Iterator()

    class Iterator(AsyncIterator[int]):
        def __init__(self) -> None:
            self.n = -1

        async def __anext__(self) -> int:
            self.n += 1
            if self.n > 2:
                raise StopAsyncIteration
            return self.n


@pytest.mark.parametrize(
    "make",
    [
        lambda: [0, 1, 2],
        lambda: (0, 1, 2),
        lambda: range(3),
        lambda: iter([0, 1, 2]),
        lambda: {0: "a", 1: "b", 2: "c"},
        {0: "a", 1: "b", 2: "c"}.keys,
        {"a": 0, "b": 1, "c": 2}.values,
        lambda: {0, 1, 2},
        lambda: frozenset([0, 1, 2]),
        lambda: collections.deque([0, 1, 2]),
        lambda: bytes([0, 1, 2]),
        lambda: bytearray([0, 1, 2]),
        lambda: memoryview(bytes([0, 1, 2])),
        lambda: map(int, "012"),
        lambda: itertools.islice(itertools.count(), 3),
        lambda: (n for n in range(3)),
        generated,
        agenerated,
        Sequence,
        Lying,
        AsyncPlain,
    ],
)
async def test_any_iterable_will_do(make: Callable[[], Any]) -> None:
    assert await taken(stream(make(), same).values()) == [0, 1, 2]


async def test_text_gives_its_characters_and_a_file_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("a\nb\n")
    assert await taken(stream("ab", same).values()) == ["a", "b"]
    with path.open() as lines:
        assert await taken(stream(lines, same).values()) == ["a\n", "b\n"]


@pytest.mark.parametrize("items", [None, 3, 3.0, object(), asyncio.sleep])
def test_what_is_not_iterable_is_refused_in_the_call(items: Any) -> None:
    with pytest.raises(TypeError, match="items is an iterable"):
        stream(items, same)


# -- blocking inputs ----------------------------------------------------------------------------------------------


async def test_an_input_that_blocks_does_not_block_the_loop() -> None:
    gate = threading.Event()

    def blocking() -> Iterator[int]:
        yield 0
        gate.wait(30)
        yield 1

    iterator = aiter(stream(blocking(), same).values())
    assert await anext(iterator) == 0
    waiter = asyncio.ensure_future(anext(iterator))
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert not waiter.done()
    gate.set()
    assert await waiter == 1
    await iterator.aclose()


async def test_an_input_is_pulled_from_one_thread_first_to_last() -> None:
    threads = set()

    def items() -> Iterator[int]:
        for n in range(500):
            threads.add(threading.get_ident())
            yield n
        threads.add(threading.get_ident())

    assert await taken(stream(items(), same, max_concurrency=3).values()) == list(range(500))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def test_a_generator_that_is_pulled_in_a_thread_sees_the_consumers_variables() -> None:
    from contextvars import ContextVar

    variable: ContextVar[str] = ContextVar("variable", default="unset")
    variable.set("consumer's")
    assert await taken(stream((variable.get() for _ in range(2)), same).values()) == ["consumer's"] * 2


async def test_a_plain_generator_is_closed_when_the_stream_is_left() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.set()

    async with stream(items(), same) as results:
        async for _ in results:
            break
    assert closed.is_set()


async def test_leaving_does_not_wait_for_an_input_that_blocks() -> None:
    gate = threading.Event()

    def blocking() -> Iterator[int]:
        yield 0
        gate.wait(30)

    start = time.monotonic()
    async with stream(blocking(), same) as results:
        async for _ in results:
            break
    assert time.monotonic() - start < 2
    gate.set()


async def test_an_iterator_that_the_caller_keeps_is_not_closed_by_a_full_run() -> None:
    iterator = iter([1, 2, 3])
    assert await taken(stream(itertools.islice(iterator, 2), same).values()) == [1, 2]
    assert next(iterator) == 3


async def test_a_blocking_input_is_not_pulled_further_ahead_than_allowed() -> None:
    pulled = 0

    def items() -> Iterator[int]:
        nonlocal pulled
        for n in itertools.count():
            pulled = n + 1
            yield n

    async def work(n: int) -> None:
        await asyncio.sleep(0)

    async with stream(items(), work, max_concurrency=3, buffer=5) as results:
        delivered = 0
        async for _ in results:
            delivered += 1
            await asyncio.sleep(0.001)
            assert pulled <= delivered + 3 + 5 + 1
            if delivered == 100:
                break


@pytest.mark.parametrize(
    "make", [itertools.count, lambda: (n for n in itertools.count())], ids=["count", "generator"]
)
async def test_an_input_without_end_gives_its_first_results_at_once(make: Callable[[], Any]) -> None:
    got = []
    async with stream(make(), same) as results:
        async for value in results.values():
            got.append(value)
            if len(got) == 1_000:
                break
    assert got == list(range(1_000))


# -- broken inputs ------------------------------------------------------------------------------------------------


def broken(at: int, kind: str) -> Any:
    def plain() -> Iterator[int]:
        yield from range(at)
        raise LookupError("broken input")

    async def coroutine() -> AsyncIterator[int]:
        for n in range(at):
            yield n
        raise LookupError("broken input")

    return plain() if kind == "plain" else coroutine()


@pytest.mark.parametrize("kind", ["plain", "async"])
@pytest.mark.parametrize("at", [0, 1, 7])
@pytest.mark.parametrize("ordered", [True, False])
async def test_an_error_of_the_input_is_raised_after_the_results_before_it(
    at: int, kind: str, ordered: bool
) -> None:
    got = []

    async def slow(n: int) -> int:
        await asyncio.sleep(0.001 * (n % 3))
        return n

    with pytest.raises(LookupError, match="broken input") as caught:
        results = stream(broken(at, kind), slow, max_concurrency=3, ordered=ordered, name="reader")
        async for outcome in results.succeeded():
            got.append(outcome.value)  # noqa: PERF401  # an extend would lose all when the input breaks
    assert sorted(got) == list(range(at))
    assert any(f"the input of reader failed after {at} items" in note for note in caught.value.__notes__)


async def test_an_input_that_raises_stop_iteration_oddly_just_ends() -> None:
    class Odd:
        def __iter__(self) -> Odd:
            return self

        def __next__(self) -> int:
            raise StopIteration("value")

    assert await taken(stream(Odd(), same)) == []


async def test_an_input_that_cancels_itself_does_not_look_like_a_cancel_of_the_consumer() -> None:
    async def odd() -> AsyncIterator[int]:
        yield 0
        raise asyncio.CancelledError

    with pytest.raises(atonce.TaskStopped):
        await taken(stream(odd(), same))


async def test_a_list_that_shrinks_or_grows_on_the_way_is_followed() -> None:
    items = [0, 1, 2]

    async def work(n: int) -> int:
        if n < 3:
            items.append(n + 3)
        return n

    assert await taken(stream(items, work, max_concurrency=1).values()) == [0, 1, 2, 3, 4, 5]


async def test_a_dict_that_changes_on_the_way_gives_its_own_error() -> None:
    items = {0: 0, 1: 1}

    async def work(n: int) -> int:
        items[n + 10] = n
        return n

    with pytest.raises(RuntimeError, match="changed size"):
        await taken(stream(items, work, max_concurrency=1))


async def test_items_may_feed_their_own_input() -> None:
    """A crawler: what an item finds is queued, and the input ends when nothing is left to do."""
    queue: asyncio.Queue[int | None] = asyncio.Queue()
    open_items = 1
    queue.put_nowait(1)

    async def source() -> AsyncIterator[int]:
        while (n := await queue.get()) is not None:
            yield n

    async def crawl(n: int) -> int:
        nonlocal open_items
        await asyncio.sleep(0)
        for found in (2 * n, 2 * n + 1):
            if found < 32:
                open_items += 1
                queue.put_nowait(found)
        open_items -= 1
        if not open_items:
            queue.put_nowait(None)
        return n

    got = await taken(stream(source(), crawl, max_concurrency=2, ordered=False).values())
    assert sorted(got) == list(range(1, 32))


async def test_items_that_were_pulled_and_not_started_are_dropped_when_left() -> None:
    started = []

    async def work(n: int) -> int:
        started.append(n)
        await asyncio.sleep(100 if n else 0)
        return n

    async with stream(agenerated(), work, max_concurrency=1) as results:
        assert await anext(aiter(results)) == Ok(0)
        await asyncio.sleep(0.001)
    assert started == [0, 1]


@pytest.mark.parametrize("batch", [1, 3, 1_000])
async def test_batches_of_any_input_lose_nothing(batch: int) -> None:
    async def work(batch: list[int]) -> list[int]:
        return batch

    for items in (range(10), iter(range(10)), (n for n in range(10))):
        result = await atonce.process_batch(items, work, batch_size=batch)
        assert result.successes == list(range(10))
