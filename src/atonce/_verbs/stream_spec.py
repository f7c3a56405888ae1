"""What a stream is asked to do, and what it counts."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from atonce._backends.choose import On, backend_for
from atonce._backends.contract import Backend
from atonce._model.call import check_call, fn_name, is_async
from atonce._model.checks import count_or_none, label, seconds_or_none, shown
from atonce._model.options import Rate, Retry
from atonce._policy.window import Window
from atonce._runtime.owner import Owner


class Bell(Protocol):
    """How the consumer is woken."""

    def ring(self) -> None:
        """There may be a result."""


class Showing(Protocol):
    """What is seen of a run."""

    def stop(self) -> None:
        """The run ends: show the last of it, and clear up."""


class Seats(Protocol):
    """Who has the places that a stream takes while it runs."""

    async def seat(self, spec: Spec) -> Owner:
        """Give the owner of one run, which has `spec.bound` places until the run is over."""
        ...

    def vacate(self, owner: Owner) -> None:
        """There will be no run."""
        ...


@dataclass(frozen=True, slots=True)
class Shown:
    """How a run is seen: under which name, of how many items (None: nobody knows), in which of `showing.WAYS`."""

    label: str
    total: int | None
    how: str


@dataclass(frozen=True, slots=True)
class Spec:
    """What a stream is asked to do, checked."""

    items: Any
    fn: Callable[..., Any]
    is_async: bool
    backend: Backend
    name: str
    bound: int
    buffer: int
    ordered: bool
    timeout: float | None
    retry: Retry | None
    rate: Rate | None
    #: A supervisor; None: who iterates owns the run, and there is no bound but its own.
    seats: Seats | None = None
    #: Runs are seen on standard error.
    shown: Shown | None = None


@dataclass(frozen=True, slots=True)
class StreamStatistics:
    """Counts of one run: `running` now, `waiting` finished and not delivered, `delivered`, `failed` of all that
    finished, `retried` attempts, and `abandoned`: items whose time was up and that could not be ended."""

    started: int
    running: int
    waiting: int
    delivered: int
    failed: int
    retried: int
    abandoned: int

    @classmethod
    def of(cls, window: Window[Any], failed: int, retried: int, abandoned: int) -> StreamStatistics:
        """The counts of one run; what lanes hold beyond their bound does not run."""
        return cls(
            started=window.started,
            running=min(window.running, window.bound),
            waiting=window.given - window.left,
            delivered=window.left,
            failed=failed,
            retried=retried,
            abandoned=abandoned,
        )

    @classmethod
    def total(cls, parts: list[StreamStatistics]) -> StreamStatistics:
        """Add up the counts of several runs."""
        names = cls.__slots__
        return cls(*(sum(getattr(part, name) for part in parts) for name in names))


def check_items(items: Any) -> None:
    """Check that there is something to pull from."""
    if not isinstance(items, (Iterable, AsyncIterable)) and not hasattr(items, "__getitem__"):
        raise TypeError(f"items is an iterable or an async iterable; got {shown(items)}")


def make_spec(
    items: Any,
    fn: Callable[..., Any],
    max_concurrency: int | None,
    timeout: float | None,
    retry: Retry | int | None,
    rate: Rate | str | None,
    buffer: int | None,
    on: On,
    name: str | None,
    *,
    ordered: bool,
) -> Spec:
    """Check everything that a stream is told, before anything starts."""
    check_items(items)
    check_call("fn", fn, (None,))
    coroutine = is_async(fn)
    backend = backend_for(on, coroutine)
    bound = count_or_none("max_concurrency", max_concurrency)
    room = count_or_none("buffer", buffer)
    if bound is None:
        bound = backend.capabilities.default_concurrency
    return Spec(
        items=items,
        fn=fn,
        is_async=coroutine,
        backend=backend,
        name=label("name", name) or fn_name(fn),
        bound=bound,
        buffer=max(2 * bound, 16) if room is None else room,
        ordered=ordered,
        timeout=seconds_or_none("timeout", timeout),
        retry=Retry.of(retry),
        rate=Rate.of(rate),
    )
