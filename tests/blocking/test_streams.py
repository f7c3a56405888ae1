"""Streams as plain iterators: `for`, `break`, `close()`, `with`."""

from __future__ import annotations

import gc
import itertools
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from tests.verbs.acts import Probe, error_of, fail, forever, gate, give, value_of

from atonce.blocking import Ok, Retry, TaskTimeout, stream

colour: ContextVar[str] = ContextVar("colour", default="none")


async def double(n: int) -> int:
    """Twice the number."""
    return 2 * n


# -- for ----------------------------------------------------------------------------------------------------------


def test_for_gives_an_outcome_for_every_item_in_order() -> None:
    assert [value_of(outcome) for outcome in stream(range(100), double)] == [2 * n for n in range(100)]


def test_plain_functions_run_in_threads() -> None:
    names = {value_of(outcome) for outcome in stream(range(8), lambda _: threading.current_thread().name)}
    assert all(name.startswith("atonce-thread") for name in names)


def test_outcomes_know_their_index_and_their_input() -> None:
    got = [(outcome.index, outcome.input) for outcome in stream("abc", give)]
    assert got == [(0, "a"), (1, "b"), (2, "c")]


def test_nothing_starts_before_the_first_next() -> None:
    probe = Probe(seconds=0.0)
    described = stream([1, 2, 3], probe.work)
    iterator = iter(described)
    time.sleep(0.02)
    assert probe.begun == 0
    next(iterator)
    iterator.close()
    assert probe.begun >= 1


def test_each_iteration_is_a_new_run() -> None:
    described = stream([1, 2], double)
    assert list(described) == list(described) == [Ok(2), Ok(4)]


def test_two_iterations_may_be_interleaved() -> None:
    described = stream([1, 2, 3], double)
    assert list(zip(described, described, strict=True)) == [(Ok(n), Ok(n)) for n in (2, 4, 6)]


def test_unordered_gives_what_is_done_first() -> None:
    got = [
        value_of(outcome) for outcome in stream([0.05, 0.0], lambda s: give(s, s), ordered=False, on="loop")
    ]
    assert got == [0.0, 0.05]


def test_a_failing_item_harms_no_other() -> None:
    def work(n: int) -> int:
        if n == 1:
            raise ValueError("one")
        return n

    outcomes = list(stream(range(3), work))
    assert [outcome.ok for outcome in outcomes] == [True, False, True]
    assert isinstance(error_of(outcomes[1]), ValueError)


def test_values_gives_bare_values_and_raises_the_first_failure() -> None:
    assert list(stream([1, 2], double).values()) == [2, 4]
    with pytest.raises(ValueError, match="bad"):
        list(stream([1], lambda _: fail(ValueError("bad"))).values())


def test_succeeded_and_failed_give_one_kind() -> None:
    described = stream([1, 0, 2], lambda n: 10 // n)
    assert list(described.succeeded()) == [Ok(10), Ok(5)]
    assert [type(one.error) for one in described.failed()] == [ZeroDivisionError]


def test_an_item_that_takes_too_long_is_its_own_failure() -> None:
    [outcome] = stream([1], lambda _: forever(), on="loop", timeout=0.02)
    assert isinstance(error_of(outcome), TaskTimeout)


def test_items_may_be_tried_again() -> None:
    calls: list[int] = []

    def flaky(n: int) -> str:
        calls.append(n)
        if len(calls) < 3:
            raise ValueError("flaky")
        return "done"

    [outcome] = stream([1], flaky, retry=Retry(attempts=3, base_delay=0))
    assert (value_of(outcome), outcome.attempts) == ("done", 3)


def test_async_input_will_do() -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 1
        yield 2

    assert list(stream(numbers(), double).values()) == [2, 4]


def test_a_blocking_input_does_not_stop_what_runs() -> None:
    with gate() as door:

        def numbers() -> Iterator[int]:
            yield 1
            door.work()
            yield 2

        iterator = iter(stream(numbers(), double))
        assert next(iterator) == Ok(2)
        door.open()
        assert next(iterator) == Ok(4)
        iterator.close()


def test_an_error_of_the_input_comes_after_the_items_before_it() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise OSError("input")

    got = []
    with pytest.raises(OSError, match="input"):
        for outcome in stream(numbers(), double):
            got.append(outcome)
    assert got == [Ok(2)]


def test_the_bound_is_kept_with_threads() -> None:
    lock, now, peak = threading.Lock(), [0], [0]

    def work(_: int) -> None:
        with lock:
            now[0] += 1
            peak[0] = max(peak[0], now[0])
        time.sleep(0.002)
        with lock:
            now[0] -= 1

    list(stream(range(60), work, max_concurrency=3))
    assert peak[0] == 3


def test_work_goes_on_while_the_consumer_is_busy() -> None:
    probe = Probe(seconds=0.0)
    iterator = iter(stream(range(1000), probe.work, max_concurrency=2, buffer=10))
    next(iterator)
    deadline = time.monotonic() + 5
    while probe.ended < 10 and time.monotonic() < deadline:
        time.sleep(0.002)
    assert 10 <= probe.begun <= 13
    iterator.close()


def test_the_callers_context_is_seen_by_every_item() -> None:
    token = colour.set("red")
    try:
        assert list(stream(range(3), lambda _: colour.get()).values()) == ["red"] * 3
    finally:
        colour.reset(token)


def test_a_large_stream_goes_through() -> None:
    assert sum(stream(range(20_000), double).values()) == 20_000 * 19_999


# -- leaving early ------------------------------------------------------------------------------------------------


def test_after_a_break_all_is_stopped_before_the_next_statement() -> None:
    probe = Probe(seconds=30.0)

    async def work(n: int) -> Any:
        return n if n == 0 else await probe.work()

    for _ in stream(range(10), work):
        break
    assert (probe.running, probe.cancelled) == (0, probe.begun)


def test_an_infinite_input_ends_with_a_break() -> None:
    got = []
    for outcome in stream(itertools.count(), double):
        got.append(value_of(outcome))
        if len(got) == 5:
            break
    assert got == [0, 2, 4, 6, 8]


def test_close_stops_what_runs_and_ends_the_iteration() -> None:
    probe = Probe(seconds=30.0)

    async def work(n: int) -> Any:
        return n if n == 0 else await probe.work()

    iterator = iter(stream(range(10), work))
    next(iterator)
    iterator.close()
    assert probe.running == 0
    assert list(iterator) == []


def test_close_may_be_repeated_and_come_before_the_first_next() -> None:
    iterator = iter(stream([1], double))
    iterator.close()
    iterator.close()
    assert list(iterator) == []


def test_with_closes_every_iteration() -> None:
    probe = Probe(seconds=30.0)

    async def work(n: int) -> Any:
        return n if n == 0 else await probe.work()

    with stream(range(10), work) as outcomes:
        iterator = iter(outcomes)
        next(iterator)
    assert probe.running == 0


def test_a_raise_in_the_body_stops_what_runs() -> None:
    probe = Probe(seconds=30.0)

    async def work(n: int) -> Any:
        return n if n == 0 else await probe.work()

    with pytest.raises(KeyError), stream(range(10), work) as outcomes:
        for _ in outcomes:
            raise KeyError
    assert probe.running == 0


def test_leaving_early_closes_the_input() -> None:
    closed: list[int] = []

    def numbers() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.append(1)

    for _ in stream(numbers(), double):
        break
    gc.collect()
    assert closed == [1]


def test_an_iterator_that_is_dropped_stops_what_runs() -> None:
    probe = Probe(seconds=30.0)

    async def work(n: int) -> Any:
        return n if n == 0 else await probe.work()

    iterator = iter(stream(range(10), work))
    next(iterator)
    del iterator
    assert probe.running == 0


def test_an_iterator_can_be_dropped_in_another_thread() -> None:
    probe = Probe(seconds=30.0)

    async def work(n: int) -> Any:
        return n if n == 0 else await probe.work()

    kept = [iter(stream(range(10), work))]
    next(kept[0])
    thread = threading.Thread(target=kept.clear)
    thread.start()
    thread.join()
    assert probe.running == 0


def test_threads_that_look_are_over_after_a_break() -> None:
    import atonce

    over: list[int] = []
    begun = threading.Barrier(4)  # a call that has not begun by the break never will

    def work(n: int) -> int:
        begun.wait(5)
        while n and not atonce.cancelled():
            time.sleep(0.001)
        over.append(n)
        return n

    for _ in stream(range(4), work, max_concurrency=4):
        break
    deadline = time.monotonic() + 5
    while len(over) < 4 and time.monotonic() < deadline:
        time.sleep(0.002)
    assert sorted(over) == [0, 1, 2, 3]


def test_statistics_count_the_open_iterations() -> None:
    described = stream(range(10), double, max_concurrency=2)
    iterator = iter(described)
    next(iterator)
    assert described.statistics().delivered == 1
    iterator.close()


def test_streams_may_be_consumed_in_many_threads() -> None:
    results: list[int] = []

    def consume() -> None:
        results.append(sum(stream(range(100), double).values()))

    threads = [threading.Thread(target=consume) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [9900] * 6


def test_a_stream_nested_in_the_threads_of_a_stream_does_not_lock_up() -> None:
    def inner(n: int) -> int:
        return sum(stream(range(n), double, max_concurrency=2).values())

    assert list(stream(range(6), inner, max_concurrency=2).values()) == [n * (n - 1) for n in range(6)]
