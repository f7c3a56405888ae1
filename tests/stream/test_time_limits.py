"""Time limits of items, retries with their deadlines, and rates."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

import pytest

from atonce import Failed, Ok, Rate, Retry, TaskStopped, TaskTimeout, stream
from atonce.testing import FakeBackend

pytestmark = pytest.mark.virtual
both = pytest.mark.parametrize("on", [None, FakeBackend()], ids=["loop", "fake"])


def now() -> float:
    return asyncio.get_running_loop().time()


async def sleep_so_long(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


async def taken(view: Any) -> list[Any]:
    return [one async for one in view]


async def outlive(seconds: float) -> str:
    """Swallow every cancel for so long."""
    until = now() + seconds
    while now() < until:
        try:
            await asyncio.sleep(until - now())
        except asyncio.CancelledError:
            continue
    return "after all"


# -- timeouts -----------------------------------------------------------------------------------------------------


@both
async def test_a_late_item_is_its_own_timeout_and_the_rest_goes_on(on: Any) -> None:
    got = await taken(stream([0.5, 9.0, 0.5], sleep_so_long, timeout=1.0, on=on))
    assert [one.ok for one in got] == [True, False, True]
    assert isinstance(got[1].error, TaskTimeout)
    assert got[1].error.timeout == 1.0
    assert not got[1].error.abandoned
    assert got[1].elapsed == 1.0
    assert now() == 1.0


@both
async def test_the_time_of_an_item_counts_from_its_own_start(on: Any) -> None:
    """Five items one after the other: 0.9 s each are in time, although the last starts after 3.6 s."""
    got = await taken(stream([0.9] * 5, sleep_so_long, max_concurrency=1, timeout=1.0, on=on).values())
    assert got == [0.9] * 5


@both
async def test_a_limit_is_kept_while_the_consumer_is_busy(on: Any) -> None:
    ended: dict[int, float] = {}

    async def work(n: int) -> None:
        try:
            await asyncio.sleep(100 if n else 0)
        finally:
            ended[n] = now()

    async for _ in stream(range(3), work, timeout=2.0, on=on):
        await asyncio.sleep(50)
    assert ended == {0: 0.0, 1: 2.0, 2: 2.0}


@both
async def test_a_place_is_free_again_at_once_when_a_time_is_up(on: Any) -> None:
    started: list[float] = []

    async def work(n: int) -> None:
        started.append(now())
        await asyncio.sleep(100)

    await taken(stream(range(3), work, max_concurrency=1, timeout=1.0, on=on))
    assert started == [0.0, 1.0, 2.0]


@both
async def test_an_item_that_outlives_its_cancel_loses_its_place_and_is_counted(on: Any) -> None:
    async def work(n: int) -> object:
        return await outlive(4.0) if n == 0 else n

    async with stream(range(3), work, max_concurrency=1, timeout=1.0, on=on) as results:
        iterator = aiter(results)
        first = await anext(iterator)
        assert now() == 1.0
        assert isinstance(first.error, TaskTimeout)
        assert results.statistics().abandoned == 1
        assert [await anext(iterator), await anext(iterator)] == [Ok(1), Ok(2)]
        assert now() == 1.0
        await asyncio.sleep(10)
        assert results.statistics().abandoned == 0, "it has ended by now"


async def test_what_outlives_its_cancel_on_the_loop_is_told_apart_from_what_ends() -> None:
    async def work(seconds: float) -> object:
        return await outlive(4.0) if seconds == 5.0 else await sleep_so_long(seconds)

    got = await taken(stream([5.0, 6.0], work, timeout=1.0))
    assert [one.error.abandoned for one in got] == [True, False]


async def test_a_late_value_is_dropped_and_its_timeout_stands() -> None:
    async def work(n: int) -> str:
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            return "swallowed"
        return "in time"

    [outcome] = await taken(stream([0], work, timeout=1.0))
    assert isinstance(outcome.error, TaskTimeout)


async def test_an_error_after_the_time_is_up_is_the_cause_of_the_timeout() -> None:
    async def work(n: int) -> None:
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            raise ValueError("while ending") from None

    [outcome] = await taken(stream([0], work, timeout=1.0))
    assert isinstance(outcome.error, TaskTimeout)
    assert isinstance(outcome.error.__cause__, ValueError)


async def test_an_item_that_starts_after_many_ended_in_time_is_not_late_to_be_late() -> None:
    """Found by the state machine: the timer's only remaining item had ended, and it slept for a whole timeout."""
    plan = {"a": (0.0, 0.95), "b": (0.5, 1.0), "d": (0.9, 0.4), "c": (1.1, 9.0)}
    begun, ended = {}, {}

    async def items() -> Any:
        for name, (start, _) in plan.items():
            await asyncio.sleep(start - now())
            yield name

    async def work(name: str) -> None:
        begun[name] = now()
        try:
            await asyncio.sleep(plan[name][1])
        finally:
            ended[name] = now()

    await taken(stream(items(), work, timeout=1.0, ordered=False))
    assert ended["c"] - begun["c"] == pytest.approx(1.0)


async def test_a_value_that_was_there_before_a_blocked_loop_saw_the_time_is_kept() -> None:
    """The first item blocks the loop past the second one's limit, after the second one's value is on its way."""
    landed = asyncio.get_running_loop().create_future()

    async def work(n: int) -> int:
        if n == 1:
            await landed
            return n
        await asyncio.sleep(0.5)
        landed.set_result(None)
        asyncio.get_running_loop()._virtual.now += 5.0  # type: ignore[attr-defined]  # a blocked loop, virtually
        return n

    got = await taken(stream([0, 1], work, timeout=1.0))
    assert got == [Ok(0), Ok(1)]


async def test_a_nested_timeout_that_is_the_items_own_is_the_items_own_error() -> None:
    async def work(n: int) -> None:
        async with asyncio.timeout(0.5):
            await asyncio.sleep(9)

    [outcome] = await taken(stream([0], work, timeout=1.0))
    assert type(outcome.error) is TimeoutError


@pytest.mark.parametrize("inner", [1.0, 2.0])
async def test_an_inner_limit_that_is_as_long_or_longer_gives_one_timeout_at_the_outer_time(
    inner: float,
) -> None:
    async def work(n: int) -> None:
        async with asyncio.timeout(inner):
            await asyncio.sleep(9)

    got = await taken(stream([0, 1], work, timeout=1.0, max_concurrency=1))
    assert all(isinstance(one.error, TimeoutError) for one in got)
    assert now() == 2.0


async def test_a_lane_that_was_cancelled_for_one_item_serves_the_next_with_a_clean_count() -> None:
    counts = []

    async def work(n: int) -> None:
        task = asyncio.current_task()
        assert task is not None
        counts.append(task.cancelling())
        if n % 2 == 0:
            await asyncio.sleep(9)

    await taken(stream(range(6), work, max_concurrency=1, timeout=1.0))
    assert counts == [0] * 6


# -- retries ------------------------------------------------------------------------------------------------------


class Flaky:
    """Fails so often for each item before it succeeds; remembers when it was called."""

    def __init__(self, failures: int, error: BaseException | None = None) -> None:
        self.failures = failures
        self.error = error or ConnectionError("flaky")
        self.calls: list[tuple[int, float]] = []

    async def __call__(self, n: int) -> int:
        self.calls.append((n, now()))
        if sum(one == n for one, _ in self.calls) <= self.failures:
            raise self.error
        return n


@both
async def test_an_item_is_tried_again_and_says_how_often(on: Any) -> None:
    got = await taken(stream([7], Flaky(2), retry=Retry(3, base_delay=1.0, jitter=None), on=on))
    assert got == [Ok(7)]
    assert got[0].attempts == 3
    assert now() == 3.0


@both
async def test_an_item_that_rests_between_attempts_takes_no_place(on: Any) -> None:
    work = Flaky(1)
    got = await taken(
        stream(range(4), work, max_concurrency=1, retry=Retry(2, base_delay=5.0, jitter=None), on=on).values()
    )
    assert got == [0, 1, 2, 3]
    assert now() == 5.0, "all four rest at the same time"


@both
async def test_items_that_rest_count_as_ahead_of_the_consumer(on: Any) -> None:
    work = Flaky(1)
    retry = Retry(2, base_delay=10.0, jitter=None)
    async with stream(itertools.count(), work, max_concurrency=1, buffer=3, retry=retry, on=on) as results:
        waiter = asyncio.ensure_future(anext(aiter(results)))
        await asyncio.sleep(5)
        assert [n for n, _ in work.calls] == [0, 1, 2]
        waiter.cancel()
        await asyncio.wait([waiter])


async def test_all_that_rested_run_again_side_by_side() -> None:
    """Found by the laws: one place alone served what had rested, since the others were thought to be for new items."""
    running = peak = 0
    calls: dict[int, int] = {}

    async def work(n: int) -> None:
        nonlocal running, peak
        calls[n] = calls.get(n, 0) + 1
        if calls[n] == 1:
            await asyncio.sleep(1)
            raise ConnectionError
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(1)
        running -= 1

    retry = Retry(2, base_delay=5.0, jitter=None)
    await taken(stream(range(4), work, max_concurrency=4, buffer=1, retry=retry))
    assert peak == 4


@both
async def test_the_last_failure_is_given_with_the_attempts_as_notes(on: Any) -> None:
    [outcome] = await taken(stream([7], Flaky(9), retry=Retry(3, base_delay=0.0), on=on))
    assert isinstance(outcome.error, ConnectionError)
    assert outcome.attempts == 3
    assert any("attempt" in note and "ConnectionError" in note for note in outcome.error.__notes__)


@pytest.mark.parametrize("on", [None, FakeBackend()], ids=["loop", "fake"])
async def test_a_cancel_of_its_own_is_not_tried_again(on: Any) -> None:
    work = Flaky(1, asyncio.CancelledError())
    [outcome] = await taken(stream([7], work, retry=Retry(3, retry_on=BaseException), on=on))
    assert isinstance(outcome.error, TaskStopped)
    assert len(work.calls) == 1


@both
async def test_a_predicate_that_raises_is_the_items_failure_and_harms_no_other(on: Any) -> None:
    def predicate(error: BaseException) -> bool:
        raise LookupError("broken predicate")

    async def work(n: int) -> int:
        if n == 0:
            raise ConnectionError
        return n

    got = await taken(stream(range(3), work, retry=Retry(3, retry_on=predicate), on=on))
    assert [one.ok for one in got] == [False, True, True]


@both
async def test_the_limit_is_for_each_attempt(on: Any) -> None:
    calls: list[float] = []

    async def work(n: int) -> str:
        calls.append(now())
        await asyncio.sleep(9 if len(calls) < 3 else 0.5)
        return "third time"

    got = await taken(stream([0], work, timeout=1.0, retry=Retry(3, base_delay=2.0, jitter=None), on=on))
    assert got == [Ok("third time")]
    assert calls == [0.0, 3.0, 8.0]


@both
async def test_a_deadline_cuts_the_running_attempt(on: Any) -> None:
    work = Flaky(1)

    async def slow(n: int) -> int:
        await work(n)
        return int(await sleep_so_long(100))

    retry = Retry(5, base_delay=1.0, jitter=None, deadline=3.0)
    [outcome] = await taken(stream([0], slow, retry=retry, on=on))
    assert isinstance(outcome.error, TaskTimeout)
    assert outcome.error.timeout == 3.0
    assert now() == 3.0


@both
async def test_no_attempt_is_begun_that_the_deadline_would_not_let_begin(on: Any) -> None:
    work = Flaky(9)
    retry = Retry(9, base_delay=2.0, max_delay=2.0, jitter=None, deadline=3.0)
    [outcome] = await taken(stream([0], work, retry=retry, on=on))
    assert isinstance(outcome.error, ConnectionError)
    assert [at for _, at in work.calls] == [0.0, 2.0]
    assert now() == 2.0


@both
async def test_leaving_while_items_rest_leaves_no_timer(on: Any) -> None:
    work = Flaky(1)
    retry = Retry(2, base_delay=100.0, max_delay=100.0, jitter=None, deadline=1_000.0)
    async with stream([0, 1, 2], work, retry=retry, on=on) as results:
        waiter = asyncio.ensure_future(anext(aiter(results)))
        await asyncio.sleep(1)
        waiter.cancel()
        await asyncio.wait([waiter])
    timers = [one for one in asyncio.get_running_loop()._scheduled if not one.cancelled()]  # type: ignore[attr-defined]  # asyncio's heap
    assert not timers


# -- rates --------------------------------------------------------------------------------------------------------


@both
async def test_starts_are_spread_smoothly_over_time(on: Any) -> None:
    work = Flaky(0)
    await taken(stream(range(6), work, rate=Rate(4, per=1.0), on=on))
    assert [at for _, at in work.calls] == [0.0, 0.25, 0.5, 0.75, 1.0, 1.25]


async def test_a_written_rate_is_kept() -> None:
    work = Flaky(0)
    await taken(stream(range(4), work, rate="120/min"))
    assert [at for _, at in work.calls] == [0.0, 0.5, 1.0, 1.5]


@both
async def test_attempts_count_against_the_rate_too(on: Any) -> None:
    work = Flaky(1)
    await taken(stream(range(3), work, rate="1/s", retry=Retry(2, base_delay=0.0), on=on))
    times = [at for _, at in work.calls]
    assert times == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


async def test_a_busy_consumer_does_not_make_up_for_lost_starts_in_a_burst() -> None:
    work = Flaky(0)
    async for outcome in stream(range(6), work, rate="1/s", max_concurrency=1, buffer=1):
        if outcome.index == 1:
            await asyncio.sleep(20)
    times = [at for _, at in work.calls]
    assert all(later - earlier >= 1.0 for earlier, later in itertools.pairwise(times))


async def test_waiting_for_the_rate_takes_no_processor_time() -> None:
    before = time.process_time()
    await taken(stream(range(3), Flaky(0), rate=Rate(1, per=1_000_000.0)))
    assert time.process_time() - before < 1.0
    assert now() == 2_000_000.0


async def test_a_failed_start_of_an_iteration_is_told_where_it_is_iterated() -> None:
    class Broken:
        def __iter__(self) -> Any:
            raise ValueError("no iterator")

    with pytest.raises(ValueError, match="no iterator"):
        await taken(stream(Broken(), sleep_so_long))


async def test_a_failure_is_a_failed_and_not_raised() -> None:
    [outcome] = await taken(stream([1], Flaky(1)))
    assert outcome == Failed(outcome.error)
