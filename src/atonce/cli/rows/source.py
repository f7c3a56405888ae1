"""`Source`: the rows of one run, from arguments, a file or a pipe, in the format that its name or the user says."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from atonce.cli.exits import USAGE, Refusal
from atonce.cli.rows import tables
from atonce.cli.rows.text import line_blocks, opened, pieces, unpacked

STDIN: Final = "-"
FORMATS: Final = ("lines", "csv", "tsv", "jsonl", "json", "parquet")
_OF_SUFFIX: Final = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
}
#: What a verb makes of a block of plain lines; None where each line is a row as it is.
Trim = Callable[[Sequence[str]], list[str]]


@dataclass(frozen=True, slots=True)
class Reading:
    """How an input is read: its format (None: by its name), what ends a line, how much of a line is kept at most."""

    format: str | None = None
    separator: str = "\n"
    longest: int | None = None
    trim: Trim | None = None


def format_of(path: str | None) -> tuple[str, bool]:
    """The format that a file's name tells, and whether gzip has packed it.

    >>> format_of("a/cities.csv.gz"), format_of("names.txt"), format_of(None)
    (('csv', True), ('lines', False), ('lines', False))
    """
    name = (path or "").lower()
    packed = name.endswith(".gz")
    suffix = os.path.splitext(name.removesuffix(".gz"))[1]
    return _OF_SUFFIX.get(suffix, "lines"), packed


class Source:
    """The rows of one run: the arguments first, then those of `path` ("-" is standard input).

    What is read is opened here, so that what is missing is said before anything starts. Take `blocks` once, then
    close; `close` also ends a wait for a pipe.
    """

    def __init__(
        self, arguments: Sequence[str], path: str | None, reading: Reading = Reading()
    ) -> None:  # frozen
        self.path = path
        self._reading = reading
        format, self._packed = format_of(path)
        self.format: str = reading.format or format
        self._arguments = list(arguments) if reading.trim is None else reading.trim(arguments)
        self._file = None if path in (None, STDIN) else opened(path or "")
        self._wanted = True
        if self.format == "parquet" and path in (None, STDIN):
            raise Refusal("Parquet is read from a file: give its name", USAGE)

    @property
    def arguments(self) -> list[str]:
        """The rows that were given as arguments."""
        return self._arguments

    @property
    def has_columns(self) -> bool:
        """Whether its rows are dictionaries (JSON may have other values among them)."""
        return self.format != "lines"

    def blocks(self) -> Iterator[list[Any]]:
        """The rows, as many at once as are there; blocks while there are none."""
        if self._arguments:
            yield self._arguments
        if self._file is not None:
            yield from self._read(self._file.fileno(), str(self.path))
        elif self.path == STDIN:
            yield from self._read(0, "standard input")

    def columns(self) -> list[str] | None:
        """The names of its columns, read from a file's start; None where that cannot be known before the run."""
        if not self._is_regular() or self.format not in ("csv", "tsv", "parquet"):
            return None
        if self.format == "parquet":
            with tables.parquet_file(str(self.path)) as file:
                return list(file.schema_arrow.names)
        with opened(str(self.path)) as again:
            row = next(self._parsed(again.fileno(), str(self.path)), None)
        return list(row[0]) if row else None

    def total(self) -> int | None:
        """Count the rows, reading a file a second time; None when that cannot be done (a pipe)."""
        known = len(self._arguments)
        if self.path is None:
            return known
        if not self._is_regular():
            return None
        with opened(self.path) as again:
            if self.format == "lines" and self._reading.trim is None and not self._packed:
                return known + self._ends(again.fileno())
            return known + sum(len(block) for block in self._parsed(again.fileno(), self.path))

    def close(self) -> None:
        """Want no more, and close the file; safe to repeat."""
        self._wanted = False
        if self._file is not None:
            self._file.close()

    def is_wanted(self) -> bool:
        """Whether somebody still reads it."""
        return self._wanted

    def want_no_more(self) -> None:
        """End a wait for a pipe."""
        self._wanted = False

    def _is_regular(self) -> bool:
        return self._file is not None and stat.S_ISREG(os.fstat(self._file.fileno()).st_mode)

    def _ends(self, descriptor: int) -> int:
        """Lines by their ends alone, and a last one without."""
        end = self._reading.separator.encode("utf-8", "surrogateescape")
        count, tail = 0, end
        for chunk in pieces(descriptor, str(self.path), lambda: self._wanted):
            count += chunk.count(end)
            tail = chunk[-len(end) :]
        return count + (tail != end)

    def _read(self, descriptor: int, name: str) -> Iterator[list[Any]]:
        return self._parsed(descriptor, name)

    def _parsed(self, descriptor: int, name: str) -> Iterator[list[Any]]:
        if self.format == "parquet":
            return tables.parquet(name)
        chunks = pieces(descriptor, name, lambda: self._wanted)
        if self._packed:
            chunks = unpacked(chunks, name)
        if self.format == "csv":
            return tables.delimited(chunks, ",", name)
        if self.format == "tsv":
            return tables.delimited(chunks, "\t", name)
        if self.format == "jsonl":
            return tables.json_lines(chunks, name)
        if self.format == "json":
            return tables.json_array(chunks, name)
        return self._trimmed(line_blocks(chunks, self._reading.separator, self._reading.longest))

    def _trimmed(self, blocks: Iterator[list[str]]) -> Iterator[list[str]]:
        trim = self._reading.trim
        return blocks if trim is None else (found for block in blocks if (found := trim(block)))


def lines_of(path: str) -> list[str]:
    """All lines of a file, or of standard input ("-"), at once."""
    source = Source((), path, Reading("lines"))
    try:
        return [line for block in source.blocks() for line in block]
    finally:
        source.close()


def is_piped() -> bool:
    """Whether standard input is something else than a terminal."""
    return sys.stdin is not None and not sys.stdin.isatty()


def choose(
    arguments: Sequence[str],
    path: str | None,
    missing: str,
    reading: Reading = Reading(),  # frozen
) -> Source:
    """Standard input is read when it is named, or when it is piped and nothing else is given.

    `missing` is what to say when there is nothing to read.
    """
    plain = [one for one in arguments if one != STDIN]
    if len(plain) < len(arguments):
        if path not in (None, STDIN):
            raise Refusal(f"standard input is named as an argument (-) beside -i {path}: give one of the two")
        path = STDIN
    if not arguments and path is None:
        if not is_piped():
            raise Refusal(missing)
        path = STDIN
    return Source(plain, path, reading)
