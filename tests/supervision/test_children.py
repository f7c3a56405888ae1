"""`start_child`: what nobody awaits, run again as it was asked for, until the supervisor gives up."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

import atonce
from atonce import Child, RestartLimit, Retry, Supervisor, TaskStopped, TooManyChildren, spawn
from tests.verbs.acts import Probe, fail, fake, forever, give, now, turns

pytestmark = pytest.mark.virtual
colour: ContextVar[str] = ContextVar("colour", default="none")


class Runs:
    """A function that ends as it is told, run by run, and remembers when it began."""

    def __init__(self, *ends: BaseException | None, seconds: float = 1.0) -> None:
        self.ends = list(ends)
        self.seconds = seconds
        self.times: list[float] = []

    async def work(self) -> str:
        """Run for some seconds; end by the next of the ends, run for ever when there is none left."""
        self.times.append(now())
        if len(self.times) > len(self.ends):
            await forever()
        await asyncio.sleep(self.seconds)
        end = self.ends[len(self.times) - 1]
        if end is not None:
            raise end
        return "done"


class Service:
    """A service that is ready after some seconds and ends as it is told."""

    def __init__(self, name: str | None = None, *ends: BaseException | None, opens: float = 1.0) -> None:
        self._name = name
        self.runs = Runs(*ends)
        self.opens = opens
        self.log: list[str] = []

    @property
    def name(self) -> str | None:
        return self._name

    async def serve(self, ready: Callable[[], None]) -> None:
        """One life."""
        await asyncio.sleep(self.opens)
        self.log.append(f"ready at {now():g}")
        ready()
        try:
            await self.runs.work()
        finally:
            self.log.append(f"over at {now():g}")


# -- restarts -----------------------------------------------------------------------------------------------------


async def test_a_temporary_child_is_never_run_again_and_its_value_stays_with_its_task() -> None:
    async with Supervisor() as sup:
        child = sup.start_child(give, "value", 1.0)
        assert (child.state, child.restarts) == ("running", 0)
        await sup.idle()
        assert (child.state, child.age, sup.children()) == ("ended", None, [])
        assert child.task is not None
        assert await child.task == "value"


@pytest.mark.parametrize(
    ("restart", "ends", "runs"),
    [
        ("temporary", [ValueError()], 1),
        ("transient", [None], 1),
        ("transient", [ValueError(), ValueError(), None], 3),
        ("transient", [SystemExit(3), None], 2),
        ("permanent", [None, ValueError(), None], 4),
    ],
)
async def test_it_is_run_again_as_its_kind_says(restart: Any, ends: list[BaseException], runs: int) -> None:
    work = Runs(*ends)
    async with Supervisor() as sup:
        child = sup.start_child(work.work, restart=restart)
        await asyncio.sleep(20)
        assert len(work.times) == runs
        assert child.restarts == runs - 1
        assert sup.statistics().restarts == runs - 1
        assert child.state == ("running" if restart == "permanent" else "ended")


async def test_a_run_that_is_stopped_from_outside_is_run_again_when_it_is_permanent() -> None:
    permanent, transient = Runs(), Runs()
    async with Supervisor() as sup:
        one = sup.start_child(permanent.work, restart="permanent")
        other = sup.start_child(transient.work, restart="transient")
        await turns()
        for child in (one, other):
            assert child.task is not None
            child.task.stop()
        await turns()
        assert (len(permanent.times), len(transient.times)) == (2, 1)
        assert (one.state, other.state) == ("running", "ended")
        assert isinstance(one.last_error, TaskStopped)


async def test_each_run_is_a_task_of_its_own_with_a_fresh_copy_of_the_context() -> None:
    seen: list[str] = []

    async def work() -> None:
        seen.append(colour.get())
        colour.set("red")
        await asyncio.sleep(1.0)

    colour.set("blue")
    async with Supervisor() as sup:
        child = sup.start_child(work, restart="permanent")
        first, id = child.task, child.id
        await asyncio.sleep(1.5)
        assert child.task is not first
        assert child.id == id
        assert await sup.terminate_child(id)
    assert seen == ["blue", "blue"]


async def test_more_restarts_than_it_may_and_the_supervisor_gives_up_at_once() -> None:
    work, other = Runs(*[ValueError(n) for n in range(9)], seconds=0.5), Probe(100.0, cleanup=0.25)
    with pytest.raises(RestartLimit, match="restart number 4 within 5 s, and max_restarts=3") as caught:
        async with Supervisor(name="front") as sup:
            sup.start_child(other.work)
            sup.start_child(work.work, restart="permanent", name="shaky")
            await asyncio.sleep(100)
    assert work.times == [0.0, 0.5, 1.0, 1.5]
    assert (now(), other.cancelled, other.running) == (2.25, 1, 0)
    error = caught.value
    assert (error.child, error.restarts) == ("shaky", 4)
    assert isinstance(error.__cause__, ValueError)
    assert "supervisor 'front' gave up: child 'shaky'" in str(error)
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


async def test_a_child_that_ends_well_too_often_is_too_often_as_well() -> None:
    with pytest.raises(RestartLimit) as caught:
        async with Supervisor(max_restarts=1) as sup:
            sup.start_child(give, 1, restart="permanent")
            await forever()
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(("seconds", "is_enough"), [(3.99, True), (4.0, False)])
async def test_restarts_outside_the_window_do_not_count(seconds: float, is_enough: bool) -> None:
    work = Runs(*[ValueError()] * 9, seconds=2.0)
    try:
        async with Supervisor(max_restarts=2, max_seconds=seconds) as sup:
            sup.start_child(work.work, restart="permanent")
            await asyncio.sleep(50)
        assert is_enough
    except RestartLimit:
        assert not is_enough
        assert now() == 6.0


async def test_no_restart_at_all_is_a_legal_bound() -> None:
    with pytest.raises(RestartLimit):
        async with Supervisor(max_restarts=0) as sup:
            sup.start_child(give, 1, restart="permanent")
            await forever()


async def test_the_window_is_of_all_children_together() -> None:
    works = [Runs(ValueError()) for _ in range(3)]
    with pytest.raises(RestartLimit):
        async with Supervisor(max_restarts=2) as sup:
            for work in works:
                sup.start_child(work.work, restart="permanent")
            await forever()


async def test_back_off_grows_is_bounded_and_begins_anew_after_a_healthy_run() -> None:
    class Ends(Runs):
        async def work(self) -> str:
            self.seconds = 20.0 if len(self.times) == 4 else 0.0
            return await super().work()

    work = Ends(*[ValueError()] * 6)
    backoff = Retry(base_delay=1.0, max_delay=4.0, jitter=None)
    async with Supervisor(max_restarts=100, max_seconds=10.0, backoff=backoff) as sup:
        child = sup.start_child(work.work, restart="permanent")
        await asyncio.sleep(0.5)
        assert (child.state, child.age) == ("backing off", None)
        assert sup.children() == [child]
        assert sup.statistics().running == 0
        await asyncio.sleep(100)
    assert work.times == [0.0, 1.0, 3.0, 7.0, 11.0, 32.0, 34.0]


async def test_a_child_that_backs_off_keeps_its_place_and_can_be_ended() -> None:
    work = Runs(*[ValueError()] * 6, seconds=0.0)
    async with Supervisor(max_children=1, backoff=Retry(base_delay=10.0, jitter=None)) as sup:
        child = sup.start_child(work.work, restart="permanent")
        await asyncio.sleep(1.0)
        with pytest.raises(TooManyChildren):
            sup.spawn_nolink(give, 1)
        assert await sup.terminate_child(child)
        assert now() == 1.0
        assert await sup.spawn_nolink(give, 1) == 1
        await asyncio.sleep(100)
    assert (len(work.times), child.state) == (1, "ended")


async def test_a_supervisor_that_stops_leaves_no_rest_behind() -> None:
    work = Runs(*[ValueError()] * 6, seconds=0.0)
    backoff = Retry(base_delay=10.0, jitter=None)
    specs = [Child(forever), Child(Runs(ValueError()).work)]
    async with Supervisor(backoff=backoff, children=specs, strategy="one_for_all") as sup:
        child = sup.start_child(work.work, restart="permanent")
        await asyncio.sleep(1.5)
        crew = sup._crew
        assert crew is not None
        timers = list(crew._timers.values())
        assert len(timers) == 2
    assert (now(), child.state) == (1.5, "ended")
    assert all(timer.cancelled() for timer in timers)
    await asyncio.sleep(100)
    assert len(work.times) == 1


async def test_every_failure_is_logged_once_with_its_site_and_with_what_follows(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(RestartLimit):
        async with Supervisor(max_restarts=1) as sup:
            sup.start_child(fail, ValueError("gone"), 0.5)
            sup.start_child(Runs(*[KeyError()] * 2).work, restart="transient")
            await forever()
    gc.collect()
    told = [record.message.split(") ", 1)[1] for record in caplog.records]
    assert told == [
        "failed and is not restarted",
        "failed and is restarted",
        "failed once too often: its supervisor gives up",
    ]
    assert all("test_children.py" in record.message for record in caplog.records)
    assert all(record.exc_info for record in caplog.records)


async def test_a_child_that_fails_as_before_is_told_in_a_line_until_it_was_healthy_for_a_while(
    caplog: pytest.LogCaptureFixture,
) -> None:
    errors = [ValueError("a"), ValueError("a"), ValueError("b"), KeyError("b"), KeyError("b")]
    work = Runs(*errors, seconds=0.0)
    async with Supervisor(max_restarts=9, backoff=Retry(base_delay=0.5, jitter=None)) as sup:
        sup.start_child(work.work, restart="transient")
        await asyncio.sleep(5.0)  # the pause before the last run
        work.seconds = 6.0
        await asyncio.sleep(100)
    told = [(record.message.split(") ", 1)[1], bool(record.exc_info)) for record in caplog.records]
    assert told == [
        ("failed and is restarted in 0.5 s", True),
        ("failed as before and is restarted in 1 s: ValueError: a", False),
        ("failed and is restarted in 2 s", True),
        ("failed and is restarted in 4 s", True),
        ("failed and is restarted in 0.5 s", True),
    ]


async def test_what_a_temporary_child_was_to_run_is_not_kept() -> None:
    class Heavy:
        async def work(self, other: Heavy) -> None:
            return None

    heavy, argument = Heavy(), Heavy()
    gone = [weakref.ref(heavy), weakref.ref(argument)]
    async with Supervisor() as sup:
        child = sup.start_child(heavy.work, argument)
        del heavy, argument
        await sup.idle()
        child.task = None
        gc.collect()
        assert [one() for one in gone] == [None, None]
        assert child.name.endswith("Heavy.work")


# -- starting -----------------------------------------------------------------------------------------------------


async def test_bad_arguments_fail_in_the_call_and_leave_nothing() -> None:
    wrong: list[tuple[type[Exception], str, Any]] = [
        (TypeError, "cannot be called with 0", lambda sup: sup.start_child(give)),
        (
            ValueError,
            "did you mean restart='permanent'",
            lambda sup: sup.start_child(forever, restart="permanently"),
        ),
        (ValueError, "grace", lambda sup: sup.start_child(forever, grace=float("nan"))),
        (ValueError, "on is", lambda sup: sup.start_child(forever, on="threads")),
        (TypeError, "not the coroutine", lambda sup: sup.start_child(forever())),
        (TypeError, "says everything itself", lambda sup: sup.start_child(Child(forever), grace=1.0)),
        (TypeError, "a service is given alone", lambda sup: sup.start_child(Service(), 1)),
    ]
    async with Supervisor(max_children=1) as sup:
        for kind, says, call in wrong:
            with pytest.raises(kind, match=says):
                call(sup)
        assert sup.children() == []
        sup.start_child(forever)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_children": -1}, "max_children is a whole number from 0"),
        ({"max_restarts": 1.5}, "max_restarts is a whole number"),
        ({"max_seconds": 0}, "max_seconds is a number of seconds above 0"),
        ({"on_full": "queue"}, "on_full is 'raise' or 'wait'"),
        ({"strategy": "one_for_al"}, "did you mean strategy='one_for_all'"),
        ({"backoff": 3}, "backoff is a Retry or None"),
        ({"children": [print]}, "children is a list of Child"),
        ({"children": Child(print)}, "children is a list"),
        ({"children": [Child(print), Child(print)], "max_children": 1}, "no room for the 2 children"),
        ({"children": [Child(print, name="a"), Child(print, name="a")]}, "twice"),
        ({"max_queue": 0}, "max_queue"),
        ({"drain": -1}, "drain"),
        ({"name": ""}, "name"),
    ],
)
def test_bad_options_of_a_supervisor_fail_where_it_is_made(options: dict[str, Any], says: str) -> None:
    with pytest.raises((TypeError, ValueError), match=says):
        Supervisor(**options)


async def test_names_of_children_are_unique_while_they_live() -> None:
    async with Supervisor() as sup:
        child = sup.start_child(forever, name="one")
        with pytest.raises(ValueError, match="the name 'one' is taken"):
            sup.start_child(forever, name="one")
        assert await sup.terminate_child(child)
        assert sup.whereis("one") is None
        assert sup.whereis("one") is not sup.start_child(forever, name="one")


async def test_a_description_is_used_by_one_supervisor_at_a_time() -> None:
    spec = Child(forever, name="spec")
    async with Supervisor() as sup, Supervisor() as other:
        assert sup.start_child(spec) is spec
        with pytest.raises(ValueError, match="lives already"):
            other.start_child(spec)
        assert await sup.terminate_child(spec)
        assert other.start_child(spec) is spec
        assert spec.state == "running"


async def test_a_child_waits_for_its_place_and_can_be_ended_there() -> None:
    async with Supervisor(max_children=1, on_full="wait") as sup:
        sup.spawn_nolink(give, 1, 5.0)
        first, second = sup.start_child(give, 1, name="first"), sup.start_child(give, 1, 1.0)
        assert (first.state, second.state, first.task) == ("waiting", "waiting", None)
        assert await sup.terminate_child(first)
        assert (first.state, sup.whereis("first")) == ("ended", None)
        await sup.idle()
        assert (now(), second.state) == (6.0, "ended")


async def test_a_child_that_cannot_be_handed_over_is_an_error_in_the_call() -> None:
    class Refuses(atonce.testing.FakeBackend):
        def start(self, *args: Any) -> Any:
            raise OSError("no more workers")

    async with Supervisor(max_children=1) as sup:
        with pytest.raises(OSError, match="no more workers"):
            sup.start_child(sum, [1], on=Refuses(), name="a")
        assert (sup.children(), sup.whereis("a")) == ([], None)
        assert sup.start_child(give, 1, name="a").state == "running"


async def test_a_child_runs_on_any_backend() -> None:
    async with Supervisor() as sup:
        child = sup.start_child(sum, [1, 2], on=fake(2.0), restart="permanent")
        await asyncio.sleep(5.0)
        assert child.restarts == 2
        assert child.age == 1.0


# -- services -----------------------------------------------------------------------------------------------------


async def test_a_service_is_permanent_unless_said_otherwise_and_is_run_anew() -> None:
    service = Service("clock", ValueError())
    async with Supervisor() as sup:
        child = sup.start_child(service)
        assert (child.restart, child.name, child.service) == ("permanent", "clock", service)
        assert sup.whereis("clock") is child
        assert await sup.ready(child) is child
        assert now() == 1.0
        await asyncio.sleep(10)
        assert service.log == ["ready at 1", "over at 2", "ready at 3"]
        await sup.idle()
    assert service.log[-1] == "over at 11"


async def test_the_class_of_a_service_is_taken_with_its_arguments() -> None:
    async with Supervisor() as sup:
        child = sup.start_child(Service, "clock")
        assert isinstance(child.service, Service)
        assert child.name == "clock"


async def test_waiting_for_what_ends_before_it_is_ready_is_an_error() -> None:
    async with Supervisor() as sup:
        child = sup.start_child(Service("late", opens=5.0))
        waiter = spawn(sup.ready, child)
        await asyncio.sleep(1.0)
        assert await sup.terminate_child(child)
        with pytest.raises(TaskStopped, match="has ended"):
            await waiter


# -- static children ----------------------------------------------------------------------------------------------


async def test_static_children_start_in_order_each_when_the_one_before_is_ready_and_stop_in_reverse() -> None:
    services = [Service(f"s{n}") for n in range(3)]
    async with Supervisor(children=[Child(service) for service in services]) as sup:
        assert now() == 3.0
        assert [child.name for child in sup.children() if isinstance(child, Child)] == ["s0", "s1", "s2"]
        last: list[str] = []
        for service in services:
            service.log = last
    assert last == ["over at 3"] * 3


async def test_a_static_service_that_fails_to_come_up_is_raised_from_the_block_and_the_others_are_stopped() -> (
    None
):
    class Broken(Service):
        async def serve(self, ready: Callable[[], None]) -> None:
            raise LookupError("no database")

    first = Service("first")
    with pytest.raises(LookupError, match="no database"):
        async with Supervisor(children=[Child(first), Child(Broken()), Child(forever)], name="app"):
            raise AssertionError("the block is not entered")
    assert first.log == ["ready at 1", "over at 1"]
    assert atonce.whereis("app") is None


async def test_a_cancel_while_static_children_come_up_stops_those_that_are_there() -> None:
    services = [Service("a"), Service("b", opens=100.0)]

    async def block() -> None:
        async with Supervisor(children=[Child(service) for service in services]):
            raise AssertionError("the block is not entered")

    task = asyncio.create_task(block())
    await asyncio.sleep(5.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert services[0].log == ["ready at 1", "over at 5"]


@pytest.mark.parametrize(
    ("strategy", "again"),
    [("one_for_one", "b"), ("one_for_all", "abc"), ("rest_for_one", "bc")],
)
async def test_a_strategy_restarts_exactly_the_right_ones_in_order(strategy: Any, again: str) -> None:
    log: list[str] = []

    async def work(name: str) -> None:
        log.append(f"+{name}")
        try:
            await asyncio.sleep(1.0 if name == "b" and len(log) < 4 else 100.0)
        except asyncio.CancelledError:
            log.append(f"-{name}")
            raise
        raise ValueError

    async with Supervisor(
        children=[Child(work, name, name=name) for name in "abc"], strategy=strategy
    ) as sup:
        await asyncio.sleep(5.0)
        assert log[:3] == ["+a", "+b", "+c"]
        assert log[3:] == [f"-{name}" for name in reversed(again) if name != "b"] + [
            f"+{name}" for name in again
        ]
        assert [sup.whereis(name).restarts for name in "abc"] == [int(name in again) for name in "abc"]  # type: ignore[union-attr]  # there
        log.clear()
    assert log == ["-c", "-b", "-a"]


async def test_a_group_rests_before_it_is_started_again() -> None:
    first, second = Runs(), Runs(ValueError())
    backoff = Retry(base_delay=3.0, jitter=None)
    specs = [Child(first.work), Child(second.work)]
    async with Supervisor(children=specs, strategy="one_for_all", backoff=backoff) as sup:
        await asyncio.sleep(2.0)
        assert [child.state for child in specs] == ["backing off", "backing off"]
        await asyncio.sleep(8.0)
        assert sup.count_children() == 2
    assert (first.times, second.times) == ([0.0, 4.0], [0.0, 4.0])


async def test_what_is_started_later_is_restarted_alone_whatever_the_strategy() -> None:
    still, shaky = Runs(), Runs(ValueError())
    async with Supervisor(children=[Child(still.work)], strategy="one_for_all") as sup:
        sup.start_child(shaky.work, restart="permanent")
        await asyncio.sleep(5.0)
    assert (len(still.times), len(shaky.times)) == (1, 2)


# -- trees --------------------------------------------------------------------------------------------------------


async def test_a_supervisor_is_a_child_that_is_started_anew_when_it_has_given_up() -> None:
    work = Runs(*[ValueError()] * 5, seconds=0.1)
    inner = Supervisor(children=[Child(work.work)], max_restarts=1, name="inner")
    async with Supervisor(children=[Child(inner)], name="outer") as outer:
        child = outer.children()[0]
        assert isinstance(child, Child)
        assert (child.name, child.service) == ("inner", inner)
        await asyncio.sleep(10.0)
        assert child.restarts == 2
        assert isinstance(child.last_error, RestartLimit)
        assert atonce.whereis("inner") is inner
    assert atonce.whereis("inner") is None
    assert len(work.times) == 6


async def test_a_failure_goes_up_the_tree_until_somebody_may_not_restart() -> None:
    work = Runs(*[ValueError()] * 99, seconds=0.1)
    inner = Supervisor(children=[Child(work.work)], max_restarts=1)
    middle = Supervisor(children=[Child(inner)], max_restarts=1)
    with pytest.raises(RestartLimit) as caught:
        async with Supervisor(children=[Child(middle)], max_restarts=0):
            await forever()
    assert len(work.times) == 4
    depth = 0
    error: BaseException | None = caught.value
    while isinstance(error, RestartLimit):
        depth, error = depth + 1, error.__cause__
    assert (depth, type(error)) == (3, ValueError)


async def test_a_tree_stops_from_its_leaves_and_gets_the_time_for_that() -> None:
    leaf = Probe(100.0, cleanup=20.0)
    inner = Supervisor(children=[Child(leaf.work, grace=30.0)])
    async with Supervisor() as outer:
        await outer.ready(outer.start_child(inner))
        assert inner.count_children() == 1
    assert (now(), leaf.running, leaf.cancelled) == (20.0, 0, 1)


async def test_a_supervisor_that_is_a_child_can_be_ended_and_started_again() -> None:
    inner = Supervisor(children=[Child(forever)])
    async with Supervisor() as outer:
        for _ in range(3):
            child = await outer.ready(outer.start_child(inner))
            assert inner.count_children() == 1
            assert await outer.terminate_child(child)


async def test_two_supervisors_of_one_name_do_not_live_at_the_same_time() -> None:
    async with Supervisor(name="one") as sup:
        with pytest.raises(ValueError, match="the name 'one' is taken"):
            await Supervisor(name="one").__aenter__()
        assert atonce.whereis("one") is sup
    assert atonce.whereis("one") is None


# -- telemetry ----------------------------------------------------------------------------------------------------


async def test_events_tell_the_life_of_a_supervisor() -> None:
    seen: list[tuple[str, dict[str, Any]]] = []
    atonce.telemetry.attach(
        "test", "supervisor.*", lambda event, measured, about: seen.append((event, {**measured, **about}))
    )
    try:
        with pytest.raises(RestartLimit):
            async with Supervisor(max_restarts=1, name="seen") as sup:
                child = sup.start_child(Runs(*[ValueError()] * 2).work, restart="permanent", name="shaky")
                await forever()
    finally:
        atonce.telemetry.detach("test")
    assert [event for event, _ in seen] == [
        "supervisor.start",
        "supervisor.child.start",
        "supervisor.child.stop",
        "supervisor.restart",
        "supervisor.child.start",
        "supervisor.child.stop",
        "supervisor.give_up",
        "supervisor.stop",
    ]
    assert all(data["name"] == "seen" for _, data in seen)
    restart = seen[3][1]
    assert (restart["child"], restart["id"], restart["restarts"]) == ("shaky", child.id, 1)
    assert isinstance(restart["error"], ValueError)
    assert seen[-1][1]["elapsed"] == 2.0


async def test_a_child_that_is_stopped_while_it_fails_is_logged_and_not_restarted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fails_when_stopped() -> None:
        try:
            await forever()
        finally:
            raise KeyError("cleanup")

    with caplog.at_level(logging.ERROR):
        async with Supervisor() as sup:
            child = sup.start_child(fails_when_stopped, restart="permanent")
            await turns()
            assert await sup.terminate_child(child)
            assert isinstance(child.last_error, KeyError)
    assert "failed while it was stopped" in caplog.text
