"""A server as the child of a block: begun when the block is entered, over when it is left."""

from __future__ import annotations

import asyncio
from typing import Any

from atonce._model.errors import MisuseError, TaskStopped
from atonce._runtime.owner import GRACE
from atonce._runtime.scope import Scope
from atonce._runtime.waiting import resolve
from atonce._verbs.server_life import Control
from atonce._verbs.spawn import spawn
from atonce._verbs.task import Task


def patience(control: Control) -> float:
    """How long a block waits for its server, which keeps its own grace, and waits for what its handlers started."""
    return control.options.grace + 2 * GRACE


async def begin_in(scope: Scope, control: Control) -> None:
    """Run a server in `scope`, which is that of this context; returns when `init` is done, or raises what it raised."""
    if control.run is not None:
        raise MisuseError(f"{control.title} runs already: make another one")
    control.scope = scope
    await _Hosted(scope, control).begin()


class _Hosted:
    """One run in a block."""

    __slots__ = ("_control", "_failure", "_scope", "_started", "_task")

    def __init__(self, scope: Scope, control: Control) -> None:
        self._scope = scope
        self._control = control
        self._failure: BaseException | None = None
        self._started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: Task[Any] | None = None

    async def begin(self) -> None:
        self._task = spawn(self._serve, name=self._control.title)
        self._task.ignore()
        await self._started
        if self._failure is None:
            return
        try:
            raise self._failure
        finally:
            self._failure = None

    async def _serve(self) -> None:
        """Run it, and tell the block of a failure that no caller has seen; of any kind, unlike a task's."""
        control, started = self._control, self._started
        try:
            await control.handle.serve(lambda: resolve(started))
            if not started.done():
                self._failure = TaskStopped(
                    f"{control.title}.init answered Stop(...): there is nothing to serve"
                )
        except (asyncio.CancelledError, KeyboardInterrupt):
            raise
        except BaseException as error:
            if not started.done():
                self._failure = error
            elif not control.seen and self._task is not None:
                self._scope.child_failed(self._task, error)
        finally:
            resolve(started)
