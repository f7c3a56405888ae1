"""Elixir's Task.async pattern for Python: start work, await it, stream it with a bound, race it, retry it."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from atonce._backends.loop import LoopBackend
from atonce._backends.thread import ThreadBackend
from atonce._model.errors import (
    AtonceError,
    FetchError,
    HttpStatusError,
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
from atonce._runtime.scope import Scope as scope
from atonce._runtime.token import cancelled
from atonce._verbs.aggregate import MISSING, aggregate, source, with_fallback
from atonce._verbs.batch import BatchResult, process_batch
from atonce._verbs.capture import capture
from atonce._verbs.gather import await_many, await_one, completed, ignore, poll, poll_many, shutdown
from atonce._verbs.parallel_map import parallel_map
from atonce._verbs.pipeline import async_pipeline
from atonce._verbs.race import race
from atonce._verbs.retry import retry_with_backoff
from atonce._verbs.spawn import spawn
from atonce._verbs.stream import Stream, stream
from atonce._verbs.task import Task

if _TYPE_CHECKING:
    from atonce._backends.process import ProcessBackend
    from atonce.http.fetch import fetch
    from atonce.http.many import fetch_stream, parallel_fetch
    from atonce.http.response import Response

__all__ = [
    "MISSING",
    "AtonceError",
    "BatchResult",
    "Failed",
    "FetchError",
    "HttpStatusError",
    "LoopBackend",
    "NotSerializable",
    "Ok",
    "Outcome",
    "ProcessBackend",
    "Rate",
    "RemoteError",
    "Response",
    "RestartLimit",
    "Retry",
    "Stream",
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
    "with_fallback",
]

#: Imported when they are first asked for: most programs need neither HTTP, which is an extra, nor a backend object.
_LATER = {
    "ProcessBackend": "atonce._backends.process",
    "Response": "atonce.http.response",
    "fetch": "atonce.http.fetch",
    "fetch_stream": "atonce.http.many",
    "parallel_fetch": "atonce.http.many",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module 'atonce' has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(_LATER[name]), name)
    globals()[name] = value
    return value
