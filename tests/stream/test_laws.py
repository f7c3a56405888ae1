"""The laws of streams, under drawn workloads and several schedules of each.

Nothing lost, nothing twice, order, the bound (counted by the function itself), the buffer's bound, no idle place, no
late delivery, leaving early in every way, broken inputs; and after each run nothing is left.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given

from tests.leaks import Trouble
from tests.policy.effort import at_least
from tests.stream.observed import Watched, watch_all, watch_cancelled_at_every_turn
from tests.stream.sometimes import Sometimes
from tests.stream.workload import TICK, Item, Plan, Source, plans

SLOW_HEAD = (Item(0, 3.0), *(Item(n) for n in range(1, 9)))

#: An input of which the stream ran dry while its helper waited for more room than there was.
DRY = (Item(0), Item(1, TICK), Item(2), Item(3, 0.125), *(Item(n) for n in range(4, 10)))


def test_a_stream_that_is_taken_whole_keeps_the_laws(trouble: Trouble) -> None:
    sometimes = Sometimes(
        *("a timeout at the last moment", "a timed-out item went on", "a retry helped"),
        *("retries did not help", "a slow head filled the buffer", "pulled as far ahead as allowed"),
        *("the consumer was busy", "the input broke", "an item swallowed more than one cancel"),
    )

    @at_least(300, shared=False)
    @given(plans(ends=("drain",)))
    @example(Plan((Item(0, 0.5),), timeout=0.5))
    @example(Plan((Item(0, 0.5, "outlives cancel", 30.0), Item(1)), timeout=0.25, width=1))
    @example(Plan((Item(0, 0.0, "flaky", 1), Item(1, 0.0, "flaky", 3)), attempts=2))
    @example(Plan(SLOW_HEAD, buffer=2, width=2))
    @example(Plan(DRY, Source("async generator"), width=2, buffer=2, ordered=False))
    @example(Plan(SLOW_HEAD, Source("async generator", raises_at=7), script=(1, 2.0, 3)))
    def law(plan: Plan) -> None:
        for watched in watch_all(plan):
            note(watched, sometimes)
        assert not trouble.reports

    law()
    sometimes.check()


def test_a_stream_that_is_left_early_keeps_the_laws(trouble: Trouble) -> None:
    sometimes = Sometimes(
        *("cancelled while busy", "cancelled while waiting", "left while items ran", "an item was abandoned"),
        *("the consumer was busy", "the input broke", "cancelled before anything began"),
    )

    @at_least(300, shared=False)
    @given(plans(ends=("break", "raise", "close", "cancel")))
    @example(Plan((Item(0), Item(1, 3.0)), end="break"))
    @example(Plan((Item(0), Item(1, 3.0, "outlives cancel", 30.0)), end="close"))
    @example(Plan((Item(0, 3.0),), end="cancel", cancel_at=0.5, in_block=False))
    @example(Plan((Item(0), Item(1, 3.0)), end="cancel", cancel_at=0.5, in_block=False, script=(2.0,)))
    @example(Plan((Item(0),), Source("generator", raises_at=1), end="cancel", cancel_at=0.5, script=(2,)))
    def law(plan: Plan) -> None:
        for watched in watch_all(plan):
            note(watched, sometimes)
        assert not trouble.reports

    law()
    sometimes.check()


def test_retries_keep_the_laws(trouble: Trouble) -> None:
    sometimes = Sometimes("a retry helped", "retries did not help", "the consumer was busy")

    @at_least(150, shared=False)
    @given(plans(ends=("drain", "drain", "cancel"), kinds=("value", "flaky", "flaky", "raises")))
    @example(Plan((Item(0, 0.0, "flaky", 1), Item(1, TICK, "flaky", 3)), attempts=2, script=(2.0,)))
    def law(plan: Plan) -> None:
        for watched in watch_all(plan):
            note(watched, sometimes)
        assert not trouble.reports

    law()
    sometimes.check()


MIXED = (
    Item(0, 0.25),
    Item(1),
    Item(2, TICK, "raises"),
    Item(3, 0.25, "outlives cancel", 0.125),
    Item(4, 0.125, "flaky", 1),
    Item(5, 3.0),
    Item(6, TICK, "sets variable"),
    Item(7, 0.5, "cleans up", 0.125),
)
SWEPT = {
    "list": Plan(MIXED),
    "unordered": Plan(MIXED, ordered=False, width=2),
    "retries": Plan(MIXED, attempts=2, timeout=0.25),
    "timeouts": Plan(MIXED, timeout=0.25, buffer=2),
    "a fake backend": Plan(MIXED, timeout=0.25, fake=True),
    "an async generator": Plan(MIXED, Source("async generator", pause=0.125, cleanup=0.125)),
    "a broken generator": Plan(MIXED, Source("generator", raises_at=6), width=2),
    "a broken async input": Plan(MIXED, Source("async iterator", raises_at=6, pause=TICK)),
    "a slow consumer": Plan(MIXED, script=(1, 0.25, 2, TICK, 1, 0.125), buffer=1),
    "a bare loop": Plan(MIXED, script=(1, TICK, 1, 0.25), in_block=False, timeout=0.5),
    "a rate": Plan(MIXED, rate=8),
}


@pytest.mark.parametrize("again", [None, 1, 2])
@pytest.mark.parametrize("seed", [None, 7])
@pytest.mark.parametrize("name", SWEPT)
def test_a_cancel_at_any_turn_of_the_loop_leaves_nothing(
    name: str, seed: int | None, again: int | None, trouble: Trouble
) -> None:
    runs = watch_cancelled_at_every_turn(replace(SWEPT[name], cancel_again=again), seed)
    assert not trouble.reports
    reached = set().union(*(watched.labels for watched in runs))
    assert {
        "cancelled before anything began",
        "cancelled while waiting",
        "cancelled in the turn after an end",
    } <= reached


def note(watched: Watched, sometimes: Sometimes) -> None:
    """Enter what a run reached."""
    for label in watched.labels & sometimes.labels:
        sometimes.reached(label)
    plan = watched.plan
    for outcome in watched.outcomes:
        at_the_limit = plan.timeout == outcome.input.seconds and plan.attempts is None
        if (
            at_the_limit
            and outcome.input.kind == "value"
            and "a timeout at the last moment" in sometimes.labels
        ):
            sometimes.reached("a timeout at the last moment", not outcome.ok)
        if outcome.attempts > 1 and "a retry helped" in sometimes.labels:
            sometimes.reached("a retry helped" if outcome.ok else "retries did not help")
    if "the input broke" in sometimes.labels:
        sometimes.reached(
            "the input broke", watched.ended_with is not None and watched.plan.source.raises_at is not None
        )
