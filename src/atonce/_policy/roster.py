"""A supervisor as a state machine: what happened goes in, what is to be done comes out; no clock and no tasks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from atonce._model.options import Retry
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
    State,
    Stop,
    Strategy,
    Verdict,
)
from atonce._policy.backoff import Dice
from atonce._policy.restarts import Healing, Intensity


class Entry:
    """One child, or the places of one stream, or a task that waits."""

    __slots__ = (
        "cycling",
        "healing",
        "is_counted",
        "is_static",
        "is_task",
        "is_work",
        "key",
        "places",
        "restart",
        "state",
        "terminated",
    )

    def __init__(
        self,
        key: Any,
        places: int = 1,
        restart: Restart = "temporary",
        *,
        is_work: bool = True,
        is_static: bool = False,
        is_task: bool = False,
    ) -> None:
        self.key = key
        self.places = places
        self.restart: Restart = restart
        #: Whether it ends by itself some time: the supervisor is not idle before that.
        self.is_work = is_work
        self.is_counted = False
        self.is_static = is_static
        self.is_task = is_task
        self.state: State = "down"
        #: Whether its group is to be stopped and started again, and it was not started yet.
        self.cycling = False
        self.terminated = False
        self.healing = Healing()

    @property
    def is_up(self) -> bool:
        """Whether it runs, and nobody stops it."""
        return self.state in ("starting", "running")


class Roster:
    """Who is there, who waits for a place, and what follows from an end.

    Plain tasks are kept as a set, `work`, that whoever runs them may fill and empty by itself as long as `is_plain`
    and `is_watched` say that there is nothing to decide.
    """

    def __init__(
        self,
        limit: int | None = None,
        *,
        waits: bool = False,
        max_queue: int = 10_000,
        intensity: Intensity | None = None,
        strategy: Strategy = "one_for_one",
        backoff: Retry | None = None,
    ) -> None:
        self.limit = limit
        self.work: set[Any] = set()
        self.entries: dict[Any, Entry] = {}
        self.waiting: OrderedDict[Any, Entry] = OrderedDict()
        self.closed = False
        #: Whether plain tasks start without being asked for.
        self.is_plain = limit is None
        self._waits = waits
        self._max_queue = max_queue
        self._intensity = intensity or Intensity(3, 5.0)
        self._strategy: Strategy = strategy
        self._backoff = backoff
        self._line: list[Entry] = []
        self._places = 0
        self._busy = 0
        self._opening = False
        self._awaited: Entry | None = None
        self._group_rest = 0.0
        self._group_rests = False
        self._is_over = False

    # -- looking ------------------------------------------------------------------------------------------------

    @property
    def taken(self) -> int:
        """Places that are taken."""
        return len(self.work) + self._places

    def is_idle(self) -> bool:
        """Whether no work is left that ends by itself, running or waiting."""
        return not self.work and not self._busy

    @property
    def is_watched(self) -> bool:
        """Whether the end of a plain task has to be told."""
        return self.closed or bool(self.waiting)

    def knows(self, key: Any) -> bool:
        """Whether it runs, rests or waits here."""
        return key in self.entries or key in self.waiting or key in self.work

    # -- coming -------------------------------------------------------------------------------------------------

    def admit_task(self, key: Any) -> Verdict:
        """A plain task asks for a place."""
        verdict = self._verdict(1)
        if verdict == "start":
            self.work.add(key)
        elif verdict == "wait":
            self._wait(Entry(key, is_task=True))
        return verdict

    def admit(
        self, key: Any, places: int = 1, restart: Restart = "temporary", *, is_work: bool = True
    ) -> Verdict:
        """A child, or a stream with its places, asks for them."""
        verdict = self._verdict(places)
        entry = Entry(key, places, restart, is_work=is_work)
        if verdict == "start":
            self._enter(entry)
        elif verdict == "wait":
            self._wait(entry)
        return verdict

    def open(self, line: Iterable[tuple[Any, Restart, bool]]) -> list[Action]:
        """Begin with these static children, (key, restart, is work) each, started one after another."""
        for key, restart, is_work in line:
            entry = Entry(key, 1, restart, is_work=is_work, is_static=True)
            self._enter(entry)
            entry.state, entry.cycling = "down", True
            self._line.append(entry)
        self._opening = True
        return self._advance()

    def ready(self, key: Any) -> list[Action]:
        """What was started can be used."""
        entry = self.entries.get(key)
        if entry is None or entry.state != "starting":
            return []
        entry.state = "running"
        return self._arrived(entry)

    # -- ending -------------------------------------------------------------------------------------------------

    def task_ended(self, key: Any) -> list[Action]:
        """A plain task is over, whether it ran or waited."""
        self.work.discard(key)
        entry = self.waiting.pop(key, None)
        if entry is not None:
            self._count(entry, False)
        return self._freed()

    def ended(self, key: Any, how: How, now: float, ran: float, dice: Dice) -> list[Action]:
        """A run of a child is over, `ran` seconds after it began; or a stream is."""
        entry = self.entries[key]
        if self.closed or entry.terminated:
            self._leave(entry)
            return [*self._arrived(entry), *self._freed()]
        if entry.state == "stopping":
            return self._ended_in_cycle(entry)
        if self._opening and entry.is_static and entry.state == "starting" and how == "failed":
            entry.state = "down"
            return [Refuse(key)]
        if entry.restart == "permanent" or (entry.restart == "transient" and how == "failed"):
            return self._again(entry, now, ran, dice)
        if entry.is_static and entry.restart == "transient":
            entry.state = "down"
            self._count(entry, False)
        else:
            self._leave(entry)
        return [*self._arrived(entry), *self._freed()]

    def due(self, key: Any) -> list[Action]:
        """A rest is over."""
        if key is None:
            self._group_rests = False
            return self._advance()
        entry = self.entries.get(key)
        return self._start(entry) if entry is not None and entry.state == "resting" else []

    def terminate(self, key: Any) -> list[Action]:
        """Somebody wants the end of one that is known; it does not come back."""
        entry = self.waiting.pop(key, None)
        if entry is not None:
            self._count(entry, False)
            return [Drop((key,)), *self._freed()]
        if key in self.work:
            return [Stop((key,))]
        entry = self.entries[key]
        entry.terminated = True
        if entry.is_up:
            entry.state = "stopping"
            return [Stop((key,))]
        if entry.state == "stopping":
            return []
        self._leave(entry)
        return [Drop((key,)), *self._arrived(entry), *self._freed()]

    def discard(self, key: Any) -> list[Action]:
        """One that was told to start could not be."""
        self._leave(self.entries[key])
        return self._freed()

    def stop(self) -> list[Action]:
        """Start nothing more; end the dynamic ones at the same time, then the static ones in reverse order."""
        if self.closed:
            return []
        self.closed, self.is_plain, self._awaited = True, False, None
        idle = [entry for entry in self.entries.values() if entry.state in ("resting", "down")]
        dropped = (*self.waiting, *(entry.key for entry in idle))
        for entry in self.waiting.values():
            self._count(entry, False)
        self.waiting.clear()
        for entry in idle:
            self._leave(entry)
        dynamic = [entry for entry in self.entries.values() if not entry.is_static]
        keys = (*self.work, *(entry.key for entry in dynamic if entry.is_up))
        for entry in dynamic:
            entry.state = "stopping"
        asked: list[Action] = [Drop(dropped)] if dropped else []
        if keys:
            asked.append(Stop(keys))
        return [*asked, *self._advance_stop()]

    # -- inside -------------------------------------------------------------------------------------------------

    def _verdict(self, places: int) -> Verdict:
        if self.closed:
            return "closed"
        if self.limit is None:
            return "start"
        if places > max(self.limit, 1):
            return "never"
        if not self.waiting and self.taken + places <= self.limit:
            return "start"
        return "wait" if self._waits and len(self.waiting) < self._max_queue else "full"

    def _wait(self, entry: Entry) -> None:
        entry.state = "waiting"
        self._count(entry, entry.is_work)
        self.waiting[entry.key] = entry

    def _count(self, entry: Entry, is_counted: bool) -> None:
        self._busy += is_counted - entry.is_counted
        entry.is_counted = is_counted

    def _enter(self, entry: Entry) -> None:
        self.entries[entry.key] = entry
        self._places += entry.places
        self._count(entry, entry.is_work)
        entry.state = "starting"

    def _leave(self, entry: Entry) -> None:
        del self.entries[entry.key]
        self._places -= entry.places
        if entry.is_static:
            self._line.remove(entry)
        self._count(entry, False)

    def _start(self, entry: Entry) -> list[Action]:
        entry.state = "starting"
        self._count(entry, entry.is_work)
        return [Start(entry.key)]

    def _arrived(self, entry: Entry) -> list[Action]:
        """It is up, or will not be soon: the next one of its group need not wait for it."""
        if not entry.is_static:
            return []
        if self._awaited is entry:
            self._awaited = None
        return self._advance()

    def _freed(self) -> list[Action]:
        """Places may have become free: let in who waits, first come, first served."""
        if self.closed:
            return self._advance_stop()
        started: list[Action] = []
        while self.waiting:
            key, entry = next(iter(self.waiting.items()))
            if self.limit is not None and self.taken + entry.places > self.limit:
                break
            del self.waiting[key]
            self._count(entry, False)
            if entry.is_task:
                self.work.add(key)
            else:
                self._enter(entry)
            started.append(Start(key))
        return started

    def _again(self, entry: Entry, now: float, ran: float, dice: Dice) -> list[Action]:
        """It is to run again, unless that would be once too often."""
        if not self._intensity.allow(now):
            entry.state = "down"
            return [GiveUp(entry.key, self._intensity.count)]
        rest = entry.healing.rest(self._backoff, ran, self._intensity.seconds, dice)
        if entry.is_static and self._strategy != "one_for_one":
            return self._cycle(entry, rest)
        entry.state = "resting"
        arrived = self._arrived(entry)
        return [*(self._start(entry) if rest <= 0.0 else [Rest(entry.key, rest)]), *arrived]

    def _cycle(self, entry: Entry, rest: float) -> list[Action]:
        """The group of `entry` is to be stopped and started again."""
        entry.state = "down"
        if self._awaited is entry:
            self._awaited = None
        at = 0 if self._strategy == "one_for_all" else self._line.index(entry)
        for other in self._line[at:]:
            other.cycling = True
        self._group_rest = max(self._group_rest, rest)
        return self._advance()

    def _advance(self) -> list[Action]:
        """The next step of stopping the group from its end, resting, and starting it from its beginning."""
        if self.closed or self._awaited is not None:
            return []
        group = [entry for entry in self._line if entry.cycling]
        if not group:
            opened, self._opening = self._opening, False
            return [Open()] if opened else []
        if any(entry.state == "stopping" for entry in group):
            return []
        up = [entry for entry in group if entry.is_up]
        if up:
            up[-1].state = "stopping"
            return [Stop((up[-1].key,))]
        if self._group_rests:
            return []
        if self._group_rest > 0.0:
            rest, self._group_rest, self._group_rests = self._group_rest, 0.0, True
            return [Rest(None, rest)]
        first = self._awaited = group[0]
        first.cycling = False
        return self._start(first)

    def _ended_in_cycle(self, entry: Entry) -> list[Action]:
        """One that its group's restart has stopped is over; a temporary one is not started again."""
        entry.state = "down"
        if entry.restart == "temporary":
            self._leave(entry)
        return [*self._freed(), *self._advance()]

    def _advance_stop(self) -> list[Action]:
        """The next step of the stop: the static children one by one, when the dynamic ones are gone."""
        if self._is_over or self.work or len(self.entries) > len(self._line):
            return []
        if any(entry.state == "stopping" for entry in self._line):
            return []
        if self._line:
            last = self._line[-1]
            last.state = "stopping"
            return [Stop((last.key,))]
        self._is_over = True
        return [Over()]
