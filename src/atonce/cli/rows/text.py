"""Bytes as they come into lines: any cut, any line end, UTF-8 or UTF-16, packed with gzip or not."""

from __future__ import annotations

import codecs
import io
import itertools
import os
import select
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from atonce.cli.exits import INPUT_OUTPUT, Refusal

PIECE: Final = 262_144
#: Seconds after which a reader that waits looks whether it is still wanted.
LOOK: Final = 0.1


def opened(path: str) -> io.FileIO:
    """Open a file to read; a `Refusal` when that cannot be."""
    try:
        return io.FileIO(path)
    except (OSError, ValueError) as error:
        raise Refusal(f"cannot read {path}: {reason(error)}", INPUT_OUTPUT) from None


def reason(error: BaseException) -> str:
    """What the system says about an error, without the number and the name."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def pieces(descriptor: int, name: str, is_wanted: Callable[[], bool] = lambda: True) -> Iterator[bytes]:
    """Read to the end, by the descriptor: a thread that blocks in `sys.stdin` would disturb the interpreter's exit.

    A wait for a pipe or a terminal ends soon after `is_wanted()` is no longer true.
    """
    try:
        while _wait(descriptor, is_wanted) and (chunk := _read(descriptor)):
            yield chunk
    except OSError as error:
        raise Refusal(f"cannot read {name}: {reason(error)}", INPUT_OUTPUT) from None


def _wait(descriptor: int, is_wanted: Callable[[], bool]) -> bool:
    """Until there is something to read (True), or nobody wants it."""
    while is_wanted():
        try:
            ready, _, _ = select.select([descriptor], [], [], LOOK)
        except (OSError, ValueError):  # what cannot be waited for is read at once
            return True
        if ready:
            return True
    return False


def _read(descriptor: int) -> bytes:
    while True:
        try:
            return os.read(descriptor, PIECE)
        except BlockingIOError:  # whoever shares the pipe has made it non-blocking
            select.select([descriptor], [], [])


def unpacked(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """What gzip has packed, one member or several; what is broken off is said."""
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
    is_open = False
    for chunk in chunks:
        rest = chunk
        while rest:
            is_open = True
            try:
                data = inflate.decompress(rest, PIECE)
            except zlib.error as error:
                raise Refusal(f"cannot read {name}: no gzip data ({error})", INPUT_OUTPUT) from None
            if data:
                yield data
            rest = inflate.unconsumed_tail
            if inflate.eof:
                rest = inflate.unused_data.lstrip(b"\0")
                inflate, is_open = zlib.decompressobj(zlib.MAX_WBITS | 16), False
    if is_open:
        raise Refusal(f"cannot read {name}: the gzip data are broken off", INPUT_OUTPUT)


def texts(chunks: Iterator[bytes]) -> Iterator[str]:
    """Decode chunks of bytes, wherever they are cut.

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
    return codecs.iterdecode(itertools.chain([head], chunks), encoding, errors)


def line_blocks(
    chunks: Iterator[bytes], separator: str = "\n", longest: int | None = None
) -> Iterator[list[str]]:
    """The lines that each chunk completes, without their ends; of a longer line no more than `longest` is kept."""
    pending: list[str] = []
    kept = 0
    for text in texts(chunks):
        first, *others = text.split(separator)
        if longest is not None:
            first = first[: longest - kept]
        pending.append(first)
        kept += len(first)
        if not others:
            continue
        rest = others.pop()
        lines = ["".join(pending), *others]
        pending, kept = [rest if longest is None else rest[:longest]], len(rest)
        yield _trimmed(lines, separator, longest)
    last = "".join(pending)
    if last:
        yield _trimmed([last], separator, longest)


def _trimmed(lines: list[str], separator: str, longest: int | None) -> list[str]:
    if longest is not None:
        lines = [line[:longest] for line in lines]
    if separator != "\n":
        return lines
    return [line[:-1] if line[-1:] == "\r" else line for line in lines]
