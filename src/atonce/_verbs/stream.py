"""`stream`: many items through one function, bounded, lazily, as outcomes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable
from contextvars import Context, copy_context
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypedDict, TypeVar, Unpack, cast, overload
from weakref import WeakSet

from atonce._backends.choose import On
from atonce._model.checks import flag
from atonce._model.errors import TaskStopped
from atonce._model.options import Rate, Retry
from atonce._model.outcome import Failed, Ok, Outcome
from atonce._runtime.owner import Owner, current_owner, running_loop, scope_var
from atonce._runtime.waiting import resolve
from atonce._verbs.stream_run import StreamRun
from atonce._verbs.stream_spec import Bell, Seats, Spec, StreamStatistics, make_spec

I = TypeVar("I")  # noqa: E741  # the item's type, as T is the result's
T = TypeVar("T")
R = TypeVar("R")

#: What an iteration delivers: outcomes of one kind or of all, bare values, or all outcomes up to the first failure.
Kind = Literal["all", "ok", "failed", "values", "failfast"]


class Iteration(Generic[R]):
    """What the two faces share: one consumer of one run, and what it wants of the outcomes."""

    __slots__ = ("_done", "_kind", "_spec", "run")

    def __init__(self, spec: Spec, kind: Kind) -> None:
        self._spec = spec
        self._kind = kind
        self._done = False
        self.run: StreamRun | None = None

    def start(self, context: Context, bell: Bell, owner: Owner | None = None) -> StreamRun:
        """Begin the run; on its loop. The run must not refer to its iterator, whose end of life ends the run."""
        if owner is None:
            owner = context.run(current_owner, running_loop())
        context.run(scope_var.set, None)
        run = self.run = StreamRun(self._spec, context, owner, bell, self._kind in ("values", "failfast"))
        if self._spec.shown is not None:
            from atonce._verbs.stream_progress import RunProgress  # few programs show progress

            run.progress = RunProgress(run, self._spec.shown)
        return run

    async def start_seated(self, seats: Seats, bell: Bell) -> StreamRun | None:
        """Begin the run when there are places for it; None when it was closed in the meantime."""
        owner = await seats.seat(self._spec)
        if self._done or self.run is not None:
            seats.vacate(owner)
            return self.run
        return self.start(copy_context(), bell, owner)

    def wants(self, outcome: Outcome[Any]) -> bool:
        """Whether this kind of outcome is delivered."""
        kind = self._kind
        return kind in ("all", "failfast") or kind == ("ok" if outcome.ok else "failed")

    def end_error(self) -> BaseException | None:
        """What ends the iteration with an error: the first failure of `values()`, the input's, or its owner's end."""
        run = self.run
        if run is None:
            return None
        if run.first_failure is not None:
            return run.first_failure.error
        if run.input_error is None and not run.is_finished():
            return TaskStopped(f"{run} was stopped before its end, because its owner ended")
        return run.input_error


class _LoopBell:
    """Wakes the one task that waits for the next result."""

    __slots__ = ("waiter",)

    def __init__(self) -> None:
        self.waiter: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """There may be a result."""
        if self.waiter is not None:
            resolve(self.waiter)


class StreamIterator(Iteration[R], AsyncIterator[R]):
    """One run of a stream, as an async iterator."""

    __slots__ = ("__weakref__", "_bell", "_dropped")

    def __init__(self, spec: Spec, kind: Kind, dropped: list[StreamRun] | None = None) -> None:
        super().__init__(spec, kind)
        self._bell = _LoopBell()
        self._dropped = dropped

    def __aiter__(self) -> StreamIterator[R]:
        return self

    async def __anext__(self) -> R:
        run = self.run
        if run is None:
            seats = self._spec.seats
            run = self.start(copy_context(), self._bell) if seats is None else await self._seated(seats)
        window = run.window
        ready = window.ready
        while True:
            if ready and run.first_failure is None:
                outcome = ready.popleft()
                window.left += 1
                if run.hungry or run.feeding:
                    run.after_leave()
                if self._kind == "all" or self.wants(outcome):
                    return cast("R", outcome)
                if self._kind == "values":
                    return cast("R", outcome.value)
            elif run.closing or run.is_finished():
                await self._finish(run)
            else:
                await self._wait(run)

    async def aclose(self) -> None:
        """End the run now: stop what runs, close the input, and wait until both are over."""
        self._done = True
        run = self.run
        if run is not None:
            await run.close()

    async def _seated(self, seats: Seats) -> StreamRun:
        run = await self.start_seated(seats, self._bell)
        if run is None:
            raise StopAsyncIteration
        return run

    async def _finish(self, run: StreamRun) -> None:
        """End the iteration, with the error that ended it where there is one."""
        already = self._done
        await self.aclose()
        error = None if already else self.end_error()
        if error is None:
            raise StopAsyncIteration
        try:
            Failed(error).unwrap()
        finally:
            del error

    async def _wait(self, run: StreamRun) -> None:
        """Wait for the next result; a cancel stops the run and waits for its end before it goes on."""
        bell = self._bell
        if bell.waiter is not None:
            raise RuntimeError(
                "two tasks wait for the next item of one stream iterator: give each its own `async for`"
            )
        bell.waiter = run.loop.create_future()
        run.waiting = True
        run.current = None
        try:
            await bell.waiter
        except BaseException:
            run.waiting = False
            await self.aclose()
            raise
        finally:
            bell.waiter = None

    def __del__(self) -> None:
        run = getattr(self, "run", None)
        if run is None or run.is_closed():
            return
        if self._dropped is not None:
            self._dropped.append(run)
        if not run.closing:
            drop(run)


def drop(run: StreamRun) -> None:
    """A consumer went away without closing (a bare `break`): stop the run at once, from whatever thread this is."""
    if run.loop.is_closed():
        return
    if asyncio._get_running_loop() is run.loop:
        run.stop()
    else:
        try:
            run.loop.call_soon_threadsafe(run.stop)
        except RuntimeError:
            return


class StreamView(Generic[R]):
    """A part of a stream (`values()`, `succeeded()`, `failed()`), iterated and closed like the stream itself."""

    __slots__ = ("_dropped", "_kind", "_live", "_spec")

    def __init__(self, spec: Spec, kind: Kind, of: StreamView[Any] | None = None) -> None:
        self._spec = spec
        self._kind: Kind = kind
        self._live: WeakSet[StreamIterator[Any]] = WeakSet() if of is None else of._live
        #: Runs whose consumer went away with a bare `break`; they were stopped, and are yet to be waited for.
        self._dropped: list[StreamRun] = [] if of is None else of._dropped

    def __aiter__(self) -> StreamIterator[R]:
        self._dropped[:] = [run for run in self._dropped if not run.is_closed()]
        iterator: StreamIterator[R] = StreamIterator(self._spec, self._kind, self._dropped)
        self._live.add(iterator)
        return iterator

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def drain(self) -> None:
        """Start no further item: every open iteration ends when what runs has ended and been delivered."""
        for run in [iterator.run for iterator in self._live if iterator.run is not None]:
            run.drain()

    async def aclose(self) -> None:
        """Close every iteration of it that is still open; each is over when this returns."""
        cancelled: asyncio.CancelledError | None = None
        open_ones = [*(iterator.aclose for iterator in self._live), *(run.close for run in self._dropped)]
        for close in open_ones:
            try:
                await close()
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled


class Stream(StreamView[Outcome[T]]):
    """What `stream` gives: a lazy, re-iterable description. Each iteration is a new run; nothing starts before it.

    `async for outcome in stream(...)` gives `Ok` or `Failed` for every item. Leaving early stops what runs and closes
    the input: at once after a bare `break`, and awaited at the end of `async with stream(...) as s:`.
    """

    __slots__ = ()

    def __init__(self, spec: Spec, of: Stream[Any] | None = None) -> None:
        super().__init__(spec, "all", of)

    @property
    def spec(self) -> Spec:
        """What it was asked to do."""
        return self._spec

    def progress(self, label: str | None = None, *, total: int | None = None) -> Stream[T]:
        """The same stream, whose runs are seen on standard error: how many items are done, the rate, the time left.

        A terminal shows a bar (drawn by rich: `pip install 'atonce[cli]'`), which leaves one line when it ends, and
        several at once stand under one another; a log gets a line after 5 s, then every 10, 30 and 60 s; a notebook
        one display that changes. `ATONCE_PROGRESS` (auto, bar, plain, json, none) decides instead. `label` is the
        function's name unless given, `total` the items' `len()`; without a total no end is foretold.

        **Bounded**: drawn ten times a second at most, by the loop, with no thread and no cost for an item.
        **Fails**: ValueError or TypeError for a bad argument, here; a display that fails is logged and given up, and
        the run goes on. **Cancelled**: as every end of a run, it clears the terminal. Python: `tqdm`.

        >>> async def main() -> int:
        ...     return sum([n async for n in stream(range(9), asyncio.sleep, timeout=9).progress("naps").values() if n])
        """
        from atonce._verbs.stream_progress import with_progress  # few programs show progress

        return Stream(with_progress(self._spec, label, total), self)

    def values(self) -> StreamView[T]:
        """The bare values, fail-fast: the first failure, whatever its index, stops the rest and is raised at once."""
        return StreamView(self._spec, "values", self)

    def succeeded(self) -> StreamView[Ok[T]]:
        """The `Ok` outcomes alone."""
        return StreamView(self._spec, "ok", self)

    def failed(self) -> StreamView[Failed]:
        """The `Failed` outcomes alone."""
        return StreamView(self._spec, "failed", self)

    def statistics(self) -> StreamStatistics:
        """Counts over the iterations that are still referred to: running, waiting, abandoned, ..."""
        runs = [iterator.run for iterator in self._live if iterator.run is not None]
        return StreamStatistics.total([run.statistics() for run in runs])

    def __repr__(self) -> str:
        return f"<stream {self._spec.name!r} on {self._spec.backend.capabilities.name}>"


class StreamOptions(TypedDict, total=False):
    """The options of `stream` and `parallel_map`, for the type checker."""

    max_concurrency: int | None
    ordered: bool
    timeout: float | None
    retry: Retry | int | None
    rate: Rate | str | None
    buffer: int | None
    on: On
    name: str | None


@overload
def stream(
    items: Iterable[I] | AsyncIterable[I],
    fn: Callable[[I], Coroutine[Any, Any, T]],
    **options: Unpack[StreamOptions],
) -> Stream[T]: ...
@overload
def stream(
    items: Iterable[I] | AsyncIterable[I], fn: Callable[[I], T], **options: Unpack[StreamOptions]
) -> Stream[T]: ...
def stream(
    items: Iterable[Any] | AsyncIterable[Any],
    fn: Callable[[Any], Any],
    *,
    max_concurrency: int | None = None,
    ordered: bool = True,
    timeout: float | None = None,
    retry: Retry | int | None = None,
    rate: Rate | str | None = None,
    buffer: int | None = None,
    on: On = None,
    name: str | None = None,
) -> Stream[Any]:
    """Run `fn(item)` for every item, many at once and never more than `max_concurrency`, and give their outcomes.

    Prefer `parallel_map` for a plain list of values, `process_batch` to hand over many items a call, and `spawn` for a
    few tasks of different kinds. `items` is any iterable or async iterable, finite or not, pulled lazily; what may
    block is pulled in a thread of its own.

    **Bounded**: `max_concurrency` items run (default: 100 on the loop, 32 threads, CPU count in processes); `buffer`
    results wait (default: the larger of twice that and 16); no more than both together are pulled ahead of delivery.
    A slow head does not idle the other places until the buffer is full. `timeout` is seconds an attempt, from its
    start, and is enforced while the consumer is busy too; `rate` ("10/s" or `Rate`) spaces the starts of attempts.
    **Fails**: a failing item is its own `Failed` (a timed-out one `Failed(TaskTimeout)`) and harms no other; a bad
    option raises `ValueError` or `TypeError` here; an error of the input itself is raised after the items before it.
    With `retry` (a `Retry` or a count) an item that rests between attempts does not take a place.
    **Cancelled**: a cancel of the consumer stops every running item and is raised when each is over.
    **Costs** about 1.5 us an item on the loop when it does not suspend. Elixir: `Task.async_stream/3`.

    >>> async def double(n: int) -> int:
    ...     return 2 * n
    >>> async def main() -> list[int]:
    ...     return [outcome.unwrap() async for outcome in stream(range(3), double, max_concurrency=2)]
    >>> asyncio.run(main())
    [0, 2, 4]
    """
    return Stream(
        make_spec(
            items,
            fn,
            max_concurrency,
            timeout,
            retry,
            rate,
            buffer,
            on,
            name,
            ordered=flag("ordered", ordered),
        )
    )
