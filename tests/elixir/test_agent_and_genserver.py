"""What users of Elixir's Agent and GenServer rely on, point by point.

The name of each test begins with its number in elixir-semantics.md, 3A (Agent) and 3B (GenServer). What differs is
listed with its reason in docs/elixir.md, under "Agent and GenServer"; a test here shows what holds instead.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
from tests.supervision.servers import Counter, Diary
from tests.verbs.acts import error_of, forever, give, now, turns

from atonce import (
    IDLE,
    NO_REPLY,
    Agent,
    Continue,
    Idle,
    Server,
    Stop,
    TaskStopped,
    TaskTimeout,
    capture,
    spawn,
    telemetry,
)
from atonce._runtime.registry import whereis

pytestmark = pytest.mark.virtual


def same(state: Any) -> Any:
    return state


async def slowly(seconds: float, state: int) -> int:
    await asyncio.sleep(seconds)
    return state + 1


class Replier(Server):
    """Answers a call by applying it, a function of the server and the caller; writes down the rest."""

    def init(self, *answers: Any) -> Any:
        self.seen: list[Any] = []
        return answers[0] if answers else None

    def handle_call(self, request: Any, caller: Any) -> Any:
        return request(self, caller)

    def handle_cast(self, message: Any) -> Any:
        return message(self)

    def handle_info(self, message: Any) -> None:
        self.seen.append(message)

    def handle_continue(self, arg: Any) -> None:
        self.seen.append(("continue", arg))

    def terminate(self, reason: object) -> None:
        self.seen.append(("terminate", reason))


# -- 3A: Agent ----------------------------------------------------------------------------------------------------


async def test_3a_01_functions_run_inside_strictly_one_after_another() -> None:
    inside: list[int] = []

    async def alone(n: int) -> int:
        inside.append(1)
        assert len(inside) == 1
        await asyncio.sleep(0.1)
        inside.pop()
        return n + 1

    async with Agent(int) as agent:
        for _ in range(3):
            agent.cast(alone)
        await asyncio.gather(*(agent.update(alone) for _ in range(3)), agent.get(alone))
        assert await agent.get(same) == 6


async def test_3a_02_start_returns_after_init() -> None:
    async with Agent(partial(give, 7, 1.0)) as agent:
        assert now() == pytest.approx(1.0)
        assert await agent.get(same) == 7


async def test_3a_02_init_that_raises_is_the_error_of_the_start() -> None:
    with pytest.raises(ZeroDivisionError):
        async with Agent(lambda: 1 // 0):
            pass


async def test_3a_02_the_timeout_bounds_init() -> None:
    with pytest.raises(TaskTimeout):
        async with Agent(forever, timeout=1.0):
            pass
    assert now() == pytest.approx(1.0)


async def test_3a_02_a_name_that_is_taken_is_an_error_that_says_by_whom() -> None:
    async with Agent(int, name="one"):
        with pytest.raises(ValueError, match="taken by <Agent 'one' running>"):
            async with Agent(int, name="one"):
                pass


async def test_3a_03_get_update_get_and_update_and_cast() -> None:
    async with Agent(int) as agent:
        assert await agent.get(lambda n: n + 100) == 100
        await agent.update(lambda n: n + 1)
        assert await agent.get_and_update(lambda n: (f"was {n}", n + 1)) == "was 1"
        agent.cast(lambda n: n * 10)
        assert await agent.get(same) == 20


async def test_3a_03_no_pair_stops_the_agent() -> None:
    async with Agent(int) as agent:
        with pytest.raises(TypeError, match="pair"):
            await agent.get_and_update(same)
        assert not agent.statistics().running


async def test_3a_03_cast_says_nothing_even_if_there_is_no_such_agent() -> None:
    Agent(int).cast(same)


async def test_3a_04_a_late_function_still_runs_its_update_is_applied_its_reply_dropped() -> None:
    async with Agent(int) as agent:
        with pytest.raises(TaskTimeout) as caught:
            await agent.update(partial(slowly, 7.0))
        assert (caught.value.timeout, now()) == (5.0, 5.0)
        await asyncio.sleep(3.0)
        assert await agent.get(same) == 1
        assert agent.statistics().late == 1


async def test_3a_05_a_function_that_raises_kills_the_agent_and_the_state_is_lost() -> None:
    agent = Agent(int)
    async with agent:
        await agent.update(lambda n: n + 5)
        with pytest.raises(ZeroDivisionError):
            await agent.get(lambda n: n // 0)
        assert isinstance((await capture(agent.get(same))).error, TaskStopped)  # type: ignore[union-attr]  # it fails
    async with agent:
        assert await agent.get(same) == 0


async def test_3a_06_a_call_from_inside_its_own_function_is_an_error_and_no_deadlock() -> None:
    async with Agent(int) as agent:

        async def inside(n: int) -> Any:
            return await agent.get(same, timeout=None)

        with pytest.raises(RuntimeError, match="calls itself"):
            await agent.get(inside)
        assert now() == pytest.approx(0.0)


async def test_3a_06_one_that_does_not_run_is_an_error() -> None:
    with pytest.raises(TaskStopped, match="not running"):
        await Agent(int).get(same)
    assert whereis("nobody") is None


async def test_3a_07_a_long_function_keeps_the_others_waiting() -> None:
    async with Agent(int) as agent:
        agent.cast(partial(slowly, 2.0))
        await agent.get(same)
        assert now() == pytest.approx(2.0)


async def test_3a_08_state_that_is_handed_out_is_a_copy() -> None:
    async with Agent(lambda: {"list": [1]}) as agent:
        (await agent.get(same))["list"].append(2)
        (await agent.get_and_update(lambda state: (state, state)))["list"].append(3)
        assert await agent.get(same) == {"list": [1]}


async def test_3a_09_stray_messages_are_logged_and_ignored(caplog: pytest.LogCaptureFixture) -> None:
    async with Agent(int) as agent:
        agent._holder.send_after(0, "stray")
        await asyncio.sleep(0.1)
        assert await agent.get(same) == 0
    assert "Agent got 'stray'" in caplog.text


async def test_3a_09_stop_waits_for_the_end() -> None:
    async with Agent(int) as agent:
        agent.cast(partial(slowly, 20.0))
        await agent.stop()
        assert now() == pytest.approx(20.0)
        assert not agent.statistics().running


async def test_3a_10_a_function_with_arguments_is_a_partial() -> None:
    async with Agent(partial(int, "5")) as agent:
        await agent.update(partial(max, 7))
        assert await agent.get(same) == 7


async def test_3a_11_one_agent_is_one_after_another_for_reading_too() -> None:
    async with Agent(int) as agent:
        await asyncio.gather(*(agent.get(partial(slowly, 1.0)) for _ in range(3)))
        assert now() == pytest.approx(3.0)


# -- 3B: GenServer ------------------------------------------------------------------------------------------------


async def test_3b_01_one_message_at_a_time_in_order() -> None:
    async with Diary() as diary:
        diary.cast(0.5)
        call = spawn(diary.call, 0.25)
        await turns()
        diary.send_after(0, "info")
        await asyncio.sleep(1.0)
        assert (await call)[:4] == ["cast 0.5", "cast 0.5 done", "call 0.25", "call 0.25 done"]
        assert diary.lines[4:] == ["info info"]


@pytest.mark.parametrize(
    ("answer", "seen"), [(None, []), (Idle(1.0), [IDLE]), (Continue("arg"), [("continue", "arg")])]
)
async def test_3b_02_init_runs_before_the_start_returns_and_may_answer(answer: Any, seen: list[Any]) -> None:
    async with Replier(answer) as server:
        await asyncio.sleep(2.0)
        assert server.seen == seen


async def test_3b_02_init_that_stops_is_the_error_of_the_start() -> None:
    with pytest.raises(ValueError, match="no"):
        async with Replier(Stop(ValueError("no"))):
            pass
    with pytest.raises(TaskStopped, match="nothing to serve"):
        async with Replier(Stop()):
            pass


async def test_3b_02_a_start_that_takes_too_long_is_a_timeout() -> None:
    class Slow(Server, init_timeout=1.0):
        async def init(self) -> None:
            await forever()

    with pytest.raises(TaskTimeout):
        async with Slow():
            pass


async def test_3b_03_a_call_has_exactly_one_reply_or_the_caller_an_error_that_says_which_call() -> None:
    async with Diary() as diary:
        with pytest.raises(TaskTimeout, match=r"did not answer handle_call\(60\) within 5 s"):
            await diary.call(60)
        assert now() == pytest.approx(5.0)
        died = spawn(diary.call, "queued")
        await turns()
        diary.cast("queued too")
    await turns()
    assert isinstance(error_of(died.outcome()), TaskStopped)
    with pytest.raises(TaskStopped, match="not running"):
        await diary.call("next")


async def test_3b_03_invalid_timeouts_fail_fast() -> None:
    async with Counter() as server:
        with pytest.raises(ValueError, match="timeout"):
            await server.call("next", -1)
        assert server.count == 0


async def test_3b_03_the_reason_of_a_server_that_dies_first_comes_with_it() -> None:
    async with Diary() as diary:
        tasks = [spawn(diary.call, KeyError("reason")), spawn(diary.call, "second")]
        await asyncio.sleep(1.0)
        assert isinstance(error_of(tasks[0].outcome()), KeyError)
        assert isinstance(error_of(tasks[1].outcome()).__cause__, KeyError)


async def test_3b_04_cast_always_works_without_promise() -> None:
    counter = Counter()
    counter.cast(1)
    async with counter:
        counter.cast(1)
        assert await counter.call("next") == 2
    counter.cast(1)
    assert counter.statistics().dropped == 2


async def test_3b_05_a_call_may_be_answered_later_by_anyone() -> None:
    kept: list[Any] = []

    def keep(self: Any, caller: Any) -> Any:
        kept.append(caller)
        return NO_REPLY

    async with Replier() as server:
        task = spawn(server.call, keep)
        await asyncio.sleep(1.0)
        kept[0].reply("by the test")
        assert await task == "by the test"


async def test_3b_05_stop_with_a_reply_terminates_first_then_replies_then_ends() -> None:
    order: list[Any] = []

    class Last(Replier):
        async def terminate(self, reason: object) -> None:
            await asyncio.sleep(1.0)
            order.append(("terminate", reason))

    async with Last() as server:
        order.append(await server.call(lambda self, caller: Stop("done", reply="bye")))
        assert order == [("terminate", "done"), "bye"]
        assert not server.statistics().running


async def test_3b_06_timers_and_what_tasks_tell_arrive_in_handle_info() -> None:
    async with Replier() as server:
        server.send_after(1.0, "timer")
        task = spawn(give, "result", 2.0)
        task.add_done_callback(lambda ended: server.send_after(0, ended.outcome()))
        await asyncio.sleep(3.0)
        assert [str(one) for one in server.seen] == ["timer", "Ok('result')"]


async def test_3b_06_an_unhandled_message_is_logged_an_unhandled_call_or_cast_is_a_crash(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Server() as server:
        server.send_after(0, "stray")
        await asyncio.sleep(0.1)
        assert "got 'stray'" in caplog.text
        with pytest.raises(NotImplementedError, match="handle_call"):
            await server.call("what")
    with pytest.raises(NotImplementedError, match="handle_cast"):
        async with Server() as server:
            server.cast("what")
            await asyncio.sleep(1.0)


async def test_3b_07_continue_comes_before_any_other_message() -> None:
    async with Replier() as server:
        server.cast(lambda self: Continue(1))
        server.cast(lambda self: self.seen.append("cast"))
        await turns()
        assert server.seen == [("continue", 1), "cast"]


async def test_3b_08_a_timeout_comes_only_when_no_message_did_and_0_is_not_next() -> None:
    async with Replier() as server:
        server.cast(lambda self: Idle(0))
        server.cast(lambda self: self.seen.append("queued"))
        await asyncio.sleep(1.0)
        server.cast(lambda self: Idle(1.0))
        await asyncio.sleep(0.5)
        server.cast(lambda self: None)
        await asyncio.sleep(5.0)
        assert server.seen == ["queued"]
        server.cast(lambda self: Idle(1.0))
        await asyncio.sleep(2.0)
        assert server.seen == ["queued", IDLE]


async def test_3b_09_terminate_runs_on_stop_on_a_raise_on_a_bad_return_and_when_the_parent_stops_it() -> None:
    bad = ValueError("bad")

    def fail(self: Any, caller: Any) -> None:
        raise bad

    for act, reason in (
        (lambda server: server.call(lambda self, caller: Stop("why", reply=None)), "why"),
        (lambda server: capture(server.call(fail)), bad),
        (lambda server: server.stop("stop"), "stop"),
        (lambda server: turns(), None),
    ):
        async with Replier() as server:
            await act(server)
        assert server.seen == [("terminate", reason)]
    with pytest.raises(TypeError, match="nobody is there to get it"):
        async with Replier() as server:
            server.cast(lambda self: "a bad return")
            await asyncio.sleep(1.0)
    assert server.seen[0][0] == "terminate"


async def test_3b_09_terminate_does_not_run_on_a_kill_nor_after_a_failed_init() -> None:
    async with Replier().options(grace=0) as server:
        pass
    assert server.seen == []
    server = Replier(Stop())
    assert not (await capture(server.__aenter__())).ok
    assert server.seen == []


async def test_3b_10_a_crash_is_reported_once_with_the_message_and_a_clean_end_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Counter() as server:
        await server.call("next")
    assert caplog.records == []
    with pytest.raises(ValueError, match="bad") as caught:
        async with Counter() as server:
            server.cast(ValueError("bad"))
            await asyncio.sleep(1.0)
    assert caught.value.__notes__ == ["atonce: in Counter.handle_cast(ValueError('bad'))"]
    assert caplog.records == []


async def test_3b_11_names_are_freed_at_the_end_and_looked_up() -> None:
    with pytest.raises(ValueError, match="bad"):
        async with Counter().options(name="named") as server:
            assert whereis("named") is server
            await server.call(ValueError("bad"))
    assert whereis("named") is None


async def test_3b_12_a_grace_of_5_seconds_and_a_stop_that_waits_and_checks_the_reason() -> None:
    class Slow(Server):
        async def terminate(self, reason: object) -> None:
            await asyncio.sleep(60.0)

    async with Slow():
        pass
    assert now() == pytest.approx(5.0)
    async with Diary() as diary:
        call = spawn(diary.call, KeyError("another reason"))
        await turns(1)
        with pytest.raises(TaskStopped) as caught:
            await diary.stop("this reason")
        assert isinstance(caught.value.__cause__, KeyError)
        assert call.failed()


async def test_3b_13_statistics_and_events_without_code() -> None:
    events: list[str] = []
    telemetry.attach("3b13", "server.*", lambda event, measured, about: events.append(event))
    try:
        async with Diary() as diary:
            diary.cast(1.0)
            diary.cast("waits")
            await turns()
            figures = diary.statistics()
            assert (figures.running, figures.handled, figures.waiting) == (True, 1, 1)
    finally:
        telemetry.detach("3b13")
    assert events == ["server.start", "server.stop"]


async def test_3b_14_a_task_in_a_callback_keeps_the_server_free_and_its_failure_does_not_end_it() -> None:
    class Fetcher(Server):
        def handle_call(self, request: Any, caller: Any) -> Any:
            if request == "quick":
                return "quick"
            task = spawn(give, request, 1.0) if isinstance(request, str) else spawn(self.fail, request)
            task.add_done_callback(lambda ended: self.send_after(0, (caller, ended.outcome())))
            return NO_REPLY

        async def fail(self, error: BaseException) -> None:
            raise error

        def handle_info(self, message: Any) -> None:
            caller, outcome = message
            caller.reply(outcome.unwrap_or("it failed"))

    async with Fetcher() as server:
        slow = [spawn(server.call, "a"), spawn(server.call, "b"), spawn(server.call, KeyError("bad"))]
        await turns()
        assert await server.call("quick") == "quick"
        assert [await one for one in slow] == ["a", "b", "it failed"]
        assert now() == pytest.approx(1.0)
