"""A world in which a roster's actions are carried out by the book, and a naive model of what it owes to whom."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from atonce import Retry
from atonce._policy.actions import (
    Action,
    Drop,
    GiveUp,
    How,
    Open,
    Over,
    Refuse,
    Rest,
    Restart,
    Start,
    Stop,
    Strategy,
)
from atonce._policy.restarts import Intensity
from atonce._policy.roster import Roster

KINDS: tuple[Restart, ...] = ("temporary", "transient", "permanent")
STRATEGIES: tuple[Strategy, ...] = ("one_for_one", "one_for_all", "rest_for_one")


@dataclass(eq=False)
class Key:
    """One that asks for places."""

    number: int
    kind: str
    restart: Restart = "temporary"
    places: int = 1
    is_work: bool = True

    def __repr__(self) -> str:
        return f"{self.kind}{self.number}"


class World:
    """Carries out what a roster asks for, one action at a time, and checks each against what it knows."""

    def __init__(
        self,
        limit: int | None = None,
        *,
        waits: bool = False,
        max_queue: int = 3,
        most: int = 3,
        strategy: Strategy = "one_for_one",
        backoff: Retry | None = None,
        line: list[Restart] | None = None,
    ) -> None:
        self.limit, self.waits, self.max_queue, self.most, self.strategy = (
            limit,
            waits,
            max_queue,
            most,
            strategy,
        )
        self.roster = Roster(
            limit,
            waits=waits,
            max_queue=max_queue,
            intensity=Intensity(most, 5.0),
            strategy=strategy,
            backoff=backoff,
        )
        self.numbers = itertools.count()
        self.now = 0.0
        self.rests = 0
        self.running: dict[Key, None] = {}
        self.asked: dict[Key, None] = {}
        self.starting: dict[Key, None] = {}
        self.timers: list[Key | None] = []
        self.queue: list[Key] = []
        self.owed: set[Key] = set()
        self.terminated: set[Key] = set()
        self.restarts: list[float] = []
        self.log: list[tuple[str, Any]] = []
        self.stopped = self.is_over = self.gave_up = False
        self.opened = False
        self.line = [
            Key(next(self.numbers), "static", restart, is_work=restart != "permanent")
            for restart in line or ()
        ]
        self.owed.update(self.line)
        self.act(self.roster.open((key, key.restart, key.is_work) for key in self.line))

    # -- what the roster asks for -------------------------------------------------------------------------------

    def act(self, actions: list[Action]) -> None:
        """Carry out; what follows comes after it."""
        todo = list(actions)
        while todo:
            action = todo.pop(0)
            todo.extend(getattr(self, f"_{type(action).__name__.lower()}")(action) or [])
        self.check()

    def _start(self, action: Start) -> list[Action] | None:
        key = action.key
        assert not self.stopped, "nothing starts after a stop"
        assert key not in self.running, "it runs already"
        assert key not in self.terminated
        self.log.append(("start", key))
        self.owed.discard(key)
        if key in self.queue:
            assert key is self.queue.pop(0), "first come, first served"
        self.running[key] = None
        if key.kind == "task":
            return None
        self.starting[key] = None
        return self.ready(key) if key.kind != "static" else None

    def ready(self, key: Key) -> list[Action]:
        """It can be used."""
        del self.starting[key]
        return self.roster.ready(key)

    def _rest(self, action: Rest) -> None:
        assert action.seconds > 0.0
        assert action.key not in self.timers, "it rests already"
        self.timers.append(action.key)
        self.rests += 1

    def _stop(self, action: Stop) -> None:
        for key in action.keys:
            assert key in self.running, "only what runs can be stopped"
            assert key not in self.asked or key.kind == "task", "it was asked already"
            self.log.append(("stop", key))
            self.asked[key] = None
            if (
                key in self.line
                and key.restart != "temporary"
                and not self.stopped
                and key not in self.terminated
            ):
                self.owed.add(key)

    def _drop(self, action: Drop) -> None:
        for key in action.keys:
            assert key not in self.running
            self.owed.discard(key)
            if key in self.queue:
                self.queue.remove(key)
            if key in self.timers:
                self.timers.remove(key)

    def _giveup(self, action: GiveUp) -> list[Action]:
        self.gave_up = True
        assert action.restarts > self.most
        return self.stop_actions()

    def _refuse(self, action: Refuse) -> list[Action]:
        assert not self.opened
        return self.stop_actions()

    def _open(self, action: Open) -> None:
        assert not self.opened
        self.opened = True

    def _over(self, action: Over) -> None:
        assert self.stopped
        assert not self.is_over, "it is over once"
        assert not self.running
        self.is_over = True

    # -- what happens -------------------------------------------------------------------------------------------

    def come(
        self, kind: str, restart: Restart = "temporary", places: int = 1, *, is_work: bool = True
    ) -> str:
        """One asks for places; the verdict must be the naive one."""
        key = Key(next(self.numbers), kind, restart, places, is_work)
        expected = self._expected(places)
        roster = self.roster
        verdict = (
            roster.admit_task(key) if kind == "task" else roster.admit(key, places, restart, is_work=is_work)
        )
        assert verdict == expected
        if verdict == "wait":
            self.queue.append(key)
        elif verdict == "start":
            self.act([Start(key)])
        self.check()
        return verdict

    def _expected(self, places: int) -> str:
        if self.stopped:
            return "closed"
        if self.limit is None:
            return "start"
        if places > max(self.limit, 1):
            return "never"
        if not self.queue and self.taken() + places <= self.limit:
            return "start"
        return "wait" if self.waits and len(self.queue) < self.max_queue else "full"

    def end(self, key: Key, how: How) -> None:
        """A run is over."""
        del self.running[key]
        was_asked = self.asked.pop(key, self) is None
        was_starting = self.starting.pop(key, self) is None
        if key.kind == "task":
            self.act(self.roster.task_ended(key))
            return
        refused = was_starting and not self.opened and how == "failed" and key in self.line
        again = key.restart == "permanent" or (key.restart == "transient" and how == "failed")
        if again and not (was_asked or refused or self.stopped or key in self.terminated):
            self.restarts = [time for time in (*self.restarts, self.now) if time >= self.now - 5.0]
            too_many = len(self.restarts) > self.most
            actions = self.roster.ended(key, how, self.now, 0.0, lambda: 0.5)
            assert any(isinstance(action, GiveUp) for action in actions) == too_many, "intensity is exact"
            self.owed.add(key)
        else:
            actions = self.roster.ended(key, how, self.now, 0.0, lambda: 0.5)
            assert not any(isinstance(action, GiveUp) for action in actions)
        if self.strategy != "one_for_one" and key in self.line and key in self.owed and not self.stopped:
            self._owe_group(key)
        self.act(actions)

    def _owe_group(self, key: Key) -> None:
        """Its group is owed a start too, except what has ended for good."""
        known = [one for one in self.line if self.roster.knows(one)]
        at = 0 if self.strategy == "one_for_all" else known.index(key)
        self.owed.update(one for one in known[at:] if one not in self.running)

    def due(self, index: int) -> None:
        """A rest is over."""
        self.act(self.roster.due(self.timers.pop(index)))

    def terminate(self, key: Key) -> None:
        """Somebody wants its end."""
        if key.kind == "task" and key in self.asked:
            return
        self.terminated.add(key)
        self.owed.discard(key)
        self.act(self.roster.terminate(key))

    def stop_actions(self) -> list[Action]:
        """The supervisor is to stop."""
        self.stopped = True
        self.owed.clear()
        return self.roster.stop()

    def known(self) -> list[Key]:
        """All that the roster should know."""
        resting = [key for key in self.timers if key is not None]
        return list(
            dict.fromkeys(
                (*self.running, *self.queue, *resting, *(key for key in self.line if key in self.owed))
            )
        )

    def taken(self) -> int:
        """Places that are taken by all that is known and does not wait; static children keep theirs."""
        kept = [key for key in self.line if self.roster.knows(key)]
        return sum(key.places for key in {*self.known(), *kept} if key not in self.queue)

    # -- laws ---------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """What holds after every step."""
        roster = self.roster
        if self.limit is not None:
            assert roster.taken <= self.limit, "never over max_children"
            assert len(roster.waiting) <= self.max_queue
        assert [*roster.waiting] == self.queue
        for key in self.running:
            assert roster.knows(key), "none is lost"
        busy = [
            key for key in self.known() if key.is_work and key in (*self.running, *self.queue, *self.timers)
        ]
        if busy:
            assert not roster.is_idle()

    def settle(self) -> None:
        """Let all that is under way come to its end; nobody is owed anything then."""
        for _ in range(500):
            if self.asked:
                self.end(next(iter(self.asked)), "stopped")
            elif self.starting:
                self.act(self.ready(next(iter(self.starting))))
            elif self.timers:
                self.due(0)
            else:
                break
        else:
            raise AssertionError("it never settles")
        if not self.stopped:
            assert not self.owed, f"lost: {self.owed}"
            assert self.opened
            assert self.roster.taken == self.taken()
            work = [key for key in self.known() if key.is_work]
            assert self.roster.is_idle() == (not work)

    def finish(self) -> None:
        """A stop ends, however it is called, when what was asked to end has ended."""
        if not self.stopped:
            self.act(self.stop_actions())
        assert not self.queue
        for _ in range(len(self.running) + 1):
            assert self.is_over == (not self.running)
            if self.running:
                assert self.asked, "what runs was asked, or is waited for"
                is_dynamic = [key not in self.line for key in self.running]
                assert any(is_dynamic) == any(key not in self.line for key in self.asked), (
                    "the static ones last"
                )
                self.end(next(iter(self.asked)), "failed")
        assert self.is_over
        assert self.roster.taken == 0
        assert not self.roster.entries
        assert self.roster.is_idle()


def play(world: World, choose: Callable[[int], int], steps: int) -> None:
    """Let so many things happen, as the dice say."""
    for _ in range(steps):
        if world.is_over:
            break
        _step(world, choose)


def _step(world: World, choose: Callable[[int], int]) -> None:
    act = choose(16)
    if act <= 1:
        world.come("task")
    elif act <= 4:
        world.come("child", KINDS[choose(3)], is_work=bool(choose(2)))
    elif act == 5:
        world.come("stream", places=1 + choose(3))
    elif act <= 9 and world.running:
        ends: tuple[How, ...] = ("normal", "failed", "stopped")
        world.end(list(world.running)[choose(len(world.running))], ends[choose(3)])
    elif act == 10 and world.timers:
        world.due(choose(len(world.timers)))
    elif act == 11 and world.starting:
        world.act(world.ready(list(world.starting)[choose(len(world.starting))]))
    elif act == 12 and (known := world.known()):
        world.terminate(known[choose(len(known))])
    elif act == 13:
        world.now += (0.5, 2.0, 6.0)[choose(3)]
    elif act == 14 and choose(4) == 0 and not world.stopped:
        world.act(world.stop_actions())
    elif act == 15:
        world.settle()
