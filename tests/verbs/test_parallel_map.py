"""`parallel_map`: many items through one function, as a list, fail-fast."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.verbs.acts import Probe, fake, forever, gate, give, notes, now
from tests.verbs.test_retry import Flaky

from atonce import Retry, TaskTimeout, parallel_map

virtual = pytest.mark.virtual


async def double(n: int) -> int:
    """Twice the number, the sooner the larger it is."""
    await asyncio.sleep(1.0 / (n + 1))
    return 2 * n


@virtual
@given(items=st.lists(st.integers(0, 50)), bound=st.integers(1, 8))
async def test_values_come_in_input_order(items: list[int], bound: int) -> None:
    assert await parallel_map(items, double, max_concurrency=bound) == [2 * n for n in items]


async def test_no_items_give_no_values() -> None:
    assert await parallel_map([], double) == []


@virtual
async def test_unordered_gives_the_values_as_they_came() -> None:
    assert await parallel_map([1, 2, 3], double, ordered=False) == [6, 4, 2]


@virtual
@pytest.mark.parametrize("bound", [1, 2, 5, 100])
async def test_never_more_than_max_concurrency_run(bound: int) -> None:
    probe = Probe(seconds=1.0)
    await parallel_map(range(20), probe.work, max_concurrency=bound)
    assert probe.peak == min(bound, 20)


@virtual
async def test_the_first_failure_in_time_is_raised_at_once_whatever_its_index() -> None:
    async def work(n: int) -> int:
        if n == 7:
            await asyncio.sleep(1.0)
            raise ValueError("seven")
        await asyncio.sleep(100.0)
        return n

    began = now()
    with pytest.raises(ValueError, match="seven"):
        await parallel_map(range(10), work)
    assert now() - began == pytest.approx(1.0)


@virtual
async def test_the_rest_is_stopped_and_over_before_a_failure_is_raised() -> None:
    probe = Probe(seconds=100.0, cleanup=0.5)

    async def work(n: int) -> Any:
        if n == 0:
            await asyncio.sleep(1.0)
            raise ValueError("zero")
        return await probe.work()

    with pytest.raises(ValueError, match="zero"):
        await parallel_map(range(5), work)
    assert (probe.cancelled, probe.running) == (4, 0)


@virtual
async def test_nothing_more_is_started_after_a_failure() -> None:
    started: list[int] = []

    async def work(n: int) -> None:
        started.append(n)
        await asyncio.sleep(1.0)
        raise ValueError("all fail")

    with pytest.raises(ValueError, match="all fail"):
        await parallel_map(range(100), work, max_concurrency=3)
    assert started == [0, 1, 2]


@virtual
async def test_a_failure_names_its_item() -> None:
    async def work(n: int) -> None:
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad") as caught:
        await parallel_map(["apple"], work)  # type: ignore[list-item]  # the text is to be seen
    assert "item 0" in notes(caught.value)
    assert "'apple'" in notes(caught.value)


@virtual
async def test_an_item_that_takes_too_long_is_a_failure() -> None:
    began = now()
    with pytest.raises(TaskTimeout) as caught:
        await parallel_map([1, 2], lambda _: forever(), on="loop", timeout=2.0)
    assert now() - began == pytest.approx(2.0)
    assert caught.value.timeout == 2.0


@virtual
async def test_items_that_are_late_at_the_same_instant_and_clean_up_hold_nobody_up() -> None:
    probe = Probe(seconds=100.0, cleanup=0.001)
    began = now()
    with pytest.raises(TaskTimeout):
        await parallel_map(range(5), probe.work, timeout=2.0)
    assert now() - began == pytest.approx(2.0, abs=0.1)
    assert probe.running == 0


@virtual
async def test_items_may_be_tried_again() -> None:
    flaky = Flaky(2)
    assert await parallel_map([1], flaky.work, retry=Retry(attempts=3, base_delay=0)) == ["done"]


@virtual
async def test_a_rate_spaces_the_starts() -> None:
    starts: list[float] = []

    async def work(n: int) -> None:
        starts.append(now())

    await parallel_map(range(5), work, rate="2/s")
    assert [after - before for before, after in itertools.pairwise(starts)] == pytest.approx([0.5] * 4)


@virtual
@pytest.mark.parametrize("count", [0, 1, 3])
async def test_a_rate_is_not_waited_for_after_the_last_item(count: int) -> None:
    began = now()
    await parallel_map(range(count), give, rate="1/h")
    assert now() - began == pytest.approx(3600.0 * max(0, count - 1))


@virtual
async def test_an_error_of_the_input_does_not_wait_for_the_rate() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise OSError("input")

    began = now()
    with pytest.raises(OSError, match="input"):
        await parallel_map(numbers(), give, rate="1/h")
    assert now() == began


@virtual
async def test_async_input_will_do() -> None:
    async def numbers() -> AsyncIterator[int]:
        for n in range(4):
            await asyncio.sleep(0.1)
            yield n

    assert await parallel_map(numbers(), double) == [0, 2, 4, 6]


@virtual
async def test_an_error_of_the_input_is_raised_and_what_runs_is_over() -> None:
    probe = Probe(seconds=5.0)

    def numbers() -> Iterator[int]:
        yield 1
        raise OSError("input")

    with pytest.raises(OSError, match="input"):
        await parallel_map(numbers(), probe.work)
    assert probe.running == 0


@virtual
async def test_cancelled_what_runs_is_over_and_then_the_cancel_goes_on() -> None:
    probe = Probe(seconds=100.0, cleanup=0.5)
    mapping = asyncio.create_task(parallel_map(range(5), probe.work))
    await asyncio.sleep(1.0)
    mapping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await mapping
    assert (probe.cancelled, probe.running) == (5, 0)


async def test_plain_functions_run_in_threads() -> None:
    threads = await parallel_map(range(4), lambda _: threading.current_thread())
    assert threading.current_thread() not in threads


async def test_on_loop_runs_plain_functions_on_the_loop() -> None:
    assert await parallel_map([1], lambda _: threading.current_thread(), on="loop") == [
        threading.current_thread()
    ]


@virtual
async def test_a_backend_object_will_do() -> None:
    began = now()
    assert await parallel_map(range(6), lambda n: n + 1, on=fake(1.0), max_concurrency=3) == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]
    assert now() - began == pytest.approx(2.0)


async def test_a_blocked_thread_does_not_hold_up_a_failure() -> None:
    with gate() as door:

        def work(n: int) -> Any:
            if n == 1:
                raise ValueError("one")
            return door.work()

        began = now()
        with pytest.raises(ValueError, match="one"):
            await parallel_map([0, 1], work)
        assert now() - began < 1.5


@virtual
async def test_maps_may_be_nested() -> None:
    async def row(n: int) -> list[int]:
        return await parallel_map(range(n), double, max_concurrency=2)

    assert await parallel_map(range(5), row, max_concurrency=2) == [
        [2 * m for m in range(n)] for n in range(5)
    ]


async def test_maps_in_threads_nested_in_threads_do_not_lock_up() -> None:
    import atonce.blocking

    def inner(n: int) -> int:
        return n

    def outer(n: int) -> int:
        return sum(atonce.blocking.parallel_map(range(4), inner, max_concurrency=2))

    assert await parallel_map(range(4), outer, max_concurrency=2) == [6] * 4


@virtual
async def test_values_may_be_outcomes_or_exceptions_and_are_not_interpreted() -> None:
    values = [None, ValueError("value"), False]
    assert await parallel_map(values, give) == values


@pytest.mark.parametrize("ordered", [1, 0, None, "yes"])
async def test_ordered_is_a_bool(ordered: Any) -> None:
    with pytest.raises(TypeError, match="ordered is True or False"):
        await parallel_map([1], double, ordered=ordered)


@pytest.mark.parametrize("items", [3, None])
async def test_items_that_cannot_be_iterated_are_refused(items: Any) -> None:
    with pytest.raises(TypeError, match="items is an iterable"):
        await parallel_map(items, double)
