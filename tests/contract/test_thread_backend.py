"""What the thread backend does beside the contract: its bound, its queue, its workers and its end."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

import atonce
from atonce import AtonceError, Failed, TaskStopped, ThreadBackend, spawn


async def until(condition: Any) -> None:
    """Wait until `condition()`, a few seconds at most."""
    for _ in range(2_000):
        if condition():
            return
        await asyncio.sleep(0.002)
    assert condition()


async def test_no_more_threads_than_allowed_are_made_and_the_others_wait() -> None:
    gate = threading.Event()
    async with ThreadBackend(max_threads=2) as threads:
        tasks = [spawn(gate.wait, 30, on=threads) for _ in range(5)]
        await until(lambda: threads.statistics().running == 2)
        counts = threads.statistics()
        assert (counts.threads, counts.running, counts.queued, counts.abandoned) == (2, 2, 3, 0)
        gate.set()
        assert await atonce.await_many(tasks) == [True] * 5


async def test_a_worker_is_used_again() -> None:
    async with ThreadBackend() as threads:
        for n in range(20):
            assert await spawn(abs, -n, on=threads) == n
        assert threads.statistics().threads <= 2


async def test_a_queued_call_that_is_stopped_never_runs() -> None:
    gate, ran = threading.Event(), []
    async with ThreadBackend(max_threads=1) as threads:
        blocking = spawn(gate.wait, 30, on=threads)
        queued = spawn(ran.append, 1, on=threads)
        await until(lambda: threads.statistics().running == 1)
        queued.stop()
        outcome = await atonce.poll(queued, 5.0)
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.error, TaskStopped)
        assert not outcome.error.abandoned
        assert threads.statistics().queued == 0
        gate.set()
        assert await blocking
    assert ran == []


async def test_the_time_of_a_queued_call_has_not_begun() -> None:
    gate = threading.Event()
    async with ThreadBackend(max_threads=1) as threads:
        blocking = spawn(gate.wait, 30, on=threads)
        queued = spawn(abs, -3, on=threads, timeout=0.05)
        await asyncio.sleep(0.1)
        assert not queued.done()
        gate.set()
        assert await queued == 3
        assert await blocking


async def test_an_abandoned_call_is_counted_until_it_ends_and_its_worker_serves_again() -> None:
    gate = threading.Event()
    async with ThreadBackend(max_threads=1) as threads:
        late = spawn(gate.wait, 30, on=threads, timeout=0.02)
        await atonce.poll(late, 5.0)
        assert threads.statistics().abandoned == 1
        waiting = spawn(abs, -3, on=threads)
        gate.set()
        assert await waiting == 3
        assert threads.statistics().abandoned == 0


async def test_a_closed_backend_starts_nothing_more_and_says_so() -> None:
    threads = ThreadBackend()
    threads.close()
    with pytest.raises(AtonceError, match="closed"):
        spawn(abs, -1, on=threads)
    [outcome] = [one async for one in atonce.stream([1], abs, on=threads)]
    assert isinstance(outcome.error, AtonceError)


async def test_closing_a_backend_ends_what_waits_in_its_queue() -> None:
    gate, ran = threading.Event(), []
    async with ThreadBackend(max_threads=1) as threads:
        spawn(gate.wait, 30, on=threads)
        queued = spawn(ran.append, 1, on=threads)
        await until(lambda: threads.statistics().running == 1)
    outcome = await atonce.poll(queued, 5.0)
    gate.set()
    assert isinstance(outcome, Failed), "it waits for ever"
    assert isinstance(outcome.error, TaskStopped)
    assert ran == []


async def test_closing_does_not_wait_for_a_busy_worker() -> None:
    gate = threading.Event()
    start = time.monotonic()
    async with ThreadBackend() as threads:
        task = spawn(gate.wait, 30, on=threads)
        await until(lambda: threads.statistics().running == 1)
    assert time.monotonic() - start < 2
    gate.set()
    assert await task


async def test_one_backend_serves_several_loops() -> None:
    def elsewhere() -> int:
        async def main() -> int:
            return await spawn(abs, -2, on=threads)

        return asyncio.run(main())

    async with ThreadBackend() as threads:
        got = await asyncio.gather(*(asyncio.to_thread(elsewhere) for _ in range(4)))
        assert got == [2] * 4
        assert await spawn(abs, -3, on=threads) == 3
    await asyncio.get_running_loop().shutdown_default_executor()


async def test_many_calls_from_many_loops_are_neither_lost_nor_doubled() -> None:
    lock, calls = threading.Lock(), 0

    def count(n: int) -> int:
        nonlocal calls
        with lock:
            calls += 1
        return n

    def elsewhere() -> list[int]:
        async def main() -> list[int]:
            return await atonce.parallel_map(range(500), count, on=threads, max_concurrency=8)

        return asyncio.run(main())

    async with ThreadBackend(max_threads=4) as threads:
        got = await asyncio.gather(*(asyncio.to_thread(elsewhere) for _ in range(3)))
    assert got == [list(range(500))] * 3
    assert calls == 1_500
    await asyncio.get_running_loop().shutdown_default_executor()


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "2", None, 10**10])
def test_a_bad_bound_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="max_threads"):
        ThreadBackend(max_threads=value)


async def test_threads_that_cannot_be_made_are_told_and_leave_nothing_half_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async with ThreadBackend() as threads:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                spawn(abs, -1, on=threads)
            assert threads.statistics().threads == threads.statistics().queued == 0
        assert await spawn(abs, -1, on=threads) == 1


async def test_an_end_that_cannot_be_told_does_not_hold_up_the_others(trouble: Any) -> None:
    """An exception whose notes are broken, in the middle of many ends that come together."""

    class Broken(Exception):
        def add_note(self, note: str) -> None:
            raise LookupError("no notes")

    def work(n: int) -> int:
        if n == 1:
            raise Broken
        return n

    async with ThreadBackend() as threads:
        tasks = [spawn(work, n, on=threads) for n in range(4)]
        await until(lambda: threads.statistics().running == threads.statistics().queued == 0)
        got = await atonce.poll_many([task for n, task in enumerate(tasks) if n != 1], timeout=5.0)
        assert [outcome.unwrap() for _, outcome in got if outcome] == [0, 2, 3]
        first = await atonce.poll(tasks[1], 5.0)
        assert isinstance(first, Failed)
        assert isinstance(first.error, Broken)
    assert not trouble.reports
