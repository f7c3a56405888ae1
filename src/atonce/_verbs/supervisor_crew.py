"""One run of a supervisor: who comes, who goes, and who is there."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from atonce._model.errors import MisuseError, TaskStopped, TooManyChildren
from atonce._policy.actions import Verdict
from atonce._runtime.site import Site
from atonce._runtime.waiting import wait_for_end
from atonce._verbs.supervisor_acts import Acts
from atonce._verbs.supervisor_child import Child
from atonce._verbs.supervisor_plan import SupervisorStatistics
from atonce._verbs.supervisor_work import ENDLESS, Places, Queued
from atonce._verbs.task import Task


class Crew(Acts):
    """Who works for a supervisor, from its start to its end."""

    # -- coming -------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Start the static children, one after another; raises when one cannot be used."""
        self._emit("start", {"time": self._began})
        line = self.plan.children
        self._claim_all(line)
        self._opened = self.loop.create_future()
        self.act(self.roster.open((child, child.restart, child.is_work) for child in line))
        await self._opened
        if self.refused is not None:
            raise self.refused

    def _claim_all(self, line: tuple[Child, ...]) -> None:
        claimed: list[Child] = []
        try:
            for child in line:
                self._claim(child)
                claimed.append(child)
        except ValueError:
            for child in claimed:
                self._left(child)
            raise

    def queue(
        self, task: Task[Any], args: tuple[Any, ...], is_async: bool, context: Any, verdict: Verdict
    ) -> None:
        """Let a plain task wait for its place, or refuse it."""
        if verdict != "wait":
            raise self.refusal(verdict, task, 1)
        task._running = Queued(task, args, is_async, context)
        self._rewatch()

    def take(self, child: Child, site: Site | None) -> Child:
        """Start a child, or let it wait for its place; `site` where it was described in the call."""
        self._claim(child, site)
        verdict = self.roster.admit(child, 1, child.restart, is_work=child.is_work)
        if verdict == "start":
            try:
                self._run(child)
            except BaseException:
                self.act(self.roster.discard(child))
                self._left(child)
                raise
        elif verdict != "wait":
            self._left(child)
            raise self.refusal(verdict, child, 1)
        else:
            self._rewatch()
        return child

    async def seat(self, name: str, count: int) -> Places:
        """Get the places of a stream, when they are free."""
        places = Places(name, count, self)
        verdict = self.roster.admit(places, count)
        if verdict == "wait":
            self._rewatch()
            places.seated = self.loop.create_future()
            try:
                await places.seated
            except asyncio.CancelledError:
                if self.roster.knows(places):
                    self.act(self.roster.terminate(places))
                raise
            places.check(self.block)
        elif verdict != "start":
            raise self.refusal(verdict, places, count)
        return places

    def refusal(self, verdict: Verdict, what: object, count: int) -> Exception:
        """The error of a call that gets no place."""
        if verdict == "closed":
            return TaskStopped(f"{self.block} is stopping: it starts nothing more, and not {what}")
        limit, taken = self.plan.max_children, self.roster.taken
        if isinstance(what, Places):
            return TooManyChildren(
                f"{what} takes max_concurrency={count} places while it runs, and {self.block} has {taken} of "
                f"max_children={limit} taken: lower max_concurrency, or raise max_children"
            )
        waiting = len(self.roster.waiting)
        queue = f", and {waiting} wait already (max_queue={self.plan.max_queue})" if waiting else ""
        return TooManyChildren(
            f"{self.block} has {taken} of max_children={limit} places taken{queue}: wait for one to end, raise "
            f'max_children, or use on_full="wait"; refused: {what}'
        )

    # -- ending -------------------------------------------------------------------------------------------------

    async def terminate(self, key: Any) -> bool:
        """End one, and wait until it is over; False when there is none."""
        if not self.roster.knows(key):
            return False
        task = key.task if isinstance(key, Child) else key
        if task is not None and task._running is asyncio.current_task() and not task.is_over():
            raise MisuseError(f"{key} cannot wait for its own end: return instead")
        self.act(self.roster.terminate(key))
        _, cancelled = await wait_for_end(
            lambda: not self.roster.knows(key), partial(self._subscribe, key), ENDLESS
        )
        if cancelled is not None:
            raise cancelled
        return True

    async def idle(self) -> None:
        """Wait until no work is left that ends by itself."""
        while not self.roster.is_idle():
            waiter = self.loop.create_future()
            self._subscribe(None, waiter)
            await waiter

    async def drain(self, seconds: float) -> None:
        """Wait at most so long until no work is left, here and under the supervisors below."""
        crews = [self, *self.below()]
        waits = [self.loop.create_task(crew.idle()) for crew in crews]
        try:
            await asyncio.wait(waits, timeout=seconds)
        finally:
            for wait in waits:
                wait.cancel()

    def below(self) -> list[Crew]:
        """The crews of the supervisors that are children here, and of theirs."""
        found: list[Crew] = []
        for child in self.roster.entries:
            crew = getattr(child.service, "_crew", None) if isinstance(child, Child) else None
            if isinstance(crew, Crew):
                found += [crew, *crew.below()]
        return found

    async def wait_over(self) -> None:
        """Wait until nothing is left, after a stop."""
        await wait_for_end(lambda: self.is_over, partial(self._subscribe, self), ENDLESS)

    async def ready(self, child: Child) -> None:
        """Wait until a child runs and can be used; raises when it ended first."""
        while (entry := self.roster.entries.get(child)) is None or entry.state != "running":
            if not self.roster.knows(child):
                raise TaskStopped(f"{child} has ended") from child.last_error
            waiter = self.loop.create_future()
            self._subscribe(child, waiter)
            await waiter

    # -- looking ------------------------------------------------------------------------------------------------

    def children(self) -> list[Any]:
        """All children and plain tasks that have a place."""
        found: list[Any] = [child for child in self.roster.entries if isinstance(child, Child)]
        return found + list(self.roster.work)

    def find(self, key: Any) -> Any:
        """The child or task that a user means by itself or by its id."""
        if not isinstance(key, int):
            return key
        known = (*self.roster.entries, *self.roster.work, *self.roster.waiting)
        return next((one for one in known if not isinstance(one, Places) and one.id == key), None)

    def named(self, name: str) -> Child | None:
        """The living child of that name."""
        return self._names.get(name)

    def statistics(self) -> SupervisorStatistics:
        entries = self.roster.entries.items()
        runs = sum(
            isinstance(key, Child) and entry.state not in ("resting", "down") for key, entry in entries
        )
        return SupervisorStatistics(
            started=self.started,
            running=len(self.roster.work) + runs,
            waiting=len(self.roster.waiting),
            restarts=self._restarts,
            failed=self._failed,
            abandoned=self._abandoned,
        )

    def stop_bound(self) -> float:
        """Seconds that its stop may take."""
        tasks = [task.patience(task._grace) for task in self.roster.work]
        line = self.plan.children
        dynamic = [one.patience for one in self.roster.entries if isinstance(one, Child) and one not in line]
        longest: float = max([0.0, *tasks, *dynamic])
        return longest + sum(child.patience for child in line) + 1.0
