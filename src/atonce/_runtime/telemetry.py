"""Events for whoever wants to see what runs; with nobody attached an event costs one truth test."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

Handler: TypeAlias = Callable[[str, Mapping[str, Any], Mapping[str, Any]], object]

#: What is attached: (id, wanted events, handler). Hot paths test this for truth before they call `emit`.
handlers: tuple[tuple[str, tuple[str, ...], Handler], ...] = ()

_log = logging.getLogger("atonce.telemetry")


def attach(id: str, events: str | Iterable[str], handler: Handler) -> None:
    """Call `handler(event, measurements, metadata)` for each of `events`, under the name `id`.

    `events` are names ("task.start", "task.stop", "task.exception", "task.retry", "stream.start", "stream.stop",
    "worker.start", "worker.stop", "worker.lost", "server.start", "server.stop", "server.exception", "supervisor.start",
    "supervisor.stop", "supervisor.restart", "supervisor.give_up", "supervisor.child.start", "supervisor.child.stop") or
    prefixes with a star ("task.*", "*"). The handler runs where the event happens, often on the event loop: it must be
    quick and must not block. A handler that raises is detached and logged once, as in Elixir's `:telemetry`.

    Every worker process has a start and one end: a stop with its `reason` ("killed" for the timeout or stop of a call,
    "used up" after `max_tasks_per_worker` calls, "surplus", "closed") or, where it died by itself, a loss with its
    `error`; both say how many `calls` it answered.

    Of a supervisor's children every run has a start and a stop, with the child's name and `id`, and its `error`.

    Raises ValueError when `id` is taken.

    >>> seen = []
    >>> attach("docs", "task.*", lambda event, measurements, metadata: seen.append(event))
    >>> detach("docs")
    True
    """
    global handlers
    if any(taken == id for taken, _, _ in handlers):
        raise ValueError(
            f"a handler named {id!r} is attached already; detach({id!r}) it first or take another id"
        )
    if not callable(handler):
        raise TypeError("handler is a function of (event, measurements, metadata)")
    wanted = (events,) if isinstance(events, str) else tuple(events)
    handlers = (*handlers, (id, wanted, handler))


def detach(id: str) -> bool:
    """Take the handler named `id` away; True when there was one."""
    global handlers
    kept = tuple(entry for entry in handlers if entry[0] != id)
    found = len(kept) != len(handlers)
    handlers = kept
    return found


def emit(event: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
    """Tell every handler that wants `event`."""
    for id, wanted, handler in handlers:
        if not any(_matches(event, one) for one in wanted):
            continue
        try:
            handler(event, measurements, metadata)
        except Exception:
            detach(id)
            _log.exception("telemetry handler %r raised at %s and has been detached", id, event)


def _matches(event: str, wanted: str) -> bool:
    return event == wanted or (wanted.endswith("*") and event.startswith(wanted[:-1]))
