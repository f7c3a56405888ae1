"""`Commands`: the verb `run` as the work drives it: jobs from rows, a stream of them, and what their ends bring."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from atonce._model.options import Rate, Retry
from atonce._model.outcome import Ok, Outcome
from atonce._verbs.stream import Stream, stream
from atonce.cli.exits import Refusal
from atonce.cli.journal import record
from atonce.cli.journal.output import Output, PipeClosed
from atonce.cli.rows.block import Blocks
from atonce.cli.run.failures import described
from atonce.cli.run.runner import CommandFailed, CommandRefused, CommandTimeout, How, Job, Runner
from atonce.cli.run.screen import Screen
from atonce.cli.run.spool import last_line, pieces, size
from atonce.cli.shared import Shared
from atonce.cli.tally import Failure, bucket_of, cancelled
from atonce.cli.work.harvest import Harvest
from atonce.cli.work.width import Width

#: Bytes of each output that a record has at most.
RECORDED: Final = 10_000_000


class Commands:
    """One command for each row of `blocks`; `records` are written in place of the commands' own output."""

    def __init__(
        self,
        blocks: Blocks,
        how: How,
        out: Output,
        *,
        jobs: int,
        width: Width | None,
        is_wanted: Callable[[], bool],
        records: bool,
        is_fixed: bool,
        keep_order: bool,
        retry: Retry | None,
        rate: Rate | None,
    ) -> None:
        self._blocks = blocks
        self._how = how
        self._out = out
        self._most = jobs
        self._width = width
        self._is_wanted = is_wanted
        self._records = records
        self._is_fixed = is_fixed
        self._jobs: dict[int, Job] = {}
        self._runner: Runner | None = None
        self._screen: Screen | None = None
        self._origin = 0.0
        self.stream: Stream[Any] = stream(
            self._intake(),
            self._run,
            max_concurrency=jobs,
            ordered=keep_order,
            retry=retry,
            rate=rate,
            name="run",
        )

    def _intake(self) -> Iterator[Job]:
        index = 0
        for block in self._blocks:
            for n, row in enumerate(block.rows):
                if self._width is not None:
                    self._width.wait(self._jobs.__len__, self._is_wanted)
                key = None if block.keys is None else block.keys[n]
                job = self._jobs[index] = Job(block.places[n], key, row)
                index += 1
                yield job

    async def _run(self, job: Job) -> Job:
        assert self._runner is not None
        return await self._runner.run(job)

    @contextmanager
    def attached(self) -> Generator[None]:
        """What the commands need beside them, for as long as the block lasts."""
        self._origin = asyncio.get_running_loop().time()
        self._screen = Screen(self._out)
        self._runner = Runner(self._how, self._screen, self._most)
        try:
            yield
        finally:
            self._runner.close()
            for job in self._jobs.values():
                job.close()

    def busy(self) -> int:
        """How many commands run."""
        return sum(1 for _ in self.running())

    def resting(self) -> int:
        """None but those of the stream."""
        return 0

    def running(self) -> Iterator[tuple[str, float]]:
        """What runs, and since when."""
        for job in list(self._jobs.values()):
            if job.began is not None and job.ended is None:
                yield job.text, job.began

    def item(self, index: int) -> Mapping[str, Any]:
        """What is known of one that is on its way."""
        job = self._jobs.get(index)
        return {} if job is None else {"i": job.i, "in": job.row}

    def early(self) -> Iterator[Harvest]:
        """Nothing comes but by its outcome."""
        return iter(())

    async def settle(self, outcome: Outcome[Any]) -> Harvest:
        """Show or record one end."""
        assert outcome.index is not None
        assert self._screen is not None
        job = self._jobs.pop(outcome.index)
        if self._width is not None:
            self._width.ended()
        try:
            error = None if isinstance(outcome, Ok) else outcome.error
            if isinstance(error, (PipeClosed, Refusal)):
                raise error
            if job.spool is not None:
                job.spool.check_disk()
            harvest = self._harvest(job, error, outcome.attempts)
            if not self._records and job.spool is not None:
                await self._screen.show(job.spool, job.prefix)
            return harvest
        finally:
            job.close()

    def _harvest(self, job: Job, error: BaseException | None, attempts: int) -> Harvest:
        span = 0.0 if job.began is None or job.ended is None else job.ended - job.began
        if error is None:
            return Harvest(
                data=self._record(job, None, 0, span, attempts),
                ok=1,
                times=Counter((bucket_of(span),)),
                slowest=(span, job.text),
                retries=attempts - 1,
                saved=int(attempts > 1),
            )
        last = "" if job.spool is None else last_line(job.spool.err)
        failure = described(error, last, self._is_fixed)
        data = self._record(job, failure, _code(error), span, attempts)
        return Harvest(data=data, failures=[(job.text, failure)], retries=attempts - 1)

    def _record(
        self, job: Job, failure: Failure | None, code: int | None, span: float, attempts: int
    ) -> bytes:
        if not self._records:
            return b""
        out = None if job.is_cut else _out(job, code)
        ended = None if job.ended is None else job.ended - self._origin
        if failure is None:
            row = record.ok_row(job.i, job.key, job.row, out, span, attempts, ended)
        else:
            row = record.failed_row(job.i, job.key, job.row, failure.record(), span, attempts, ended)
            row |= {} if out is None else {"out": out}
        try:
            return record.encode(row)
        except ValueError:  # a number in a row of JSON that JSON has no word for
            return record.encode({**row, "in": job.text})

    def cut(self) -> Iterator[Harvest]:
        """What ran when the run was stopped."""
        now = asyncio.get_running_loop().time()
        for job in list(self._jobs.values()):
            if job.is_cut:
                failure = cancelled(None)
                data = self._record(job, failure, None, now - (job.began or now), 1)
                yield Harvest(data=data, failures=[(job.text, failure)])


def retry_of(shared: Shared) -> Retry | None:
    """How commands are tried again: those that failed, or those of them that are wanted."""
    if not shared.retries:
        return None
    again = shared.retry_on

    def is_wanted(error: BaseException) -> bool:
        failed = isinstance(error, CommandFailed)
        return failed and (again is None or again.wants(described(error, "", True), error))

    return shared.retry(is_wanted)


def _code(error: BaseException) -> int | None:
    is_exit = isinstance(error, CommandFailed) and not isinstance(error, (CommandTimeout, CommandRefused))
    return error.code if is_exit and isinstance(error, CommandFailed) else None


def _out(job: Job, code: int | None) -> dict[str, Any] | None:
    """What a record says of a command: its exit code and what it wrote."""
    if job.spool is None:
        return None
    found: dict[str, Any] = {"exit": code}
    for name, descriptor in (("stdout", job.spool.out), ("stderr", job.spool.err)):
        data = b"".join(pieces(descriptor, RECORDED))
        try:
            found[name] = data.decode("utf-8")
        except UnicodeDecodeError:
            found[f"{name}_base64"] = base64.b64encode(data).decode("ascii")
        if (count := size(descriptor)) > RECORDED:
            found[f"{name}_bytes"] = count
    return found
