"""`MapAnswers`: how results are recorded where each row is a call of its own: on the loop and in threads."""

from __future__ import annotations

from typing import Any

from atonce._model.errors import TaskStopped, TaskTimeout
from atonce.cli.map.job import Job, bare, dumped, failure_of, shaped
from atonce.cli.map.part import lost
from atonce.cli.tally import Failure
from atonce.cli.work.units import Result, Unfit
from atonce.cli.work.watch import Item


class MapAnswers:
    """What the function gave for a row is recorded as the job says."""

    def __init__(self, job: Job, timeout: float | None) -> None:
        self._job = job
        self._timeout = timeout

    async def out(self, item: Item, value: Any) -> Any:
        """The `out` of a record: what JSON can say."""
        try:
            found = shaped(self._job, item.shown, value)
            if not isinstance(found, str):
                dumped(found)
        except Exception as error:
            raise Unfit(failure_of(error)) from None
        return found

    def failure(self, item: Item, error: BaseException) -> Failure:
        """Why a row has no result."""
        return why_failed(error, self._timeout)


def why_failed(error: BaseException, timeout: float | None) -> Failure:
    """Why a call failed that had so many seconds."""
    if isinstance(error, TaskTimeout):
        return lost(error, timeout)
    if isinstance(error, TaskStopped):
        return Failure("cancelled", type(error).__name__, str(error), "cancelled")
    return failure_of(error)


def bare_line(item: Item, result: Result) -> bytes:
    """A result alone; nothing for a failure, which the receipt counts."""
    if result.failure is not None:
        return b""
    return bare(result.out).encode("utf-8", "surrogateescape") + b"\n"
