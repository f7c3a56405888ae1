"""`aggregate` and `with_fallback`: many sources at once, none of which can spoil the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from atonce._backends.choose import On, backend_for
from atonce._backends.contract import Backend
from atonce._model.call import check_call, fn_name, is_async
from atonce._model.checks import seconds_or_none, several, shown
from atonce._model.errors import TaskTimeout
from atonce._model.options import Retry
from atonce._model.outcome import Failed, Ok, Outcome
from atonce._runtime.notes import annotate
from atonce._verbs.child import outcome_of, start_child
from atonce._verbs.gather import end_all
from atonce._verbs.retry import attempt_until
from atonce._verbs.task import Task


class Missing:
    """The type of `MISSING`: no fallback was given, which is not the same as a fallback of None."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING = Missing()


@dataclass(frozen=True, slots=True)
class Source:
    """One source of `aggregate`, as `source(...)` gives it."""

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    is_async: bool
    backend: Backend
    timeout: float | None
    fallback: Any
    retry: Retry | None


def source(
    fn: Callable[..., Any],
    *args: Any,
    timeout: float | None = None,
    fallback: Any = MISSING,
    retry: Retry | int | None = None,
    on: On = None,
) -> Source:
    """Describe a source for `aggregate`: `fn(*args)`, with its own limits; nothing starts here.

    `timeout`: seconds for each attempt. `fallback`: the value when it fails or is late. `retry`: a `Retry` or a count.

    >>> source(int, "1", fallback=0).fallback
    0
    """
    check_call("fn", fn, args)
    coroutine = is_async(fn)
    return Source(
        fn,
        args,
        coroutine,
        backend_for(on, coroutine),
        seconds_or_none("timeout", timeout),
        fallback,
        Retry.of(retry),
    )


async def aggregate(
    sources: Mapping[str, Callable[[], Any] | Source], *, timeout: float | None = None
) -> dict[str, Outcome[Any]]:
    """Ask all sources at once and give an outcome for each name, in the order of `sources`.

    `timeout` seconds bound the whole; a source may have its own limit, retries and fallback: see `source`. A failed or
    late source with a fallback gives `Ok(fallback)` marked `.fallback`, whose `.error` says why.

    **Fails**: never for what a source does: that is its `Failed`. **Bounded**: as many run as there are sources.
    **Cancelled**: all are stopped and over, then the cancel goes on.

    >>> async def main():
    ...     got = await aggregate({"a": lambda: 1, "b": source(int, "x", fallback=0)})
    ...     return {name: outcome.unwrap() for name, outcome in got.items()}
    >>> asyncio.run(main())
    {'a': 1, 'b': 0}
    """
    if not isinstance(sources, Mapping):
        raise TypeError(
            f"aggregate takes a dict of sources, e.g. aggregate({{'user': get_user}}); got {shown(sources)}"
        )
    limit = seconds_or_none("timeout", timeout)
    checked = {name: one if isinstance(one, Source) else source(one) for name, one in sources.items()}
    outcomes = await _ask_all([(str(name), one) for name, one in checked.items()], limit)
    return dict(zip(checked, outcomes, strict=True))


async def with_fallback(
    fns: Iterable[Callable[[], Any] | Source], *, timeout: float | None = None, fallback: Any = MISSING
) -> list[Outcome[Any]]:
    """Ask all of `fns` at once and give their outcomes in order; `fallback` stands for each that fails or is late.

    Without a fallback a `Failed` stays. `timeout` seconds bound the whole. Otherwise as `aggregate`.

    >>> asyncio.run(with_fallback([lambda: 1, lambda: 1 // 0], fallback=0))
    [Ok(1), Ok(0)]
    """
    limit = seconds_or_none("timeout", timeout)
    checked = [
        one if isinstance(one, Source) else source(one, fallback=fallback) for one in several("fns", fns)
    ]
    return await _ask_all([(fn_name(one.fn), one) for one in checked], limit)


async def _ask_all(sources: list[tuple[str, Source]], limit: float | None) -> list[Outcome[Any]]:
    """Start all, wait for all or for the deadline, and leave nothing behind."""
    loop = asyncio.get_running_loop()
    until = None if limit is None else loop.time() + limit
    asked = [_ask(name, one) for name, one in sources]
    tasks = [task for task, _ in asked]
    try:
        for task in tasks:
            left = None if until is None else max(0.0, until - loop.time())
            if not task.done():
                await asyncio.wait([task.wait()], timeout=left)
    finally:
        for (name, _), task in zip(sources, tasks, strict=True):
            if not task.done():
                task.end_as_timeout(
                    TaskTimeout(f"{name} was not there within timeout={limit} s", timeout=limit)
                )
        cancelled = await end_all([task for task in tasks if not task.is_over()], None)
    if cancelled is not None:
        raise cancelled
    return [
        _with(name, one, await outcome_of(task), used)
        for (name, one), (task, used) in zip(sources, asked, strict=True)
    ]


def _ask(name: str, one: Source) -> tuple[Task[Any], list[int]]:
    """Start one source; gives its task and where it counts its attempts."""
    used = [1]
    if one.retry is None:
        return start_child(one.fn, one.args, one.is_async, one.backend, one.timeout, name), used
    retry = one.retry

    async def attempts() -> Any:
        async def once(attempt: int, left: float | None) -> Any:
            used[0] = attempt
            shorter = [limit for limit in (one.timeout, left) if limit is not None]
            task = start_child(one.fn, one.args, one.is_async, one.backend, min(shorter, default=None), name)
            return (await outcome_of(task)).unwrap()

        return await attempt_until(once, retry, name)

    return start_child(attempts, (), True, backend_for("loop", True), None, name), used


def _with(name: str, one: Source, outcome: Outcome[Any], used: list[int]) -> Outcome[Any]:
    """Put the fallback in where it is wanted, and the name into the error where it is not."""
    if isinstance(outcome, Ok):
        return Ok(outcome.value, attempts=used[0], elapsed=outcome.elapsed)
    annotate(outcome.error, f"atonce: source {name!r}")
    if one.fallback is not MISSING:
        return Ok(one.fallback, attempts=used[0], elapsed=outcome.elapsed, fallback=True, error=outcome.error)
    return Failed(outcome.error, attempts=used[0], elapsed=outcome.elapsed)
