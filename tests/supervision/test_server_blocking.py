"""Servers and agents of `atonce.blocking`: called from plain threads, living on the private loop."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import atonce
from atonce import TaskStopped, TaskTimeout, blocking
from atonce._runtime.registry import whereis


class Counter(blocking.Server):
    def init(self, start: int = 0) -> None:
        self.count = start
        self.last: object = "not yet"

    def handle_call(self, request: Any, caller: Any) -> Any:
        if isinstance(request, BaseException):
            raise request
        if request == "slow":
            return self.slow()
        if request == "later":
            threading.Timer(0.01, caller.reply, ["from a thread"]).start()
            return blocking.NO_REPLY
        if request == "cast to yourself":
            self.cast(10)
            return None
        self.count += 1
        return self.count

    async def slow(self) -> str:
        await asyncio.sleep(30.0)
        return "slow"

    def handle_cast(self, message: Any) -> None:
        if isinstance(message, BaseException):
            raise message
        self.count += message

    def handle_info(self, message: int) -> None:
        self.count += message

    def terminate(self, reason: object) -> None:
        self.last = reason


def wait_until(true: Any) -> None:
    until = time.monotonic() + 10
    while not true():
        assert time.monotonic() < until
        time.sleep(0.001)


def test_a_call_gives_the_reply() -> None:
    with Counter(5) as server:
        assert server.call("next") == 6
        assert server.statistics().running
    assert server.last is None


def test_casts_and_timers_come_in_their_turn() -> None:
    with Counter() as server:
        server.cast(2)
        assert server.call("next") == 3
        server.call("cast to yourself")
        assert server.call("next") == 14
        server.send_after(0.001, 100)
        wait_until(lambda: server.count == 114)


def test_a_timer_is_called_back_from_any_thread() -> None:
    with Counter() as server:
        timer = server.send_after(60, 100)
        assert timer.cancel()
        assert not timer.cancel()


def test_many_threads_lose_nothing() -> None:
    with Counter() as server, ThreadPoolExecutor(8) as threads:
        got = list(threads.map(lambda _: server.call("next"), range(400)))
        assert sorted(got) == list(range(1, 401))


def test_a_reply_may_come_from_another_thread() -> None:
    with Counter() as server:
        assert server.call("later") == "from a thread"


def test_a_late_reply_is_a_timeout() -> None:
    with Counter() as server, pytest.raises(TaskTimeout):
        server.call("slow", timeout=0.01)


def test_a_failure_that_its_caller_saw_is_not_raised_again() -> None:
    with Counter() as server:
        with pytest.raises(KeyError, match="bad"):
            server.call(KeyError("bad"))
        with pytest.raises(TaskStopped, match="failed with KeyError"):
            server.call("next")


def test_a_failure_that_nobody_saw_is_raised_from_the_block() -> None:
    with pytest.raises(KeyError, match="bad"), Counter() as server:
        server.cast(KeyError("bad"))
        wait_until(lambda: not server.statistics().running)


def test_what_init_raises_is_raised_where_it_was_started() -> None:
    class Stillborn(blocking.Server):
        def init(self) -> None:
            raise ValueError("stillborn")

    with pytest.raises(ValueError, match="stillborn"), Stillborn():
        pytest.fail("the block was entered")


def test_stop_is_in_order_and_the_same_object_runs_again() -> None:
    server = Counter().options(name="again")
    for _ in range(2):
        with server:
            assert whereis("again") is server
            server.cast(1)
            server.stop("enough", timeout=10.0)
            assert (server.count, server.last) == (1, "enough")
    assert whereis("again") is None


def test_what_is_spawned_in_the_block_is_not_the_servers() -> None:
    with blocking.scope():
        with Counter():
            task = blocking.spawn(sum, [1, 2])
        assert task.result() == 3


def test_an_async_server_says_where_to_go_when_it_is_called_from_another_thread() -> None:
    class Plain(atonce.Server):
        def handle_call(self, request: Any, caller: Any) -> Any:
            return request

    def elsewhere(server: Plain) -> None:
        for act in (
            lambda: asyncio.run(server.call(1)),
            lambda: server.cast(1),
            lambda: server.send_after(1, 1),
        ):
            with pytest.raises(RuntimeError, match=r"atonce\.blocking\.Server"):
                act()  # type: ignore[no-untyped-call]  # three kinds

    async def main() -> None:
        async with Plain() as server:
            await asyncio.to_thread(elsewhere, server)

    asyncio.run(main())


def test_an_agent_is_used_with_the_same_verbs() -> None:
    with blocking.Agent(dict[str, int], name="words") as agent:
        agent.update(lambda state: state | {"a": 1})
        assert agent.get_and_update(lambda state: (len(state), state | {"b": 2})) == 1
        agent.cast(lambda state: state | {"c": 3})
        assert agent.get(sorted) == ["a", "b", "c"]
        assert whereis("words") is agent
        agent.stop()
        with pytest.raises(TaskStopped):
            agent.get(len)


def test_an_agents_failure_that_nobody_saw_is_raised_from_the_block() -> None:
    with pytest.raises(ZeroDivisionError), blocking.Agent(int) as agent:
        agent.cast(lambda n: 1 // n)
        wait_until(lambda: not agent.statistics().running)


def test_a_call_from_within_a_handler_is_refused_at_once() -> None:
    class Caller(blocking.Server):
        def handle_call(self, request: Any, caller: Any) -> Any:
            return self.call(request)

    with Caller() as server, pytest.raises(RuntimeError, match="its own event loop"):
        server.call("next")
