"""`Picking`: which of the rows are taken, and how they are put together; from the source to the blocks of a run."""

from __future__ import annotations

import random
from collections.abc import Callable, Container
from dataclasses import dataclass
from functools import partial
from typing import Any

from atonce.cli.exits import Refusal
from atonce.cli.rows import block
from atonce.cli.rows.block import Blocks
from atonce.cli.rows.keys import canonical
from atonce.cli.rows.source import Source


@dataclass(frozen=True, slots=True)
class Picking:
    """What `--skip --limit --shuf --sample --batch --key` ask for."""

    skip: int = 0
    limit: int | None = None
    shuf: bool = False
    sample: int | None = None
    batch: int = 1
    key: str | None = None

    def blocks(self, source: Source) -> Blocks:
        """The rows that are taken, each with its place in the input."""
        dice = random.Random()
        found = block.numbered(source.blocks())
        if self.skip:
            found = block.skipped(found, self.skip)
        if self.sample is not None:
            found = block.sampled(found, self.sample, dice)
        if self.shuf:
            found = block.shuffled(found, dice)
        if self.limit is not None:
            found = block.limited(found, self.limit)
        return found if self.batch == 1 else block.grouped(found, self.batch)

    def with_keys(
        self,
        source: Source,
        done: Container[str] | None,
        passed: Callable[[int], None],
        identity: Callable[[Any], str] = canonical,
    ) -> Blocks:
        """The same with keys, and without those rows whose keys are in `done`."""
        name = partial(identified, self.key) if self.key is not None and self.batch == 1 else identity
        found = block.keyed(self.blocks(source), name)
        return found if done is None else block.without(found, done, passed)

    def total(self, known: int | None) -> int | None:
        """How many items there are, of so many rows."""
        if known is None:
            return None
        count = max(0, known - self.skip)
        bounds = [one for one in (self.sample, self.limit) if one is not None]
        count = min([count, *bounds])
        return -(-count // self.batch)


def identified(column: str, row: Any) -> str:
    """What tells a row apart: the value of one of its columns."""
    try:
        return canonical(row[column])
    except (KeyError, TypeError, IndexError):
        raise Refusal(f"--key {column}: there is a row without that column: {canonical(row)[:80]}") from None
