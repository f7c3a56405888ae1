"""`wait_until_idle`: wait until all that runs on this loop is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from atonce._model.checks import seconds_or_none
from atonce._model.errors import TaskTimeout
from atonce._runtime.owner import current_task, running_loop
from atonce._runtime.waiting import resolve
from atonce._verbs.overview import Overview, is_for_good
from atonce._verbs.stream_run import StreamRun
from atonce._verbs.task import Task

#: Takes a future that is to be resolved when something is over.
Subscribe: TypeAlias = Callable[[asyncio.Future[None]], None]

#: Turns of the loop that must find nothing to wait for: what ended may have started something.
QUIET_TURNS = 3


async def wait_until_idle(*, timeout: float | None = 5.0) -> None:
    """Wait until all that atonce runs on this loop is over: tasks, whatever backend they are on, and streams.

    For tests of code that starts something and does not say when it is done. What was running before the test began
    counts too, except the task that waits here and those that it is part of. What a supervisor keeps running for good
    (permanent and transient children, servers, agents) does not count; its temporary children and tasks do. In virtual
    time the clock is set forward until then.

    **Bounded**: `timeout` seconds of the loop's own time, 5 unless you say otherwise; None: no limit. **Fails**:
    `TaskTimeout`, which names what still runs. In virtual time `SleepsForever`, where without a limit nothing can ever
    go on. **Cancelled**: nothing else is touched. For a supervisor alone prefer `await supervisor.idle()`.

    >>> from atonce.testing import run_virtual
    >>> seen = []
    >>> async def later() -> None:
    ...     await asyncio.sleep(3600)
    ...     seen.append("done")
    >>> async def main() -> None:
    ...     spawn(later)
    ...     await wait_until_idle(timeout=None)
    >>> run_virtual(main)
    >>> seen
    ['done']
    """
    limit = seconds_or_none("timeout", timeout, zero=True)
    loop = running_loop()
    until = None if limit is None else loop.time() + limit
    quiet = 0
    await asyncio.sleep(0)  # in its first, eager step a task does not know yet what runs it
    while quiet < QUIET_TURNS:
        busy = _busy(loop)
        if not busy:
            quiet += 1
            await asyncio.sleep(0)
            continue
        quiet = 0
        if until is not None and loop.time() >= until:
            names = "\n".join(sorted(f"- {name}" for name, _ in busy))
            raise TaskTimeout(
                f"not idle after timeout={limit:g} s; {len(busy)} still run:\n{names}", timeout=limit
            )
        await _end_of(busy[0][1], loop, until)


async def _end_of(waiting: Subscribe, loop: asyncio.AbstractEventLoop, until: float | None) -> None:
    """Wait until one thing is over, or until it is time."""
    over: asyncio.Future[None] = loop.create_future()
    waiting(over)
    timer = None if until is None else loop.call_at(until, resolve, over)
    try:
        await over
    finally:
        if timer is not None:
            timer.cancel()


def _busy(loop: asyncio.AbstractEventLoop) -> list[tuple[str, Subscribe]]:
    """What runs on this loop, or is to run, and ends by itself; not what the caller is part of. With how to wait."""
    overview = Overview()
    mine = overview.around(current_task(loop))
    found: list[tuple[str, Subscribe]] = [
        (str(one), partial(_when_over, one))
        for one in overview.work()
        if one.loop is loop and id(one) not in mine
        if not (isinstance(one, Task) and is_for_good(one, overview.crews))
    ]
    for crew in overview.crews:
        keys = [
            key for key, entry in crew.roster.entries.items() if entry.state == "resting" and entry.is_work
        ]
        if crew.loop is loop:
            found += [(str(key), partial(crew._subscribe, key)) for key in (*keys, *crew.roster.waiting)]
    return found


def _when_over(one: Task[Any] | StreamRun, over: asyncio.Future[None]) -> None:
    one.when_over(lambda: resolve(over))
