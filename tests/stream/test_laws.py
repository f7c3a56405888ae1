"""The laws of streams, under drawn workloads and several schedules of each.

Nothing lost, nothing twice, order, the bound (counted by the function itself), the buffer's bound, no idle place, no
late delivery, leaving early in every way, broken inputs; and after each run nothing is left.
"""

from __future__ import annotations

from hypothesis import HealthCheck, example, given, settings

from tests.leaks import Trouble
from tests.policy.effort import at_least
from tests.stream.observed import Watched, watch_all
from tests.stream.sometimes import Sometimes
from tests.stream.workload import TICK, Item, Plan, Source, plans


def test_a_stream_that_is_taken_whole_keeps_the_laws(trouble: Trouble) -> None:
    sometimes = Sometimes(
        *("value beat timeout", "timeout beat value", "a timed-out item went on", "a retry helped"),
        *("retries did not help", "a slow head filled the buffer", "pulled as far ahead as allowed"),
        *("the consumer was busy", "the input broke", "an item swallowed more than one cancel"),
    )

    @at_least(300)
    @given(plans(ends=("drain",)))
    @example(Plan((Item(0, 0.5),), timeout=0.5, seeds=tuple(range(12))))
    @example(Plan((Item(0, 0.5, "outlives cancel", 30.0), Item(1)), timeout=0.25, width=1))
    def law(plan: Plan) -> None:
        for watched in watch_all(plan):
            note(watched, sometimes)
        assert not trouble.reports

    law()
    sometimes.check()


def note(watched: Watched, sometimes: Sometimes) -> None:
    for label in watched.labels & sometimes.labels:
        sometimes.reached(label)
    plan = watched.plan
    for outcome in watched.outcomes:
        at_the_limit = plan.timeout == outcome.input.seconds and plan.attempts is None
        if at_the_limit and outcome.input.kind == "value":
            sometimes.reached("value beat timeout" if outcome.ok else "timeout beat value")
        if outcome.attempts > 1:
            sometimes.reached("a retry helped" if outcome.ok else "retries did not help")
    sometimes.reached("the input broke", watched.ended_with is not None)
