"""Every pool behind one face: open it, hand over calls, see whether they are done, and pull from an endless input.

Each is used as its own manual says: with its own time limit where it has one, closed by its own `with`.
"""

from __future__ import annotations

import multiprocessing
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

from fault_cases import LONG, WORKERS, echo, indexed, whoami


@dataclass(frozen=True, slots=True)
class Job:
    """One call, with the seconds it may take."""

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    limit: float | None = None


class Peer:
    """A pool; what it has no word for is left to the base."""

    #: As in the table's head.
    title: str
    #: As `importlib.metadata` knows it; None for what comes with Python.
    distribution: str | None = None
    #: Whether a call can be given a time limit; where not, the waiter gives up after that time.
    limits = False
    pool: Any = None

    @abstractmethod
    def open(self) -> AbstractContextManager[Any]:
        """The pool as a block."""

    @abstractmethod
    def submit(self, job: Job) -> Any:
        """Hand over one call."""

    def submit_all(self, jobs: list[Job]) -> Iterator[Any]:
        """Hand over several, one by one."""
        return map(self.submit, jobs)

    def done(self, handle: Any) -> bool:
        """Whether `value` would not wait."""
        return bool(handle.done())

    def value(self, handle: Any, timeout: float | None) -> Any:
        """The value, or raise; this is also how a waiter gives up."""
        return handle.result(timeout)

    def work(self, count: int) -> None:
        """What a program does whose user then types Ctrl-C."""
        for handle in list(self.submit_all([Job(whoami, (LONG,))] * count)):
            self.value(handle, None)

    @abstractmethod
    def pull(self, items: Iterable[int]) -> Iterator[int]:
        """Results of `echo`, lazily where it can."""


class Atonce(Peer):
    """The subject."""

    title = "atonce"
    distribution = "atonce"
    limits = True

    def open(self) -> AbstractContextManager[Any]:
        from atonce import ProcessBackend

        return ProcessBackend(workers=WORKERS)

    def submit(self, job: Job) -> Any:
        from atonce import blocking

        return blocking.spawn(job.fn, *job.args, on=self.pool, timeout=job.limit)

    def pull(self, items: Iterable[int]) -> Iterator[int]:
        from atonce import blocking

        stream = blocking.stream(items, echo, on=self.pool, max_concurrency=WORKERS)
        return iter(stream.values())


class Executor(Peer):
    """The standard library's newer pool, on a forkserver as ours."""

    title = "ProcessPoolExecutor"

    def open(self) -> AbstractContextManager[Any]:
        return ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("forkserver"))

    def submit(self, job: Job) -> Any:
        return self.pool.submit(job.fn, *job.args)

    def pull(self, items: Iterable[int]) -> Iterator[int]:
        return iter(self.pool.map(echo, items))


class Loky(Executor):
    """The executor that is asked for anew at each use, and is then a fresh one where the last one broke."""

    title = "loky"
    distribution = "loky"

    def open(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def submit(self, job: Job) -> Any:
        from loky import get_reusable_executor

        return get_reusable_executor(max_workers=WORKERS).submit(job.fn, *job.args)

    def pull(self, items: Iterable[int]) -> Iterator[int]:
        from loky import get_reusable_executor

        return iter(get_reusable_executor(max_workers=WORKERS).map(echo, items))


class OldPool(Peer):
    """The standard library's older pool."""

    title = "multiprocessing.Pool"

    def open(self) -> AbstractContextManager[Any]:
        return multiprocessing.get_context("forkserver").Pool(WORKERS)

    def submit(self, job: Job) -> Any:
        return self.pool.apply_async(job.fn, job.args)

    def done(self, handle: Any) -> bool:
        return bool(handle.ready())

    def value(self, handle: Any, timeout: float | None) -> Any:
        return handle.get(timeout)

    def pull(self, items: Iterable[int]) -> Iterator[int]:
        return iter(self.pool.imap(echo, items))


class Mpire(OldPool):
    """A pool with a time limit for each task."""

    title = "mpire"
    distribution = "mpire"
    limits = True

    def open(self) -> AbstractContextManager[Any]:
        from mpire import WorkerPool

        return WorkerPool(WORKERS, start_method="forkserver", keep_alive=True)

    def submit(self, job: Job) -> Any:
        return self.pool.apply_async(job.fn, job.args, task_timeout=job.limit)

    def pull(self, items: Iterable[int]) -> Iterator[int]:
        return iter(self.pool.imap(echo, items, chunk_size=1))


class Pebble(Peer):
    """A pool that kills a worker at its time limit."""

    title = "pebble"
    distribution = "pebble"
    limits = True

    def open(self) -> AbstractContextManager[Any]:
        from pebble import ProcessPool

        return ProcessPool(WORKERS, context=multiprocessing.get_context("forkserver"))

    def submit(self, job: Job) -> Any:
        return self.pool.schedule(job.fn, args=job.args, timeout=job.limit)

    def pull(self, items: Iterable[int]) -> Iterator[int]:
        return iter(self.pool.map(echo, items).result())


class Slot:
    """One result of a call to joblib, once it is there."""

    def __init__(self) -> None:
        self.there = threading.Event()
        self.error: BaseException | None = None
        self.got: Any = None

    def put(self, got: Any = None, error: BaseException | None = None) -> None:
        """Fill it, the first time."""
        if not self.there.is_set():
            self.got, self.error = got, error
            self.there.set()


class Joblib(Peer):
    """One call for all: it has no call for one task, so that the first error ends everything."""

    title = "joblib"
    distribution = "joblib"
    limits = True

    def open(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def submit(self, job: Job) -> Any:
        return next(self.submit_all([job]))

    def submit_all(self, jobs: list[Job]) -> Iterator[Any]:
        slots = [Slot() for _ in jobs]
        # joblib waits in its call; the thread is a daemon so that a call without end does not hold up the exit.
        threading.Thread(target=self._run, args=(jobs, slots), daemon=True).start()
        return iter(slots)

    def _run(self, jobs: list[Job], slots: list[Slot]) -> None:
        from joblib import Parallel, delayed

        limit = next((job.limit for job in jobs if job.limit), None)
        calls = (delayed(indexed)(index, job.fn, *job.args) for index, job in enumerate(jobs))
        how = {"return_as": "generator_unordered", "batch_size": 1, "pre_dispatch": "all"}
        try:
            for index, got in Parallel(WORKERS, timeout=limit, **how)(calls):
                slots[index].put(got)
        except BaseException as error:
            for slot in slots:
                slot.put(error=error)

    def done(self, handle: Any) -> bool:
        return bool(handle.there.is_set())

    def value(self, handle: Any, timeout: float | None) -> Any:
        if not handle.there.wait(timeout):
            raise TimeoutError("joblib has not given this result yet")
        if handle.error is not None:
            raise handle.error
        return handle.got

    def work(self, count: int) -> None:
        from joblib import Parallel, delayed

        Parallel(WORKERS)(delayed(whoami)(LONG) for _ in range(count))

    def pull(self, items: Iterable[int]) -> Iterator[int]:
        from joblib import Parallel, delayed

        return iter(Parallel(WORKERS, return_as="generator")(delayed(echo)(item) for item in items))


@cache
def peers() -> dict[str, Peer]:
    """All of them, by title, the subject first; nothing is imported before it is opened."""
    found = (Atonce(), Executor(), OldPool(), Loky(), Joblib(), Mpire(), Pebble())
    return {peer.title: peer for peer in found}
