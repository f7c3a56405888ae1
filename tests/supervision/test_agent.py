"""An agent: one value, changed by functions that are sent to it."""

from __future__ import annotations

import asyncio
import copy
import pickle
from functools import partial
from typing import Any

import pytest

from atonce import NO_REPLY, Agent, MailboxFull, Stop, TaskStopped, TaskTimeout, spawn
from atonce._runtime.registry import whereis
from atonce._runtime.service import Service
from tests.verbs.acts import error_of, give, now, turns

pytestmark = pytest.mark.virtual


def same(state: Any) -> Any:
    return state


async def slowly(seconds: float, state: int) -> int:
    await asyncio.sleep(seconds)
    return state + 1


async def test_get_gives_what_the_function_makes_of_the_state() -> None:
    async with Agent(lambda: {"a": 1}) as agent:
        assert await agent.get(lambda state: state["a"]) == 1
        assert await agent.get(len) == 1
        assert await agent.get(same) == {"a": 1}


async def test_update_makes_what_the_function_returns_the_state() -> None:
    async with Agent(int) as agent:
        assert await agent.update(lambda n: n + 2) is None  # type: ignore[func-returns-value]  # the point
        assert await agent.get(same) == 2


async def test_get_and_update_gives_the_first_and_keeps_the_second() -> None:
    async with Agent(lambda: 5) as agent:
        assert await agent.get_and_update(lambda n: (n, n + 1)) == 5
        assert await agent.get(same) == 6


async def test_cast_is_applied_in_its_turn() -> None:
    async with Agent(int) as agent:
        agent.cast(lambda n: n + 1)
        agent.cast(partial(slowly, 1.0))
        assert await agent.get(same) == 2
        assert now() == pytest.approx(1.0)


async def test_functions_may_be_async_and_keep_the_others_waiting() -> None:
    async with Agent(int) as agent:
        first = spawn(agent.update, partial(slowly, 2.0))
        await turns()
        assert await agent.get(same) == 1
        assert now() == pytest.approx(2.0)
        await first

        async def pair(n: int) -> tuple[str, int]:
            return await give("old", 1.0), n + 1

        assert await agent.get_and_update(pair) == "old"
        assert await agent.get(lambda n: give(n, 1.0)) == 2


async def test_the_first_state_may_be_made_by_an_async_function_within_its_time() -> None:
    async with Agent(partial(give, 3, 1.0)) as agent:
        assert await agent.get(same) == 3
    with pytest.raises(TaskTimeout, match="init took more than"):
        async with Agent(partial(give, 3, 10.0), timeout=2.0):
            pass


async def test_many_at_once_lose_no_update() -> None:
    async with Agent(int) as agent:
        await asyncio.gather(*(agent.update(lambda n: n + 1) for _ in range(500)))
        assert await agent.get(same) == 500


async def test_what_it_gives_is_a_copy_unless_it_shares() -> None:
    async with Agent(list[int]) as copying, Agent(list[int], share=True) as sharing:
        for agent, expected in ((copying, []), (sharing, [1])):
            got = await agent.get(same)
            got.append(1)
            assert await agent.get(same) == expected
        assert await copying.get_and_update(lambda state: (state, state)) == []


async def test_a_value_that_looks_like_a_servers_answer_is_a_value() -> None:
    async with Agent(lambda: Stop("me"), share=True) as agent:
        assert await agent.get(same) == Stop("me")
        assert await agent.get(lambda _: NO_REPLY) is NO_REPLY


async def test_a_function_that_raises_ends_it_and_its_caller_gets_that() -> None:
    async with Agent(dict[str, int]) as agent:
        with pytest.raises(KeyError, match="missing") as caught:
            await agent.get(lambda state: state["missing"])
        assert any(note.startswith("atonce: in Agent.handle_call") for note in caught.value.__notes__)
        with pytest.raises(TaskStopped, match="failed with KeyError"):
            await agent.get(same)


async def test_a_cast_that_raises_stops_the_block() -> None:
    with pytest.raises(ZeroDivisionError):
        async with Agent(int) as agent:
            agent.cast(lambda n: 1 // n)
            await asyncio.sleep(60.0)
    assert now() == pytest.approx(0.0)


@pytest.mark.parametrize("answer", [5, (1,), (1, 2, 3), [1, 2], None])
async def test_get_and_update_with_no_pair_ends_it(answer: Any) -> None:
    async with Agent(int) as agent:
        with pytest.raises(TypeError, match="returns a pair"):
            await agent.get_and_update(lambda n: answer)
        assert not agent.statistics().running


async def test_a_late_update_is_applied_all_the_same() -> None:
    async with Agent(int) as agent:
        with pytest.raises(TaskTimeout):
            await agent.update(partial(slowly, 3.0), timeout=1.0)
        assert await agent.get(same) == 1


async def test_a_full_mailbox_refuses_casts() -> None:
    async with Agent(int, max_mailbox=1) as agent:
        agent.cast(lambda n: n + 1)
        with pytest.raises(MailboxFull):
            agent.cast(lambda n: n + 1)
        assert await agent.get(same) == 1


async def test_stop_applies_what_was_sent_and_calls_after_it_say_so() -> None:
    seen: list[int] = []
    async with Agent(int) as agent:
        agent.cast(lambda n: n + 1)
        agent.cast(lambda n: seen.append(n) or n)  # type: ignore[func-returns-value]  # the point
        await agent.stop()
        assert seen == [1]
        agent.cast(lambda n: n)
        with pytest.raises(TaskStopped, match="it was stopped"):
            await agent.get(same)


async def test_it_runs_again_from_init() -> None:
    agent = Agent(list[int])
    for _ in range(2):
        async with agent:
            await agent.update(lambda state: [*state, 1])
            assert await agent.get(len) == 1


async def test_its_name_finds_the_agent_itself() -> None:
    async with Agent(int, name="hits") as agent:
        assert whereis("hits") is agent
        assert agent.name == "hits"
        assert repr(agent) == "<Agent 'hits' running>"
    assert whereis("hits") is None


async def test_leaving_the_block_tells_those_who_wait() -> None:
    async with Agent(int) as agent:
        task = spawn(agent.update, partial(slowly, 10.0))
        await turns()
    await turns()
    assert isinstance(error_of(task.outcome()), TaskStopped)


@pytest.mark.parametrize("wrong", [5, lambda: None, lambda a, b: None])
async def test_a_function_that_does_not_take_the_state_fails_in_the_call(wrong: Any) -> None:
    async with Agent(int) as agent:
        for verb in (agent.get, agent.update, agent.get_and_update):
            with pytest.raises(TypeError):
                await verb(wrong)
        with pytest.raises(TypeError):
            agent.cast(wrong)
        assert await agent.get(same) == 0


def test_bad_options_fail_at_once() -> None:
    with pytest.raises(TypeError, match="cannot be called with 0"):
        Agent(lambda state: state)  # type: ignore[call-overload, misc]  # the point
    with pytest.raises(ValueError, match="max_mailbox"):
        Agent(int, max_mailbox=0)
    with pytest.raises(TypeError, match="seconds"):
        Agent(int, timeout="5")  # type: ignore[call-overload]  # the point


async def test_it_is_a_service_and_its_handle_is_copied_as_itself() -> None:
    agent = Agent(int)
    assert isinstance(agent, Service)
    assert copy.deepcopy(agent) is agent
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(agent)
