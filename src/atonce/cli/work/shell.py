"""`Work`: one verb's stream, taken to its end with records, progress, signals and a receipt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from atonce._model.durations import brief
from atonce._model.outcome import Outcome
from atonce._runtime.progress import Progress
from atonce._runtime.terminal import Terminal, say, visible
from atonce._verbs.spawn import spawn
from atonce._verbs.stream import Stream, StreamIterator
from atonce.cli import receipt
from atonce.cli.exits import Refusal, code_of
from atonce.cli.export.exporter import Exporter, attached, close
from atonce.cli.journal import record
from atonce.cli.journal.opening import Journal
from atonce.cli.journal.output import Output, PipeClosed
from atonce.cli.rows.source import Source
from atonce.cli.tally import Tally
from atonce.cli.work.halt import Halt
from atonce.cli.work.harvest import Harvest, gather
from atonce.cli.work.shares import Moment, Shares
from atonce.cli.work.stopping import Stopper, signals
from atonce.cli.work.width import PERIOD, Width

#: Seconds between two times that the records are brought to the disk.
SYNC = 1.0
#: Seconds between two times that a verb is asked for what came otherwise than by an outcome.
COLLECT = 0.05
#: So many have to end well before a share of their median is a limit, and the seconds that it comes to at least.
TIMES = 10
LEAST = 0.1
#: The most items that SIGUSR1 shows.
SHOWN = 50
#: Gives the commands that go on from a run, by why it ended.
NextSteps = Callable[[str], Sequence[tuple[str, str]]]


class Verb(Protocol):
    """What a verb adds to the work: its stream, and what its outcomes bring. `Units` is one for most."""

    stream: Stream[Any]

    def attached(self) -> AbstractContextManager[None]:
        """Is entered for as long as the stream lasts."""
        ...

    def busy(self) -> int:
        """How many items run."""
        ...

    def running(self) -> Iterator[tuple[str, float]]:
        """What runs, and since when."""
        ...

    def item(self, index: int) -> Mapping[str, Any]:
        """What is known of the item of the stream with this number, which is on its way."""
        ...

    async def settle(self, outcome: Outcome[Any]) -> Harvest:
        """One outcome as what is written and counted."""
        ...

    def resting(self) -> int:
        """How many items rest before a further attempt, beside those of the stream."""
        ...

    def cut(self) -> Iterator[Harvest]:
        """What ran when the run was stopped, to be recorded as cancelled."""
        ...


@runtime_checkable
class Early(Protocol):
    """A verb some of whose results come otherwise than by an outcome."""

    def early(self) -> Iterator[Harvest]:
        """What has come so since it was asked last; it is asked now and then."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What the shared options ask of a run; `head` is the first line in a journal, None where none is kept.

    `whole_rows` and `like` say how a table is made of the journal; `width` is how many may run where that changes,
    `share` the time that an attempt may take, as a multiple of the median, which is told to `limit`, or to the stream.
    """

    head: Mapping[str, Any] | None
    grace: float
    deadline: float | None
    halt: Halt | None
    quiet: bool
    as_json: bool
    whole_rows: bool = False
    like: str | None = None
    width: Width | None = None
    share: float | None = None
    limit: Callable[[float], None] | None = None
    exporters: Sequence[Exporter] = ()


class Work:
    """One run, from the first item to the receipt; `total` counts its items, in a thread beside it."""

    def __init__(
        self,
        plan: Plan,
        verb: Verb,
        source: Source,
        journal: Journal,
        progress: Progress,
        tally: Tally,
        total: Callable[[], int | None],
    ) -> None:
        self.plan = plan
        self.verb = verb
        self.source = source
        self.journal = journal
        self.output: Output = journal.output
        self.progress = progress
        self.tally = tally
        self.elapsed: float = 0.0
        self.lost: Refusal | None = None
        self._total = total
        self._stop: Stopper | None = None
        self._iterator: StreamIterator[Outcome[Any]] | None = None
        self.shares: Shares = Shares()
        self._unwritten = 0

    async def go(self) -> str:
        """Do it all, and say why it ended: "finished", or what stopped it."""
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        stop = self._stop = Stopper(
            drain=self._drain,
            cancel=task.cancel,
            say=self.progress.say,
            running=self.verb.busy,
            grace=self.plan.grace,
        )
        began = loop.time()
        counting = spawn(self._count)
        ticking = loop.create_task(self._tick(began))
        collecting = loop.create_task(self._collect())
        looking = loop.create_task(self._look())
        with ExitStack() as open_things:
            open_things.callback(ticking.cancel)
            open_things.callback(collecting.cancel)
            open_things.callback(looking.cancel)
            if self.plan.width is not None or self.plan.share is not None:
                open_things.callback(loop.create_task(self._adapt(began)).cancel)
            open_things.callback(counting.stop)
            open_things.enter_context(attached(self.plan.exporters))
            open_things.enter_context(self.verb.attached())
            open_things.enter_context(signals(stop, self._tell))
            open_things.callback(self.source.want_no_more)
            if self.plan.deadline is not None:
                timer = loop.call_later(self.plan.deadline, stop.now, "deadline")
                open_things.callback(timer.cancel)
            await self._consume(stop, task)
            collecting.cancel()
            stop.over()
            self.elapsed = loop.time() - began
            await self._close_journal(stop)
        return stop.why

    def _drain(self) -> None:
        self.source.want_no_more()
        self.verb.stream.drain()

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
            iterator: StreamIterator[Outcome[Any]] = aiter(outcomes)
            self._iterator = iterator
            async for outcome in iterator:
                harvest = await self.verb.settle(outcome)
                gather(self.tally, harvest)
                self.output.put(harvest.data)
                self._unwritten += 1
                halts = self._is_time_to_halt()
                if halts or self.output.is_full or not _has_more(iterator):
                    await self.output.flush()
                    self._unwritten = 0
                if halts and self._halts_now(stop):
                    return
            await self.output.flush()

    async def _look(self) -> None:
        """See where the items are, again and again, until cancelled."""
        loop = asyncio.get_running_loop()
        looked = loop.time()
        while True:
            await asyncio.sleep(COLLECT)
            now = loop.time()
            run = None if self._iterator is None else self._iterator.run
            if run is not None:
                window = run.window
                running = min(self.verb.busy(), window.running)
                self.shares.add(
                    now - looked,
                    Moment(
                        queued=max(0, window.running - running),
                        running=running,
                        backing_off=window.resting + self.verb.resting(),
                        consumer=window.given - window.left + self._unwritten,
                    ),
                )
            looked = now

    async def _collect(self) -> None:
        """Write what has come otherwise than by an outcome, until cancelled."""
        verb = self.verb
        while isinstance(verb, Early):
            await asyncio.sleep(COLLECT)
            harvests = list(verb.early())
            for harvest in harvests:
                gather(self.tally, harvest)
                self.output.put(harvest.data)
            if harvests:
                await self._flush_aside()

    async def _flush_aside(self) -> None:
        """Write beside the main course, which is stopped when that is not possible."""
        try:
            await self.output.flush()
        except PipeClosed:
            self._stop_now("pipe")
        except Refusal as error:
            self.lost = error
            self._stop_now("lost")

    def _stop_now(self, why: str) -> None:
        assert self._stop is not None
        self._stop.now(why)

    def _is_time_to_halt(self) -> bool:
        halt, tally = self.plan.halt, self.tally
        return halt is not None and halt.is_reached(tally.ok, tally.failed, tally.total)

    def _halts_now(self, stop: Stopper) -> bool:
        halt = self.plan.halt
        assert halt is not None
        why = "succeeded" if halt.why == "success" else "halted"
        if halt.when == "now":
            stop.why = why if stop.why == "finished" else stop.why
            return True
        stop.soon(why)
        return False

    async def _close_journal(self, stop: Stopper) -> None:
        """Record what was running when the run was stopped, and the end, where that can still be written."""
        if stop.why == "pipe" or self.output.is_stuck:
            return
        try:
            if stop.why not in ("finished", "deadline"):
                early = self.verb.early() if isinstance(self.verb, Early) else ()
                for harvest in [*early, *self.verb.cut()]:
                    gather(self.tally, harvest)
                    self.output.put(harvest.data)
            if self.plan.head is not None:
                tally = self.tally
                end = record.end(
                    tally.done, tally.ok, tally.failed, stop.why, time.time(), self.shares.fractions()
                )
                self.output.put(record.encode(end))
            await self.output.flush()
            await self.output.sync()
        except PipeClosed:
            stop.why = "pipe"
        except Refusal as error:
            self.lost = self.lost or error

    async def _tick(self, began: float) -> None:
        """Show progress, and bring the records to the disk, until cancelled."""
        loop = asyncio.get_running_loop()
        synced = began
        while True:
            await asyncio.sleep(self.progress.interval)
            now = loop.time()
            self.progress.tick(now - began)
            for exporter in self.plan.exporters:
                exporter.tick()
            if now - synced < SYNC:
                continue
            synced = now
            try:
                await self.output.sync()
            except Refusal as error:
                self.lost = error
                self._stop_now("lost")
                return

    async def _adapt(self, began: float) -> None:
        """Follow what changes during a run: its width, and the median that time limits are a share of."""
        loop = asyncio.get_running_loop()
        looked = began
        while True:
            await asyncio.sleep(COLLECT)
            now, width = loop.time(), self.plan.width
            run = None if self._iterator is None else self._iterator.run
            if self.plan.share is not None and run is not None and self.tally.times.count >= TIMES:
                limit = self.plan.limit or run.limit
                limit(max(LEAST, self.plan.share * self.tally.times.quantile(0.5)))
            if width is not None and now - looked >= PERIOD:
                looked = now
                said = width.look(self.tally.done, now - began)
                if said is not None:
                    self.progress.say(said)

    def _tell(self) -> None:
        """Show what runs, the longest first."""
        now = asyncio.get_running_loop().time()
        shown = sorted(self.verb.running(), key=lambda one: one[1])
        self.progress.say(f"{len(shown)} running" + (":" if shown else ""))
        for item, began in shown[:SHOWN]:
            self.progress.say(f"  {brief(now - began):>7}  {visible(receipt.cut(item, 100))}")

    def _count(self) -> None:
        """In a thread: count the items beside the work."""
        try:
            self.tally.total = self._total()
        except (Refusal, OSError, ValueError):  # whoever reads the items will say so
            return


def _has_more(iterator: StreamIterator[Any]) -> bool:
    """Whether a further outcome is there already, so that it need not be written alone."""
    return iterator.run is not None and bool(iterator.run.window.ready)


def perform(work: Work, terminal: Terminal, next_steps: NextSteps) -> int:
    """Run `work` on a loop of its own, show its receipt, and give the exit code."""
    plan, tally = work.plan, work.tally
    why = "lost"
    if (before := work.journal.resuming()) is not None:
        work.progress.say(before)
    work.progress.start()
    try:
        why = asyncio.run(work.go())
    finally:
        work.progress.stop(work.elapsed, why)
        work.source.close()
        work.output.close()
        untold = close(plan.exporters, why)
    if work.lost is None:
        work.journal.make_table(whole_rows=plan.whole_rows, like=plan.like)
    if not (plan.quiet or plan.as_json or why == "pipe"):
        _show_receipt(work, why, terminal, next_steps)
    if (lost := work.lost or untold) is not None:
        raise lost
    return code_of(why, tally.failed + work.journal.failed_before)


def _show_receipt(work: Work, why: str, terminal: Terminal, next_steps: NextSteps) -> None:
    tally, output = work.tally, work.output
    if why == "finished":
        tally.total = tally.done
    failed = tally.failed + work.journal.failed_before
    steps = next_steps(why) if failed or why != "finished" else ()
    name = work.journal.table or output.name
    earlier = work.journal.earlier
    done = 0 if earlier is None else len(earlier.done) + work.journal.failed_before
    size = None if output.name is None or work.journal.table else output.size
    ending = receipt.Ending(work.elapsed, why, name, size, steps, done, work.shares.fractions())
    for line in receipt.lines(tally, ending, terminal.signs, terminal.paint, terminal.width):
        say(line)
