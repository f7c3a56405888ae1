"""What the items are: arguments, the lines of a file, or standard input; read lazily, in bounded memory."""

from __future__ import annotations

import codecs
import io
import itertools
import os
import select
import stat
import sys
from collections.abc import Iterator, Sequence
from typing import Final

from atonce.cli.exits import INPUT_OUTPUT, Refusal

PIECE: Final = 65_536
#: What is kept of a longer line; no URL is as long, so that such a line fails as an item of its own.
LONGEST: Final = 2 * PIECE
STDIN: Final = "-"


class Input:
    """The items of one run: the arguments first, then the lines of `path` ("-" is standard input).

    What is read is opened here, so that what is missing is said before anything starts. Iterate once, then close.
    """

    def __init__(self, arguments: Sequence[str], path: str | None) -> None:
        self.path = path
        self._arguments = list(itemised(arguments))
        self._file = None if path in (None, STDIN) else _opened(path or "")

    def __iter__(self) -> Iterator[str]:
        yield from self._arguments
        if self._file is not None:
            yield from itemised(lines(_pieces(self._file.fileno(), str(self.path))))
        elif self.path == STDIN:
            yield from itemised(lines(_pieces(0, "standard input")))

    def total(self) -> int | None:
        """Count the items, reading a file a second time; None when that cannot be done (a pipe)."""
        known = len(self._arguments)
        if self.path is None:
            return known
        if self._file is None or not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
            return None
        with _opened(self.path) as again:
            return known + sum(1 for _ in itemised(lines(_pieces(again.fileno(), self.path))))

    def close(self) -> None:
        """Close the file; safe to repeat."""
        if self._file is not None:
            self._file.close()


def choose(arguments: Sequence[str], path: str | None) -> Input:
    """Standard input is read when it is named, or when it is piped and nothing else is given."""
    plain = [one for one in arguments if one != STDIN]
    if len(plain) < len(arguments):
        if path not in (None, STDIN):
            raise Refusal(f"standard input is named as an argument (-) beside -i {path}: give one of the two")
        path = STDIN
    if not arguments and path is None:
        if sys.stdin is None or sys.stdin.isatty():
            raise Refusal("no URL is given: name some, or a file of them with -i FILE, or pipe them in")
        path = STDIN
    return Input(plain, path)


def itemised(texts: Sequence[str] | Iterator[str]) -> Iterator[str]:
    """The items among lines: blanks around them, empty lines, and lines that start with # do not count."""
    for text in texts:
        item = text.strip()
        if item and not item.startswith("#"):
            yield item


def lines(chunks: Iterator[bytes]) -> Iterator[str]:
    """Split chunks of bytes, wherever they are cut, into lines without their ends, each cut to `LONGEST`.

    UTF-8, with or without a mark at its start, or UTF-16 with one (as PowerShell writes). Bytes that are no UTF-8 stay
    as they are (surrogateescape).
    """
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= 2:
            break
    wide = head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    encoding, errors = ("utf-16", "replace") if wide else ("utf-8-sig", "surrogateescape")
    pending = ""
    for text in codecs.iterdecode(itertools.chain([head], chunks), encoding, errors):
        first, *others = text.split("\n")
        pending = (pending + first)[:LONGEST]
        for line in others:
            yield pending.removesuffix("\r")
            pending = line[:LONGEST]
    if pending:
        yield pending.removesuffix("\r")


def _opened(path: str) -> io.FileIO:
    try:
        return io.FileIO(path)
    except (OSError, ValueError) as error:
        raise Refusal(f"cannot read {path}: {reason(error)}", INPUT_OUTPUT) from None


def _pieces(descriptor: int, name: str) -> Iterator[bytes]:
    """Read to the end, by the descriptor: a thread that blocks in `sys.stdin` would disturb the interpreter's exit."""
    try:
        while chunk := _read(descriptor):
            yield chunk
    except OSError as error:
        raise Refusal(f"cannot read {name}: {reason(error)}", INPUT_OUTPUT) from None


def _read(descriptor: int) -> bytes:
    while True:
        try:
            return os.read(descriptor, PIECE)
        except BlockingIOError:  # whoever shares the pipe has made it non-blocking
            select.select([descriptor], [], [])


def reason(error: BaseException) -> str:
    """What the system says about an error, without the number and the name."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
