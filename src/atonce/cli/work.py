"""`Work`: one verb's stream, taken to its end with records, progress, signals and a receipt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

from atonce._model.outcome import Ok, Outcome
from atonce._verbs.spawn import spawn
from atonce._verbs.stream import Stream
from atonce.cli import receipt, record
from atonce.cli.exits import Refusal, code_of
from atonce.cli.failure import cancelled
from atonce.cli.inputs import Input
from atonce.cli.output import Output, PipeClosed
from atonce.cli.progress import Progress
from atonce.cli.stopping import Stopper, signals
from atonce.cli.tally import Failure, Tally
from atonce.cli.terminal import Terminal, say
from atonce.cli.watch import Intake, Item, Watch

#: Seconds between two times that the records are brought to the disk.
SYNC = 1.0
#: Gives the commands that go on from a run, by why it ended.
NextSteps = Callable[[str], Sequence[tuple[str, str]]]


class Unfit(Exception):
    """A result came, and cannot be recorded as asked; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Verb(Protocol):
    """What a verb adds to the work: its stream, and how its results and failures are recorded."""

    stream: Stream[Any]

    async def out(self, item: Item, value: Any) -> Mapping[str, Any]:
        """The `out` of a record; `Unfit` when there is none."""
        ...

    def failure(self, item: Item, error: BaseException) -> Failure:
        """Why an item failed."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What the shared options ask of a run; `head` is the journal's first line, `None` where no journal is kept."""

    head: Mapping[str, Any] | None
    grace: float
    deadline: float | None
    fail_fast: bool
    quiet: bool
    as_json: bool


class Work:
    """One run, from the first item to the receipt."""

    def __init__(
        self,
        plan: Plan,
        verb: Verb,
        source: Input,
        intake: Intake,
        watch: Watch,
        output: Output,
        progress: Progress,
        tally: Tally,
    ) -> None:
        self.plan = plan
        self.verb = verb
        self.source = source
        self.intake = intake
        self.watch = watch
        self.output = output
        self.progress = progress
        self.tally = tally
        self.elapsed: float = 0.0
        self._stop: Stopper | None = None
        self.lost: Refusal | None = None

    async def go(self) -> str:
        """Do it all, and say why it ended: "finished", or what stopped it."""
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        stop = self._stop = Stopper(
            drain=self.verb.stream.drain,
            cancel=task.cancel,
            say=self.progress.say,
            running=self.watch.busy,
            grace=self.plan.grace,
        )
        began = loop.time()
        counting = spawn(self._count)
        ticking = loop.create_task(self._tick(began))
        with ExitStack() as open_things:
            open_things.callback(ticking.cancel)
            open_things.callback(counting.stop)
            open_things.enter_context(self.watch.attached())
            open_things.enter_context(signals(stop))
            if self.plan.deadline is not None:
                timer = loop.call_later(self.plan.deadline, stop.now, "deadline")
                open_things.callback(timer.cancel)
            await self._consume(stop, task)
            stop.over()
            self.elapsed = loop.time() - began
            await self._close_journal(stop)
        return stop.why

    async def _consume(self, stop: Stopper, task: asyncio.Task[Any]) -> None:
        """Deliver outcomes until the stream ends, or something ends it."""
        try:
            if self.plan.head is not None:
                await self.output.write(record.encode(self.plan.head))
            await self._deliver_all(stop)
        except asyncio.CancelledError:
            if not stop.is_cancelled:
                raise
            task.uncancel()
        except PipeClosed:
            stop.why = "pipe"
        except Refusal as error:
            self.lost = error
            stop.why = "lost"

    async def _deliver_all(self, stop: Stopper) -> None:
        async with self.verb.stream as outcomes:
            async for outcome in outcomes:
                is_ok = await self._deliver(outcome)
                if not is_ok and self.plan.fail_fast:
                    stop.why = "halted"
                    return

    async def _deliver(self, outcome: Outcome[Any]) -> bool:
        """Record one outcome, then count it; True when it is a success."""
        assert outcome.index is not None
        item = self.intake.taken.pop(outcome.index)
        span = self.watch.span(item.i, outcome.elapsed)
        failure: Failure | None = None
        line = b""
        if isinstance(outcome, Ok):
            try:
                out = await self.verb.out(item, outcome.value)
                line = record.encode(record.ok_row(item.i, item.key, item.shown, out, span, outcome.attempts))
            except Unfit as unfit:
                failure = unfit.failure
            except ValueError as error:
                failure = self.verb.failure(item, error)
        else:
            failure = self.verb.failure(item, outcome.error)
        if failure is not None:
            line = _failed_line(item, failure, span, outcome.attempts)
        await self.output.write(line)
        if failure is None:
            self.tally.well(item.shown, span, outcome.attempts)
        else:
            self.tally.badly(item.shown, failure, outcome.attempts)
        return failure is None

    async def _close_journal(self, stop: Stopper) -> None:
        """Record what was running when the run was stopped, and the end, where that can still be written."""
        if stop.why == "pipe" or self.output.is_stuck:
            return
        try:
            if stop.why not in ("finished", "deadline"):
                now = asyncio.get_running_loop().time()
                for index, began in sorted(self.watch.running.items()):
                    await self._record_cancelled(self.intake.taken[index], now - began)
            if self.plan.head is not None:
                tally = self.tally
                end = record.end(tally.done, tally.ok, tally.failed, stop.why, time.time())
                await self.output.write(record.encode(end))
            await self.output.sync()
        except PipeClosed:
            stop.why = "pipe"
        except Refusal as error:
            self.lost = self.lost or error

    async def _record_cancelled(self, item: Item, span: float) -> None:
        failure = cancelled(item.host)
        await self.output.write(_failed_line(item, failure, span, 1))
        self.tally.badly(item.shown, failure)

    async def _tick(self, began: float) -> None:
        """Show progress, and bring the records to the disk, until cancelled."""
        loop = asyncio.get_running_loop()
        synced = began
        while True:
            await asyncio.sleep(self.progress.interval)
            now = loop.time()
            self.progress.tick(now - began)
            if now - synced < SYNC:
                continue
            synced = now
            try:
                await self.output.sync()
            except Refusal as error:
                self.lost = error
                assert self._stop is not None
                self._stop.now("lost")
                return

    def _count(self) -> None:
        """In a thread: count the items beside the work."""
        try:
            self.tally.total = self.source.total()
        except (Refusal, OSError):  # whoever reads the items will say so
            return


def _failed_line(item: Item, failure: Failure, span: float, attempts: int) -> bytes:
    return record.encode(record.failed_row(item.i, item.key, item.shown, failure.record(), span, attempts))


def perform(work: Work, terminal: Terminal, next_steps: NextSteps) -> int:
    """Run `work` on a loop of its own, show its receipt, and give the exit code."""
    plan, tally = work.plan, work.tally
    why = "lost"
    work.progress.start()
    try:
        why = asyncio.run(work.go())
    finally:
        work.progress.stop(work.elapsed, why)
        work.source.close()
        work.output.close()
    if not (plan.quiet or plan.as_json or why == "pipe"):
        _show_receipt(work, why, terminal, next_steps)
    if work.lost is not None:
        raise work.lost
    return code_of(why, tally.failed)


def _show_receipt(work: Work, why: str, terminal: Terminal, next_steps: NextSteps) -> None:
    tally, output = work.tally, work.output
    if why == "finished":
        tally.total = tally.done
    steps = next_steps(why) if tally.failed or why != "finished" else ()
    ending = receipt.Ending(work.elapsed, why, output.name, output.size if output.name else None, steps)
    for line in receipt.lines(tally, ending, terminal.signs, terminal.paint, terminal.width):
        say(line)
