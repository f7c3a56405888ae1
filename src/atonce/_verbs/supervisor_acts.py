"""One run of a supervisor: how it carries out what its roster decides."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from traceback import format_exception_only
from typing import Any

from atonce._model.errors import RestartLimit, TaskStopped
from atonce._model.outcome import Failed
from atonce._policy.actions import Action, Drop, GiveUp, How, Open, Over, Refuse, Rest, Start, Stop
from atonce._runtime import telemetry
from atonce._runtime.clock import Clock, clock_of
from atonce._runtime.owner import Owner, log
from atonce._runtime.site import Site
from atonce._runtime.waiting import after_turns, resolve
from atonce._verbs.gather import end_each
from atonce._verbs.supervisor_child import Child
from atonce._verbs.supervisor_plan import Plan
from atonce._verbs.supervisor_work import Block, Link, Places, Work
from atonce._verbs.task import Task

#: Turns of the loop in which a block that was cancelled has begun to leave.
TURNS = 3


class Acts:
    """What a roster asks for, done: starting, stopping, resting, giving up, and judging how a run ended."""

    def __init__(self, plan: Plan, block: Block, over: Callable[[], None]) -> None:
        self.plan = plan
        self.block = block
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.thread: int = threading.get_ident()
        self.clock: Clock = clock_of(self.loop)
        self.roster = plan.roster()
        self.work = Work(self.roster.work, self)
        self.runs = Owner()
        self.started = 0
        self.links: dict[Any, Link] = {}
        self.refused: BaseException | None = None
        self.is_over = False
        self._names: dict[str, Child] = {}
        self._restarts = self._failed = self._abandoned = 0
        self._opened: asyncio.Future[None] | None = None
        self._todo: deque[Action] = deque()
        self._acting = False
        self._timers: dict[Any, asyncio.TimerHandle] = {}
        self._helpers: set[asyncio.Task[None]] = set()
        #: Who waits for one to be gone or ready, by key; key None: for all work to be done.
        self._waiters: dict[Any, list[asyncio.Future[None]]] = {}
        self._over = over
        self._began = self.clock()
        self._acts: dict[type[Action], Callable[[Any], None]] = {
            Start: self._start,
            Rest: self._rest,
            Stop: self._stop,
            Drop: self._drop,
            GiveUp: self._give_up,
            Refuse: self._refuse,
            Open: self._open,
            Over: self._finish,
        }

    def stop(self) -> None:
        """Start nothing more, and end all: the dynamic ones at the same time, then the static ones in reverse."""
        self.act(self.roster.stop())
        self._rewatch()

    def abandon(self) -> None:
        """Its block waits until it is over, whatever happens."""

    # -- what tasks and streams tell ----------------------------------------------------------------------------

    def task_ended(self, task: Any) -> None:
        """A plain task is over."""
        link = self.links.pop(task, None) if self.links else None
        if link is not None:
            link.untie()
        self._let_go(task, task._grace)
        self.act(self.roster.task_ended(task))
        self._settled(task)

    def task_failed(self, task: Any, error: BaseException) -> bool:
        """A plain task failed; True when somebody will raise or has logged it."""
        self._failed += 1
        link = self.links.get(task)
        return link is not None and link.failed(error)

    def places_over(self, places: Places) -> None:
        """A stream is over."""
        if self.roster.knows(places):
            self.act(self.roster.ended(places, "normal", 0.0, 0.0, random.random))
            self._settled(places)

    # -- acting -------------------------------------------------------------------------------------------------

    def act(self, actions: list[Action]) -> None:
        """Carry out what was decided, in order; what follows from that comes after it."""
        todo = self._todo
        todo.extend(actions)
        if self._acting:
            return
        self._acting = True
        try:
            while todo:
                action = todo.popleft()
                self._acts[type(action)](action)
        finally:
            self._acting = False

    def _start(self, action: Start) -> None:
        key = action.key
        if isinstance(key, Child):
            self._run(key, must=True)
        elif isinstance(key, Places):
            if key.seated is not None:
                resolve(key.seated)
        else:
            self.started += 1
            key._running.begin()

    def _run(self, child: Child, *, must: bool = False) -> None:
        """Start a run of a child; one that cannot be handed over has failed."""
        again = child.task is not None
        if again:
            child.restarts += 1
            self._restarts += 1
        self.started += 1
        task = child.make_run(self.runs, self.loop)
        try:
            child.begin(task, partial(self._is_ready, child))
        except Exception as error:
            if not must:
                raise
            task.raised(error)
        if again:
            self._emit("restart", {"restarts": child.restarts}, child, error=child.last_error)
        self._emit("child.start", {"time": self.clock()}, child)
        task.when_over(partial(self._run_over, child, task))
        if child.service is None:
            self._is_ready(child)

    def _is_ready(self, child: Child) -> None:
        self.act(self.roster.ready(child))
        self._tell(child)

    def _rest(self, action: Rest) -> None:
        if action.key is not None:
            action.key.became("backing off")
        self._timers[action.key] = self.loop.call_later(action.seconds, self._due, action.key)

    def _due(self, key: Any) -> None:
        self._timers.pop(key, None)
        self.act(self.roster.due(key))

    def _drop(self, action: Drop) -> None:
        for key in action.keys:
            if isinstance(key, Child):
                self._left(key)
                if (timer := self._timers.pop(key, None)) is not None:
                    timer.cancel()
            elif isinstance(key, Places):
                self._unseat(key)
            else:
                key.end(TaskStopped(f"{key} was stopped before it began"), None)
            self._settled(key)

    def _unseat(self, places: Places) -> None:
        places.was_stopped = True
        if places.seated is not None:
            resolve(places.seated)

    def _stop(self, action: Stop) -> None:
        asked: list[tuple[Task[Any], float | None]] = []
        for key in action.keys:
            if isinstance(key, Child):
                key.became("stopping")
                assert key.task is not None
                asked.append((key.task, key.patience if key.grace else 0.0))
            elif isinstance(key, Places):
                self._unseat(key)
                if key.run is None:
                    self.places_over(key)
                else:
                    self._help(key.run.close())
            else:
                asked.append((key, key._grace))
        if asked:
            self._help(end_each(asked, again=False))

    def _give_up(self, action: GiveUp) -> None:
        child: Child = action.key
        plan = self.plan
        error = RestartLimit(
            f"{self.block} gave up: {child} would have been restart number {action.restarts} within "
            f"{plan.max_seconds:g} s, and max_restarts={plan.max_restarts}",
            child=child.name,
            restarts=action.restarts,
        )
        error.__cause__ = child.last_error
        self._emit("give_up", {"restarts": action.restarts}, child, error=child.last_error)
        self.block.child_failed(self, error)
        self.stop()

    def _refuse(self, action: Refuse) -> None:
        child: Child = action.key
        self.refused = child.last_error
        self._open(None)

    def _open(self, action: object) -> None:
        if self._opened is not None:
            resolve(self._opened)

    def _finish(self, action: Over) -> None:
        """Nothing is left."""
        self.is_over = True
        for timer in self._timers.values():
            timer.cancel()
        for key in tuple(self._waiters):
            self._tell(key)
        self._open(None)
        self._emit("stop", {"elapsed": self.clock() - self._began})
        self._over()
        self.block.release(self)

    # -- how runs end -------------------------------------------------------------------------------------------

    def _run_over(self, child: Child, task: Task[Any]) -> None:
        """A run is over. Where the whole program is cancelled, the block may hear of it a moment later."""
        entry = self.roster.entries[child]
        if entry.state != "stopping" and _was_stopped(task) and self.block.is_cancelled():
            after_turns(self.loop, TURNS, partial(self._judge, child, task))
        else:
            self._judge(child, task)

    def _judge(self, child: Child, task: Task[Any]) -> None:
        """Find out how it ended, and what follows."""
        outcome = task.outcome()
        error = outcome.error if isinstance(outcome, Failed) else None
        stopped = _was_stopped(task)
        how: How = "normal" if error is None else "stopped" if stopped else "failed"
        entry, now = self.roster.entries[child], self.clock()
        was_asked = entry.state == "stopping"
        ran = 0.0 if task.began is None else max(0.0, now - task.began)
        again = error is not None and ran < self.plan.max_seconds and _told(error) == _told(child.last_error)
        if error is not None and not (stopped and was_asked):
            child.last_error = error
        self._failed += how == "failed"
        self._let_go(task, child.grace)
        actions = self.roster.ended(child, how, now, ran, random.random)
        self._emit("child.stop", {"elapsed": ran}, child, error=error)
        if how == "failed":
            _report(child, error, actions, was_asked=was_asked, again=again)
        if not self.roster.knows(child):
            self._left(child)
        elif entry.state == "down":
            child.became("backing off" if entry.cycling else "ended")
        self.act(actions)
        self._settled(child)

    # -- bookkeeping --------------------------------------------------------------------------------------------

    def _let_go(self, task: Task[Any], grace: float) -> None:
        """It is over; count it if that is because nobody waits any longer, and say so if it had been stopped."""
        outcome = task._outcome
        if isinstance(outcome, Failed) and getattr(outcome.error, "abandoned", False):
            self._abandoned += 1
            if isinstance(outcome.error, TaskStopped):
                log.warning("abandoned: %s does not end in its grace of %g s", task, grace)

    def _claim(self, child: Child, site: Site | None = None) -> None:
        """A child begins to live here, unless it lives already or its name is taken."""
        name = child.own_name
        holder = self._names.get(name) if name is not None else None
        if child.is_alive or holder is not None:
            raise ValueError(
                f"{child!r} lives already: make a new Child"
                if child.is_alive
                else f"the name {name!r} is taken by {holder!r}; names of children are unique under one supervisor"
            )
        child.enter(site=site)
        if name is not None:
            self._names[name] = child

    def _left(self, child: Child) -> None:
        """A child is gone for good."""
        name = child.own_name
        if name is not None and self._names.get(name) is child:
            del self._names[name]
        child.leave()

    def _settled(self, key: Any) -> None:
        """Something ended: tell who waits for that, or for all to be done."""
        if self._waiters:
            if not self.roster.knows(key):
                self._tell(key)
            if self.roster.is_idle():
                self._tell(None)
        self._rewatch()

    def _tell(self, key: Any) -> None:
        for waiter in self._waiters.pop(key, ()):
            resolve(waiter)

    def _subscribe(self, key: Any, waiter: asyncio.Future[None]) -> None:
        self._waiters.setdefault(key, []).append(waiter)
        self._rewatch()

    def _rewatch(self) -> None:
        """Be told of the end of plain tasks as long as something follows from one."""
        self.work.watch(self.loop, wanted=self.roster.is_watched or bool(self._waiters))

    def _help(self, steps: Coroutine[Any, Any, object]) -> None:
        """Wait for ends aside; all are bounded, and a cancel of everything does not cut them short."""
        helper = self.loop.create_task(_quietly(steps))
        self._helpers.add(helper)
        helper.add_done_callback(self._helpers.discard)

    def _emit(
        self, event: str, measurements: dict[str, Any], child: Child | None = None, **more: Any
    ) -> None:
        if telemetry.handlers:
            whose = {} if child is None else {"child": child.name, "id": child.id}
            telemetry.emit(f"supervisor.{event}", measurements, {"name": self.plan.name, **whose, **more})


async def _quietly(steps: Coroutine[Any, Any, object]) -> None:
    try:
        await steps
    except asyncio.CancelledError:
        return


def _was_stopped(task: Task[Any]) -> bool:
    """Whether it was asked to end; one that fails with the `TaskStopped` of another task or server was not."""
    outcome = task._outcome
    return task._why is not None and isinstance(outcome, Failed) and isinstance(outcome.error, TaskStopped)


def _told(error: BaseException | None) -> str:
    """An error in a line, as a traceback ends."""
    return "" if error is None else format_exception_only(error)[0].strip()


def _report(
    child: Child, error: BaseException | None, actions: list[Action], *, was_asked: bool, again: bool
) -> None:
    """Log the failure of a child, once, with what follows from it.

    One that is restarted and fails as it did before is told in a line: a flapping child is not to flood the log.
    """
    if any(isinstance(action, Refuse) for action in actions):
        return  # it is raised where the supervisor was to be entered
    if was_asked:
        then = "while it was stopped"
    elif any(isinstance(action, GiveUp) for action in actions):
        then = "once too often: its supervisor gives up"
    elif child.restart == "temporary":
        then = "and is not restarted"
    else:
        rests = [action.seconds for action in actions if isinstance(action, Rest)]
        then = f"and is restarted in {rests[0]:.3g} s" if rests else "and is restarted"
        if again:
            log.error("%s failed as before %s: %s", child, then, _told(error))
            return
    log.error("%s failed %s", child, then, exc_info=error)
