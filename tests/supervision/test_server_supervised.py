"""A server or an agent as a child of a supervisor: begun anew after a failure, and the same object stays its handle."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from atonce import (
    Agent,
    Child,
    RestartLimit,
    Retry,
    Server,
    Stop,
    Supervisor,
    TaskStopped,
    spawn,
    whereis,
)
from tests.supervision.servers import Counter, Diary
from tests.verbs.acts import error_of, forever, now, turns

pytestmark = pytest.mark.virtual
BAD = ValueError("bad")


async def test_a_failure_is_followed_by_a_new_run_from_init_and_the_handle_stays() -> None:
    async with Supervisor() as sup:
        server = Counter(5)
        child = sup.start_child(server)
        await turns()
        assert await server.call("next") == 6
        with pytest.raises(ValueError) as caught:
            await server.call(BAD)
        assert caught.value is BAD
        await turns()
        assert await server.call("next") == 6
        assert (child.restarts, child.state, child.last_error) == (1, "running", BAD)
        assert child.service is server
        assert server.statistics().runs == 2


async def test_calls_between_two_runs_fail_at_once_and_say_of_what() -> None:
    async with Supervisor(backoff=Retry(base_delay=3.0, jitter=None)) as sup:
        server = Counter(5)
        sup.start_child(server)
        await turns()
        server.cast(BAD)
        await asyncio.sleep(1.0)
        with pytest.raises(TaskStopped, match="it failed with ValueError; unless a supervisor") as caught:
            await server.call("next")
        assert caught.value.__cause__ is BAD
        assert now() == pytest.approx(1.0)
        server.cast(1)
        assert server.statistics().dropped == 1
        await asyncio.sleep(3.0)
        assert await server.call("next") == 6


async def test_those_who_waited_are_told_and_not_answered_by_the_next_run() -> None:
    async with Supervisor() as sup:
        diary = Diary()
        sup.start_child(diary)
        await turns()
        diary.cast(1.0)
        calls = [spawn(diary.call, "before"), spawn(diary.call, BAD), spawn(diary.call, "after")]
        await asyncio.sleep(2.0)
        assert await calls[0] == ["cast 1.0", "cast 1.0 done", "call before"]
        assert error_of(calls[1].outcome()) is BAD
        assert error_of(calls[2].outcome()).__cause__ is BAD
        assert await diary.call("new") == ["call new"]


async def test_timers_of_a_run_end_with_it() -> None:
    class Clock(Diary):
        def init(self) -> None:
            super().init()
            self.send_after(2.0, "tick")

    async with Supervisor() as sup:
        clock = Clock()
        sup.start_child(clock)
        await asyncio.sleep(1.0)
        clock.cast(BAD)
        await asyncio.sleep(1.5)
        assert clock.lines == []
        await asyncio.sleep(1.0)
        assert clock.lines == ["info tick"]


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
async def test_a_stop_in_good_order_is_followed_by_a_run_of_a_permanent_one_alone(restart: Any) -> None:
    async with Supervisor() as sup:
        server = Counter()
        sup.start_child(server, restart=restart)
        await turns()
        await server.stop()
        await turns(10)
        assert server.statistics().running is (restart == "permanent")


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
async def test_a_failure_is_followed_by_a_run_unless_it_is_temporary(restart: Any) -> None:
    async with Supervisor() as sup:
        server = Counter()
        sup.start_child(server, restart=restart)
        await turns()
        await server.stop(BAD)
        await turns(10)
        assert server.statistics().running is (restart != "temporary")


async def test_a_failure_of_a_call_to_another_server_is_a_failure_too() -> None:
    gone = Counter()

    class Asks(Server):
        async def handle_cast(self, message: Any) -> None:
            await gone.call("next")

    async with Supervisor() as sup:
        asks = Asks()
        child = sup.start_child(asks, restart="transient")
        await turns()
        asks.cast("ask")
        await turns(10)
        assert child.restarts == 1
        assert isinstance(child.last_error, TaskStopped)
        assert asks.statistics().running


async def test_a_cancelled_error_that_a_handler_raises_by_itself_is_a_failure_too() -> None:
    async with Supervisor() as sup:
        server = Diary()
        child = sup.start_child(server, restart="transient")
        await turns()
        server.cast(asyncio.CancelledError())
        await turns(10)
        assert child.restarts == 1
        assert server.statistics().running


async def test_an_init_that_always_fails_uses_up_the_restarts() -> None:
    class Stillborn(Server):
        runs = 0

        def init(self) -> None:
            type(self).runs += 1
            raise BAD

    with pytest.raises(RestartLimit) as caught:
        async with Supervisor() as sup:
            sup.start_child(Stillborn())
            await asyncio.sleep(60)
    assert caught.value.__cause__ is BAD
    assert Stillborn.runs == 4


async def test_terminate_runs_when_the_supervisor_stops_it_within_the_grace() -> None:
    reasons: list[object] = []

    class Last(Server):
        async def terminate(self, reason: object) -> None:
            await asyncio.sleep(1.0)
            reasons.append(reason)

    async with Supervisor() as sup:
        sup.start_child(Last())
        other = sup.start_child(Last())
        await turns()
        assert await sup.terminate_child(other)
        assert (reasons, now()) == ([None], 1.0)
    assert (reasons, now()) == ([None, None], 2.0)


async def test_its_name_is_known_while_it_runs_and_over_its_runs() -> None:
    async with Supervisor() as sup:
        server = Counter().options(name="hits")
        sup.start_child(server)
        await turns()
        assert whereis("hits") is server
        server.cast(BAD)
        await turns(10)
        assert whereis("hits") is server
        assert await server.call("next") == 1
    assert whereis("hits") is None


async def test_children_that_are_described_are_ready_when_the_block_is_entered_in_order() -> None:
    order: list[str] = []

    class Slow(Server):
        async def init(self, name: str) -> None:
            await asyncio.sleep(1.0)
            order.append(name)

    first, second = Slow("first"), Slow("second")
    async with Supervisor(children=[Child(first), Child(second)]):
        assert (order, now()) == (["first", "second"], 2.0)
        assert first.statistics().running
        assert second.statistics().running


async def test_a_class_with_its_arguments_is_a_child_too() -> None:
    async with Supervisor() as sup:
        child = sup.start_child(Counter, 5)
        await turns()
        assert isinstance(child.service, Counter)
        assert await child.service.call("next") == 6


async def test_rest_for_one_restarts_the_servers_after_it() -> None:
    servers = [Counter(), Counter(), Counter()]
    async with Supervisor(children=[Child(one) for one in servers], strategy="rest_for_one"):
        servers[1].cast(BAD)
        await turns(30)
        assert [one.statistics().runs for one in servers] == [1, 2, 2]
        assert [await one.call("next") for one in servers] == [1, 1, 1]


async def test_an_agent_is_begun_anew_from_its_function() -> None:
    async with Supervisor() as sup:
        agent = Agent(lambda: {"a": 1})
        sup.start_child(agent)
        await turns()
        await agent.update(lambda state: state | {"b": 2})
        with pytest.raises(KeyError):
            await agent.get(lambda state: state["missing"])
        await turns(10)
        assert await agent.get(lambda state: state) == {"a": 1}


async def test_a_stop_answer_with_an_exception_is_a_failure_after_its_reply() -> None:
    class Failing(Server):
        def handle_call(self, request: Any, caller: Any) -> Any:
            return Stop(BAD, reply="bye")

    async with Supervisor() as sup:
        server = Failing()
        child = sup.start_child(server, restart="transient")
        await turns()
        assert await server.call("x") == "bye"
        await turns(10)
        assert (child.restarts, child.last_error) == (1, BAD)


async def test_what_a_handler_spawned_is_over_before_the_next_run_begins() -> None:
    over: list[str] = []

    class Parent(Server):
        def init(self) -> None:
            over.append("init")
            spawn(self.child)

        async def child(self) -> None:
            try:
                await forever()
            finally:
                over.append("child over")

        def handle_cast(self, message: Any) -> None:
            raise BAD

    async with Supervisor() as sup:
        parent = Parent()
        sup.start_child(parent)
        await turns()
        parent.cast("fail")
        await turns(10)
        assert over == ["init", "child over", "init"]
