"""A server that runs: what its handlers get, in which order, and what its callers get back."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from contextvars import ContextVar
from typing import Any

import pytest

from atonce import (
    IDLE,
    NO_REPLY,
    Continue,
    Idle,
    MailboxFull,
    Server,
    Stop,
    TaskStopped,
    TaskTimeout,
    scope,
    spawn,
    telemetry,
)
from atonce._runtime.registry import whereis
from atonce._runtime.service import Service
from tests.supervision.servers import Counter, Diary
from tests.verbs.acts import give, now, turns

pytestmark = pytest.mark.virtual
place: ContextVar[str] = ContextVar("place", default="nowhere")


class Echo(Server):
    def handle_call(self, request: Any, caller: Any) -> Any:
        return request


class Answers(Server):
    """Answers a call by applying it, a function of the server and the caller."""

    def init(self) -> None:
        self.seen: list[Any] = []

    def handle_call(self, request: Any, caller: Any) -> Any:
        return request(self, caller)

    def handle_cast(self, message: Any) -> Any:
        return message(self)

    def handle_info(self, message: Any) -> None:
        self.seen.append((now(), message))

    def handle_continue(self, arg: Any) -> Any:
        self.seen.append(arg)
        return arg(self) if callable(arg) else None


async def test_a_call_gives_what_the_handler_returns() -> None:
    async with Counter(5) as server:
        assert await server.call("next") == 6
        assert await server.call("next") == 7


async def test_messages_are_handled_one_at_a_time_in_the_order_they_were_sent() -> None:
    async with Diary() as diary:
        calls = [spawn(diary.call, 0.5), spawn(diary.call, "b")]
        await turns()
        diary.cast(0.25)
        calls.append(spawn(diary.call, "d"))
        await asyncio.gather(*calls)
        expected = ["call 0.5", "call 0.5 done", "call b", "cast 0.25", "cast 0.25 done", "call d"]
        assert await calls[-1] == expected


async def test_a_call_of_an_idle_server_with_a_plain_handler_takes_no_turn_of_the_loop() -> None:
    ran: list[str] = []
    async with Counter() as server:
        asyncio.get_running_loop().call_soon(ran.append, "another")
        assert await server.call("next") == 1
        assert ran == []


async def test_calls_without_a_pause_let_the_loop_turn_now_and_then() -> None:
    ran: list[int] = []
    async with Counter() as server:
        asyncio.get_running_loop().call_soon(ran.append, 1)
        for _ in range(200):
            await server.call("next")
        assert ran == [1]


async def test_casts_without_a_pause_let_the_loop_turn_now_and_then() -> None:
    async with Counter() as server:
        for _ in range(500):
            server.cast(1)
        seen = []
        while not seen or seen[-1] < 500:
            await asyncio.sleep(0)
            seen.append(server.count)
        assert len(set(seen)) > 4


async def test_a_call_never_overtakes_a_cast_that_was_sent_before() -> None:
    async with Counter() as server:
        server.cast(10)
        assert await server.call("next") == 11


async def test_a_plain_handler_may_return_a_coroutine_which_is_awaited_in_its_turn() -> None:
    async with Answers() as server:
        slow = spawn(server.call, lambda self, caller: give("slow", 1.0))
        await turns()
        quick = spawn(server.call, lambda self, caller: "quick")
        await asyncio.sleep(0.5)
        assert not quick.done()
        assert (await slow, await quick) == ("slow", "quick")


async def test_all_handlers_of_a_run_see_one_context_and_it_is_not_their_callers() -> None:
    def enter(self: Any, caller: Any) -> str:
        before = place.get()
        place.set("the server")
        return before

    async def look() -> str:
        return place.get()

    async with Answers() as server:
        place.set("the caller")
        assert await server.call(enter) == "nowhere"
        assert await server.call(lambda self, caller: look()) == "the server"
        assert await server.call(enter) == "the server"
        assert place.get() == "the caller"


async def test_what_a_handler_spawns_is_the_servers_and_not_the_callers() -> None:
    started: list[Any] = []
    async with Answers() as server:
        async with scope():
            await server.call(lambda self, caller: started.append(spawn(give, "late", 10.0)))
        await asyncio.sleep(1.0)
        assert not started[0].done()
    assert isinstance(started[0].outcome().error, TaskStopped)


async def test_a_deferred_reply_may_come_from_a_task() -> None:
    async def later(caller: Any) -> None:
        await asyncio.sleep(1.0)
        caller.reply("late")

    def ask(self: Any, caller: Any) -> Any:
        spawn(later, caller)
        return NO_REPLY

    async with Answers() as server:
        first = spawn(server.call, ask)
        await turns()
        assert await server.call(lambda self, caller: "in between") == "in between"
        assert await first == "late"
        assert now() == pytest.approx(1.0)


async def test_a_caller_is_answered_once_and_the_second_answer_is_an_error_where_it_is_given() -> None:
    kept: list[Any] = []

    def ask(self: Any, caller: Any) -> Any:
        kept.append(caller)
        return NO_REPLY

    async with Answers() as server:
        task = spawn(server.call, ask)
        await turns()
        kept[0].reply("first")
        with pytest.raises(RuntimeError, match="has its answer already"):
            kept[0].reply("second")
        assert await task == "first"


async def test_to_reply_and_to_return_a_reply_is_an_error_that_ends_the_server() -> None:
    def twice(self: Any, caller: Any) -> str:
        caller.reply("first")
        return "second"

    with pytest.raises(RuntimeError, match="return NO_REPLY from handle_call"):
        async with Answers() as server:
            assert await server.call(twice) == "first"
            await asyncio.sleep(1.0)


async def test_a_reply_is_a_copy_that_its_receiver_may_change() -> None:
    async with Diary() as diary:
        await diary.call("a")
        got = await Answers.call(diary, "b")
        got.append("mine")
        assert diary.lines == ["call a", "call b"]


async def test_a_reply_is_the_thing_itself_where_the_server_shares() -> None:
    thing = ["mine"]
    async with Echo() as copying, Echo().options(share=True) as sharing:
        assert await copying.call(thing) == thing
        assert await copying.call(thing) is not thing
        assert await sharing.call(thing) is thing


async def test_what_cannot_be_copied_is_an_error_of_the_call_alone() -> None:
    async with Echo() as server:
        with pytest.raises(TypeError, match="share=True") as caught:
            await server.call(threading.Lock())
        assert isinstance(caught.value.__cause__, TypeError)
        assert await server.call("still here") == "still here"


async def test_a_continue_comes_before_all_messages_and_after_its_reply() -> None:
    async with Answers() as server:
        server.cast(lambda self: self.seen.append("cast"))
        first = spawn(server.call, lambda self, caller: Continue("go on", reply="replied"))
        await turns(1)
        server.cast(lambda self: self.seen.append("later cast"))
        assert await first == "replied"
        await turns()
        assert server.seen == ["cast", "go on", "later cast"]


async def test_a_continue_may_lead_to_another() -> None:
    async with Answers() as server:
        await server.call(lambda self, caller: Continue(lambda self: Continue("second"), reply=None))
        assert await server.call(lambda self, caller: self.seen[1:]) == ["second"]


async def test_idle_comes_when_no_message_did_and_once() -> None:
    async with Answers() as server:
        assert await server.call(lambda self, caller: Idle(2.0, reply="set")) == "set"
        await asyncio.sleep(10.0)
        assert server.seen == [(2.0, IDLE)]


@pytest.mark.parametrize("message", ["call", "cast", "info"])
async def test_any_message_calls_idle_off(message: str) -> None:
    async with Answers() as server:
        server.cast(lambda self: Idle(2.0))
        await asyncio.sleep(1.0)
        if message == "call":
            await server.call(lambda self, caller: None)
        elif message == "cast":
            server.cast(lambda self: None)
        else:
            server.send_after(0, "info")
        await asyncio.sleep(10.0)
        assert IDLE not in [what for _, what in server.seen]


async def test_idle_begins_anew_with_each_answer_that_asks_for_it() -> None:
    async with Answers() as server:
        for _ in range(3):
            server.cast(lambda self: Idle(2.0))
            await asyncio.sleep(1.0)
        await asyncio.sleep(5.0)
        assert server.seen == [(4.0, IDLE)]


async def test_idle_0_waits_for_its_turn_where_messages_are_queued() -> None:
    async with Answers() as server:
        server.cast(lambda self: Idle(0))
        server.cast(lambda self: self.seen.append("queued"))
        await asyncio.sleep(1.0)
        assert server.seen == ["queued"]
        server.cast(lambda self: Idle(0))
        await asyncio.sleep(1.0)
        assert server.seen[1:] == [(1.0, IDLE)]


async def test_send_after_delivers_in_time_and_can_be_called_back() -> None:
    async with Answers() as server:
        server.send_after(2.0, "second")
        server.send_after(1.0, "first")
        timer = server.send_after(1.5, "never")
        assert server.statistics().timers == 3
        assert timer.cancel()
        assert not timer.cancel()
        await asyncio.sleep(3.0)
        assert server.seen == [(1.0, "first"), (2.0, "second")]


async def test_a_timer_that_rang_cannot_be_called_back() -> None:
    async with Answers() as server:
        timer = server.send_after(0, "now")
        await asyncio.sleep(0.1)
        assert not timer.cancel()


async def test_a_full_mailbox_refuses_casts_and_lets_calls_wait_in_order() -> None:
    async with Diary().options(max_mailbox=2) as diary:
        busy = spawn(diary.call, 1.0)
        await turns()
        diary.cast("a")
        diary.cast("b")
        calls = [spawn(diary.call, "c"), spawn(diary.call, "d")]
        await turns()
        assert (diary.statistics().waiting, diary.statistics().in_line) == (2, 2)
        with pytest.raises(MailboxFull, match="max_mailbox=2") as caught:
            diary.cast("refused")
        assert caught.value.limit == 2
        await asyncio.gather(busy, *calls)
        diary.cast("e")
        assert (await diary.call("f"))[2:] == ["cast a", "cast b", "call c", "call d", "cast e", "call f"]


async def test_one_that_waited_in_vain_for_a_place_was_never_handled() -> None:
    async with Diary().options(max_mailbox=1) as diary:
        busy = spawn(diary.call, 4.0)
        await turns()
        inside = spawn(diary.call, "inside", 1.0)
        await turns()
        with pytest.raises(TaskTimeout, match="never handled"):
            await diary.call("in line", 2.0)
        with pytest.raises(TaskTimeout, match="the work goes on"):
            await inside
        await busy
        assert "call inside" in await diary.call("last")
        assert "call in line" not in diary.lines


async def test_a_timer_finds_a_place_in_a_full_mailbox_and_timers_are_bounded_too() -> None:
    async with Diary().options(max_mailbox=1) as diary:
        diary.cast(1.0)
        await turns()
        diary.cast("full")
        diary.send_after(0.5, "timer")
        with pytest.raises(MailboxFull, match="timers"):
            diary.send_after(0.5, "one more")
        await asyncio.sleep(2.0)
        assert diary.lines[2:] == ["cast full", "info timer"]


async def test_each_call_has_its_own_time_and_one_that_is_late_is_dropped() -> None:
    async with Diary() as diary:

        async def timed(request: float, timeout: float | None) -> Any:
            try:
                return await diary.call(request, timeout)
            except TaskTimeout as error:
                return (round(now(), 3), error.timeout)

        limits = [3.0, 1.0, 2.0, None, 1.5]
        tasks = [spawn(timed, 4.0, limit) for limit in limits]
        got = [await task for task in tasks]
        assert got[:3] == [(3.0, 3.0), (1.0, 1.0), (2.0, 2.0)]
        assert got[4] == (1.5, 1.5)
        assert len(got[3]) == 8
        await asyncio.sleep(10.0)
        assert (diary.statistics().timed_out, diary.statistics().late) == (4, 4)


async def test_a_call_has_5_seconds_unless_it_says_otherwise() -> None:
    async with Diary() as diary:
        with pytest.raises(TaskTimeout) as caught:
            await diary.call(60)
        assert now() == pytest.approx(5.0)
        assert caught.value.timeout == 5.0


async def test_a_cancelled_caller_ends_its_wait_alone() -> None:
    async with Diary() as diary:
        task = asyncio.ensure_future(diary.call(1.0))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await diary.call("next") == ["call 1.0", "call 1.0 done", "call next"]
        assert diary.statistics().callers == 0


async def test_a_cancelled_caller_in_line_leaves_it_and_is_never_handled() -> None:
    async with Diary().options(max_mailbox=1) as diary:
        diary.cast(1.0)
        await turns()
        diary.cast("full")
        task = asyncio.ensure_future(diary.call("in line"))
        await turns()
        assert diary.statistics().in_line == 1
        task.cancel()
        await turns()
        assert diary.statistics().in_line == 0
        assert (await diary.call("last"))[2:] == ["cast full", "call last"]


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), True, "5"])
async def test_a_bad_timeout_fails_in_the_call_and_nothing_is_handled(timeout: Any) -> None:
    async with Counter() as server:
        with pytest.raises((ValueError, TypeError), match="timeout"):
            await server.call("next", timeout)
        assert server.count == 0


def test_bad_options_and_arguments_fail_at_once() -> None:
    with pytest.raises(TypeError, match="takes the arguments of its `init`"):
        Counter(1, 2)
    with pytest.raises(ValueError, match="max_mailbox"):
        Counter(1).options(max_mailbox=0)
    with pytest.raises(TypeError, match="share"):
        Counter(1).options(share="yes")  # type: ignore[arg-type]  # the point
    with pytest.raises(ValueError, match="seconds"):
        Idle(-1)
    with pytest.raises(ValueError, match="name"):

        class Nameless(Server, name=""):
            pass


def test_options_of_a_class_are_those_of_its_subclasses() -> None:
    class Small(Counter, max_mailbox=7, name="small"):
        pass

    class Smaller(Small, name="smaller"):
        pass

    assert Smaller()._atonce.options.max_mailbox == 7
    assert (Small().name, Smaller().name, Counter().name) == ("small", "smaller", None)
    assert Smaller().options(name="least").name == "least"


async def test_its_name_is_unique_while_it_runs_and_finds_it() -> None:
    async with Counter().options(name="hits") as server:
        assert whereis("hits") is server
        with pytest.raises(ValueError, match="names are unique"):
            async with Counter().options(name="hits"):
                pass
        assert whereis("hits") is server
    assert whereis("hits") is None


async def test_a_state_called_name_is_refused_with_what_to_do() -> None:
    class Person(Server):
        def init(self) -> None:
            self.name = "Ada"

    with pytest.raises(AttributeError, match="options"):
        async with Person():
            pass


async def test_it_runs_again_from_init_with_no_state_of_the_run_before() -> None:
    server = Counter(5)
    for _ in range(2):
        async with server:
            assert not hasattr(server, "extra")
            assert await server.call("next") == 6
            server.extra = "left"  # type: ignore[attr-defined]  # the point
    assert server.statistics().runs == 2


async def test_it_cannot_be_run_twice_at_the_same_time() -> None:
    async with Counter() as server:
        with pytest.raises(RuntimeError, match="runs already"):
            async with server:
                pass
        with pytest.raises(RuntimeError, match="runs already"):
            server.options(share=True)
        assert await server.call("next") == 1


async def test_an_init_that_answers_continue_lets_the_start_return_before() -> None:
    class Slow(Answers):
        def init(self) -> Any:
            super().init()
            return Continue("load")

        async def handle_continue(self, arg: Any) -> None:
            await asyncio.sleep(3.0)
            self.seen.append(arg)

    async with Slow() as server:
        assert now() == pytest.approx(0.0)
        assert await server.call(lambda self, caller: self.seen) == ["load"]
        assert now() == pytest.approx(3.0)


async def test_an_init_may_answer_idle() -> None:
    class Sleepy(Answers):
        def init(self) -> Any:
            super().init()
            return Idle(2.0)

    async with Sleepy() as server:
        await asyncio.sleep(3.0)
        assert server.seen == [(2.0, IDLE)]


async def test_a_message_without_handle_info_is_logged_and_forgotten(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Counter() as server:
        server.send_after(0, "stray")
        await asyncio.sleep(0.1)
        assert await server.call("next") == 1
    assert "Counter got 'stray' and has no handle_info" in caplog.text


async def test_a_handle_is_copied_as_itself_and_is_not_pickled() -> None:
    async with Counter() as server, Echo() as echo:
        assert copy.deepcopy(server) is server
        assert await echo.call([server]) == [server]
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(server)
        assert repr(server) == "<Counter running>"
    assert repr(server) == "<Counter not running>"


async def test_its_events_tell_of_start_and_end() -> None:
    seen: list[tuple[str, Any]] = []
    telemetry.attach("test", "server.*", lambda event, _, about: seen.append((event, about)))
    try:
        async with Counter().options(name="hits") as server:
            await server.call("next")
        with pytest.raises(ValueError):
            async with Counter() as server:
                await server.call(ValueError("bad"))
    finally:
        telemetry.detach("test")
    assert [event for event, _ in seen] == ["server.start", "server.stop", "server.start", "server.exception"]
    assert seen[0][1] == {"name": "hits", "server": "Counter 'hits'"}
    assert isinstance(seen[3][1]["error"], ValueError)


async def test_it_is_a_service() -> None:
    assert isinstance(Counter(), Service)


async def test_a_stop_answer_replies_when_terminate_has_run() -> None:
    order: list[str] = []

    class Ending(Answers):
        async def terminate(self, reason: object) -> None:
            await asyncio.sleep(1.0)
            order.append(f"terminate {reason}")

    async with Ending() as server:
        order.append(await server.call(lambda self, caller: Stop("enough", reply="bye")))
        assert order == ["terminate enough", "bye"]
        with pytest.raises(TaskStopped, match="it was stopped"):
            await server.call(lambda self, caller: None)
