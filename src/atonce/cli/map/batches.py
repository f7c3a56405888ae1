"""`Batches`: the verb that maps rows in processes, many of them in a call while they are short."""

from __future__ import annotations

import asyncio
import pickle
import random
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from atonce._model.options import Budget, Rate, Retry
from atonce._model.outcome import Ok, Outcome
from atonce._policy.backoff import pause
from atonce._runtime import telemetry
from atonce._verbs.spawn import spawn
from atonce._verbs.stream import Stream, stream
from atonce.cli.exits import Refusal
from atonce.cli.journal import record
from atonce.cli.map.batch import Entry, Order, run_batch
from atonce.cli.map.board import Board
from atonce.cli.map.course import Reply
from atonce.cli.map.job import since
from atonce.cli.map.part import Part, lost
from atonce.cli.map.sizing import Reorder, Sizing
from atonce.cli.rows.block import Block, Blocks
from atonce.cli.rows.keys import canonical
from atonce.cli.tally import Failure
from atonce.cli.work.harvest import Harvest, joined
from atonce.cli.work.width import Width

#: Seconds after which a batch comes back, and which it should take.
SLICE = 0.02
AIM = 0.01
#: Seconds that a row has where its limit is not known yet.
ENDLESS = 1e6
#: Rows that may be ahead of the first one that has not ended, where they are written in order.
WINDOW = 100_000


class Batches:
    """Hands out rows as the stream asks for them, and takes back what a worker had no time for.

    A row whose worker is killed (its time was up) or dies is known by the board; the others of its batch run again.
    """

    def __init__(
        self,
        blocks: Blocks,
        order: Order,
        board: Board,
        *,
        jobs: int,
        keep_order: bool,
        timeout: float | None,
        retry: Retry,
        rate: Rate | None,
        close: Callable[[], None],
        width: Width | None = None,
        has_share: bool = False,
    ) -> None:
        one_by_one = rate is not None or order.until == "done"
        self._blocks = blocks
        self._order = order
        self._board = board
        self._jobs = jobs
        self._timeout = timeout
        self._retry = retry
        self._close = close
        self._width = width
        if width is not None:
            width.when_wider = self._widen
        self._sizing = Sizing(AIM, 1 if one_by_one else 5_000)
        self._reorder = Reorder() if keep_order else None
        self._read: deque[Block] = deque()
        self._reading: asyncio.Task[None] | None = None
        self._error: BaseException | None = None
        self._is_read = False
        self._left: deque[Part] = deque()
        self._slots = deque(range(board.slots))
        self._flight: dict[int, Part] = {}
        self._resting = 0
        self._position = 0
        self._changed = asyncio.Event()
        limit = ENDLESS if has_share else None if timeout is None else timeout + SLICE
        self.stream: Stream[Reply] = self._streamed(limit, rate)

    def _streamed(self, limit: float | None, rate: Rate | None) -> Stream[Reply]:
        return stream(
            self,
            partial(run_batch, self._order),
            max_concurrency=self._jobs,
            buffer=2 * self._jobs,
            ordered=False,
            timeout=limit,
            rate=rate,
            on="process",
            name="map",
        )

    # -- the verb -----------------------------------------------------------------------------------------------

    def attached(self) -> AbstractContextManager[None]:
        """Nothing to attach: batches are counted as they come."""
        return nullcontext()

    def busy(self) -> int:
        """How many rows run."""
        return min(self._jobs, len(self._flight))

    def resting(self) -> int:
        """How many rows rest before their next attempt."""
        return self._resting

    def running(self) -> Iterator[tuple[str, float]]:
        """A row of each batch that is on its way."""
        for part in list(self._flight.values())[: self._jobs]:
            if len(part.block):
                yield canonical(part.block.rows[self._died_at(part) or 0]), part.since

    def item(self, index: int) -> Mapping[str, Any]:
        """What is known of a batch that is on its way: the place of its first row, and how many it has."""
        part = self._flight.get(index)
        return (
            {}
            if part is None or not part.block.places
            else {"i": part.block.places[0], "rows": len(part.block)}
        )

    def cut(self) -> Iterator[Harvest]:
        """What ran is left to do; what waited for its turn to be written is written."""
        if self._reorder is not None:
            yield Harvest(data=self._reorder.rest())

    def early(self) -> Iterator[Harvest]:
        """What batches that are overdue have told of, and rows that they released."""
        if not self._flight:
            return
        now = asyncio.get_running_loop().time()
        for part in list(self._flight.values())[: 2 * self._jobs]:
            if now - part.since > SLICE:
                yield from self._told(part)

    async def settle(self, outcome: Outcome[Reply]) -> Harvest:
        """What a batch brought; what it did not come to is handed out again."""
        assert outcome.index is not None
        part = self._flight.pop(outcome.index)
        try:
            harvest = joined(self._told(part))
            if isinstance(outcome, Ok):
                return joined([harvest, self._replied(part, outcome.value, outcome.elapsed)])
            return joined([harvest, self._died(part, outcome.error)])
        finally:
            self._slots.append(part.slot)
            self._changed.set()

    def _told(self, part: Part) -> Iterator[Harvest]:
        """What a batch has written on its sheet since the last look."""
        sheet = self._board.sheet(part.slot)
        while sheet is not None and part.told < sheet.end:
            frame, part.told = sheet.frame(part.told)
            yield self._brought(part, pickle.loads(frame))

    def _brought(self, part: Part, reply: Reply) -> Harvest:
        """Rows at the front of a part have ended, and some at its end are to be run elsewhere."""
        if reply.released:
            kept = len(part.block) - reply.released
            self._left.append(part.cut(kept))
            part.block = part.block.part(0, kept)
            self._changed.set()
        rows = part.block.rows
        for n, failure in reply.failures if telemetry.handlers else ():
            self._tell("row.exception", part.cut(n, n + 1), failure)
        harvest = Harvest(
            data=self._in_order(part.at, reply.done, reply.data),
            ok=reply.ok,
            times=Counter(reply.times),
            failures=[(canonical(rows[n]), failure) for n, failure in reply.failures],
            saved=reply.ok if part.attempt > 1 else 0,
        )
        if reply.slowest[0] > 0.0:
            harvest.slowest = (reply.slowest[0], canonical(rows[reply.slowest[1]]))
        part.block = part.block.part(reply.done)
        part.at += reply.done
        part.gone += reply.done
        return harvest

    def _replied(self, part: Part, reply: Reply, elapsed: float) -> Harvest:
        if reply.broken is not None:
            raise Refusal(f"no worker can begin: {reply.broken}")
        harvest = self._brought(part, reply)
        self._sizing.told(part.gone, elapsed)
        rest = 0
        if reply.again is not None:
            rest = 1
            harvest = joined([harvest, self._again(part.cut(0, 1), *reply.again)])
        if rest < len(part.block):
            self._left.append(part.cut(rest))
        return harvest

    def _died(self, part: Part, error: BaseException) -> Harvest:
        """The row that it was on failed, if that is known; else each of its rows is tried alone."""
        self._sizing.told(0, 0.0)
        size = len(part.block)
        at = self._died_at(part)
        if at is None:
            self._left.extend(part.cut(n, n + 1) for n in range(size))
            return Harvest()
        if at:
            self._left.append(part.cut(0, at))
        if at + 1 < size:
            self._left.append(part.cut(at + 1))
        failed = part.cut(at, at + 1)
        failure = lost(error, self._timeout)
        again = self._order.again
        span = self._timeout or 0.0
        if part.attempt < self._order.attempts and (again is None or again.wants(failure, error)):
            return self._again(failed, failure, span)
        return self._failed(failed, failure, span)

    def _again(self, row: Part, failure: Failure, span: float) -> Harvest:
        """Try a row again after a pause, where that is within its budget; the last attempt took `span` seconds."""
        now = asyncio.get_running_loop().time()
        if row.first is None:
            row.first = now - span
        wait = pause(self._retry, row.attempt, 0.0, random.random)
        budget = self._retry.attempts
        if isinstance(budget, Budget) and now - row.first + wait > budget.seconds:
            return self._failed(row, failure, now - row.first)
        if telemetry.handlers:
            self._tell("row.retry", row, failure)
        row.attempt += 1
        self._resting += 1
        asyncio.get_running_loop().call_later(wait, self._rested, row)
        return Harvest(retries=1)

    def _tell(self, event: str, row: Part, failure: Failure) -> None:
        """Of the rows of a batch those that fail have events of their own."""
        about = {"i": row.block.places[0], "in": row.block.rows[0], "try": row.attempt}
        telemetry.emit(event, {}, {"name": "map", **about, "error": failure})

    def _failed(self, row: Part, failure: Failure, span: float) -> Harvest:
        if telemetry.handlers:
            self._tell("row.exception", row, failure)
        line = self._failed_line(row, failure, span)
        return Harvest(
            data=self._in_order(row.at, 1, line), failures=[(canonical(row.block.rows[0]), failure)]
        )

    def _died_at(self, part: Part) -> int | None:
        size = len(part.block)
        if size <= 1:
            return 0 if size else None
        sheet = self._board.sheet(part.slot)
        row = None if sheet is None else sheet.row()
        return None if row is None or not part.gone <= row < part.gone + size else row - part.gone

    def _failed_line(self, part: Part, failure: Failure, span: float) -> bytes:
        if not self._order.job.records:
            return b""
        block = part.block
        key = None if block.keys is None else block.keys[0]
        ended = since(self._order.job)
        err = failure.record()
        row = record.failed_row(block.places[0], key, block.rows[0], err, span, part.attempt, ended)
        return record.encode(row)

    def _in_order(self, at: int, count: int, data: bytes) -> bytes:
        return data if self._reorder is None else self._reorder.give(at, count, data)

    # -- what is handed out -------------------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[Entry]:
        return self._feed()

    async def _feed(self) -> AsyncGenerator[Entry]:
        index = 0
        loop = asyncio.get_running_loop()
        try:
            while (part := await self._awaited()) is not None:
                part.since = loop.time()
                part.slot = self._slot()
                self._flight[index] = part
                index += 1
                yield part.entry()
        finally:
            self._close()
            if self._reading is not None:
                self._reading.cancel()

    async def _awaited(self) -> Part | None:
        """The next rows, as soon as there is room for them; None when there will be none."""
        while True:
            part = self._next() if self._may_take() else None
            if part is not None or self._is_over():
                return part
            await self._changed.wait()
            self._changed.clear()

    def _slot(self) -> int:
        """A sheet that no batch on its way has."""
        slot = self._slots.popleft()
        sheet = self._board.sheet(slot)
        if sheet is not None:
            sheet.clear()
        return slot

    def _widen(self) -> None:
        self._changed.set()

    def _may_take(self) -> bool:
        """Whether one more batch may be on its way; none is ahead of need where a run may halt because of one."""
        if self._width is not None:
            return len(self._flight) < self._width.count
        return self._order.until is None or len(self._flight) < self._jobs

    def _is_over(self) -> bool:
        is_over = self._is_read and not (self._flight or self._left or self._resting or self._read)
        if is_over and self._error is not None:
            raise self._error
        return is_over

    def _next(self) -> Part | None:
        """The next rows, those first that were handed out before."""
        size = self._sizing.size
        if self._left:
            part = self._left.popleft()
            if len(part.block) > size:
                self._left.appendleft(part.cut(size))
                part = part.cut(0, size)
            return part
        if self._reorder is not None and self._position - self._reorder.head > WINDOW:
            return None
        if len(self._read) < 2 and not self._is_read and self._reading is None:
            self._reading = asyncio.get_running_loop().create_task(self._read_on())
        if not self._read:
            return None
        block = self._read[0]
        if len(block) <= size:
            self._read.popleft()
        else:
            self._read[0] = block.part(size)
            block = block.part(0, size)
        part = Part(block, self._position)
        self._position += len(block)
        return part

    async def _read_on(self) -> None:
        """Read the next block in a thread: whoever reads a pipe may wait."""
        try:
            block = await spawn(next, self._blocks, None)
            if block is None:
                self._is_read = True
            else:
                self._read.append(block)
        except Exception as error:
            self._error, self._is_read = error, True
        finally:
            self._reading = None
            self._changed.set()

    def _rested(self, part: Part) -> None:
        self._resting -= 1
        self._left.append(part)
        self._changed.set()
