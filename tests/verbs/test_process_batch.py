"""`process_batch`: many items in batches, and every item accounted for."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.verbs.acts import Probe, fail, fake, forever, gate, give, now

from atonce import TaskTimeout, process_batch

virtual = pytest.mark.virtual


async def squares(batch: list[int]) -> list[int]:
    """A batch function that gives a list."""
    await asyncio.sleep(0.1)
    return [n * n for n in batch]


async def total(batch: list[int]) -> int:
    """A batch function that gives one value."""
    return sum(batch)


# -- batches ------------------------------------------------------------------------------------------------------


@virtual
async def test_lists_that_batches_return_are_flattened_in_input_order() -> None:
    result = await process_batch(range(7), squares, batch_size=3)
    assert result.successes == [0, 1, 4, 9, 16, 25, 36]
    assert result.failures == []


@virtual
async def test_other_values_are_kept_one_a_batch() -> None:
    result = await process_batch(range(7), total, batch_size=3)
    assert result.successes == [3, 12, 6]


@virtual
@pytest.mark.parametrize(
    ("items", "size", "batches"),
    [
        (range(6), 3, [[0, 1, 2], [3, 4, 5]]),
        (range(7), 3, [[0, 1, 2], [3, 4, 5], [6]]),
        (range(2), 5, [[0, 1]]),
        (range(3), 1, [[0], [1], [2]]),
        ([], 3, []),
        ((1, 2, 3), 2, [[1, 2], [3]]),
        ("abc", 2, [["a", "b"], ["c"]]),
        ({1: "a", 2: "b", 3: "c"}, 2, [[1, 2], [3]]),
        (iter(range(5)), 2, [[0, 1], [2, 3], [4]]),
        ((n for n in range(5)), 2, [[0, 1], [2, 3], [4]]),
    ],
)
async def test_items_are_cut_into_lists_of_batch_size_and_the_rest(
    items: Any, size: int, batches: list[list[Any]]
) -> None:
    got: list[list[Any]] = []

    async def look(batch: list[Any]) -> None:
        got.append(batch)

    await process_batch(items, look, batch_size=size, max_concurrency=1)
    assert got == batches
    assert all(type(batch) is list for batch in got)


@virtual
async def test_a_hundred_items_are_a_batch_by_default() -> None:
    result = await process_batch(range(250), lambda batch: give(len(batch)), on="loop")
    assert result.successes == [100, 100, 50]


@virtual
async def test_async_input_is_cut_too() -> None:
    async def numbers() -> AsyncIterator[int]:
        for n in range(5):
            await asyncio.sleep(0.1)
            yield n

    assert (await process_batch(numbers(), squares, batch_size=2)).successes == [0, 1, 4, 9, 16]


# -- accounting ---------------------------------------------------------------------------------------------------


@virtual
async def test_a_batch_that_fails_is_in_failures_with_its_items_and_its_error() -> None:
    error = ValueError("odd one")

    async def work(batch: list[int]) -> list[int]:
        if 4 in batch:
            raise error
        return batch

    result = await process_batch(range(9), work, batch_size=3)
    assert result.successes == [0, 1, 2, 6, 7, 8]
    assert [(failure.batch, failure.error) for failure in result.failures] == [([3, 4, 5], error)]


@virtual
@given(
    count=st.integers(0, 40),
    size=st.integers(1, 12),
    bound=st.integers(1, 6),
    bad=st.sets(st.integers(0, 39)),
    each=st.booleans(),
)
async def test_every_item_is_in_exactly_one_of_successes_and_failures(
    count: int, size: int, bound: int, bad: set[int], each: bool
) -> None:
    async def work(given: Any) -> Any:
        numbers = [given] if each else given
        await asyncio.sleep(0.01 * (numbers[0] % 3))
        if bad.intersection(numbers):
            raise ValueError("bad")
        return given if each else list(given)

    result = await process_batch(range(count), work, batch_size=size, max_concurrency=bound, each=each)
    failed = [item for failure in result.failures for item in failure.batch]
    assert sorted(result.successes + failed) == list(range(count))
    assert set(result.successes).isdisjoint(bad)
    assert result.successes == sorted(result.successes)
    assert failed == sorted(failed)


@virtual
async def test_a_batch_that_takes_too_long_is_a_failure() -> None:
    async def work(batch: list[int]) -> list[int]:
        if 0 in batch:
            await forever()
        return batch

    began = now()
    result = await process_batch(range(4), work, batch_size=2, timeout=3.0)
    assert now() - began == pytest.approx(3.0)
    assert result.successes == [2, 3]
    [failure] = result.failures
    assert failure.batch == [0, 1]
    assert isinstance(failure.error, TaskTimeout)


@virtual
async def test_a_batch_has_thirty_seconds_by_default() -> None:
    began = now()
    result = await process_batch([1], lambda _: forever(), on="loop")
    assert now() - began == pytest.approx(30.0)
    assert isinstance(result.failures[0].error, TaskTimeout)


@virtual
async def test_timeout_none_means_no_limit() -> None:
    result = await process_batch([1], lambda batch: give(batch, 86_400.0), on="loop", timeout=None)
    assert result.successes == [1]


@virtual
async def test_the_time_of_a_batch_counts_from_its_start_and_not_from_the_call() -> None:
    result = await process_batch(
        range(10), lambda batch: give(batch, 2.0), on="loop", batch_size=1, max_concurrency=1, timeout=3.0
    )
    assert result.failures == []


@virtual
@pytest.mark.parametrize("error", [SystemExit(1), asyncio.CancelledError(), StopIteration()])
async def test_odd_exceptions_of_a_batch_are_failures(error: BaseException) -> None:
    result = await process_batch([1, 2], lambda _: fail(error), on="loop")
    assert [failure.batch for failure in result.failures] == [[1, 2]]


async def test_ok_says_whether_nothing_failed() -> None:
    assert (await process_batch([1], total)).ok
    assert not (await process_batch([1], lambda _: fail(ValueError("x")), on="loop")).ok


async def test_no_items_give_an_empty_result() -> None:
    result = await process_batch([], total)
    assert (result.successes, result.failures, result.ok) == ([], [], True)


# -- each ---------------------------------------------------------------------------------------------------------


@virtual
async def test_each_hands_over_one_item() -> None:
    result = await process_batch([1, 2, 3], lambda n: give(n * n), each=True, on="loop")
    assert result.successes == [1, 4, 9]


@virtual
async def test_with_each_an_item_that_fails_leaves_the_others_of_its_batch_alone() -> None:
    async def work(n: int) -> int:
        if n == 2:
            raise ValueError("two")
        return n

    result = await process_batch([1, 2, 3], work, each=True, batch_size=3)
    assert result.successes == [1, 3]
    assert [failure.batch for failure in result.failures] == [[2]]


@virtual
async def test_with_each_a_list_that_an_item_returns_stays_a_list() -> None:
    assert (await process_batch([1, 2], lambda n: give([n]), each=True, on="loop")).successes == [[1], [2]]


@virtual
async def test_with_each_the_batch_still_bounds_what_runs() -> None:
    probe = Probe(seconds=1.0)
    await process_batch(range(30), probe.work, each=True, max_concurrency=3)
    assert probe.peak == 3


# -- bound and laziness -------------------------------------------------------------------------------------------


@virtual
@pytest.mark.parametrize("bound", [1, 2, 7])
async def test_never_more_than_max_concurrency_batches_run(bound: int) -> None:
    probe = Probe(seconds=1.0)
    await process_batch(range(40), probe.work, batch_size=2, max_concurrency=bound)
    assert probe.peak == bound


@virtual
async def test_four_batches_run_at_once_by_default() -> None:
    probe = Probe(seconds=1.0)
    await process_batch(range(40), probe.work, batch_size=2)
    assert probe.peak == 4


@virtual
async def test_a_long_input_is_not_read_ahead_without_bound() -> None:
    pulled: list[int] = []

    def numbers() -> Iterator[int]:
        for n in itertools.count():
            pulled.append(n)
            yield n

    async def work(batch: list[int]) -> None:
        await forever()

    working = asyncio.create_task(
        process_batch(numbers(), work, batch_size=10, max_concurrency=2, timeout=None)
    )
    await asyncio.sleep(1.0)
    assert len(pulled) <= (2 + 16 + 1) * 10
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working


@virtual
async def test_an_error_of_the_input_is_raised() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise OSError("input")

    with pytest.raises(OSError, match="input"):
        await process_batch(numbers(), total, batch_size=1)


@virtual
async def test_cancelled_what_runs_is_over_and_then_the_cancel_goes_on() -> None:
    probe = Probe(seconds=100.0, cleanup=0.5)
    working = asyncio.create_task(process_batch(range(10), probe.work, batch_size=2, timeout=None))
    await asyncio.sleep(1.0)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert (probe.cancelled, probe.running) == (4, 0)


# -- where it runs ------------------------------------------------------------------------------------------------


async def test_a_plain_batch_function_runs_in_a_thread() -> None:
    result = await process_batch([1], lambda _: threading.current_thread())
    assert result.successes != [threading.current_thread()]


@virtual
async def test_a_backend_object_will_do() -> None:
    result = await process_batch(range(4), sum, batch_size=2, on=fake(1.0))
    assert result.successes == [1, 5]


async def test_a_thread_that_does_not_look_is_a_failure_and_holds_nobody_up() -> None:
    with gate() as door:

        def work(batch: list[int]) -> Any:
            return door.work() if batch == [0] else batch

        began = now()
        result = await process_batch(range(3), work, batch_size=1, timeout=0.05)
        assert now() - began < 1.0
        assert result.successes == [1, 2]
        assert [failure.batch for failure in result.failures] == [[0]]


@pytest.mark.parametrize("each", [1, 0, None, "yes"])
async def test_each_is_a_bool(each: Any) -> None:
    with pytest.raises(TypeError, match="each is True or False"):
        await process_batch([1], total, each=each)


@pytest.mark.parametrize("items", [3, None])
async def test_items_that_cannot_be_iterated_are_refused(items: Any) -> None:
    with pytest.raises(TypeError, match="items is an iterable"):
        await process_batch(items, total)


async def test_a_function_that_takes_nothing_is_refused() -> None:
    with pytest.raises(TypeError, match="argument"):
        await process_batch([1], lambda: 1)  # type: ignore[arg-type,misc]  # wrong on purpose
