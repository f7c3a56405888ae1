"""The verbs of atonce for code without an event loop: the same names and options, blocking calls and plain iterators.

Each is mirrored from its async verb by one adapter, over one private loop thread. It works where a loop already runs
(Jupyter) too, except on that private loop itself, where a call raises at once and says what to do.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Coroutine, Iterable
from functools import wraps
from importlib import import_module
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, TypeVarTuple, Unpack, overload

from atonce._backends.choose import On
from atonce._backends.loop import LoopBackend
from atonce._backends.thread import ThreadBackend
from atonce._model.errors import (
    AtonceError,
    FetchError,
    HttpStatusError,
    MailboxFull,
    NotSerializable,
    RemoteError,
    RestartLimit,
    TaskStopped,
    TaskTimeout,
    TooManyChildren,
    WorkerLost,
)
from atonce._model.options import Rate, Retry
from atonce._model.outcome import Failed, Ok, Outcome
from atonce._runtime import telemetry
from atonce._runtime.portal import BlockingScope as scope
from atonce._runtime.portal import portal
from atonce._runtime.registry import whereis
from atonce._runtime.token import cancelled
from atonce._verbs import aggregate as _aggregate
from atonce._verbs import batch as _batch
from atonce._verbs import capture as _capture
from atonce._verbs import gather as _gather
from atonce._verbs import parallel_map as _parallel_map
from atonce._verbs import pipeline as _pipeline
from atonce._verbs import race as _race
from atonce._verbs import retry as _retry
from atonce._verbs import spawn as _spawn
from atonce._verbs import stream as _stream
from atonce._verbs.aggregate import MISSING, source
from atonce._verbs.batch import BatchResult
from atonce._verbs.blocking_stream import BlockingStream as Stream
from atonce._verbs.race import RaceOptions
from atonce._verbs.retry import RetryOptions
from atonce._verbs.stream import StreamOptions
from atonce._verbs.task import Task

if TYPE_CHECKING:
    from atonce._backends.process import ProcessBackend
    from atonce._model.answers import IDLE, NO_REPLY, Continue, Idle, Stop
    from atonce._verbs.blocking_server import Agent, Server
    from atonce._verbs.blocking_supervisor import BlockingSupervisor as Supervisor
    from atonce._verbs.supervisor_child import Child
    from atonce._verbs.tree import tree
    from atonce.http.response import Response
    from atonce.report.recorder import Recorder

__all__ = [
    "IDLE",
    "MISSING",
    "NO_REPLY",
    "Agent",
    "AtonceError",
    "BatchResult",
    "Child",
    "Continue",
    "Failed",
    "FetchError",
    "HttpStatusError",
    "Idle",
    "LoopBackend",
    "MailboxFull",
    "NotSerializable",
    "Ok",
    "Outcome",
    "ProcessBackend",
    "Rate",
    "Recorder",
    "RemoteError",
    "Response",
    "RestartLimit",
    "Retry",
    "Server",
    "Stop",
    "Stream",
    "Supervisor",
    "Task",
    "TaskStopped",
    "TaskTimeout",
    "ThreadBackend",
    "TooManyChildren",
    "WorkerLost",
    "aggregate",
    "async_pipeline",
    "await_many",
    "await_one",
    "cancelled",
    "capture",
    "completed",
    "fetch",
    "fetch_stream",
    "ignore",
    "parallel_fetch",
    "parallel_map",
    "poll",
    "poll_many",
    "process_batch",
    "race",
    "retry_with_backoff",
    "scope",
    "shutdown",
    "source",
    "spawn",
    "stream",
    "telemetry",
    "tree",
    "whereis",
    "with_fallback",
]

P = ParamSpec("P")
T = TypeVar("T")
I = TypeVar("I")  # noqa: E741  # the item's type, as T is the result's
Ts = TypeVarTuple("Ts")


def mirror(verb: Callable[P, Coroutine[Any, Any, T]]) -> Callable[[Callable[[], None]], Callable[P, T]]:
    """Put in the place of a `def` the blocking twin of an async verb: the same call, which waits in its thread."""

    @wraps(verb)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return portal().run(verb, *args, **kwargs)

    return lambda _: call


def mirror_call(verb: Callable[P, T]) -> Callable[[Callable[[], None]], Callable[P, T]]:
    """The same for a verb that does not wait: the call is made on the private loop's thread."""

    @wraps(verb)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return portal().call(verb, *args, **kwargs)

    return lambda _: call


def mirror_stream(
    verb: Callable[P, _stream.Stream[T]],
) -> Callable[[Callable[[], None]], Callable[P, Stream[T]]]:
    """The same for a verb that gives a stream, which is then iterated with `for`."""

    @wraps(verb)
    def call(*args: P.args, **kwargs: P.kwargs) -> Stream[T]:
        return Stream(verb(*args, **kwargs))

    return lambda _: call


# The decorator brings signature, docstring and work; the `def` brings the name, which type checkers then know exactly.


@mirror_call(_gather.ignore)
def ignore() -> None: ...


@mirror_call(_gather.completed)
def completed() -> None: ...


@mirror(_gather.await_one)
def await_one() -> None: ...


@mirror(_gather.await_many)
def await_many() -> None: ...


@mirror(_gather.poll)
def poll() -> None: ...


@mirror(_gather.poll_many)
def poll_many() -> None: ...


@mirror(_gather.shutdown)
def shutdown() -> None: ...


@mirror(_pipeline.async_pipeline)
def async_pipeline() -> None: ...


@mirror(_aggregate.aggregate)
def aggregate() -> None: ...


@mirror(_aggregate.with_fallback)
def with_fallback() -> None: ...


@mirror(_batch.process_batch)
def process_batch() -> None: ...


@overload
def spawn(
    fn: Callable[[*Ts], Coroutine[Any, Any, T]],
    *args: *Ts,
    on: On = None,
    timeout: float | None = None,
    name: str | None = None,
) -> Task[T]: ...
@overload
def spawn(
    fn: Callable[[*Ts], T], *args: *Ts, on: On = None, timeout: float | None = None, name: str | None = None
) -> Task[T]: ...
@wraps(_spawn.spawn)  # type: ignore[misc]  # mypy cannot match *Ts against *args: Any
def spawn(*args: Any, **options: Any) -> Any:
    return portal().call(_spawn.spawn, *args, **options)


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
@wraps(_stream.stream)
def stream(*args: Any, **options: Any) -> Any:
    return Stream(_stream.stream(*args, **options))


@overload
def parallel_map(
    items: Iterable[I] | AsyncIterable[I],
    fn: Callable[[I], Coroutine[Any, Any, T]],
    **options: Unpack[StreamOptions],
) -> list[T]: ...
@overload
def parallel_map(
    items: Iterable[I] | AsyncIterable[I], fn: Callable[[I], T], **options: Unpack[StreamOptions]
) -> list[T]: ...
@wraps(_parallel_map.parallel_map)
def parallel_map(*args: Any, **options: Any) -> Any:
    return portal().run(_parallel_map.parallel_map, *args, **options)


@overload
def race(fns: Iterable[Callable[[], Coroutine[Any, Any, T]]], **options: Unpack[RaceOptions]) -> T: ...
@overload
def race(fns: Iterable[Callable[[], T]], **options: Unpack[RaceOptions]) -> T: ...
@wraps(_race.race)
def race(*args: Any, **options: Any) -> Any:
    return portal().run(_race.race, *args, **options)


@overload
def retry_with_backoff(
    fn: Callable[[*Ts], Coroutine[Any, Any, T]], *args: *Ts, **options: Unpack[RetryOptions]
) -> T: ...
@overload
def retry_with_backoff(fn: Callable[[*Ts], T], *args: *Ts, **options: Unpack[RetryOptions]) -> T: ...
@wraps(_retry.retry_with_backoff)  # type: ignore[misc]  # mypy cannot match *Ts against *args: Any
def retry_with_backoff(*args: Any, **options: Any) -> Any:
    return portal().run(_retry.retry_with_backoff, *args, **options)


def capture(verb: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Outcome[T]:
    """Call a blocking verb and give `Ok(value)` or `Failed(error)` instead of a value or a raise.

    KeyboardInterrupt and SystemExit are no failures and go on.

    >>> capture(retry_with_backoff, int, "42")
    Ok(42)
    """
    return _capture.capture_call(lambda: verb(*args, **kwargs))


if TYPE_CHECKING:
    from atonce.http import fetch as _fetch
    from atonce.http import many as _many

    @mirror(_fetch.fetch)
    def fetch() -> None: ...

    @mirror_stream(_many.fetch_stream)
    def fetch_stream() -> None: ...

    @mirror(_many.parallel_fetch)
    def parallel_fetch() -> None: ...


_ANSWERS = "atonce._model.answers"
#: What is imported when it is first asked for: (module, name there).
_LATER = {
    "IDLE": (_ANSWERS, "IDLE"),
    "NO_REPLY": (_ANSWERS, "NO_REPLY"),
    "Agent": ("atonce._verbs.blocking_server", "Agent"),
    "Child": ("atonce._verbs.supervisor_child", "Child"),
    "Continue": (_ANSWERS, "Continue"),
    "Idle": (_ANSWERS, "Idle"),
    "ProcessBackend": ("atonce._backends.process", "ProcessBackend"),
    "Recorder": ("atonce.report.recorder", "Recorder"),
    "Server": ("atonce._verbs.blocking_server", "Server"),
    "Stop": (_ANSWERS, "Stop"),
    "Supervisor": ("atonce._verbs.blocking_supervisor", "BlockingSupervisor"),
    "tree": ("atonce._verbs.tree", "tree"),
}


def __getattr__(name: str) -> Any:
    """Import what few programs need when it is first asked for; the HTTP verbs, an extra, are mirrored then."""
    if name in _LATER:
        module, there = _LATER[name]
        value = globals()[name] = getattr(import_module(module), there)
        return value
    if name not in ("Response", "fetch", "fetch_stream", "parallel_fetch"):
        raise AttributeError(f"module 'atonce.blocking' has no attribute {name!r}")
    from atonce.http import fetch, many, response

    def named() -> None: ...

    globals().update(
        Response=response.Response,
        fetch=mirror(fetch.fetch)(named),
        fetch_stream=mirror_stream(many.fetch_stream)(named),
        parallel_fetch=mirror(many.parallel_fetch)(named),
    )
    return globals()[name]
