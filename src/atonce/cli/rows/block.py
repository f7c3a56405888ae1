"""`Block`: neighbouring rows with their places in the input and their keys, and what is done to blocks on their way."""

from __future__ import annotations

import random
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from atonce.cli.rows.keys import Keys, canonical

Blocks = Iterator["Block"]


@dataclass(frozen=True, slots=True)
class Block:
    """Rows, where each stands in the input, and their keys (None where nobody wants them)."""

    places: Sequence[int]
    rows: Sequence[Any]
    keys: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, start: int, stop: int | None = None) -> Block:
        """Some of it."""
        keys = None if self.keys is None else self.keys[start:stop]
        return Block(self.places[start:stop], self.rows[start:stop], keys)


def numbered(lists: Iterable[Sequence[Any]]) -> Blocks:
    """Give rows their places."""
    at = 0
    for rows in lists:
        yield Block(range(at, at + len(rows)), rows)
        at += len(rows)


def skipped(blocks: Blocks, count: int) -> Blocks:
    """Without the first `count` rows."""
    for block in blocks:
        if count < len(block):
            yield block.part(count)
        count = max(0, count - len(block))


def limited(blocks: Blocks, count: int) -> Blocks:
    """No more than `count` rows; nothing further is read."""
    if count <= 0:
        return
    for block in blocks:
        yield block.part(0, count)
        count -= len(block)
        if count <= 0:
            return


def shuffled(blocks: Blocks, dice: random.Random) -> Blocks:
    """All rows in an order by chance; they are all in memory."""
    entries = list(_entries(blocks))
    dice.shuffle(entries)
    yield from _blocks(entries)


def sampled(blocks: Blocks, count: int, dice: random.Random) -> Blocks:
    """`count` rows by chance, in the order of the input; only they are in memory (Vitter's algorithm R)."""
    kept: list[tuple[int, Any]] = []
    for number, entry in enumerate(_entries(blocks)):
        if number < count:
            kept.append(entry)
        elif (at := dice.randrange(number + 1)) < count:
            kept[at] = entry
    yield from _blocks(sorted(kept, key=lambda entry: entry[0]))


def grouped(blocks: Blocks, size: int) -> Blocks:
    """Each `size` rows as one, which is a list of them; its place counts such lists."""
    at, waiting = 0, list[Any]()
    for block in blocks:
        waiting += block.rows
        whole = len(waiting) // size
        lists = [waiting[n * size : (n + 1) * size] for n in range(whole)]
        del waiting[: whole * size]
        if lists:
            yield Block(range(at, at + whole), lists)
            at += whole
    if waiting:
        yield Block(range(at, at + 1), [waiting])


def keyed(blocks: Blocks, identity: Callable[[Any], str] = canonical) -> Blocks:
    """Give rows their keys."""
    keys = Keys()
    for block in blocks:
        yield Block(block.places, block.rows, keys.of_all([identity(row) for row in block.rows]))


def without(blocks: Blocks, done: Container[str], passed: Callable[[int], None]) -> Blocks:
    """Leave out the rows whose keys are in `done`, and say how many those were."""
    for block in blocks:
        assert block.keys is not None
        kept = [n for n, key in enumerate(block.keys) if key not in done]
        if len(kept) < len(block):
            passed(len(block) - len(kept))
        if kept:
            yield Block(
                [block.places[n] for n in kept],
                [block.rows[n] for n in kept],
                [block.keys[n] for n in kept],
            )


def _entries(blocks: Blocks) -> Iterator[tuple[int, Any]]:
    return chain.from_iterable(zip(block.places, block.rows, strict=True) for block in blocks)


def _blocks(entries: list[tuple[int, Any]], most: int = 1_000) -> Blocks:
    for start in range(0, len(entries), most):
        part = entries[start : start + most]
        yield Block([place for place, _ in part], [row for _, row in part])
