"""From the start of a server's run to its end: in good order, within its grace, and told to all who wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from atonce._model.errors import MisuseError, TaskStopped
from atonce._runtime import telemetry
from atonce._runtime.owner import GRACE, log
from atonce._runtime.registry import register, unregister
from atonce._runtime.scope import Scope
from atonce._runtime.waiting import resolve, wait_for_end
from atonce._verbs.server_run import Run
from atonce._verbs.server_values import Counts, End, ServerOptions, ServerStatistics

#: Turns of the loop that a handler has to take up its cancel, where it has no time for anything else.
TURNS = 3


class Control:
    """What a server is besides its handlers and its state: arguments, options, the present run, what is counted."""

    __slots__ = (
        "_before",
        "arguments",
        "behaviour",
        "counts",
        "error",
        "handle",
        "options",
        "run",
        "scope",
        "seen",
    )

    def __init__(self, behaviour: Any, options: ServerOptions) -> None:
        self.behaviour = behaviour
        #: What the user holds, and finds by the name.
        self.handle: Any = behaviour
        self.options = options
        self.arguments: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})
        self.counts = Counts()
        self.run: Run | None = None
        #: What the last run died of, and whether a caller was told so.
        self.error: BaseException | None = None
        self.seen = False
        #: The `async with` block that runs it, where one does.
        self.scope: Scope | None = None
        self._before: dict[str, Any] | None = None

    @property
    def title(self) -> str:
        """What messages call it."""
        name = self.options.name
        kind = type(self.handle).__name__
        return f"{kind} {name!r}" if name else kind

    def begin(self) -> Run:
        """A new run, with the attributes that there were before the first one: no state outlives its run."""
        if self.run is not None:
            raise MisuseError(f"{self.title} runs already: make another one")
        if self.options.name is not None:
            register(self.options.name, self.handle)
        state = vars(self.behaviour)
        if self._before is None:
            self._before = dict(state)
        else:
            state.clear()
            state.update(self._before)
        self.counts.runs += 1
        self.error, self.seen = None, False
        self.run = Run(self.behaviour, self.title, self.options, self.counts)
        return self.run

    def finish(self, run: Run, end: End) -> None:
        """The run is over: nobody finds it any more, and all who wait are told."""
        self.run = None
        self.error = end.error
        if self.options.name is not None:
            unregister(self.options.name, self.handle)
        run.clear()
        self.seen = run.dismiss(end)

    def present(self) -> Run:
        """The run that takes messages, or an error that says why there is none."""
        run = self.run
        if run is not None and run.end is None and not run.closing:
            return run
        error = self.error if run is None or run.end is None else run.end.error
        if error is not None:
            why = f"it failed with {type(error).__name__}; unless a supervisor starts it again, it is gone"
        elif self.counts.runs:
            why = "it was stopped"
        else:
            why = "enter it with `async with`, or give it to a supervisor"
        raise TaskStopped(f"{self.title} is not running: {why}") from error

    def statistics(self) -> ServerStatistics:
        """The counts, as a value."""
        run, counts = self.run, self.counts
        return ServerStatistics(
            running=run is not None,
            runs=counts.runs,
            handled=counts.handled,
            waiting=0 if run is None else len(run.mailbox),
            in_line=0 if run is None else run.mailbox.in_line,
            callers=0 if run is None else len(run.callers),
            timers=0 if run is None else len(run.timers.under_way),
            dropped=counts.dropped,
            timed_out=counts.timed_out,
            late=counts.late,
        )


async def serve(control: Control, ready: Callable[[], None]) -> None:
    """One run. Raises what it died of; a cancel ends it in good order, within its grace."""
    run = control.begin()
    began = run.clock()
    about = {"name": control.options.name, "server": control.title}
    if telemetry.handlers:
        telemetry.emit("server.start", {"time": began}, about)
    task = run.loop.create_task(run.live(ready), name=control.title, context=run.context)
    cancelled: asyncio.CancelledError | None = None
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError as error:
        cancelled = error
        run.closing = True
        if not task.cancelling():
            task.cancel()
    until = run.loop.time() + control.options.grace
    end = await _wind_up(run, task, until)
    control.finish(run, end)
    if telemetry.handlers:
        event = "server.stop" if end.error is None else "server.exception"
        measured = {"elapsed": run.clock() - began, "handled": control.counts.handled}
        telemetry.emit(event, measured, {**about, "reason": end.reason, "error": end.error})
    failure = end.error or cancelled
    if failure is not None:
        try:
            raise failure
        finally:
            del failure, cancelled, end


async def _wind_up(run: Run, task: asyncio.Task[None], until: float) -> End:
    """Wait for the running handler, let `terminate` have its word, and stop what the handlers started."""
    for _ in range(TURNS):
        if not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
    over = await _over(task, until)
    failure = task.exception() if over and not task.cancelled() else None
    end = run.end = run.end or End(failure, failure)
    run.busy = True
    if not over:
        log.warning("abandoned: a handler of %s does not end", run.title)
    elif run.began and run.options.grace:
        await _last_words(run, end, until)
    run.owner.closed = True
    if run.owner.children:
        run.owner.stop_children()
        with suppress(asyncio.CancelledError):
            await run.owner.wait_empty(GRACE)
    return end


async def _last_words(run: Run, end: End, until: float) -> None:
    """Run `terminate`; its failure is that of the run, unless there is one already."""
    task = run.loop.create_task(_terminate(run, end.reason), context=run.context)
    if not await _over(task, until):
        log.warning("abandoned: terminate of %s does not end", run.title)
        task.cancel()
        return
    failure = None if task.cancelled() else task.exception()
    if failure is None:
        return
    if end.error is None:
        end.error = failure
    else:
        log.error("terminate of %s failed, after a failure", run.title, exc_info=failure)


async def _terminate(run: Run, reason: object) -> None:
    result: Any = run.behaviour.terminate(reason)
    if asyncio.iscoroutine(result):
        await result


async def _over(task: asyncio.Task[Any], until: float) -> bool:
    """Whether the task ends by then; a cancel meanwhile changes nothing, the end being near."""
    loop = asyncio.get_running_loop()

    def subscribe(ended: asyncio.Future[None]) -> None:
        task.add_done_callback(lambda _: resolve(ended))

    over, _ = await wait_for_end(task.done, subscribe, until - loop.time())
    return over
