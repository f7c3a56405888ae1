"""`sup.stream` and `sup.parallel_map`: runs that are the supervisor's, and take places while they last."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest

from atonce import Ok, Supervisor, TaskStopped, TooManyChildren, scope, spawn
from tests.verbs.acts import Probe, fail, forever, give, now, turns

pytestmark = pytest.mark.virtual
colour: ContextVar[str] = ContextVar("colour", default="none")


async def double(number: int) -> int:
    """Take a second for it."""
    await asyncio.sleep(1.0)
    return 2 * number


async def test_a_stream_under_a_supervisor_is_a_stream() -> None:
    async with Supervisor() as sup:
        assert [one async for one in sup.stream([1, 2], double)] == [Ok(2), Ok(4)]
        assert [one async for one in sup.stream([1, 2], double).values()] == [2, 4]
        assert await sup.parallel_map([1, 2, 3], double, max_concurrency=2) == [2, 4, 6]
        assert sorted(await sup.parallel_map([1, 2, 3], double, ordered=False)) == [2, 4, 6]
        with pytest.raises(ValueError, match="broken"):
            await sup.parallel_map([ValueError("broken")], fail)


async def test_a_wrong_option_is_an_error_in_the_call() -> None:
    async with Supervisor() as sup:
        with pytest.raises(TypeError, match="no option 'max_concurency'"):
            sup.stream([1], double, max_concurency=3)  # type: ignore[call-overload]  # wrong on purpose
        with pytest.raises(ValueError, match="max_concurrency"):
            sup.stream([1], double, max_concurrency=0)
        with pytest.raises(TypeError, match="ordered is True or False"):
            await sup.parallel_map([1], double, ordered=1)  # type: ignore[call-overload]  # wrong on purpose


async def test_its_places_are_taken_when_the_iteration_begins_and_free_when_it_ends() -> None:
    async with Supervisor(max_children=3) as sup:
        stream = sup.stream(range(9), double, max_concurrency=3)
        task = sup.spawn_nolink(give, 1)
        assert await task == 1
        async with stream:
            async for _ in stream:
                with pytest.raises(TooManyChildren):
                    sup.spawn_nolink(give, 1)
                break
        assert await sup.spawn_nolink(give, 1) == 1
        assert await sup.parallel_map(range(4), double, max_concurrency=3) == [0, 2, 4, 6]


async def test_a_stream_without_room_says_what_to_lower_and_starts_nothing() -> None:
    probe = Probe()
    async with Supervisor(max_children=3) as sup:
        sup.spawn_nolink(forever)
        with pytest.raises(
            TooManyChildren, match="max_concurrency=3 places.*1 of max_children=3.*lower max_concurrency"
        ):
            await sup.parallel_map(range(9), probe.work, max_concurrency=3)
        assert probe.begun == 0
        assert await sup.parallel_map([1], double, max_concurrency=2) == [2]


async def test_with_waiting_it_begins_when_there_is_room_for_all_of_it_and_is_not_overtaken() -> None:
    async with Supervisor(max_children=2, on_full="wait") as sup:
        sup.spawn_nolink(give, 1, 5.0)
        mapping = spawn(sup.parallel_map, range(4), double)
        with pytest.raises(TooManyChildren, match="lower max_concurrency"):
            await mapping
        mapped = spawn(_map_two, sup)
        await turns()
        after = sup.spawn_nolink(give, "after")
        assert await mapped == [0, 2, 4, 6]
        assert now() == 7.0
        assert await after == "after"


async def _map_two(sup: Supervisor) -> list[int]:
    return await sup.parallel_map(range(4), double, max_concurrency=2)


async def test_who_waits_for_places_and_is_cancelled_leaves_the_queue() -> None:
    async with Supervisor(max_children=2, on_full="wait") as sup:
        sup.spawn_nolink(give, 1, 5.0)
        mapped = asyncio.create_task(_map_two(sup))
        await turns()
        after = sup.spawn_nolink(give, "after")
        mapped.cancel()
        with pytest.raises(asyncio.CancelledError):
            await mapped
        assert await after == "after"
        assert now() == 0.0


async def test_who_is_cancelled_when_the_places_are_just_there_gives_them_back() -> None:
    async with Supervisor(max_children=2, on_full="wait") as sup:
        task = sup.spawn_nolink(forever)
        mapped = asyncio.create_task(_map_two(sup))
        await turns()
        sup.start_child(forever)
        assert await sup.terminate_child(task)
        mapped.cancel()
        with pytest.raises(asyncio.CancelledError):
            await mapped
        await turns()
        assert sup.statistics().waiting == 0
        assert sup.count_children() == 1


async def test_closing_a_stream_that_waits_for_its_places_ends_the_wait_for_the_run() -> None:
    async with Supervisor(max_children=2, on_full="wait") as sup:
        sup.spawn_nolink(give, 1, 5.0)
        stream = sup.stream(range(4), double, max_concurrency=2)
        iterator = aiter(stream)
        waiting = asyncio.create_task(anext(iterator, "nothing"))  # type: ignore[arg-type]  # a coroutine on 3.11
        await turns()
        await iterator.aclose()
        assert await waiting == "nothing"
        assert sup.count_children() == 0
        assert await sup.parallel_map([1], double, max_concurrency=2) == [2]


async def test_the_supervisors_end_stops_its_streams_and_their_consumers_are_told() -> None:
    probe, told = Probe(100.0, cleanup=1.0), []

    async def consume(sup: Supervisor) -> None:
        try:
            async for _ in sup.stream(range(9), probe.work, max_concurrency=2):
                pass
        except TaskStopped as error:
            told.append(error)

    async with Supervisor() as sup:
        consumer = asyncio.create_task(consume(sup))
        await turns()
        assert probe.running == 2
    assert (probe.running, probe.cancelled, now()) == (0, 2, 1.0)
    await consumer
    assert len(told) == 1


async def test_the_supervisors_end_tells_who_still_waits_for_places() -> None:
    async with Supervisor(max_children=2, on_full="wait") as sup:
        sup.spawn_nolink(forever)
        mapped = asyncio.create_task(_map_two(sup))
        await turns()
    with pytest.raises(TaskStopped):
        await mapped


async def test_idle_waits_for_streams_too() -> None:
    async with Supervisor() as sup:
        mapped = asyncio.create_task(_map_two(sup))
        await turns()
        await sup.idle()
        assert now() == 2.0
        assert await mapped == [0, 2, 4, 6]


async def test_a_scope_around_the_consumer_does_not_own_the_run_and_items_have_its_context() -> None:
    async def look(item: int) -> str:
        return colour.get()

    colour.set("blue")
    async with Supervisor() as sup, scope():
        assert await sup.parallel_map([1, 2], look) == ["blue", "blue"]


async def test_a_stream_can_be_iterated_only_while_its_supervisor_runs() -> None:
    async with Supervisor() as sup:
        stream = sup.stream([1], double)
        assert [one async for one in stream.values()] == [2]
    with pytest.raises(RuntimeError, match="does not run"):
        [one async for one in stream]
