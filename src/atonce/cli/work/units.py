"""`Units`: a verb whose stream has one item a call; its results become records, or whatever its lines are."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from atonce._model.outcome import Ok, Outcome
from atonce._verbs.stream import Stream
from atonce.cli.journal import record
from atonce.cli.tally import Failure, bucket_of, cancelled
from atonce.cli.work.harvest import Harvest
from atonce.cli.work.watch import Intake, Item, Watch


class Unfit(Exception):
    """A result came, and cannot be recorded as asked; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Result:
    """How an item ended: with `out`, or with a `failure`; after `span` seconds and so many attempts.

    `ended` is seconds after the start of the run.
    """

    out: Any
    failure: Failure | None
    span: float
    attempts: int
    ended: float | None = None


#: What is written of an item: whole lines, or nothing.
Line = Callable[[Item, Result], bytes]


class Answers(Protocol):
    """What a verb with one item a call adds: how its results and failures are recorded."""

    async def out(self, item: Item, value: Any) -> Any:
        """The `out` of a record; `Unfit` when there is none."""
        ...

    def failure(self, item: Item, error: BaseException) -> Failure:
        """Why an item failed."""
        ...


def record_line(item: Item, result: Result) -> bytes:
    """A record; ValueError for what JSON cannot say."""
    failure = result.failure
    how = (result.span, result.attempts, result.ended)
    if failure is None:
        row = record.ok_row(item.i, item.key, item.shown, result.out, *how)
    else:
        row = record.failed_row(item.i, item.key, item.shown, failure.record(), *how)
    return record.encode(row)


class Units:
    """The verb as the work drives it."""

    def __init__(
        self, stream: Stream[Any], answers: Answers, intake: Intake, watch: Watch, line: Line = record_line
    ) -> None:
        self.stream: Stream[Any] = stream
        self._answers = answers
        self._intake = intake
        self._watch = watch
        self._line = line

    def attached(self) -> AbstractContextManager[None]:
        """Follow the stream for as long as the block lasts."""
        return self._watch.attached()

    def busy(self) -> int:
        """How many items run."""
        return self._watch.busy()

    def resting(self) -> int:
        """None but those of the stream."""
        return 0

    def running(self) -> Iterator[tuple[str, float]]:
        """What runs, and since when."""
        for index, began in sorted(self._watch.running.items()):
            yield self._intake.taken[index].text, began

    def item(self, index: int) -> Mapping[str, Any]:
        """What is known of one that is on its way."""
        item = self._intake.taken.get(index)
        return {} if item is None else {"i": item.i, "in": item.shown}

    async def settle(self, outcome: Outcome[Any]) -> Harvest:
        """One outcome as what is written and counted."""
        assert outcome.index is not None
        item = self._intake.pop(outcome.index)
        span = self._watch.span(outcome.index, outcome.elapsed)
        ended = self._watch.ended(outcome.index)
        out, failure = None, None
        if isinstance(outcome, Ok):
            try:
                out = await self._answers.out(item, outcome.value)
                return self._good(item, Result(out, None, span, outcome.attempts, ended))
            except Unfit as unfit:
                failure = unfit.failure
            except ValueError as error:
                failure = self._answers.failure(item, error)
        else:
            failure = self._answers.failure(item, outcome.error)
        return self._bad(item, Result(out, failure, span, outcome.attempts, ended))

    def cut(self) -> Iterator[Harvest]:
        """What ran when the run was stopped."""
        now = asyncio.get_running_loop().time()
        for index, began in sorted(self._watch.running.items()):
            item = self._intake.taken[index]
            ended = now - self._watch.began
            yield self._bad(item, Result(None, cancelled(item.host), now - began, 1, ended))

    def _good(self, item: Item, result: Result) -> Harvest:
        span, attempts = result.span, result.attempts
        return Harvest(
            data=self._line(item, result),
            ok=1,
            times=Counter((bucket_of(span),)),
            slowest=(span, item.text),
            retries=attempts - 1,
            saved=int(attempts > 1),
        )

    def _bad(self, item: Item, result: Result) -> Harvest:
        assert result.failure is not None
        failures = [(item.text, result.failure)]
        return Harvest(data=self._line(item, result), failures=failures, retries=result.attempts - 1)
