"""A supervisor's roster keeps its laws whatever happens, and in whatever order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce import Retry
from atonce._policy.actions import Restart, Strategy
from tests.policy.effort import at_least
from tests.policy.rosters import KINDS, STRATEGIES, World, play


def dice(data: bytes) -> Any:
    """Numbers below a bound, from bytes; 0 when they are used up."""
    left = iter(data)
    return lambda below: next(left, 0) % below


def world_of(choose: Any) -> World:
    """A roster with options as the dice say."""
    line = [KINDS[choose(3)] for _ in range(choose(5))]
    limit = None if choose(3) == 0 else max(len(line), choose(6))
    return World(
        limit,
        waits=bool(choose(2)),
        max_queue=1 + choose(4),
        most=(3, 0, 1, 9)[choose(4)],
        strategy=STRATEGIES[choose(3)],
        backoff=Retry(base_delay=0.5, jitter=None) if choose(3) == 0 else None,
        line=line,
    )


@pytest.mark.timeout(240)
@at_least(10_000)
@given(st.binary(min_size=20, max_size=200))
def test_the_laws_hold_in_every_program(data: bytes) -> None:
    choose = dice(data)
    world = world_of(choose)
    play(world, choose, steps=len(data) // 3)
    world.settle()
    world.finish()


@at_least(1_000)
@given(
    strategy=st.sampled_from(STRATEGIES),
    line=st.lists(st.sampled_from(KINDS), min_size=1, max_size=6),
    at=st.integers(0, 5),
    rests=st.booleans(),
)
def test_a_strategy_stops_in_reverse_and_starts_in_order_exactly_whom_it_should(
    strategy: Strategy, line: list[Restart], at: int, rests: bool
) -> None:
    world = World(strategy=strategy, line=line, backoff=Retry(base_delay=1.0, jitter=None) if rests else None)
    world.settle()
    assert world.log == [("start", key) for key in world.line]
    failed = world.line[at % len(line)]
    world.log.clear()
    world.end(failed, "failed")
    world.settle()
    assert world.rests == int(rests and failed.restart != "temporary")
    if failed.restart == "temporary":
        assert world.log == []
        return
    first = {
        "one_for_one": world.line.index(failed),
        "one_for_all": 0,
        "rest_for_one": world.line.index(failed),
    }
    group = [failed] if strategy == "one_for_one" else world.line[first[strategy] :]
    stops = [("stop", key) for key in reversed(group) if key is not failed]
    starts = [("start", key) for key in group if key.restart != "temporary"]
    assert world.log == stops + starts
    assert len(world.restarts) == 1, "one restart of the window, however many are started"


def test_static_children_stop_last_and_in_reverse_order() -> None:
    world = World(line=["permanent", "transient", "temporary"])
    world.settle()
    for kind in ("task", "child", "stream"):
        world.come(kind)
    world.log.clear()
    world.finish()
    asked = [key for _, key in world.log]
    assert {key.kind for key in asked[:3]} == {"task", "child", "stream"}
    assert asked[3:] == world.line[::-1]


def test_a_static_child_that_fails_before_it_can_be_used_keeps_the_supervisor_from_coming_up() -> None:
    world = World(line=["permanent", "permanent"])
    world.act(world.ready(world.line[0]))
    world.end(world.line[1], "failed")
    assert world.stopped
    assert not world.opened
    assert world.log[-1] == ("stop", world.line[0])
    world.finish()


def test_a_stream_that_waits_for_many_places_is_not_overtaken() -> None:
    world = World(2, waits=True)
    world.come("task")
    assert world.come("stream", places=2) == "wait"
    assert world.come("task") == "wait"
    first = next(iter(world.running))
    world.end(first, "normal")
    assert [key.kind for key in world.running] == ["stream"]
    world.end(next(iter(world.running)), "normal")
    assert [key.kind for key in world.running] == ["task"]


def test_a_supervisor_for_nobody_lets_all_wait_for_ever() -> None:
    world = World(0, waits=True)
    assert world.come("task") == "wait"
    assert world.come("stream", places=2) == "never"
    world.finish()


@pytest.mark.parametrize("most", [0, 1, 3])
def test_one_restart_more_than_the_most_is_the_end(most: int) -> None:
    world = World(most=most)
    world.come("child", "permanent")
    for _ in range(most):
        world.end(next(iter(world.running)), "normal")
        assert not world.gave_up
    world.end(next(iter(world.running)), "normal")
    assert world.gave_up
    assert world.is_over


def test_ten_thousand_that_come_and_go_leave_nothing() -> None:
    world = World(3, waits=True, max_queue=2)
    for _ in range(10_000):
        world.come("child")
        world.end(next(iter(world.running)), "normal")
    assert not world.roster.entries
    assert not world.roster.waiting
    assert world.roster.taken == 0
