"""The lanes of the thread backend: exact bounds, what they hold ahead, what they leave behind, and how they fail."""

from __future__ import annotations

import asyncio
import gc
import itertools
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

import atonce
from atonce import AtonceError, Failed, Ok, Retry, TaskStopped, TaskTimeout, ThreadBackend, blocking, stream
from tests.growth import LITTLE, MANY, growth

variable: ContextVar[str] = ContextVar("variable", default="unset")


@pytest.fixture(params=[0.005, 1e-6], ids=["usual", "hasty"], autouse=True)
def _switching(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test as usual, and with threads that interrupt each other between any two steps."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(request.param)
    yield
    sys.setswitchinterval(before)


class Counted:
    """A function that counts who runs, exactly, and which threads came."""

    def __init__(self, seconds: float = 0.0, together: int = 1) -> None:
        self.lock = threading.Lock()
        self.seconds = seconds
        self.barrier = threading.Barrier(together)
        self.running = self.peak = self.calls = 0
        self.threads: set[int] = set()

    def __call__(self, item: Any) -> Any:
        with self.lock:
            self.calls += 1
            self.running += 1
            self.peak = max(self.peak, self.running)
            self.threads.add(threading.get_ident())
        self.barrier.wait(30)
        if self.seconds:
            time.sleep(self.seconds)
        with self.lock:
            self.running -= 1
        return item


class Pulled:
    """An input that counts how far it was pulled."""

    def __init__(self, size: int | None = None) -> None:
        self.count = 0
        self.size = size

    def __iter__(self) -> Iterator[int]:
        for n in itertools.count() if self.size is None else range(self.size):
            self.count += 1
            yield n


async def taken(view: Any) -> list[Any]:
    return [one async for one in view]


async def until(condition: Callable[[], Any]) -> None:
    """Wait until `condition()`, a few seconds at most."""
    for _ in range(2_000):
        if condition():
            return
        await asyncio.sleep(0.002)
    assert condition()


def nothing_runs(threads: ThreadBackend) -> bool:
    counts = threads.statistics()
    return counts.running == counts.queued == counts.abandoned == 0


# -- bounds -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 2, 5, 32])
async def test_exactly_as_many_run_as_may(width: int) -> None:
    work = Counted(0.002, together=width)
    async with ThreadBackend() as threads:
        got = await taken(stream(range(5 * width), work, max_concurrency=width, on=threads).values())
    assert got == list(range(5 * width))
    assert work.peak == width


async def test_the_bound_is_kept_by_items_of_all_lengths() -> None:
    peak = Counted()

    def counted(n: int) -> int:
        with peak.lock:
            peak.running += 1
            peak.peak = max(peak.peak, peak.running)
        time.sleep((n % 7) * 0.0003)
        with peak.lock:
            peak.running -= 1
        return n

    assert await taken(stream(range(700), counted, max_concurrency=3).values()) == list(range(700))
    assert peak.peak == 3


async def test_there_are_no_more_threads_than_items() -> None:
    work = Counted(0.005)
    async with ThreadBackend() as threads:
        await taken(stream(range(3), work, max_concurrency=32, on=threads))
        assert threads.statistics().threads <= 3
    assert len(work.threads) <= 3


@pytest.mark.parametrize(("width", "buffer"), [(1, 1), (2, 3), (4, 16)])
async def test_no_more_is_pulled_ahead_than_the_bounds_allow(width: int, buffer: int) -> None:
    items, delivered = Pulled(), 0
    async with stream(items, Counted(), max_concurrency=width, buffer=buffer, on="thread") as results:
        async for _ in results:
            delivered += 1
            assert items.count - delivered <= width + buffer + 1
            if delivered % 10 == 0:
                await asyncio.sleep(0.002)
                assert items.count - delivered <= width + buffer + 1
            if delivered == 60:
                break


async def test_an_awaited_item_keeps_its_place_until_it_is_over() -> None:
    running = peak = 0

    async def work(n: int) -> int:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(0.001)
        running -= 1
        return n

    got = await taken(stream(range(20), lambda n: work(n), max_concurrency=3).values())  # noqa: PLW0108  # the point
    assert got == list(range(20))
    assert peak == 3


@pytest.mark.parametrize("ordered", [True, False])
async def test_results_are_delivered_while_a_longer_item_holds_the_lane(ordered: bool) -> None:
    gate = threading.Event()

    def work(n: int) -> int:
        if n == 2:
            gate.wait(30)
        return n

    async with stream(range(4), work, max_concurrency=1, ordered=ordered, on="thread") as results:
        iterator = aiter(results)
        async with asyncio.timeout(5):
            assert [await anext(iterator), await anext(iterator)] == [Ok(0), Ok(1)]
        gate.set()
        assert await taken(iterator) == [Ok(2), Ok(3)]


async def test_a_consumer_that_is_slow_needs_no_new_threads() -> None:
    work = Counted()
    async with ThreadBackend() as threads:
        async for _ in stream(range(30), work, max_concurrency=2, buffer=2, on=threads):
            await asyncio.sleep(0.003)
        assert threads.statistics().threads <= 2
    assert len(work.threads) <= 2


# -- time limits --------------------------------------------------------------------------------------------------


async def test_a_lane_whose_item_is_out_of_time_is_replaced_and_the_bound_still_holds() -> None:
    gate, work = threading.Event(), Counted(0.001)

    def mixed(n: int) -> Any:
        return gate.wait(30) if n in (0, 7) else work(n)

    async with ThreadBackend() as threads:
        got = await taken(stream(range(40), mixed, max_concurrency=2, timeout=0.1, on=threads))
        late = [n for n, one in enumerate(got) if not one.ok]
        assert set(late) >= {0, 7}
        assert all(isinstance(got[n].error, TaskTimeout) for n in late)
        assert work.peak <= 2
        assert threads.statistics().abandoned == 2
        gate.set()
        await until(lambda: nothing_runs(threads))


async def test_the_late_result_of_an_abandoned_item_is_dropped_and_it_may_be_tried_again() -> None:
    gate, calls = threading.Event(), []

    def work(n: int) -> str:
        calls.append(n)
        if len(calls) == 1:
            gate.wait(30)
            return "late"
        gate.set()
        time.sleep(0.02)
        return "in time"

    retry = Retry(2, base_delay=0.0)
    [outcome] = await taken(stream([0], work, timeout=0.1, retry=retry, max_concurrency=1))
    assert outcome == Ok("in time")
    assert outcome.attempts == 2


async def test_an_item_is_told_by_its_own_token_alone() -> None:
    told: list[bool] = []

    def work(n: int) -> None:
        if n == 0:
            while not atonce.cancelled():
                time.sleep(0.001)
        told.append(atonce.cancelled())

    async with ThreadBackend() as threads:
        got = await taken(stream(range(5), work, max_concurrency=1, timeout=0.2, on=threads))
        await until(lambda: nothing_runs(threads))
    assert [one.ok for one in got] == [False, True, True, True, True]
    assert sorted(told) == [False] * 4 + [True]


async def test_the_time_of_an_item_that_is_held_has_not_begun() -> None:
    def work(n: int) -> int:
        time.sleep(0.05)
        return n

    got = await taken(stream(range(8), work, max_concurrency=1, timeout=0.3, on="thread"))
    assert [one.ok for one in got] == [True] * 8
    assert all(one.elapsed < 0.3 for one in got)


async def test_an_item_that_begins_long_after_it_was_taken_is_ended_in_time() -> None:
    gate = threading.Event()

    def work(n: int) -> Any:
        return gate.wait(30) if n == 4 else time.sleep(0.06)

    start = time.monotonic()
    got = await taken(stream(range(5), work, max_concurrency=1, timeout=0.15, on="thread"))
    assert isinstance(got[4].error, TaskTimeout)
    assert time.monotonic() - start < 1.5
    gate.set()


# -- leaving ------------------------------------------------------------------------------------------------------


def spin(n: int) -> int:
    """Go on until asked."""
    while n >= 3 and not atonce.cancelled():
        time.sleep(0.0005)
    return n


@pytest.mark.parametrize("how", ["break", "close", "raise", "cancel"])
async def test_nothing_is_left_however_a_stream_is_left(how: str) -> None:
    items = Pulled()
    async with ThreadBackend() as threads:

        async def leave() -> None:
            async with stream(items, spin, max_concurrency=4, ordered=False, on=threads) as results:
                async for outcome in results:
                    if how == "break" and outcome.value == 1:
                        break
                    if how == "close" and outcome.value == 1:
                        await results.aclose()
                    if how == "raise" and outcome.value == 1:
                        raise LookupError

        task = asyncio.ensure_future(leave())
        if how == "cancel":
            await until(lambda: threads.statistics().running == 4)
            task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() == (how == "cancel")
        if how == "raise":
            assert isinstance(task.exception(), LookupError)
        await until(lambda: nothing_runs(threads))
        calls = items.count
        await asyncio.sleep(0.01)
        assert items.count == calls


def test_nothing_is_left_after_a_blocking_stream_is_left() -> None:
    with ThreadBackend() as threads:
        for outcome in blocking.stream(itertools.count(), spin, max_concurrency=4, on=threads):
            if outcome == Ok(1):
                break
        for _ in range(1_000):
            if nothing_runs(threads):
                break
            time.sleep(0.002)
        assert nothing_runs(threads)


async def test_what_is_held_when_a_stream_is_left_never_starts() -> None:
    gate, calls = threading.Event(), []

    def work(n: int) -> int:
        calls.append(n)
        if n:
            gate.wait(30)
        return n

    async with ThreadBackend() as threads:
        async with stream(range(100), work, max_concurrency=3, on=threads) as results:
            async for _ in results:
                break
        begun = len(calls)
        gate.set()
        await until(lambda: nothing_runs(threads))
        assert len(calls) == begun <= 4


async def test_neither_items_nor_results_live_longer_than_their_consumer_wants() -> None:
    class Thing:
        pass

    seen: list[weakref.ref[Thing]] = []

    def work(thing: Thing) -> Thing:
        result = Thing()
        seen.extend((weakref.ref(thing), weakref.ref(result)))
        return result

    def fail(thing: Thing) -> None:
        error = LookupError()
        seen.append(weakref.ref(error))  # type: ignore[arg-type]  # an exception may be referred to weakly as well
        raise error

    gc.collect()
    gc.disable()
    try:
        async for outcome in stream((Thing() for _ in range(50)), work, on="thread"):
            del outcome
        async for outcome in stream(range(50), fail, on="thread"):
            del outcome
        await until(lambda: not any(ref() for ref in seen))
    finally:
        gc.enable()


# -- the backend --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 3, 512])
def test_ten_streams_in_each_other_do_not_wait_for_each_others_threads(most: int) -> None:
    with ThreadBackend(max_threads=most) as threads:

        def depth(n: int) -> int:
            if n == 0:
                return 1
            width = 2 if n > 7 else 1
            return sum(blocking.parallel_map([n - 1] * width, depth, on=threads, max_concurrency=2))

        assert blocking.parallel_map([10], depth, on=threads) == [8]


async def test_streams_that_share_few_threads_all_get_on() -> None:
    async with ThreadBackend(max_threads=2) as threads:
        endless = stream(itertools.count(), Counted(0.001), max_concurrency=8, on=threads)

        async def consume() -> None:
            async for _ in endless:
                pass

        greedy = asyncio.ensure_future(consume())
        await asyncio.sleep(0.02)
        got = await asyncio.wait_for(atonce.parallel_map(range(30), Counted(), on=threads), 10)
        assert got == list(range(30))
        assert await asyncio.wait_for(asyncio.ensure_future(one_call(threads)), 10) == 3
        assert threads.statistics().threads <= 2
        greedy.cancel()
        await asyncio.wait([greedy])


async def one_call(threads: ThreadBackend) -> int:
    return await atonce.spawn(abs, -3, on=threads)


@pytest.mark.parametrize("most", [0, 1, 2])
async def test_a_run_goes_on_with_the_threads_that_could_be_started(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, started = threading.Thread.start, 0

    def refuse(thread: threading.Thread) -> None:
        nonlocal started
        if thread.name.startswith("atonce-thread") and started >= most:
            raise RuntimeError("can't start new thread")
        started += thread.name.startswith("atonce-thread")
        start(thread)

    work = Counted(0.001)
    async with ThreadBackend() as threads:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            got = await asyncio.wait_for(taken(stream(range(50), work, max_concurrency=4, on=threads)), 10)
        if most:
            assert got == [Ok(n) for n in range(50)]
            assert work.peak <= most
        else:
            assert len({id(one.error) for one in got}) == 50
            assert all(type(one.error) is RuntimeError for one in got)
        assert await taken(stream(range(50), work, on=threads).values()) == list(range(50))


async def test_closing_the_backend_ends_what_has_not_begun_as_stopped() -> None:
    gate, calls = threading.Event(), []

    def work(n: int) -> int:
        calls.append(n)
        gate.wait(30)
        return n

    threads = ThreadBackend()
    task = asyncio.ensure_future(taken(stream(range(10), work, max_concurrency=2, on=threads)))
    await until(lambda: len(calls) == 2)
    start = time.monotonic()
    threads.close()
    assert time.monotonic() - start < 0.4
    await until(lambda: threads.statistics().queued == 0)
    gate.set()
    got = await asyncio.wait_for(task, 10)
    assert got[:2] == [Ok(0), Ok(1)]
    assert [type(one.error) for one in got[2:]] == [TaskStopped] * 8
    assert sorted(calls) == [0, 1]


async def test_a_stream_on_a_closed_backend_says_so() -> None:
    threads = ThreadBackend()
    threads.close()
    got = await taken(stream(range(40), abs, max_concurrency=2, on=threads))
    assert len(got) == 40
    assert all(isinstance(one.error, AtonceError) for one in got)


async def test_the_items_of_streams_are_in_the_backends_statistics() -> None:
    gate = threading.Event()
    async with ThreadBackend() as threads:
        task = asyncio.ensure_future(
            taken(stream(range(9), lambda n: gate.wait(30), max_concurrency=3, on=threads))
        )
        await until(lambda: threads.statistics().running == 3)
        counts = threads.statistics()
        assert (counts.threads, counts.queued, counts.abandoned) == (3, 6, 0)
        gate.set()
        await task
        await until(lambda: nothing_runs(threads))


def test_a_loop_that_is_gone_leaves_no_lane_at_work() -> None:
    with ThreadBackend() as threads:

        async def main() -> None:
            iterator = aiter(stream(itertools.count(), Counted(0.001), max_concurrency=3, on=threads))
            kept.append(iterator)
            await anext(iterator)

        kept: list[Any] = []
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        loop.close()
        for _ in range(1_000):
            if threads.statistics().running == 0:
                break
            time.sleep(0.002)
        assert threads.statistics().running == 0


# -- items --------------------------------------------------------------------------------------------------------


async def test_each_item_has_a_context_of_its_own() -> None:
    def work(n: int) -> str:
        before = variable.get()
        variable.set(f"item {n}")
        time.sleep(0)
        return f"{before}, {variable.get()}"

    variable.set("the consumer's")
    got = await taken(stream(range(200), work, max_concurrency=4).values())
    assert got == [f"the consumer's, item {n}" for n in range(200)]


async def test_a_result_that_cannot_be_asked_what_it_is_is_a_result() -> None:
    class Proxy:
        @property
        def __class__(self) -> Any:
            raise RuntimeError("unbound")

    class Meta(type):
        __hash__ = None  # type: ignore[assignment]  # such types exist

    class Odd(metaclass=Meta):
        pass

    got = await taken(stream([Proxy, Odd] * 3, lambda make: make()))
    assert [one.ok for one in got] == [True] * 6


async def test_the_traceback_of_an_item_begins_with_its_function() -> None:
    def work(n: int) -> None:
        raise LookupError(n)

    [outcome] = await taken(stream([0], work))
    assert isinstance(outcome, Failed)
    traceback = outcome.error.__traceback__
    assert traceback is not None
    assert traceback.tb_frame.f_code is work.__code__
    [outcome] = await taken(stream([None], abs, on="thread"))
    assert isinstance(outcome.error, TypeError)


@pytest.mark.parametrize("limit", [None, 60.0])
async def test_many_items_take_constant_memory(limit: float | None) -> None:
    items = MANY if sys.getswitchinterval() > 1e-4 else 10_000
    count, peak = await growth(lambda: stream(range(items), lambda n: [n], timeout=limit))
    assert count == items
    assert peak < LITTLE
