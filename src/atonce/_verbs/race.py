"""`race`: several ways to one answer; the first one wins and the others are gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any, Literal, TypedDict, TypeVar, Unpack, overload

from atonce._backends.choose import On, backend_for
from atonce._model.call import check_call, is_async
from atonce._model.checks import choice, seconds_or_none, several
from atonce._model.errors import TaskTimeout
from atonce._policy.winner import Race
from atonce._runtime.awaited_by import show_until_done
from atonce._runtime.waiting import resolve
from atonce._verbs.child import start_child
from atonce._verbs.gather import end_all
from atonce._verbs.task import Task

T = TypeVar("T")
Until = Literal["first_ok", "first_done"]


class RaceOptions(TypedDict, total=False):
    """The options of `race`, for the type checker."""

    timeout: float | None
    until: Until
    hedge: float | None
    on: On


@overload
async def race(fns: Iterable[Callable[[], Coroutine[Any, Any, T]]], **options: Unpack[RaceOptions]) -> T: ...
@overload
async def race(fns: Iterable[Callable[[], T]], **options: Unpack[RaceOptions]) -> T: ...
async def race(
    fns: Iterable[Callable[[], Any]],
    *,
    timeout: float | None = None,
    until: Until = "first_ok",
    hedge: float | None = None,
    on: On = None,
) -> Any:
    """Call all of `fns` at once and give the value of the first that succeeds; the losers are stopped and over.

    `until="first_done"` takes the first end of any kind. `hedge` seconds: start the next contender only when the ones
    before have not answered for that long, or one has failed ("The Tail at Scale", Dean and Barroso, 2013). `timeout`
    seconds bound the whole race.

    **Fails**: with an `ExceptionGroup` of all errors when all fail, with `TaskTimeout` when nobody is in time; with
    the error itself under "first_done". **Cancelled**: all are stopped and over, then the cancel goes on. A thread
    that does not look at `cancelled()` is abandoned.

    >>> async def slow():
    ...     await asyncio.sleep(10)
    >>> async def fast():
    ...     return "fast"
    >>> asyncio.run(race([slow, fast]))
    'fast'
    """
    limit = seconds_or_none("timeout", timeout)
    gap = seconds_or_none("hedge", hedge, zero=True)
    rule = choice("until", until, ("first_ok", "first_done"))
    contenders = several("fns", fns)
    if not contenders:
        raise ValueError("race needs at least one function, e.g. race([fetch_a, fetch_b])")
    for fn in contenders:
        check_call("each of fns", fn, ())
        backend_for(on, is_async(fn))
    return await _Track(contenders, Race(len(contenders), rule), gap, on).run(limit)


class _Track:
    """Carries out one race."""

    def __init__(self, fns: list[Callable[[], Any]], referee: Race[Any], gap: float | None, on: On) -> None:
        self._fns = fns
        self._referee = referee
        self._gap = gap
        self._on: On = on
        self._tasks: list[Task[Any]] = []
        self._loop = asyncio.get_running_loop()
        self._racer = asyncio.current_task()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._next: asyncio.TimerHandle | None = None

    async def run(self, limit: float | None) -> Any:
        timer = self._loop.call_later(limit, resolve, self._over) if limit is not None else None
        cancelled: asyncio.CancelledError | None = None
        try:
            self._start_next()
            await self._over
        except asyncio.CancelledError as error:
            cancelled = error
        finally:
            if timer is not None:
                timer.cancel()
            if self._next is not None:
                self._next.cancel()
        cancelled = await end_all(self._tasks, None) or cancelled
        if cancelled is not None:
            raise cancelled
        return self._result(limit)

    def _result(self, limit: float | None) -> Any:
        referee = self._referee
        if referee.winner is not None:
            return referee.winner.unwrap()
        if referee.is_over():
            raise BaseExceptionGroup("all contenders of the race failed", referee.errors())
        raise TaskTimeout(f"no contender of the race was in time, timeout={limit:g} s", timeout=limit)

    def _start_next(self) -> None:
        """Start one more contender, or all that are left when there is no hedge."""
        while len(self._tasks) < len(self._fns) and not self._over.done():
            index = len(self._tasks)
            fn = self._fns[index]
            coroutine = is_async(fn)
            task = start_child(fn, (), coroutine, backend_for(self._on, coroutine), None)
            self._tasks.append(task)
            show_until_done(task._running, self._racer)
            task.add_done_callback(partial(self._ended, index))
            if self._gap:
                self._hedge(self._gap)
                return

    def _hedge(self, gap: float) -> None:
        if self._next is not None:
            self._next.cancel()
        self._next = self._loop.call_later(gap, self._start_next)

    def _ended(self, index: int, task: Task[Any]) -> None:
        outcome = task.outcome()
        assert outcome is not None
        if self._over.done():
            return
        self._referee.ended(index, outcome)
        if self._referee.is_over():
            resolve(self._over)
        elif self._gap:
            self._start_next()
