"""Processes as a backend: plain functions, in workers that can be killed, and are replaced."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any, Self

from atonce._backends.contract import Capabilities, Desk, Receiver, Running
from atonce._backends.process_handle import Handle
from atonce._backends.process_lanes import ProcessLanes
from atonce._backends.process_launch import Launcher, module_names
from atonce._backends.process_starts import MOST_WORKERS, Refusal, Starts, no_process
from atonce._backends.process_station import Station
from atonce._backends.process_values import call_frame, initializer_bytes
from atonce._backends.worker import Start
from atonce._backends.worker_events import WorkerEvents
from atonce._model.checks import count_or_none, function, size_or_none
from atonce._model.errors import MisuseError
from atonce._model.tree import Node
from atonce._runtime.cpus import cpus
from atonce._runtime.site import shown_site, site_of


@dataclass(frozen=True, slots=True)
class ProcessStatistics:
    """Workers alive, those that have calls, and how many were made and lost since the beginning.

    A worker is lost when it died by itself; one that was killed for a timeout or a stop, or replaced, is not.
    """

    workers: int
    busy: int
    made: int
    lost: int


class ProcessBackend:
    """Runs functions in worker processes: for work that needs CPUs, or that must be ended whatever it does.

    **Bounded**: `workers` processes (default: as many as CPUs, and as many more as the `max_concurrency` of a stream
    asks for, at most 64); further calls wait in a queue. They are forked from a small process of their own, never
    from this one, and are kept for the next call. A timeout or a stop kills the worker from outside, and what it
    has started; a crash takes the call that it was on, and no other. Calls, results and exceptions travel by pickle,
    cloudpickle where that is needed (lambdas, closures, `__main__`).

    `max_tasks_per_worker` replaces a worker after so many calls; `memory_limit` bytes make an allocation beyond them
    a `MemoryError`; `initializer()` is called in each new worker; the modules named in `preload` are imported once,
    before workers are forked. **Costs** about 3 us for a small item of a stream, some 100 us for a call by itself.

    >>> def main():
    ...     with ProcessBackend(workers=1) as processes:
    ...         return blocking.spawn(pow, 2, 10, on=processes).result()
    >>> main()
    1024
    """

    capabilities: Capabilities = Capabilities(
        name="process",
        stops="killed",
        ends=True,
        shares_memory=False,
        default_concurrency=cpus(),
        patience=None,
        turns=0,
        holds=True,
    )

    def __init__(
        self,
        *,
        workers: int | None = None,
        max_tasks_per_worker: int | None = None,
        memory_limit: int | None = None,
        initializer: Callable[[], object] | None = None,
        preload: Sequence[str] = (),
    ) -> None:
        self._site = site_of(sys._getframe(1))
        self._fixed = count_or_none("workers", workers)
        self._most = self._fixed or cpus()
        self._max_tasks = count_or_none("max_tasks_per_worker", max_tasks_per_worker)
        self._memory = size_or_none("memory_limit", memory_limit)
        self._initializer = (
            None if initializer is None else initializer_bytes(function("initializer", initializer))
        )
        self.launcher: Launcher = Launcher(module_names(preload))
        if self._fixed is not None:
            self.capabilities = Capabilities(
                "process",
                "killed",
                ends=True,
                shares_memory=False,
                default_concurrency=self._fixed,
                patience=None,
                turns=0,
                holds=True,
            )
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._idle: list[Handle] = []
        self._at: dict[Handle, Station] = {}
        self._count = self._made = self._lost = 0
        self._waiting: dict[Station, None] = {}
        self._stations: dict[asyncio.AbstractEventLoop, Station] = {}
        self._open = True
        self._events = WorkerEvents()
        self._starts = Starts(initializes=initializer is not None)
        self._closing = weakref.finalize(self, self.launcher.close)
        _all.add(self)

    # -- what the verbs call ------------------------------------------------------------------------------------

    def start(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        is_async: bool,
        context: Context | None,
        to: Receiver,
    ) -> Running:
        """Send one call to a worker, or queue it; `NotSerializable` when it cannot travel."""
        self._check()
        frame = call_frame(fn, args, is_async, copy_context() if context is None else context)
        return self._station(to.loop).tasks.submit(frame, to)

    def lanes(self, desk: Desk, bound: int, over: Callable[[], None]) -> ProcessLanes:
        """Serve a stream: each worker has several calls at once where they are short."""
        self._check()
        if self._fixed is None:
            self._most = max(self._most, min(bound, MOST_WORKERS))
        return ProcessLanes(self._station(asyncio.get_running_loop()), bound, desk, over)

    def statistics(self) -> ProcessStatistics:
        """Counts of this moment."""
        with self._lock:
            busy = sum(1 for worker in self._at if worker.outstanding)
            return ProcessStatistics(self._count, busy, self._made, self._lost)

    def nodes(self) -> list[Node]:
        """Its workers, and what each is on, for `tree()`."""
        with self._lock:
            workers = sorted((*self._idle, *self._at), key=lambda one: one.number)
        found: list[Node] = []
        for worker in workers:
            with suppress(ValueError):  # it is being buried
                found.append(worker.node())
        return found

    def descriptors(self) -> set[int]:
        """The open files through which it talks with its workers."""
        with self._lock:
            workers = [*self._idle, *self._at]
        own = [number for one in workers for number in (one.calls, one.replies, one.end)]
        sockets = [end.fileno() for one in workers for end in (one._tokens_in, one._tokens)]
        return {*own, *sockets, *self.launcher.descriptors()}

    def __repr__(self) -> str:
        return f"<ProcessBackend of {self._count} workers, made at {shown_site(self._site)}>"

    def close(self) -> None:
        """Kill all workers and wait until they are gone; what they were on ends as `TaskStopped`."""
        with self._lock:
            self._open = False
            idle, self._idle = self._idle, []
            self._count -= len(idle)
        for station in tuple(self._stations.values()):
            station.is_closing = True
        for worker in idle:
            self._events.stopped(worker, "closed")
            worker.close()
        if self._pid == os.getpid():
            self._closing()
        for loop, station in list(self._stations.items()):
            if loop.is_closed() or loop is asyncio._get_running_loop():
                station.closed()
            else:
                loop.call_soon_threadsafe(station.closed)
        self._events.tell()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- what stations call -------------------------------------------------------------------------------------

    def acquire(self, station: Station) -> Handle | Refusal | None:
        """A worker that is free, or a new one; None when there may be no more: then `offer` is called later.

        A refusal when there is none, and none can be made.
        """
        with self._lock:
            worker: Handle | Refusal | None = self._free_one(station)
            refusal = self._starts.refusal()
            is_new = worker is None and self._open and refusal is None and self._count < self._most
            if is_new:
                self._count += 1
                self._made += 1
            elif worker is None and self._open:
                worker = self._wait(station, refusal)
        if is_new:
            worker = self._hire(station)
        self._events.tell()
        return worker

    def release(self, worker: Handle) -> None:
        """A worker is free: it is kept, unless its time has come or there are too many."""
        with self._lock:
            self._at.pop(worker, None)
            self._starts.went_well()
            is_kept = self._open and worker.calls_left > 0 and self._count <= self._most
            if is_kept:
                worker.feeder = None
                self._idle.append(worker)
            else:
                self._count -= 1
        if not is_kept:
            used_up, unwanted = worker.calls_left <= 0, "surplus" if self._open else "closed"
            self._events.stopped(worker, "used up" if used_up else unwanted)
            worker.close()
        self._offer()
        self._events.tell()

    def kill(self, worker: Handle) -> None:
        """Have a worker killed; another one may take its place at once."""
        with self._lock:
            self._at.pop(worker, None)
            self._count -= 1
            self._lost += worker.orphaned
        self.launcher.kill(worker.number)
        if worker.orphaned:
            self._events.died(worker)
        else:
            self._events.stopped(worker, "killed")
        self._events.tell()

    def keeps(self, worker: Handle) -> bool:
        """Whether a worker without work may stay at its loop for a moment."""
        return self._open and not self._waiting and worker.calls_left > 0 and self._count <= self._most

    def buried(self, worker: Handle, ending: tuple[int, int]) -> None:
        """A worker is dead; one that was not killed died by itself."""
        with self._lock:
            if self._at.pop(worker, None) is not None:
                self._count -= 1
                self._died(worker, ending)
        self._offer()
        self._events.tell()

    def share(self, feeders: int) -> int | None:
        """How many workers each of so many feeders should have; None when nobody waits on another loop either."""
        return self._most // (feeders + len(self._waiting))

    # -- inside -------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        if self._pid != os.getpid():
            raise MisuseError(
                "this process backend belongs to the process that forked: make a new one in the child"
            )
        if not self._open:
            raise MisuseError("this process backend is closed: open a new one, or use on='process'")

    def _station(self, loop: asyncio.AbstractEventLoop) -> Station:
        station = self._stations.get(loop)
        if station is None:
            with self._lock:
                for old in [one for one in self._stations if one.is_closed()]:
                    self._waiting.pop(self._stations.pop(old), None)
                station = self._stations[loop] = Station(
                    self, loop, MOST_WORKERS if self._fixed is None else self._fixed
                )
        return station

    def _wait(self, station: Station, refusal: Refusal | None) -> Refusal | None:
        """Let a loop wait for a worker of another, unless there is none; with the lock held."""
        if refusal is not None and not self._count:
            return refusal
        self._waiting[station] = None
        self._ask_others(station)
        return None

    def _hire(self, station: Station) -> Handle | Refusal | None:
        """Have a worker forked; it takes calls at once, and makes them when it is up."""
        start = Start(
            path=sys.path,
            folder=os.getcwd(),
            environment=dict(os.environ),
            memory_limit=self._memory,
            initializer=self._initializer,
        )
        try:
            worker = Handle(self._made, self._max_tasks)
            worker.launch(self.launcher, start)
        except OSError as error:
            with self._lock:
                self._count -= 1
                self._made -= 1
                return self._wait(station, no_process(error))
        with self._lock:
            self._at[worker] = station
        self._events.started(worker)
        return worker

    def _free_one(self, station: Station) -> Handle | None:
        """An idle worker that lives; with the lock held."""
        if self._open and not self._idle:
            self._from_closed_loops()
        while self._idle:
            worker = self._idle.pop()
            ending = worker.end_of_life()
            if ending is None:
                self._at[worker] = station
                return worker
            self._count -= 1
            self._died(worker, ending)
            worker.close()
        return None

    def _from_closed_loops(self) -> None:
        """Take back the workers of loops that were closed, and kill those with calls; with the lock held."""
        for worker, station in [one for one in self._at.items() if one[1].loop.is_closed()]:
            del self._at[worker]
            station.unwatch(worker)
            if worker.outstanding or worker.dying:
                self._count -= 1
                self.launcher.kill(worker.number)
                self._events.stopped(worker, "killed")
                worker.close()
            else:
                self._idle.append(worker)

    def _ask_others(self, station: Station) -> None:
        """Ask other loops for the workers that have no work there."""
        for other in {one for one in self._at.values() if one is not station}:
            with suppress(RuntimeError):  # its loop is closed
                other.loop.call_soon_threadsafe(other.give_up)

    def _died(self, worker: Handle, ending: tuple[int, int]) -> None:
        """A worker is dead that nobody had killed, unless that was the closing; with the lock held."""
        if self._open:
            self._lost += 1
            self._events.died(worker, ending)
            if not worker.ready and not any(one.ready for one in (*self._idle, *self._at)):
                self._starts.failed(worker, ending)
        else:
            self._events.stopped(worker, "closed")

    def _offer(self) -> None:
        """There may be a free worker: tell the loops that wait for one."""
        with self._lock:
            stations, self._waiting = list(self._waiting), {}
        for station in stations:
            with suppress(RuntimeError):  # its loop is closed
                station.loop.call_soon_threadsafe(station.offer)


_all: weakref.WeakSet[ProcessBackend] = weakref.WeakSet()
_default: ProcessBackend | None = None
_making = threading.Lock()


def _in_forked_child() -> None:
    """A forked child must not hold the life line of its parent's workers."""
    for backend in _all:
        backend.launcher.let_go()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_child)


def default_backend() -> ProcessBackend:
    """The process backend that the interpreter owns; a forked child gets one of its own."""
    global _default
    with _making:
        if _default is None or _default._pid != os.getpid():
            _default = ProcessBackend()
        return _default
