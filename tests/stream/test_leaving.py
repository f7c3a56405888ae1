"""Leaving a stream before its end: by break, raise, close, cancel or by losing its iterator."""

from __future__ import annotations

import asyncio
import gc
import itertools
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import atonce
from atonce import Ok, TaskStopped, stream
from atonce.testing import FakeBackend
from tests.running import FEW_TICKS

pytestmark = pytest.mark.virtual
both = pytest.mark.parametrize("on", [None, FakeBackend()], ids=["loop", "fake"])


def now() -> float:
    return asyncio.get_running_loop().time()


async def ticks() -> None:
    for _ in range(FEW_TICKS):
        await asyncio.sleep(0)


class Work:
    """Counts who runs; takes so long to end after a cancel."""

    def __init__(self, cleanup: float = 0.0) -> None:
        self.cleanup = cleanup
        self.running = 0
        self.started = 0
        self.source_open = 0

    async def __call__(self, seconds: float) -> float:
        self.started += 1
        self.running += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            if self.cleanup:
                await asyncio.sleep(self.cleanup)
            self.running -= 1
        return seconds

    async def source(self) -> AsyncIterator[float]:
        self.source_open += 1
        try:
            yield 0.0
            while True:
                yield 100.0
        finally:
            self.source_open -= 1

    def plain_source(self) -> Iterator[float]:
        self.source_open += 1
        try:
            yield 0.0
            while True:
                yield 100.0
        finally:
            self.source_open -= 1


sources = pytest.mark.parametrize("source", ["source", "plain_source"])


@both
@sources
async def test_a_bare_break_is_over_within_a_tick(source: str, on: Any) -> None:
    work = Work()
    async for _ in stream(getattr(work, source)(), work, on=on):
        await asyncio.sleep(1)
        assert work.running == (100 if on is None else 32)
        assert work.source_open == 1
        break
    await ticks()
    assert work.running == 0
    assert work.source_open == 0
    assert len(asyncio.all_tasks()) == 1


@both
@sources
async def test_a_raise_in_a_bare_loop_is_over_within_a_tick_and_is_the_error(source: str, on: Any) -> None:
    work = Work()

    async def body() -> None:
        async for _ in stream(getattr(work, source)(), work, on=on):
            await asyncio.sleep(1)
            raise LookupError("body")

    with pytest.raises(LookupError, match="body"):
        await body()
    await ticks()
    assert work.running == work.source_open == 0


@both
@sources
@pytest.mark.parametrize("how", ["break", "raise", "aclose"])
async def test_a_block_waits_until_all_is_over(source: str, how: str, on: Any) -> None:
    work = Work(cleanup=2.0)
    try:
        async with stream(getattr(work, source)(), work, on=on, max_concurrency=4) as results:
            async for _ in results:
                if how == "break":
                    break
                if how == "raise":
                    raise LookupError
                await results.aclose()
                assert work.running == work.source_open == 0
    except LookupError:
        pass
    assert work.running == work.source_open == 0
    assert len(asyncio.all_tasks()) == 1


@both
@sources
async def test_a_cancel_of_the_waiting_consumer_is_raised_when_all_is_over(source: str, on: Any) -> None:
    work = Work(cleanup=2.0)
    seen = []

    async def consume() -> None:
        try:
            async for _ in stream(getattr(work, source)(), work, on=on, max_concurrency=4):
                pass
        except asyncio.CancelledError:
            seen.append((work.running, work.source_open))
            raise

    consumer = asyncio.ensure_future(consume())
    await asyncio.sleep(5)
    assert work.running == 4
    consumer.cancel()
    await asyncio.wait([consumer])
    assert consumer.cancelled()
    assert consumer.cancelling() == 1
    assert seen == [(0, 0)]
    assert now() == 7.0


async def test_a_second_cancel_does_not_let_go_of_what_is_still_ending() -> None:
    work = Work(cleanup=2.0)

    async def consume() -> None:
        async for _ in stream(work.source(), work, max_concurrency=4):
            pass

    consumer = asyncio.ensure_future(consume())
    await asyncio.sleep(5)
    consumer.cancel()
    await asyncio.sleep(1)
    consumer.cancel()
    await asyncio.wait([consumer])
    assert consumer.cancelled()
    assert work.running == 0


async def test_what_swallows_every_cancel_is_waited_for_no_longer_than_the_grace() -> None:
    async def work(n: int) -> None:
        until = now() + (60 if n else 0)
        while now() < until:
            try:
                await asyncio.sleep(until - now())
            except asyncio.CancelledError:
                continue

    async with stream([0, 1], work) as results:
        async for _ in results:
            break
    assert now() == 5.0
    assert len(asyncio.all_tasks()) > 1
    await asyncio.sleep(60)


async def test_closing_while_another_task_waits_for_the_next_item_ends_its_loop() -> None:
    work = Work()
    results = stream([0.0, 100.0], work)

    async def consume() -> list[Any]:
        return [one async for one in results]

    consumer = asyncio.ensure_future(consume())
    await asyncio.sleep(1)
    await results.aclose()
    assert work.running == 0
    assert await consumer == [Ok(0.0)]


async def test_after_a_close_nothing_more_is_delivered() -> None:
    async def at_once(n: int) -> int:
        return n

    async with stream(range(10), at_once) as results:
        iterator = aiter(results)
        await anext(iterator)
        assert results.statistics().waiting > 0
        await iterator.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(iterator)


async def test_closing_may_be_repeated_and_comes_to_nothing_before_the_begin() -> None:
    results = stream(range(3), Work())
    await results.aclose()
    async for _ in results:
        pass
    await results.aclose()
    iterator = aiter(results)
    await iterator.aclose()
    await iterator.aclose()


async def test_dropping_the_iterator_stops_the_run() -> None:
    work = Work()
    iterator = aiter(stream(itertools.repeat(100.0), work, max_concurrency=3))
    waiter = asyncio.ensure_future(anext(iterator))
    await asyncio.sleep(1)
    waiter.cancel()
    await asyncio.wait([waiter])
    del iterator, waiter
    await ticks()
    assert work.running == 0


async def test_the_iterator_of_a_started_stream_is_freed_without_the_garbage_collector() -> None:
    iterator = aiter(stream([0.0, 0.0, 100.0], Work()))
    await anext(iterator)
    seen = weakref.ref(iterator)
    gc.disable()
    try:
        del iterator
        assert seen() is None
    finally:
        gc.enable()
    await ticks()


async def test_delivered_values_are_not_kept_by_the_stream() -> None:
    class Big:
        """Something that can be looked at from outside."""

    async def work(n: int) -> Big:
        return Big()

    gc.disable()
    try:
        async with stream(range(5), work, max_concurrency=1, buffer=1) as results:
            seen: list[weakref.ref[Big]] = []
            async for value in results.values():
                seen.append(weakref.ref(value))
                del value
                assert seen[-1]() is None
    finally:
        gc.enable()


async def test_an_item_that_ended_leaves_its_argument_to_be_freed() -> None:
    class Big:
        """Something that can be looked at from outside."""

    seen: list[weakref.ref[Big]] = []

    def items() -> Iterator[Big]:
        for _ in range(3):
            big = Big()
            seen.append(weakref.ref(big))
            yield big
            del big
        while True:
            yield Big()

    async def work(big: Big) -> None: ...

    gc.disable()
    try:
        async with stream(items(), work, max_concurrency=1, buffer=1) as results:
            iterator = aiter(results)
            for _ in range(5):
                await anext(iterator)
            await ticks()
            assert [one() for one in seen] == [None] * 3
    finally:
        gc.enable()


async def test_a_stopped_item_is_told_by_a_cancel_that_its_cleanup_may_await() -> None:
    told: list[str] = []

    async def work(n: int) -> None:
        try:
            await asyncio.sleep(100 * n)
        except asyncio.CancelledError:
            await asyncio.sleep(1)
            told.append("cleaned up")
            raise

    async with stream([0, 1], work) as results:
        async for _ in results:
            break
    assert told == ["cleaned up"]


async def test_children_that_an_item_leaves_behind_are_stopped_with_it() -> None:
    children = []

    async def work(n: int) -> int:
        children.append(atonce.spawn(asyncio.sleep, 100))
        await asyncio.sleep(n)
        return n

    got = [one async for one in stream([1, 2], work, max_concurrency=1).values()]
    await ticks()
    assert got == [1, 2]
    assert [type(child.outcome().error) for child in children] == [TaskStopped, TaskStopped]
    assert now() == 3.0


async def test_a_block_around_another_block_closes_from_the_inside_out() -> None:
    order = []

    async def named(name: str) -> AsyncIterator[int]:
        try:
            for n in itertools.count():
                yield n
        finally:
            order.append(name)

    async def work(n: int) -> int:
        await asyncio.sleep(1)
        return n

    async with stream(named("outer"), work) as outer, stream(named("inner"), work) as inner:
        await anext(aiter(outer))
        await anext(aiter(inner))
    assert sorted(order) == ["inner", "outer"]


@pytest.mark.parametrize("closer", ["raises", "hangs"])
async def test_an_input_whose_closing_misbehaves_does_not_hold_up_leaving(closer: str) -> None:
    class Source:
        def __aiter__(self) -> Source:
            return self

        async def __anext__(self) -> int:
            return 0

        async def aclose(self) -> None:
            if closer == "raises":
                raise ValueError("closing")
            await asyncio.sleep(1_000)

    async with stream(Source(), Work()) as results:
        async for _ in results:
            break
    assert now() <= 5.0
    await asyncio.sleep(2_000)
