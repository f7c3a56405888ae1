"""Random clients of a supervised server, in virtual time and in shuffled schedules: its laws hold in each."""

from __future__ import annotations

import asyncio
import random
from collections import Counter as Tally
from collections import defaultdict
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from atonce import (
    NO_REPLY,
    Child,
    Continue,
    MailboxFull,
    Server,
    Stop,
    Supervisor,
    TaskStopped,
    TaskTimeout,
    spawn,
)
from atonce.testing import run_virtual
from tests.policy.effort import at_least

LIMIT = 3


class Crash(Exception):
    """What a handler raises when it is told to."""


class Watched(Server, max_mailbox=LIMIT):
    """Does what each message says, and writes down which it was; notices when two handlers are at work."""

    def init(self, seen: list[tuple[int, int]], dice: random.Random) -> None:
        self.seen, self.dice = seen, dice
        self.at_work = 0

    def handle_call(self, request: Any, caller: Any) -> Any:
        act, who, number = request
        self.begin(who, number)
        if act == "slow":
            return self.slowly((who, number))
        self.at_work -= 1
        if act == "crash":
            raise Crash
        if act == "stop":
            return Stop("asked", reply=(who, number))
        if act == "continue":
            return Continue((who, number), reply=(who, number))
        if act == "later":
            spawn(self.later, caller, (who, number))
            return NO_REPLY
        return (who, number)

    async def slowly(self, reply: Any) -> Any:
        await asyncio.sleep(self.dice.random())
        self.at_work -= 1
        return reply

    async def later(self, caller: Any, reply: Any) -> None:
        await asyncio.sleep(self.dice.random())
        caller.reply(reply)

    async def handle_cast(self, message: Any) -> None:
        _, who, number = message
        self.begin(who, number)
        await self.slowly(None)

    def handle_continue(self, arg: Any) -> None:
        assert self.seen[-1] == arg
        assert self.at_work == 0

    def begin(self, who: int, number: int) -> None:
        assert self.at_work == 0, "two handlers at work"
        assert self.statistics().waiting <= LIMIT
        self.at_work += 1
        self.seen.append((who, number))

    def terminate(self, reason: object) -> None:
        self.seen.append((-1, 0))


async def client(server: Watched, who: int, acts: list[str], dice: random.Random, tally: Tally[str]) -> None:
    """Send one message after another; each call has exactly one end, and a reply is the answer to it."""
    for number, act in enumerate(acts):
        await asyncio.sleep(dice.choice([0, 0, dice.random()]))
        try:
            if act == "cast":
                server.cast((act, who, number))
                tally["cast"] += 1
                continue
            got = await server.call((act, who, number), dice.choice([0.5, 5.0, None]))
            assert got == (who, number)
            tally["ok"] += 1
        except Crash:
            assert act == "crash"
            tally["crash"] += 1
        except (TaskStopped, TaskTimeout, MailboxFull) as error:
            tally[type(error).__name__] += 1


ACTS = st.sampled_from(["quick"] * 4 + ["slow", "slow", "cast", "cast", "later", "continue", "crash", "stop"])


@given(st.lists(st.lists(ACTS, min_size=1, max_size=8), min_size=1, max_size=6), st.integers(0, 2**32))
@at_least(300)
def test_the_laws_of_a_server_hold_in_every_schedule(programs: list[list[str]], seed: int) -> None:
    dice, seen, tally = random.Random(seed), [], Tally[str]()
    server = Watched(seen, dice)

    async def main() -> None:
        async with Supervisor(children=[Child(server)], max_restarts=10**6):
            clients = [client(server, who, acts, dice, tally) for who, acts in enumerate(programs)]
            await asyncio.gather(*clients)
            await asyncio.sleep(60.0)
            assert server.statistics().callers == 0
            assert server.statistics().waiting == 0

    run_virtual(main, seed=seed)
    sent = sum(len(acts) for acts in programs)
    assert sum(tally.values()) == sent, "every message has one fate"
    handled = defaultdict(list)
    for who, number in seen:
        handled[who].append(number)
    assert handled.pop(-1, []) == [0] * server.statistics().runs
    for numbers in handled.values():
        assert numbers == sorted(set(numbers)), "in the order in which they were sent, and once"
    casts = sum(programs[who][number] == "cast" for who, numbers in handled.items() for number in numbers)
    assert tally["cast"] == casts + server.statistics().dropped, "a cast is handled, or counted as dropped"
