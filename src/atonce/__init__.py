"""Elixir's Task.async pattern for Python: start work, await it, stream it with a bound, race it, retry it."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

if _TYPE_CHECKING:
    from atonce._backends.loop import LoopBackend
    from atonce._backends.process import ProcessBackend
    from atonce._backends.thread import ThreadBackend
    from atonce._model.answers import IDLE, NO_REPLY, Continue, Idle, Stop
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
    from atonce._runtime.registry import whereis
    from atonce._runtime.scope import Scope as scope
    from atonce._runtime.token import cancelled
    from atonce._verbs.agent import Agent
    from atonce._verbs.aggregate import MISSING, aggregate, source, with_fallback
    from atonce._verbs.batch import BatchResult, process_batch
    from atonce._verbs.capture import capture
    from atonce._verbs.gather import await_many, await_one, completed, ignore, poll, poll_many, shutdown
    from atonce._verbs.parallel_map import parallel_map
    from atonce._verbs.pipeline import async_pipeline
    from atonce._verbs.race import race
    from atonce._verbs.retry import retry_with_backoff
    from atonce._verbs.server import Server
    from atonce._verbs.spawn import spawn
    from atonce._verbs.stream import Stream, stream
    from atonce._verbs.supervisor import Supervisor
    from atonce._verbs.supervisor_child import Child
    from atonce._verbs.task import Task
    from atonce._verbs.tree import tree
    from atonce.http.fetch import fetch
    from atonce.http.many import fetch_stream, parallel_fetch
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

#: Where each name is (`module:its name there`; with none there it is the module). It is imported when it is first asked
#: for: no program needs HTTP, supervisors, processes and a tree at once.
_HOMES = {
    "IDLE": "atonce._model.answers",
    "MISSING": "atonce._verbs.aggregate",
    "NO_REPLY": "atonce._model.answers",
    "Agent": "atonce._verbs.agent",
    "AtonceError": "atonce._model.errors",
    "BatchResult": "atonce._verbs.batch",
    "Child": "atonce._verbs.supervisor_child",
    "Continue": "atonce._model.answers",
    "Failed": "atonce._model.outcome",
    "FetchError": "atonce._model.errors",
    "HttpStatusError": "atonce._model.errors",
    "Idle": "atonce._model.answers",
    "LoopBackend": "atonce._backends.loop",
    "MailboxFull": "atonce._model.errors",
    "NotSerializable": "atonce._model.errors",
    "Ok": "atonce._model.outcome",
    "Outcome": "atonce._model.outcome",
    "ProcessBackend": "atonce._backends.process",
    "Rate": "atonce._model.options",
    "Recorder": "atonce.report.recorder",
    "RemoteError": "atonce._model.errors",
    "Response": "atonce.http.response",
    "RestartLimit": "atonce._model.errors",
    "Retry": "atonce._model.options",
    "Server": "atonce._verbs.server",
    "Stop": "atonce._model.answers",
    "Stream": "atonce._verbs.stream",
    "Supervisor": "atonce._verbs.supervisor",
    "Task": "atonce._verbs.task",
    "TaskStopped": "atonce._model.errors",
    "TaskTimeout": "atonce._model.errors",
    "ThreadBackend": "atonce._backends.thread",
    "TooManyChildren": "atonce._model.errors",
    "WorkerLost": "atonce._model.errors",
    "aggregate": "atonce._verbs.aggregate",
    "async_pipeline": "atonce._verbs.pipeline",
    "await_many": "atonce._verbs.gather",
    "await_one": "atonce._verbs.gather",
    "cancelled": "atonce._runtime.token",
    "capture": "atonce._verbs.capture",
    "completed": "atonce._verbs.gather",
    "fetch": "atonce.http.fetch",
    "fetch_stream": "atonce.http.many",
    "ignore": "atonce._verbs.gather",
    "parallel_fetch": "atonce.http.many",
    "parallel_map": "atonce._verbs.parallel_map",
    "poll": "atonce._verbs.gather",
    "poll_many": "atonce._verbs.gather",
    "process_batch": "atonce._verbs.batch",
    "race": "atonce._verbs.race",
    "retry_with_backoff": "atonce._verbs.retry",
    "scope": "atonce._runtime.scope:Scope",
    "shutdown": "atonce._verbs.gather",
    "source": "atonce._verbs.aggregate",
    "spawn": "atonce._verbs.spawn",
    "stream": "atonce._verbs.stream",
    "telemetry": "atonce._runtime.telemetry:",
    "tree": "atonce._verbs.tree",
    "whereis": "atonce._runtime.registry",
    "with_fallback": "atonce._verbs.aggregate",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'atonce' has no attribute {name!r}")
    from importlib import import_module

    home, colon, there = _HOMES[name].partition(":")
    module: object = import_module(home)
    value = module if colon and not there else getattr(module, there or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
