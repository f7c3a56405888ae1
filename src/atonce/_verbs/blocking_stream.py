"""A stream as a plain iterator: the run lives on the private loop, its results leave in the caller's thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextvars import copy_context
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast
from weakref import WeakSet

from atonce._model.outcome import Failed, Ok, Outcome
from atonce._runtime.portal import LOOK, Portal, portal
from atonce._verbs.stream import Iteration, Kind, Stream, drop
from atonce._verbs.stream_run import StreamRun
from atonce._verbs.stream_spec import Spec, StreamStatistics

T = TypeVar("T")
R = TypeVar("R")


class _ThreadBell:
    """Wakes the one thread that waits for the next result."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def ring(self) -> None:
        """There may be a result."""
        with contextlib.suppress(RuntimeError):
            self._lock.release()

    def wait(self, seconds: float) -> bool:
        """Wait for a ring; False when `seconds` went by first."""
        return self._lock.acquire(timeout=seconds)


class BlockingStreamIterator(Iteration[R], Iterator[R]):
    """One run of a stream, as a plain iterator with `close()`."""

    __slots__ = ("__weakref__", "_bell", "_portal")

    def __init__(self, spec: Spec, kind: Kind) -> None:
        super().__init__(spec, kind)
        self._bell = _ThreadBell()
        self._portal: Portal | None = None

    def __iter__(self) -> BlockingStreamIterator[R]:
        return self

    def __next__(self) -> R:
        run = self.run
        if run is None:
            if self._done:
                raise StopIteration
            run = self._start()
        window = run.window
        ready = window.ready
        while True:
            if ready and run.first_failure is None:
                outcome = ready.popleft()
                window.left += 1
                if run.hungry or run.feeding:
                    self._ask(run)
                if self._kind == "all" or self.wants(outcome):
                    return cast("R", outcome)
                if self._kind == "values":
                    return cast("R", outcome.value)
            elif run.closing or run.is_finished():
                self._finish()
            else:
                self._wait(run)

    def close(self) -> None:
        """End the run now: stop what runs, close the input, and wait until both are over."""
        self._done = True
        run = self.run
        if run is not None and not run.is_closed() and self._portal is not None:
            self._portal.run(run.close)

    def _start(self) -> StreamRun:
        self._portal = portal()
        seats = self._spec.seats
        if seats is None:
            return self._portal.call(lambda: self.start(copy_context(), self._bell))
        run = self._portal.run(self.start_seated, seats, self._bell)
        if run is None:
            raise StopIteration
        return run

    def _ask(self, run: StreamRun) -> None:
        """A result has left: tell the loop, once for all that leave before it looks."""
        if not run.asked and self._portal is not None:
            run.asked = True
            self._portal.post(run.after_leave)

    def _remind(self, run: StreamRun) -> None:
        """Tell the loop once more that results have left: Ctrl-C may have come between two steps of telling it."""
        if self._portal is not None:
            self._portal.post(run.after_leave)
            self._portal.kick()

    def _wait(self, run: StreamRun) -> None:
        """Wait for the next result; whatever interrupts the wait closes the run first."""
        run.waiting = True
        if run.window.ready or run.is_finished() or run.closing:
            run.waiting = False
            return
        try:
            while not self._bell.wait(LOOK):
                self._remind(run)
        except BaseException:
            run.waiting = False
            self.close()
            raise

    def _finish(self) -> None:
        """End the iteration, with the error that ended it where there is one."""
        already = self._done
        self.close()
        error = None if already else self.end_error()
        if error is None:
            raise StopIteration
        try:
            Failed(error).unwrap()
        finally:
            del error

    def __del__(self) -> None:
        run = getattr(self, "run", None)
        if run is None or run.closing:
            return
        if self._portal is None or self._portal.is_inside():
            drop(run)
            return
        with contextlib.suppress(Exception):
            self._portal.run(run.close)


class BlockingStreamView(Generic[R]):
    """A part of a stream, iterated with `for` and closed like the stream itself."""

    __slots__ = ("_kind", "_live", "_spec")

    def __init__(self, spec: Spec, kind: Kind, of: BlockingStreamView[Any] | None = None) -> None:
        self._spec = spec
        self._kind: Kind = kind
        self._live: WeakSet[BlockingStreamIterator[Any]] = WeakSet() if of is None else of._live

    def __iter__(self) -> BlockingStreamIterator[R]:
        iterator: BlockingStreamIterator[R] = BlockingStreamIterator(self._spec, self._kind)
        self._live.add(iterator)
        return iterator

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every iteration of it that is still open; each is over when this returns."""
        for iterator in tuple(self._live):
            iterator.close()


class BlockingStream(BlockingStreamView[Outcome[T]]):
    """What `atonce.blocking.stream` gives: `atonce.Stream` with `for` instead of `async for`.

    A bare `break` stops what runs before the next statement; `close()` and `with` do so whatever refers to it.
    """

    __slots__ = ()

    def __init__(self, stream: Stream[T], of: BlockingStream[Any] | None = None) -> None:
        super().__init__(stream.spec, "all", of)

    @property
    def spec(self) -> Spec:
        """What it was asked to do."""
        return self._spec

    def progress(self, label: str | None = None, *, total: int | None = None) -> BlockingStream[T]:
        """The same stream, whose runs are seen on standard error: see `atonce.Stream.progress`."""
        return BlockingStream(Stream(self._spec).progress(label, total=total), self)

    def drain(self) -> None:
        """Start no further item: every open iteration ends when what runs has ended and been delivered."""
        for run in [iterator.run for iterator in self._live if iterator.run is not None]:
            portal().post(run.drain)

    def values(self) -> BlockingStreamView[T]:
        """The bare values, fail-fast: the first failure, whatever its index, stops the rest and is raised at once."""
        return BlockingStreamView(self._spec, "values", self)

    def succeeded(self) -> BlockingStreamView[Ok[T]]:
        """The `Ok` outcomes alone."""
        return BlockingStreamView(self._spec, "ok", self)

    def failed(self) -> BlockingStreamView[Failed]:
        """The `Failed` outcomes alone."""
        return BlockingStreamView(self._spec, "failed", self)

    def statistics(self) -> StreamStatistics:
        """Counts over the iterations that are still referred to: running, waiting, abandoned, ..."""
        runs = [iterator.run for iterator in self._live if iterator.run is not None]
        return StreamStatistics.total([run.statistics() for run in runs])
