"""The journal that a looking verb is given: a run's output, the journal beside a table, or standard input."""

from __future__ import annotations

import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from atonce.cli.exits import Refusal
from atonce.cli.journal.opening import BESIDE
from atonce.cli.journal.reading import NoJournal
from atonce.cli.rows.text import opened, pieces
from atonce.report.facts import Report
from atonce.report.reading import report_of

_GZIP = b"\x1f\x8b"


def read_report(name: str, *, slowest: int = 20, pictured: bool = False) -> Report:
    """Read the journal of `name`, and account for it; a `Refusal` says why there is none."""
    try:
        if name == "-":
            return _of_stdin(slowest, pictured=pictured)
        path = found(name)
        return report_of(lambda: _chunks(path), Path(path).name, slowest=slowest, pictured=pictured)
    except NoJournal as error:
        raise Refusal(f"{name} is no journal: {error}. A run with -o OUT.jsonl writes one") from None


def found(name: str) -> str:
    """The journal's path: beside a table, for a table."""
    beside = f"{name}{BESIDE}"
    return beside if Path(beside).is_file() else name


def _of_stdin(slowest: int, *, pictured: bool) -> Report:
    """What can be read once alone is kept in a file, for it is read twice."""
    with tempfile.TemporaryFile() as file:
        for piece in pieces(sys.stdin.fileno(), "standard input"):
            file.write(piece)

        def again() -> Iterator[bytes]:
            file.seek(0)
            while piece := file.read(262_144):
                yield piece

        return report_of(again, "standard input", slowest=slowest, pictured=pictured)


def _chunks(path: str) -> Iterator[bytes]:
    """The bytes of a file; one that is packed with gzip is unpacked, as far as it is whole."""
    with closing(opened(path)) as file:
        parts = pieces(file.fileno(), path)
        first = next(parts, b"")
        if not first.startswith(_GZIP):
            yield first
            yield from parts
            return
        unpacking = zlib.decompressobj(31)
        try:
            yield unpacking.decompress(first)
            for part in parts:
                yield unpacking.decompress(part)
        except zlib.error:
            raise Refusal(f"{path} is packed with gzip, and damaged") from None
