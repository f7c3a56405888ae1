"""`Part`: rows that go to a worker together; and what is recorded of a row whose worker did not come back."""

from __future__ import annotations

from dataclasses import dataclass

from atonce._model.durations import brief
from atonce._model.errors import TaskTimeout
from atonce.cli.map.batch import Entry
from atonce.cli.rows.block import Block
from atonce.cli.tally import Failure


@dataclass(slots=True)
class Part:
    """Rows that go together: `at` is their position among all that are done, `since` when they were handed out.

    A row that is tried again is one by itself; its `first` attempt began then. Of a batch that is on its way, `gone`
    rows have been told of, in frames up to `told`.
    """

    block: Block
    at: int
    attempt: int = 1
    first: float | None = None
    since: float = 0.0
    slot: int = 0
    gone: int = 0
    told: int = 0

    def cut(self, start: int, stop: int | None = None) -> Part:
        """Some of it."""
        return Part(self.block.part(start, stop), self.at + start, self.attempt, self.first)

    def entry(self) -> Entry:
        """What a worker is told of it."""
        block = self.block
        return Entry(self.slot, block.places, block.rows, block.keys, self.attempt)


def lost(error: BaseException, timeout: float | None) -> Failure:
    """What is recorded of a row whose worker was killed, or died; `timeout` is its limit where that is fixed."""
    name = type(error).__name__
    if isinstance(error, TaskTimeout):
        given = error.timeout if timeout is None else timeout
        after = "its time" if given is None else brief(given)
        label = f"timeout after {after}" if timeout is not None else "timeout"
        return Failure("timeout", name, f"no result in {after}", label, "--timeout gives more time")
    message = " ".join(str(error).split()) or name
    return Failure("lost", name, message, "lost: the worker died", message)
