"""When results are delivered, in which order, and what `values()`, `succeeded()` and `failed()` make of them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import pytest

import atonce
from atonce import Failed, Ok, Outcome, Rate, Retry, TaskStopped, stream
from atonce.testing import FakeBackend

pytestmark = pytest.mark.virtual
variable: ContextVar[str] = ContextVar("variable", default="unset")


def now() -> float:
    return asyncio.get_running_loop().time()


async def sleep_so_long(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


async def double(n: int) -> int:
    return 2 * n


async def fail_at_three(n: int) -> int:
    if n == 3:
        raise ValueError(n)
    return n


async def taken(view: Any) -> list[Any]:
    return [one async for one in view]


async def arrivals(view: Any) -> list[tuple[Any, float]]:
    """What comes, and when."""
    start = now()
    return [(one, now() - start) async for one in view]


# -- as soon as possible, and in order ----------------------------------------------------------------------------


async def test_the_first_result_comes_before_all_places_are_filled() -> None:
    started: list[int] = []

    async def work(n: int) -> int:
        started.append(n)
        await asyncio.sleep(0)
        return n

    async with stream(itertools.count(), work, max_concurrency=1_000) as results:
        async for outcome in results:
            assert outcome == Ok(0)
            assert len(started) < 100
            break


async def test_the_first_result_does_not_wait_for_a_slow_input() -> None:
    async def source() -> AsyncIterator[int]:
        for n in range(5):
            await asyncio.sleep(10)
            yield n

    assert await arrivals(stream(source(), double).values()) == [(2 * n, 10.0 * (n + 1)) for n in range(5)]


async def test_ordered_results_come_as_soon_as_their_head_does() -> None:
    got = await arrivals(stream([1.0, 3.0, 2.0, 0.0], sleep_so_long).values())
    assert got == [(1.0, 1.0), (3.0, 3.0), (2.0, 3.0), (0.0, 3.0)]


async def test_unordered_results_come_first_done_first_out() -> None:
    got = await arrivals(stream([1.0, 3.0, 2.0, 0.0], sleep_so_long, ordered=False).values())
    assert got == [(0.0, 0.0), (1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]


async def test_a_slow_item_does_not_hold_up_others_for_ever_when_unordered() -> None:
    items = itertools.chain([1_000.0], itertools.repeat(1.0, 500))
    last = (await arrivals(stream(items, sleep_so_long, max_concurrency=2, ordered=False).values()))[-1]
    assert last == (1_000.0, 1_000.0)


async def test_a_slow_head_lets_the_others_run_until_the_buffer_is_full() -> None:
    started: list[float] = []

    async def work(seconds: float) -> float:
        started.append(seconds)
        return await sleep_so_long(seconds)

    items = itertools.chain([100.0], itertools.repeat(1.0))
    async with stream(items, work, max_concurrency=3, buffer=10) as results:
        iterator = aiter(results)
        waiter = asyncio.ensure_future(anext(iterator))
        await asyncio.sleep(50)
        assert 10 <= len(started) <= 13
        waiter.cancel()
        await asyncio.wait([waiter])


async def test_the_next_items_start_while_the_consumer_is_busy_until_the_buffer_is_full() -> None:
    started: list[int] = []

    async def work(n: int) -> int:
        started.append(n)
        await asyncio.sleep(1)
        return n

    async with stream(itertools.count(), work, max_concurrency=2, buffer=4) as results:
        async for _ in results:
            await asyncio.sleep(1_000)
            assert 5 <= len(started) <= 7
            break


async def test_the_default_bound_on_the_loop_is_a_hundred_and_the_buffer_is_twice_that() -> None:
    running = peak = 0

    async def work(n: int) -> None:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(1 if n else 1_000)
        running -= 1

    async with stream(itertools.count(), work) as results:
        waiter = asyncio.ensure_future(anext(aiter(results)))
        await asyncio.sleep(500)
        assert peak == 100
        counts = results.statistics()
        assert 200 <= counts.waiting <= 300
        waiter.cancel()
        await asyncio.wait([waiter])


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("width", [1, 2, 7])
async def test_exactly_as_many_run_as_may(width: int, ordered: bool) -> None:
    running = peak = 0

    async def work(n: int) -> None:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(n % 3)
        running -= 1

    await taken(stream(range(50), work, max_concurrency=width, ordered=ordered))
    assert peak == width


async def test_no_items_give_no_results_at_once() -> None:
    assert await taken(stream([], double)) == []
    assert await taken(stream(iter(()), double).values()) == []
    assert now() == 0


async def test_sleeping_side_by_side_takes_as_long_as_the_longest() -> None:
    await taken(stream([1.0] * 50 + [2.0], sleep_so_long))
    assert now() == 2.0


# -- what an outcome says -----------------------------------------------------------------------------------------


async def test_an_outcome_knows_its_index_its_input_and_how_long_it_took() -> None:
    got = await taken(stream([2.0, 1.0], sleep_so_long, ordered=False))
    assert [(one.index, one.input, one.elapsed, one.attempts) for one in got] == [
        (1, 1.0, 1.0, 1),
        (0, 2.0, 2.0, 1),
    ]


async def test_a_failure_harms_no_other_item_and_names_its_own() -> None:
    got: list[Outcome[int]] = await taken(stream(range(6), fail_at_three, name="numbers"))
    assert [one.ok for one in got] == [True, True, True, False, True, True]
    failed = got[3]
    assert isinstance(failed, Failed)
    assert failed.error.args == (3,)
    notes = "\n".join(failed.error.__notes__)
    assert "item 3 of numbers" in notes
    assert "input 3" in notes


async def test_an_item_that_is_an_exception_or_a_coroutine_is_passed_on_as_it_is() -> None:
    async def kind(item: object) -> str:
        if asyncio.iscoroutine(item):
            item.close()
        return type(item).__name__

    items: list[object] = [ValueError("an item"), asyncio.sleep(1), None, StopIteration()]
    assert await taken(stream(items, kind).values()) == [
        "ValueError",
        "coroutine",
        "NoneType",
        "StopIteration",
    ]


class _Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


async def test_an_item_that_cannot_be_shown_does_not_spoil_its_failure() -> None:
    async def work(item: object) -> None:
        raise ValueError("own")

    [outcome] = await taken(stream([_Unprintable()], work))
    assert isinstance(outcome.error, ValueError)


# -- the views ----------------------------------------------------------------------------------------------------


async def test_values_gives_bare_values_in_order() -> None:
    assert await taken(stream(range(5), double).values()) == [0, 2, 4, 6, 8]


async def test_values_raises_the_first_failure_at_once_whatever_its_index() -> None:
    over: list[float] = []

    async def work(seconds: float) -> float:
        try:
            await asyncio.sleep(seconds)
            if seconds == 1.0:
                raise ValueError("early")
            return seconds
        finally:
            over.append(seconds)

    with pytest.raises(ValueError, match="early"):
        await taken(stream([100.0, 50.0, 1.0, 70.0], work).values())
    assert now() == 1.0
    assert sorted(over) == [1.0, 50.0, 70.0, 100.0], "the others are over before it is raised"


async def test_values_raises_while_the_consumer_is_busy_at_his_next_step() -> None:
    async def work(n: int) -> int:
        await asyncio.sleep(n)
        if n == 2:
            raise ValueError(n)
        return n

    seen = []
    with pytest.raises(ValueError, match="2"):
        async for value in stream([0, 1, 2, 3, 50], work).values():
            seen.append(value)
            await asyncio.sleep(10)
    assert seen == [0]
    assert now() == 10.0


async def test_values_starts_nothing_more_after_the_first_failure() -> None:
    started = []

    async def work(n: int) -> None:
        started.append(n)
        if n == 3:
            raise ValueError

    with pytest.raises(ValueError):
        await taken(stream(range(1_000), work, max_concurrency=2).values())
    assert len(started) <= 5


async def test_succeeded_and_failed_give_the_outcomes_of_one_kind() -> None:
    results = stream(range(6), fail_at_three)
    assert await taken(results.succeeded()) == [Ok(0), Ok(1), Ok(2), Ok(4), Ok(5)]
    assert [type(one.error) for one in await taken(results.failed())] == [ValueError]


async def test_a_view_is_closed_with_its_stream() -> None:
    over = []

    async def work(seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        finally:
            await asyncio.sleep(0)
            over.append(seconds)

    async with stream([0.0, 10.0], work) as results:
        async for _ in results.values():
            break
    assert over == [0.0, 10.0]


# -- iterating ----------------------------------------------------------------------------------------------------


async def test_each_iteration_is_a_new_run() -> None:
    calls = 0

    async def work(n: int) -> int:
        nonlocal calls
        calls += 1
        return calls

    results = stream([1, 2], work).values()
    assert await taken(results) == [1, 2]
    assert await taken(results) == [3, 4]


async def test_two_iterations_of_one_stream_may_be_interleaved() -> None:
    results = stream(range(4), double).values()
    first, second = aiter(results), aiter(results)
    got = [await anext(one) for one in (first, second, first, first, second, first, second, second)]
    assert got == [0, 0, 2, 4, 2, 6, 4, 6]
    for one in (first, second):
        with pytest.raises(StopAsyncIteration):
            await anext(one)


async def test_an_iterator_that_is_at_its_end_stays_there() -> None:
    iterator = aiter(stream([1], double))
    await anext(iterator)
    for _ in range(3):
        with pytest.raises(StopAsyncIteration):
            await anext(iterator)


async def test_two_tasks_on_one_iterator_are_refused() -> None:
    iterator = aiter(stream([1.0], sleep_so_long).values())
    first = asyncio.ensure_future(anext(iterator))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="two tasks wait"):
        await anext(iterator)
    assert await first == 1.0
    await iterator.aclose()


async def test_two_tasks_with_an_iteration_each_both_get_everything() -> None:
    results = stream([0.5, 1.0, 0.25], sleep_so_long).values()
    both = await asyncio.gather(taken(results), taken(results))
    assert both == [[0.5, 1.0, 0.25]] * 2
    assert now() == 1.0


async def test_a_stream_that_is_never_iterated_starts_nothing() -> None:
    def items() -> Any:
        raise AssertionError("pulled")
        yield

    async def work(n: int) -> None:
        raise AssertionError("started")

    stream(items(), work)
    async with stream(items(), work):
        await asyncio.sleep(1)
    iterator = aiter(stream(items(), work))
    await asyncio.sleep(1)
    del iterator


async def test_a_stream_in_a_stream_works_with_bounds_of_their_own() -> None:
    async def outer(n: int) -> int:
        return sum(await taken(stream(range(n), double, max_concurrency=1).values()))

    assert await taken(stream(range(6), outer, max_concurrency=2).values()) == [0, 0, 2, 6, 12, 20]


async def test_a_stream_feeds_a_stream_and_all_are_closed_by_leaving_the_last() -> None:
    over: list[tuple[str, int]] = []

    def stage(name: str) -> Any:
        async def work(n: int) -> int:
            await asyncio.sleep(1)
            return n + 1

        return work

    async def source() -> AsyncIterator[int]:
        try:
            for n in itertools.count():
                yield n
        finally:
            over.append(("source", 0))

    first = stream(source(), stage("first"), max_concurrency=2, buffer=2).values()
    second = stream(first, stage("second"), max_concurrency=2, buffer=2).values()
    async with stream(second, stage("third"), max_concurrency=2, buffer=2) as third:
        got = []
        async for outcome in third:
            got.append(outcome.unwrap())
            if len(got) == 5:
                break
    assert got == [3, 4, 5, 6, 7]
    assert over == [("source", 0)]


# -- contextvars --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on", [None, FakeBackend()], ids=["loop", "fake"])
async def test_each_item_has_its_own_copy_of_the_consumers_variables(on: Any) -> None:
    async def work(n: int) -> str:
        before = variable.get()
        variable.set(f"item {n}")
        await asyncio.sleep(n % 2)
        return f"{before}, {variable.get()}"

    variable.set("consumer's")
    got = await taken(stream(range(6), work, max_concurrency=2, on=on).values())
    assert got == [f"consumer's, item {n}" for n in range(6)]
    assert variable.get() == "consumer's"


async def test_an_iteration_sees_the_variables_as_they_were_when_it_began() -> None:
    async def work(n: int) -> str:
        return variable.get()

    results = stream(range(3), work, max_concurrency=1, buffer=1).values()
    variable.set("first")
    iterator = aiter(results)
    assert await anext(iterator) == "first"
    variable.set("second")
    assert await taken(iterator) == ["first", "first"]
    assert await taken(results) == ["second"] * 3


# -- on the way ---------------------------------------------------------------------------------------------------


async def test_a_lambda_around_an_async_def_is_awaited() -> None:
    assert await taken(stream([1, 2], lambda n: double(n), on="loop").values()) == [2, 4]  # noqa: PLW0108  # the point
    assert await taken(stream([1, 2], lambda n: double(n), on=FakeBackend()).values()) == [2, 4]  # noqa: PLW0108  # the point


async def test_statistics_say_how_it_stands() -> None:
    async def work(n: int) -> int:
        if n == 0:
            raise ValueError
        await asyncio.sleep(n)
        return n

    async with stream([0, 1, 2, 30, 40, 50], work, max_concurrency=4, buffer=10) as results:
        iterator = aiter(results)
        await anext(iterator)
        await asyncio.sleep(0.5)
        counts = results.statistics()
        assert (counts.started, counts.running, counts.waiting) == (5, 4, 0)
        assert (counts.delivered, counts.failed, counts.abandoned) == (1, 1, 0)
        await asyncio.sleep(10)
        counts = results.statistics()
        assert (counts.started, counts.running, counts.waiting, counts.delivered) == (6, 3, 2, 1)


async def test_when_its_owner_ends_a_stream_that_is_read_elsewhere_says_so() -> None:
    """It must not look as if the input had ended."""

    async def begin() -> Any:
        iterator = aiter(stream(itertools.count(), double, max_concurrency=1, buffer=1).values())
        await anext(iterator)
        return iterator

    iterator = await asyncio.create_task(begin())
    await asyncio.sleep(1)
    with pytest.raises(TaskStopped, match="its owner ended"):
        await taken(iterator)


async def test_the_scope_of_a_block_owns_the_streams_that_begin_in_it() -> None:
    over = []

    async def work(seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        finally:
            over.append(seconds)

    async with atonce.scope():
        iterator = aiter(stream([0.0, 100.0], work))
        await anext(iterator)
    assert over == [0.0, 100.0]
    assert now() == 0


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"timeout": 5.0},
        {"retry": 2},
        {"rate": Rate(1_000_000)},
        {"retry": Retry(2, deadline=9.0)},
        {"on": "fake"},
    ],
    ids=lambda options: "-".join(options) or "plain",
)
@pytest.mark.parametrize("seed", range(4))
def test_every_schedule_delivers_the_same_values(seed: int, options: dict[str, Any], arun: Any) -> None:
    async def work(n: int) -> int:
        for _ in range(n % 4):
            await asyncio.sleep(0)
        return n

    async def main() -> list[int]:
        if options.get("on") == "fake":
            options["on"] = FakeBackend()
        return await taken(stream(range(60), work, max_concurrency=5, **options).values())

    assert arun(main(), seed=seed) == list(range(60))


@pytest.mark.parametrize("on", [None, FakeBackend()], ids=["loop", "fake"])
async def test_an_exception_that_takes_no_notes_is_delivered_like_any_other(on: Any) -> None:
    class Broken(Exception):
        def add_note(self, note: str) -> None:
            raise LookupError("no notes")

    async def work(n: int) -> int:
        if n == 1:
            raise Broken
        return n

    got = await taken(stream(range(3), work, on=on))
    assert [one.ok for one in got] == [True, False, True]
    assert isinstance(got[1].error, Broken)
