"""How a server ends: who is told what, what still runs, and what nobody ever waits for."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from atonce import NO_REPLY, Server, Stop, TaskStopped, TaskTimeout, scope, spawn
from atonce._runtime.registry import whereis
from tests.supervision.servers import Counter, Diary
from tests.verbs.acts import Stubborn, error_of, forever, now, turns

pytestmark = pytest.mark.virtual
BAD = ValueError("bad")


class Mortal(Diary):
    """A diary whose last word is written too, after `last` seconds."""

    last: Any = 0.0

    async def terminate(self, reason: object) -> None:
        if isinstance(self.last, BaseException):
            raise self.last
        await asyncio.sleep(self.last)
        self.lines.append(f"terminate {reason!r}")


def gone(task: Any) -> BaseException:
    """The error of a task whose call had no answer, which is told with its cause."""
    error = error_of(task.outcome())
    assert isinstance(error, TaskStopped)
    cause = error.__cause__
    return error if cause is None else cause


# -- in good order ------------------------------------------------------------------------------------------------


async def test_leaving_the_block_cuts_the_handler_at_work_and_handles_nothing_more() -> None:
    async with Mortal() as server:
        calls = [spawn(server.call, 10.0, name="cut"), spawn(server.call, "queued")]
        await turns()
        server.cast("queued too")
    await turns()
    assert [str(gone(call)) for call in calls] == ["Mortal was stopped before it answered"] * 2
    assert server.lines == ["call 10.0", "terminate None"]
    assert server.statistics().dropped == 1
    assert now() == pytest.approx(0.0)


async def test_stop_handles_first_what_was_sent_before() -> None:
    async with Mortal() as server:
        server.cast(1.0)
        server.cast("second")
        stopping = spawn(server.stop, "enough")
        await turns()
        server.cast("too late")
        await stopping
        assert server.lines == ["cast 1.0", "cast 1.0 done", "cast second", "terminate 'enough'"]
        assert server.statistics().dropped == 1
        await server.stop()


async def test_stop_with_a_time_limit_is_late_and_still_comes() -> None:
    async with Mortal() as server:
        server.cast(2.0)
        with pytest.raises(TaskTimeout):
            await server.stop(timeout=1.0)
        await asyncio.sleep(2.0)
        assert not server.statistics().running
        assert server.lines[-1] == "terminate None"


async def test_stop_waits_for_terminate_and_for_what_the_handlers_spawned() -> None:
    over: list[str] = []

    async def long() -> None:
        try:
            await forever()
        finally:
            await asyncio.sleep(1.0)
            over.append("child")

    class Parent(Mortal):
        last = 1.0

        def init(self) -> None:
            super().init()
            self.child = spawn(long)

    async with Parent() as server:
        await server.stop()
        assert over == ["child"]
        assert now() == pytest.approx(2.0)
        assert server.child.done()


async def test_two_may_stop_it_and_both_are_told() -> None:
    async with Mortal() as server:
        server.cast(1.0)
        await asyncio.gather(server.stop("a"), server.stop("b"))
        assert server.lines[-1] == "terminate 'a'"


async def test_stop_for_a_failure_ends_it_with_that_and_the_one_who_asked_is_content() -> None:
    async with Mortal() as server:
        await server.stop(BAD)
        assert server.lines == ["terminate ValueError('bad')"]
        with pytest.raises(TaskStopped) as caught:
            await server.call("after")
        assert caught.value.__cause__ is BAD


async def test_stop_of_one_that_dies_first_raises_what_it_died_of() -> None:
    async with Mortal() as server:
        server.cast(0.5)
        call = spawn(server.call, KeyError("first"))
        await turns()
        with pytest.raises(TaskStopped) as caught:
            await server.stop()
        assert isinstance(caught.value.__cause__, KeyError)
        assert isinstance(error_of(call.outcome()), KeyError)


async def test_a_cancel_in_the_block_ends_the_server_in_good_order_and_goes_on() -> None:
    server = Mortal()

    async def block() -> None:
        async with server:
            await forever()

    task = asyncio.ensure_future(block())
    await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert server.lines == ["terminate None"]


async def test_cast_and_send_after_to_one_that_does_not_run_are_dropped_and_counted() -> None:
    server = Counter()
    server.cast(1)
    async with server:
        server.send_after(10, "never")
    server.cast(1)
    assert not server.send_after(0, "no").cancel()
    assert server.statistics().dropped == 4


async def test_a_call_of_one_that_does_not_run_says_why() -> None:
    server = Counter()
    with pytest.raises(TaskStopped, match="enter it with `async with`"):
        await server.call("next")
    async with server:
        pass
    with pytest.raises(TaskStopped, match="it was stopped"):
        await server.call("next")
    with pytest.raises(ValueError):
        async with server:
            await server.call(ValueError("bad"))
    with pytest.raises(TaskStopped, match="it failed with ValueError"):
        await server.call("next")


# -- failures -----------------------------------------------------------------------------------------------------


async def test_the_caller_of_a_handler_that_raises_gets_that_and_others_its_news() -> None:
    async with Diary() as server:
        server.cast(1.0)
        bad, other = spawn(server.call, BAD), spawn(server.call, "other")
        await asyncio.sleep(2.0)
        assert error_of(bad.outcome()) is BAD
        assert "atonce: in Diary.handle_call(ValueError('bad'))" in BAD.__notes__
        assert gone(other) is BAD
        assert not server.statistics().running


async def test_a_failure_that_a_caller_saw_leaves_the_block_alone() -> None:
    async with Counter() as server:
        with pytest.raises(KeyError):
            await server.call(KeyError("bad"))
        await asyncio.sleep(1.0)
    assert now() == pytest.approx(1.0)


@pytest.mark.parametrize("error", [ValueError("bad"), TaskStopped("of another"), SystemExit(3)])
async def test_a_failure_that_no_caller_saw_stops_the_block_at_once_and_is_raised_from_it(
    error: BaseException,
) -> None:
    with pytest.raises(type(error)) as caught:
        async with Counter() as server:
            server.cast(error)
            await asyncio.sleep(60.0)
    assert caught.value is error
    assert now() == pytest.approx(0.0)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_caller_that_gave_up_has_not_seen_the_failure() -> None:
    class Late(Server):
        async def handle_call(self, request: Any, caller: Any) -> None:
            await asyncio.sleep(2.0)
            raise ValueError("late")

    with pytest.raises(ValueError, match="late"):
        async with Late() as server:
            with pytest.raises(TaskTimeout):
                await server.call("next", 1.0)
            await asyncio.sleep(60.0)
    assert now() == pytest.approx(2.0)


async def test_what_init_raises_is_raised_where_it_was_started_and_nothing_stays() -> None:
    class Stillborn(Mortal):
        async def init(self) -> None:  # type: ignore[override]  # an async twin
            super().init()
            spawn(forever)
            await asyncio.sleep(1.0)
            raise ValueError("stillborn")

    server = Stillborn().options(name="stillborn")
    with pytest.raises(ValueError, match="stillborn"):
        async with server:
            pytest.fail("the block was entered")
    assert server.lines == []
    assert whereis("stillborn") is None


async def test_an_init_that_takes_too_long_is_a_timeout() -> None:
    class Slow(Server):
        async def init(self) -> None:
            await forever()

    with pytest.raises(TaskTimeout, match="init took more than 2") as caught:
        async with Slow().options(init_timeout=2.0):
            pass
    assert caught.value.timeout == 2.0
    assert now() == pytest.approx(2.0)


@pytest.mark.parametrize("reason", [None, "nothing to do", ValueError("no")])
async def test_an_init_that_answers_stop_is_no_start(reason: Any) -> None:
    class Idler(Server):
        def init(self) -> Any:
            return Stop(reason)

    with pytest.raises((TaskStopped, ValueError)) as caught:
        async with Idler():
            pytest.fail("the block was entered")
    assert isinstance(caught.value, TaskStopped) or caught.value is reason


async def test_a_cancel_while_init_runs_ends_it_and_goes_on() -> None:
    ended: list[str] = []

    class Slow(Server):
        async def init(self) -> None:
            try:
                await forever()
            finally:
                ended.append("init")

    server = Slow()
    task = asyncio.ensure_future(server.__aenter__())
    await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["init"]
    assert not server.statistics().running


@pytest.mark.parametrize("verb", ["cast", "call", "send_after"])
async def test_one_without_the_handler_dies_of_a_call_or_a_cast_and_not_of_a_stray_message(verb: str) -> None:
    async with scope():
        server = Server()
        try:
            async with server:
                if verb == "call":
                    await server.call("what")
                elif verb == "cast":
                    server.cast("what")
                else:
                    server.send_after(0, "what")
                await asyncio.sleep(1.0)
                assert verb == "send_after"
        except NotImplementedError as error:
            assert f"handle_{verb}" in str(error)  # the other case does not raise
            assert "'what'" in str(error)


async def test_a_cast_handler_that_returns_something_is_told_what_it_may_return() -> None:
    class Talker(Server):
        def handle_cast(self, message: Any) -> Any:
            return message

    for answer in ("a reply", Stop(reply="to nobody")):
        with pytest.raises(TypeError, match=r"nobody is there to get it: return None, Stop\(\)"):
            async with Talker() as server:
                server.cast(answer)
                await asyncio.sleep(1.0)


async def test_a_handler_that_raises_cancelled_error_by_itself_is_a_failure() -> None:
    async with Diary() as server:
        with pytest.raises(TaskStopped, match="raised CancelledError by itself"):
            await server.call(asyncio.CancelledError())


async def test_terminate_hears_of_the_failure_and_its_own_failure_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Mortal() as server:
        server.last = KeyError("in terminate")
        with pytest.raises(ValueError) as caught:
            await server.call(BAD)
        assert caught.value is BAD
    assert "terminate of Mortal failed, after a failure" in caplog.text


async def test_a_terminate_that_fails_without_another_failure_is_raised_from_the_block() -> None:
    with pytest.raises(KeyError, match="in terminate"):
        async with Mortal() as server:
            server.last = KeyError("in terminate")


async def test_who_waits_is_told_when_terminate_is_done() -> None:
    async with Mortal() as server:
        server.last = 2.0
        with pytest.raises(ValueError):
            await server.call(BAD)
        assert now() == pytest.approx(2.0)


async def test_one_that_ends_takes_no_more_calls() -> None:
    async with Mortal() as server:
        server.last = 2.0
        bad = spawn(server.call, KeyError("bad"))
        await turns()
        with pytest.raises(TaskStopped, match="failed with KeyError"):
            await server.call("next")
        assert now() == pytest.approx(0.0)
        await asyncio.sleep(3.0)
        assert isinstance(error_of(bad.outcome()), KeyError)


# -- what does not end --------------------------------------------------------------------------------------------


async def test_a_handler_that_swallows_its_cancel_is_abandoned_after_the_grace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stubborn = Stubborn()

    class Deaf(Mortal):
        async def handle_call(self, request: Any, caller: Any) -> Any:
            return await stubborn.work()

    async with Deaf().options(grace=2.0) as server:
        call = spawn(server.call, "next")
        await turns()
    assert now() == pytest.approx(2.0)
    assert "abandoned: a handler of Deaf does not end" in caplog.text
    assert server.lines == []
    await turns()
    assert str(gone(call)) == "Deaf was stopped before it answered"
    await stubborn.let_go()
    await turns()


async def test_a_terminate_that_does_not_end_is_abandoned_after_the_grace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Mortal().options(grace=2.0) as server:
        server.last = 60.0
    assert now() == pytest.approx(2.0)
    assert "abandoned: terminate of Mortal does not end" in caplog.text
    await turns()


async def test_grace_0_cuts_off_the_handler_and_terminate(caplog: pytest.LogCaptureFixture) -> None:
    async with Mortal().options(grace=0) as server:
        server.cast(60.0)
        await turns()
    assert server.lines == ["cast 60.0"]
    assert now() == pytest.approx(0.0)
    assert caplog.records == []


# -- circles ------------------------------------------------------------------------------------------------------


class Friend(Server):
    """Calls the server that it is told to."""

    async def handle_call(self, request: Any, caller: Any) -> Any:
        return await request()


async def test_a_call_of_itself_is_an_error_at_once() -> None:
    async with Friend() as server:
        with pytest.raises(RuntimeError, match="calls itself from its own handler"):
            await server.call(lambda: server.call("next", None))
        assert now() == pytest.approx(0.0)


async def test_a_stop_of_itself_is_an_error_at_once() -> None:
    async with Friend() as server:
        with pytest.raises(RuntimeError, match="Stop"):
            await server.call(server.stop)


async def test_servers_that_call_each_other_in_a_circle_are_told_at_once() -> None:
    async with Friend().options(name="a") as a, Friend().options(name="b") as b:
        with pytest.raises(RuntimeError, match="Friend 'b' -> Friend 'a' -> Friend 'b' call each other"):
            await a.call(lambda: b.call(lambda: a.call("round", None), None))
        assert now() == pytest.approx(0.0)


async def test_a_chain_of_calls_is_no_circle() -> None:
    async def end() -> str:
        return "end"

    async with Friend() as a, Friend() as b, Friend() as c:
        assert await a.call(lambda: b.call(lambda: c.call(end))) == "end"
        assert await c.call(lambda: a.call(end)) == "end"


async def test_a_task_of_the_handler_may_call_the_server_once_the_handler_is_done() -> None:
    async def end() -> str:
        return "end"

    class Deferring(Friend):
        async def handle_call(self, request: Any, caller: Any) -> Any:
            if request == "later":
                spawn(self.answer, caller)
                return NO_REPLY
            return await request()

        async def answer(self, caller: Any) -> None:
            caller.reply(await self.call(end))

    async with Deferring() as server:
        assert await server.call("later") == "end"


async def test_a_handler_that_awaits_such_a_task_is_told_by_the_timeout() -> None:
    async with Friend() as server:

        async def through_a_task() -> Any:
            return await spawn(server.call, "next", 1.0)

        with pytest.raises(TaskTimeout) as caught:
            await server.call(through_a_task)
        assert "atonce: Friend was called by a task of its own handler" in caught.value.__notes__


async def test_nobody_is_left_waiting_whatever_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    for ending in ("leave", "stop", "fail"):
        kept: list[Any] = []

        class Keeper(Server):
            def handle_call(self, request: Any, caller: Any, kept: list[Any] = kept) -> Any:
                kept.append(caller)
                return NO_REPLY

            async def handle_cast(self, message: BaseException) -> None:
                raise message

        try:
            async with Keeper() as server:
                calls = [spawn(server.call, number) for number in range(5)]
                await turns()
                if ending == "stop":
                    await server.stop()
                elif ending == "fail":
                    server.cast(BAD)
                    await asyncio.sleep(1.0)
        except ValueError:
            assert ending == "fail"
        await turns()
        assert [type(error_of(call.outcome())) for call in calls] == [TaskStopped] * 5
        kept[0].reply("too late")
        assert server.statistics().late == 1
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_ctrl_c_in_a_handler_is_not_the_callers_to_handle() -> None:
    ended: list[object] = []

    class Interrupted(Server):
        def handle_call(self, request: Any, caller: Any) -> None:
            raise KeyboardInterrupt

        def terminate(self, reason: object) -> None:
            ended.append(reason)

    async def main() -> None:
        async with Interrupted() as server:
            await server.call("next")

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert len(ended) == 1


def test_the_end_of_the_loop_ends_a_server_in_good_order() -> None:
    server = Mortal()

    async def main() -> None:
        await server.__aenter__()
        spawn(server.call, 10.0)
        await turns()

    asyncio.run(main())
    assert server.lines == ["call 10.0", "terminate None"]
    assert not server.statistics().running
