"""Places for requests: never more than the bounds, none lost, and a busy host keeps nobody from another."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce._model.options import Rate
from atonce.http.gate import Gate, Place

A: Place = ("a", 80)
B: Place = ("b", 80)


class Visits:
    """Counts who is inside."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.inside: dict[Place, int] = {}
        self.order: list[Place] = []
        self.most = 0
        self.most_at_one = 0

    async def visit(self, place: Place, ticks: int = 1) -> None:
        await self.gate.enter(place)
        self.order.append(place)
        self.inside[place] = self.inside.get(place, 0) + 1
        self.most = max(self.most, sum(self.inside.values()))
        self.most_at_one = max(self.most_at_one, self.inside[place])
        try:
            for _ in range(ticks):
                await asyncio.sleep(0)
        finally:
            self.inside[place] -= 1
            self.gate.leave(place)


async def test_never_more_are_inside_than_the_bounds_and_the_bounds_are_reached() -> None:
    visits = Visits(Gate(5, 2))
    places = [("host", port) for port in range(4)] * 25
    await asyncio.gather(*(visits.visit(place, 3) for place in places))
    assert (visits.most, visits.most_at_one) == (5, 2)
    assert visits.gate.is_idle()
    assert len(visits.order) == 100


async def test_the_same_name_with_another_port_is_another_host() -> None:
    visits = Visits(Gate(None, 1))
    await asyncio.gather(*(visits.visit(("a", port)) for port in (80, 81, 80, 81)))
    assert (visits.most, visits.most_at_one) == (2, 1)


async def test_who_waits_for_a_busy_host_does_not_keep_others_from_theirs() -> None:
    visits = Visits(Gate(2, 1))
    await asyncio.gather(visits.visit(A, 50), *(visits.visit(A) for _ in range(5)), visits.visit(B))
    assert visits.order[:2] == [A, B]


async def test_where_no_host_is_busy_who_came_first_goes_first() -> None:
    visits = Visits(Gate(1, None))
    places = [A, A, A, B, A, B, B]
    await asyncio.gather(*(visits.visit(place) for place in places))
    assert visits.order == places


async def test_a_cancelled_wait_takes_no_place() -> None:
    gate = Gate(1, 1)
    await gate.enter(A)
    waiting = [asyncio.create_task(gate.enter(place)) for place in (A, B, A)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    waiting[1].cancel()
    await asyncio.wait(waiting[:2])
    gate.leave(A)
    await waiting[2]
    gate.leave(A)
    assert gate.is_idle()


async def test_a_cancel_in_the_tick_of_the_grant_gives_the_place_back() -> None:
    gate = Gate(1, 1)
    await gate.enter(A)
    first, second = asyncio.create_task(gate.enter(A)), asyncio.create_task(gate.enter(B))
    await asyncio.sleep(0)
    gate.leave(A)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    gate.leave(B)
    assert gate.is_idle()


async def test_a_gate_beyond_is_passed_after_ones_own_and_given_back_with_it() -> None:
    beyond = Gate(2, None)
    visits = [Visits(Gate(5, None)), Visits(Gate(5, None))]
    both = Visits(beyond)
    for one in visits:
        one.gate.beyond = beyond
        one.inside = both.inside
    await asyncio.gather(*(one.visit(place, 3) for one in visits for place in (A, B) * 4))
    assert max(one.most for one in visits) == 2
    assert beyond.is_idle()
    assert all(one.gate.is_idle() for one in visits)


async def test_a_cancel_at_the_gate_beyond_gives_ones_own_place_back() -> None:
    gate = Gate(1, 1)
    gate.beyond = Gate(1, None)
    await gate.beyond.enter(B)
    waiting = asyncio.create_task(gate.enter(A))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert gate.is_idle()
    gate.beyond.leave(B)
    assert gate.beyond.is_idle()


@pytest.mark.virtual
async def test_a_rate_spaces_the_entries_whoever_enters() -> None:
    gate = Gate(10, None, Rate(10))
    loop = asyncio.get_running_loop()
    times: list[float] = []

    async def visit(place: Place) -> None:
        await gate.enter(place)
        times.append(loop.time())
        gate.leave(place)

    await asyncio.gather(*(visit(place) for place in (A, B) * 10))
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert min(gaps) >= 0.0999
    assert times[-1] - times[0] == pytest.approx(1.9)


steps = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.booleans()), max_size=30)


@given(steps, st.integers(1, 4), st.integers(1, 3))
async def test_with_any_visitors_and_cancels_bounds_hold_and_nothing_is_lost(
    visitors: list[tuple[str, int, bool]], total: int, per_host: int
) -> None:
    visits = Visits(Gate(total, per_host))
    tasks = [asyncio.create_task(visits.visit((host, 80), ticks)) for host, ticks, _ in visitors]
    for task, (_, ticks, is_cancelled) in zip(tasks, visitors, strict=True):
        for _ in range(ticks):
            await asyncio.sleep(0)
        if is_cancelled:
            task.cancel()
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    assert all(result is None or isinstance(result, asyncio.CancelledError) for result in results)
    assert visits.most <= total
    assert visits.most_at_one <= per_host
    assert visits.gate.is_idle()
