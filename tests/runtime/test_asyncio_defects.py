"""None of asyncio's own defects, on any version, shines through the verbs.

One test for each row of the table of defects that were found by running them on CPython 3.10 to 3.13, and for the
reports of its tracker that concern what the verbs are built of.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

import atonce
from atonce import Failed, Ok, TaskStopped, TaskTimeout, scope, spawn, stream
from tests.running import FEW_TICKS

pytestmark = pytest.mark.virtual
seeds = pytest.mark.parametrize("seed", range(5))


def now() -> float:
    return asyncio.get_running_loop().time()


async def outlive(seconds: float) -> str:
    """Swallow every cancel for so long."""
    until = now() + seconds
    while now() < until:
        try:
            await asyncio.sleep(until - now())
        except asyncio.CancelledError:
            continue
    return "after all"


async def swallow_and_return(seconds: float) -> str:
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        return "swallowed"
    return "in time"


WAITS: dict[str, Any] = {
    "await": lambda task: task,
    "await_one": lambda task: atonce.await_one(task, 60),
    "await_many": lambda task: atonce.await_many([task], 60),
    "poll": lambda task: atonce.poll(task, 60),
    "poll_many": lambda task: atonce.poll_many([task], 60),
}


@seeds
@pytest.mark.parametrize("turn", range(6))
@pytest.mark.parametrize("wait", WAITS)
def test_a_cancel_in_the_turn_in_which_the_awaited_task_ends_is_not_swallowed(
    wait: str, turn: int, seed: int, arun: Any
) -> None:
    """`asyncio.wait_for` swallows it on 3.10 and 3.11: https://github.com/python/cpython/issues/86296."""

    async def main() -> None:
        gate = asyncio.get_running_loop().create_future()

        async def work() -> str:
            await gate
            return "value"

        async with scope():
            task = spawn(work)
            went_on = False

            async def waiter() -> None:
                nonlocal went_on
                await WAITS[wait](task)
                went_on = True
                await asyncio.sleep(1)

            waiting = asyncio.ensure_future(waiter())
            await asyncio.sleep(1)
            gate.set_result(None)
            for _ in range(turn):
                await asyncio.sleep(0)
            assert waiting.cancel()
            await asyncio.wait([waiting])
            assert waiting.cancelled()
            assert waiting.cancelling() == 1
            assert await task == "value", "it is still readable"

    arun(main(), seed=seed)


@seeds
@pytest.mark.parametrize("turn", range(6))
def test_a_cancel_in_the_turn_in_which_a_verb_ends_is_not_swallowed(turn: int, seed: int, arun: Any) -> None:
    """As above, for the verbs that start their own tasks."""
    verbs: list[Any] = [
        lambda gate: atonce.race([gate, gate], timeout=60),
        lambda gate: atonce.retry_with_backoff(gate, timeout=60, deadline=120),
        lambda gate: atonce.async_pipeline(None, [lambda _: gate()], timeout=60, on="loop"),
        lambda gate: atonce.aggregate({"one": gate}, timeout=60),
        lambda gate: atonce.parallel_map([1, 2], lambda _: gate(), timeout=60, on="loop"),
        lambda gate: atonce.process_batch([1, 2], lambda _: gate(), timeout=60, on="loop"),
    ]

    async def main() -> None:
        for verb in verbs:
            opened = asyncio.get_running_loop().create_future()

            async def gate(opened: Any = opened) -> None:
                await asyncio.shield(opened)

            waiting = asyncio.ensure_future(verb(gate))
            await asyncio.sleep(1)
            opened.set_result(None)
            for _ in range(turn):
                await asyncio.sleep(0)
            cancelled = waiting.cancel()
            await asyncio.wait([waiting])
            assert waiting.cancelled() == cancelled
            for _ in range(FEW_TICKS):
                await asyncio.sleep(0)
            assert len(asyncio.all_tasks()) == 1

    arun(main(), seed=seed)


@seeds
def test_a_cancel_and_a_time_limit_at_the_same_moment_leave_the_cancel_and_a_balanced_count(
    seed: int, arun: Any
) -> None:
    """https://github.com/python/cpython/issues/155433."""

    async def main() -> None:
        async def waiter() -> None:
            async with scope():
                await spawn(asyncio.sleep, 100, timeout=1.0)

        waiting = asyncio.ensure_future(waiter())
        asyncio.get_running_loop().call_at(now() + 1.0, waiting.cancel)
        await asyncio.wait([waiting])
        if waiting.cancelled():
            assert waiting.cancelling() == 1
        else:
            assert isinstance(waiting.exception(), TaskTimeout)

    arun(main(), seed=seed)


@seeds
def test_a_nested_scope_does_not_lose_the_cancel_of_its_parent(seed: int, arun: Any) -> None:
    """A nested TaskGroup does until 3.12: https://github.com/python/cpython/issues/116720."""

    async def main() -> None:
        lost: list[str] = []

        async def child() -> None:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                raise ValueError("while ending") from None

        async def parent() -> None:
            async with scope():
                try:
                    async with scope():
                        spawn(child)
                        await asyncio.sleep(100)
                except ValueError:
                    pass
                await asyncio.sleep(0)
                lost.append("the parent's cancel")

        task = asyncio.ensure_future(parent())
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert not lost

    arun(main(), seed=seed)


async def test_a_task_that_only_a_cycle_refers_to_is_not_collected_while_it_waits() -> None:
    """asyncio's own is, on every version: https://github.com/python/cpython/issues/117379."""
    ended: list[str] = []

    class Cycle:
        """Refers to itself, to what its task waits for, and to the task."""

        def __init__(self) -> None:
            self.itself = self
            self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.task = spawn(self.wait)

        async def wait(self) -> None:
            await self.future
            ended.append("value")

    async def items() -> AsyncIterator[int]:
        yield 1
        await asyncio.get_running_loop().create_future()

    Cycle()
    results = stream(items(), lambda n: asyncio.sleep(0, n), on="loop")
    iterator = aiter(results)
    assert await anext(iterator) == Ok(1)
    waiting = asyncio.ensure_future(anext(iterator))
    await asyncio.sleep(1)
    found = [one for one in gc.get_objects() if isinstance(one, Cycle)]
    gc.collect()
    assert len(found) == 1
    found.pop().future.set_result(None)
    await asyncio.sleep(1)
    assert ended == ["value"]
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])


async def test_a_block_does_not_wait_for_ever_for_a_child_that_swallows_its_cancel() -> None:
    """A TaskGroup waits as long as the child likes."""
    async with scope(grace=0.5):
        task = spawn(outlive, 1_000)
        await asyncio.sleep(1)
    assert now() == 1.5
    assert isinstance(task.outcome(), Failed)
    await asyncio.sleep(1_000)


@pytest.mark.parametrize("body", [outlive, swallow_and_return])
async def test_a_time_limit_holds_for_a_body_that_swallows_the_cancel(body: Any) -> None:
    """`asyncio.timeout(0.1)` around such a body raises nothing, and takes as long as the body."""
    for wait in (
        lambda: atonce.await_one(spawn(body, 50), timeout=1.0),
        lambda: atonce.await_many([spawn(body, 50)], timeout=1.0),
        lambda: _awaited(spawn(body, 50, timeout=1.0)),
        lambda: atonce.race([lambda: body(50)], timeout=1.0, on="loop"),
        lambda: atonce.retry_with_backoff(body, 50, attempts=1, timeout=1.0),
        lambda: atonce.parallel_map([50], body, timeout=1.0),
    ):
        start = now()
        with pytest.raises(TaskTimeout):
            await wait()
        assert now() - start <= 1.0 + 5.0
        await asyncio.sleep(100)


async def _awaited(task: Any) -> Any:
    return await task


@pytest.mark.virtual
def test_a_stop_iteration_in_a_thread_does_not_hang_the_waiter(arun: Any) -> None:
    """`asyncio.to_thread` never ends then, until 3.12."""

    async def main() -> None:
        task = spawn(next, iter(()))
        with pytest.raises(RuntimeError, match="StopIteration"):
            async with asyncio.timeout(10):
                await task

    arun(main())


async def test_a_sys_exit_in_a_task_does_not_leave_the_loop() -> None:
    """asyncio lets it out of the loop, past every other task."""

    async def leave() -> None:
        sys.exit(3)

    other = spawn(asyncio.sleep, 1, "other")
    task = spawn(leave)
    with pytest.raises(SystemExit) as caught:
        await task
    assert caught.value.code == 3
    assert await other == "other"
    got = [one async for one in stream([0], lambda _: leave(), on="loop")]
    assert isinstance(got[0].error, SystemExit)


async def test_nothing_goes_on_after_one_of_many_failed() -> None:
    """`gather` leaves the others running: https://github.com/python/cpython/issues/75633."""
    running = 0

    async def work(seconds: float) -> None:
        nonlocal running
        running += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            running -= 1
        if seconds == 1:
            raise ValueError

    for wait in (
        lambda: atonce.await_many([spawn(work, seconds) for seconds in (1, 50, 60)]),
        lambda: atonce.parallel_map([1, 50, 60], work),
    ):
        with pytest.raises(ValueError):
            await wait()
        assert running == 0


@seeds
@pytest.mark.parametrize("turn", range(5))
def test_an_item_that_is_handed_over_when_its_waiter_is_cancelled_is_not_lost(
    turn: int, seed: int, arun: Any
) -> None:
    """`wait_for(queue.get())` loses the cancel or the item: https://github.com/python/cpython/issues/86296."""

    async def main() -> None:
        queue: asyncio.Queue[str] = asyncio.Queue()
        async with scope():
            task = spawn(queue.get)

            async def waiter() -> None:
                await atonce.await_one(task, timeout=60)
                await asyncio.sleep(1)

            waiting = asyncio.ensure_future(waiter())
            await asyncio.sleep(1)
            queue.put_nowait("item")
            for _ in range(turn):
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
            assert waiting.cancelled()
            assert await task == "item"

    arun(main(), seed=seed)


async def test_a_task_that_is_stopped_before_its_first_step_never_runs_and_leaves_no_warning(
    trouble: Any,
) -> None:
    """TaskGroup leaked its coroutine: https://github.com/python/cpython/pull/115957."""
    if sys.version_info >= (3, 12):
        asyncio.get_running_loop().set_task_factory(_lazy)  # else the first step is in `spawn`
    ran: list[int] = []

    async def work() -> None:
        ran.append(1)

    async with scope():
        task = spawn(work)
        task.stop()
        assert isinstance(task.outcome(), Failed)
    gc.collect()
    assert ran == []
    assert not trouble.reports


def _lazy(loop: Any, coroutine: Any, **options: Any) -> Any:
    return asyncio.Task(coroutine, loop=loop, **options)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
async def test_an_eager_task_factory_of_the_user_changes_nothing() -> None:
    """`staggered_race` crashed with it: https://github.com/python/cpython/issues/124309."""
    asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009  # not in 3.11's stubs

    async def at_once(n: int = 0) -> int:
        return n

    async def fail() -> None:
        raise ValueError

    assert await atonce.race([at_once, at_once, fail]) == 0
    assert await atonce.race([fail, at_once], hedge=1.0) == 0
    assert await atonce.parallel_map(range(50), at_once, max_concurrency=3) == list(range(50))
    assert await atonce.await_many([spawn(at_once, n) for n in range(5)]) == list(range(5))
    with pytest.raises(ValueError):
        async with scope():
            spawn(asyncio.sleep, 100)
            spawn(fail)
            await asyncio.sleep(100)
    assert await atonce.aggregate({"one": at_once, "two": fail}) != {}


@seeds
def test_two_winners_in_the_same_turn_are_one_winner_and_the_loser_is_over(seed: int, arun: Any) -> None:
    """`staggered_race` returned with tasks left: https://github.com/python/cpython/pull/128475."""

    async def main() -> None:
        over: list[int] = []

        def contender(n: int) -> Any:
            async def work() -> int:
                try:
                    await asyncio.sleep(1)
                    return n
                finally:
                    over.append(n)

            return work

        assert await atonce.race([contender(0), contender(1), contender(2)]) in (0, 1, 2)
        assert sorted(over) == [0, 1, 2]
        assert len(asyncio.all_tasks()) == 1

    arun(main(), seed=seed)


async def test_a_cancel_of_one_waiter_does_not_cancel_what_others_wait_for() -> None:
    """A plain `await task` of asyncio passes the cancel on to the task."""
    task = spawn(asyncio.sleep, 5, "value")
    waiters = [asyncio.ensure_future(_awaited(task)) for _ in range(2)]
    await asyncio.sleep(1)
    waiters[0].cancel()
    assert await waiters[1] == "value"


async def test_awaiting_a_stopped_task_does_not_look_like_a_cancel_of_oneself() -> None:
    """`await task` of asyncio raises CancelledError for both."""
    task = spawn(asyncio.sleep, 5)
    task.stop()
    with pytest.raises(TaskStopped):
        await task


def test_leaving_the_loop_does_not_wait_for_a_blocked_thread() -> None:
    """`asyncio.run` waits for the threads of `to_thread`: https://github.com/python/cpython/issues/111358."""
    import threading

    gate = threading.Event()

    async def main() -> None:
        with pytest.raises(TaskTimeout):
            await spawn(gate.wait, 30, timeout=0.05)

    start = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - start < 3
    gate.set()
