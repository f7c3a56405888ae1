"""Calls in threads that wait for further calls in the same few threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from atonce import blocking
from atonce._backends.thread_job import Job
from atonce.blocking import ThreadBackend


@pytest.mark.timeout(60)
def test_a_call_that_waits_for_a_call_in_the_only_thread_gets_its_value() -> None:
    with ThreadBackend(max_threads=1) as threads:

        def deep(depth: int) -> int:
            return 1 + blocking.spawn(deep, depth - 1, on=threads).result() if depth else 0

        assert blocking.spawn(deep, 10, on=threads).result(timeout=30) == 10
        assert threads.statistics().queued == 0


@pytest.mark.timeout(60)
def test_many_calls_that_wait_for_calls_all_end_and_no_more_than_the_bound_run_at_once() -> None:
    running, most = 0, 0
    lock = threading.Lock()

    def leaf(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        with lock:
            running -= 1
        return number

    with ThreadBackend(max_threads=2) as threads:

        def branch(number: int) -> int:
            return sum(task.result() for task in [blocking.spawn(leaf, number, on=threads) for _ in range(3)])

        tasks = [blocking.spawn(branch, number, on=threads) for number in range(20)]
        assert blocking.await_many(tasks, timeout=30) == [3 * number for number in range(20)]
        assert most <= 2


@pytest.mark.timeout(60)
@pytest.mark.parametrize("verb", ["parallel_map", "retry_with_backoff", "race", "await_many"])
def test_any_blocking_verb_in_the_only_thread_may_use_that_thread(verb: str) -> None:
    with ThreadBackend(max_threads=1) as threads:

        def outer() -> object:
            match verb:
                case "parallel_map":
                    return blocking.parallel_map([1, 2], str, on=threads)
                case "retry_with_backoff":
                    return blocking.retry_with_backoff(str, 1, on=threads)
                case "race":
                    return blocking.race([lambda: blocking.spawn(str, 1, on=threads).result()])
                case _:
                    return blocking.await_many([blocking.spawn(str, 1, on=threads)])

        value = blocking.spawn(outer, on=threads).result(timeout=30)
        assert value in (["1", "2"], "1", ["1"])


@pytest.mark.timeout(60)
def test_a_thread_that_waits_no_more_counts_again() -> None:
    with ThreadBackend(max_threads=1) as threads:

        def outer() -> int:
            return blocking.spawn(int, "7", on=threads).result()

        assert [blocking.spawn(outer, on=threads).result() for _ in range(20)] == [7] * 20
        gate = threading.Event()
        held = blocking.spawn(gate.wait, on=threads)
        second = blocking.spawn(int, "8", on=threads)
        assert blocking.poll(second, timeout=0.05) is None
        gate.set()
        assert (held.result(), second.result()) == (True, 8)


@pytest.mark.timeout(60)
def test_a_thread_that_is_about_to_end_keeps_nobody_from_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has its last end to tell yet, while the next call already waits for a call."""
    with ThreadBackend(max_threads=1) as threads:
        ends, tells, tell = threading.Event(), threading.Event(), Job.tell
        first: list[Job] = []

        def tell_late(job: Job) -> None:
            if job is first[0]:
                ends.set()
                tells.wait(30)
            tell(job)

        def outer(number: str) -> int:
            return blocking.spawn(int, number, on=threads).result()

        begin = threads.begin

        def note_first(job: Job) -> bool:
            first.append(job)
            return begin(job)

        monkeypatch.setattr(threads, "begin", note_first)
        monkeypatch.setattr(Job, "tell", tell_late)
        held = blocking.spawn(outer, "7", on=threads)
        try:
            assert ends.wait(20)
            assert blocking.spawn(outer, "8", on=threads).result(timeout=20) == 8
        finally:
            tells.set()
        assert held.result(timeout=20) == 7


def test_a_thread_of_another_pool_that_waits_changes_nothing() -> None:
    with ThreadPoolExecutor(1) as pool, ThreadBackend(max_threads=1) as threads:
        assert pool.submit(lambda: blocking.spawn(str, 1, on=threads).result()).result() == "1"
