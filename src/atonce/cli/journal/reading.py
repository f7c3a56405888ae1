"""Reading a journal: what is done, what failed, and how much of the file is whole; pure, from chunks of bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from atonce.cli.rows.keys import KeySet


class NoJournal(Exception):
    """It is something else, as the message says."""


@dataclass(slots=True)
class Earlier:
    """What a journal says, the newest record of each key.

    `done` and `failed` are keys; what was cancelled is in neither: it is left to do. `size` is where the last whole
    line ends; what comes after it was torn when its writer died. `head` is the newest one.
    """

    head: Mapping[str, Any] | None = None
    done: KeySet = field(default_factory=KeySet)
    failed: KeySet = field(default_factory=KeySet)
    size: int = 0
    has_ended: bool = False

    def take(self, record: Mapping[str, Any]) -> None:
        """Count one record, which is newer than all before."""
        if "atonce" in record:
            if "end" in record:
                self.has_ended = True
            else:
                self.head, self.has_ended = record, False
            return
        key = record.get("key")
        if not isinstance(key, str) or "ok" not in record:
            raise NoJournal("it has a line that is no record")
        self.done.discard(key)
        self.failed.discard(key)
        if record["ok"] is True:
            self.done.add(key)
        elif record.get("err", {}).get("kind") != "cancelled":
            self.failed.add(key)


def read(chunks: Iterable[bytes]) -> Earlier:
    """Read a journal, wherever its bytes are cut; `NoJournal` for what is none.

    A torn last line, with a line end or without, does not count; neither does a file in which not even the head is
    whole.
    """
    found = Earlier()
    torn: str | None = None
    for line, end in whole_lines(chunks):
        if torn is not None:
            raise NoJournal(torn)
        try:
            record = parsed(line)
            if found.head is None and "atonce" not in record:
                raise NoJournal("it does not begin with the head of a journal")
        except ValueError:
            torn = "it has a line that is no record"
            if found.head is None and not line.startswith(b'{"atonce"'):
                raise NoJournal("it does not begin with the head of a journal") from None
            continue
        found.take(record)
        found.size = end
    return found


def parsed(line: bytes) -> dict[str, Any]:
    """One line as a record; ValueError when it is none."""
    record = json.loads(line)
    if not isinstance(record, dict):
        raise ValueError("a record is an object")
    return record


def whole_lines(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    """The lines that have an end, without it, and where each ends in the file."""
    pending: list[bytes] = []
    at = 0
    for chunk in chunks:
        first, *others = chunk.split(b"\n")
        pending.append(first)
        for other in others:
            line = b"".join(pending)
            at += len(line) + 1
            yield line, at
            pending = [other]
