"""A task that one verb starts for itself, awaits, and never leaves behind."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from atonce._backends.contract import Backend
from atonce._model.outcome import Outcome
from atonce._runtime.owner import Owner, running_loop
from atonce._runtime.site import site_of
from atonce._verbs.gather import end_all
from atonce._verbs.task import Task


def start_child(
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    is_async: bool,
    backend: Backend,
    timeout: float | None,
    name: str | None = None,
) -> Task[Any]:
    """Start a task that belongs to the verb alone: its failure is the verb's to tell."""
    task: Task[Any] = Task(fn, backend, Owner(), running_loop(), timeout, name, site_of(sys._getframe()))
    task.ignore()
    try:
        return task.begin(args, is_async, copy_context())
    finally:
        del task  # the traceback of an error in an eager first step keeps this frame


async def outcome_of(task: Task[Any]) -> Outcome[Any]:
    """Wait for the task's end; when the waiter is cancelled, the task is stopped and over before that goes on."""
    if not task.done():
        try:
            await task.wait()
        except asyncio.CancelledError:
            await end_all([task], None)
            raise
    outcome = task.outcome()
    assert outcome is not None
    return outcome


async def run_child(
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    is_async: bool,
    backend: Backend,
    timeout: float | None,
    name: str | None = None,
) -> Any:
    """Run one call to its end, and give its value or raise its error."""
    return (await outcome_of(start_child(fn, args, is_async, backend, timeout, name))).unwrap()
