"""`Spool`: what a command writes, in files without a name, so that it is whole, apart, and gone whatever happens."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

from atonce.cli.exits import INPUT_OUTPUT, Refusal
from atonce.cli.rows.text import reason

PIECE: Final = 262_144
#: Blocks that a disk which is not full has left.
_LEFT: Final = 4
#: What a file system says that has no files without names.
_NO_SUCH_FILES: Final = (errno.EOPNOTSUPP, errno.EINVAL, errno.EISDIR, errno.ENOENT)


@lru_cache(maxsize=1)
def folder() -> str:
    """Where such files are: TMPDIR, or what the system has for it."""
    places = [os.environ.get("TMPDIR"), "/tmp", "/var/tmp"]
    fit = (one for one in places if one and os.path.isdir(one) and os.access(one, os.W_OK))
    return next(fit, os.curdir)


def unnamed() -> int:
    """Open a file that has no name; the system removes it when nobody has it open any more."""
    try:
        return _born_unnamed() if hasattr(os, "O_TMPFILE") else _soon_unnamed()
    except OSError as error:
        raise Refusal(f"cannot keep output in {folder()}: {reason(error)}", INPUT_OUTPUT) from None


def _born_unnamed() -> int:
    try:
        return os.open(folder(), os.O_TMPFILE | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in _NO_SUCH_FILES:
            raise
        return _soon_unnamed()


def _soon_unnamed() -> int:
    """A file whose name is taken away at once."""
    import tempfile  # is slow to import, and needed on few systems

    with tempfile.TemporaryFile("a+b", dir=folder()) as file:
        return os.dup(file.fileno())


class Spool:
    """Standard output and error of one command, each in a file: unnamed, or in a folder that is made for them."""

    __slots__ = ("err", "out")

    def __init__(self, place: Path | None = None) -> None:
        self.out: int = -1
        self.err: int = -1
        try:
            self.out = unnamed() if place is None else _named(place, "stdout")
            self.err = unnamed() if place is None else _named(place, "stderr")
        except BaseException:
            self.close()
            raise

    def check_disk(self) -> None:
        """A `Refusal` when the disk is full, so that output may be missing."""
        found = os.fstatvfs(self.out)
        left = found.f_bfree if os.geteuid() == 0 else found.f_bavail
        if found.f_blocks and left < _LEFT:
            raise Refusal(
                "the disk for the output of commands is full: set TMPDIR, or free some", INPUT_OUTPUT
            )

    def close(self) -> None:
        """Give the files back; safe to repeat."""
        for descriptor in (self.out, self.err):
            if descriptor >= 0:
                os.close(descriptor)
        self.out = self.err = -1


def _named(place: Path, name: str) -> int:
    try:
        place.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        return os.open(place / name, flags, 0o666)
    except OSError as error:
        raise Refusal(f"cannot write {place / name}: {reason(error)}", INPUT_OUTPUT) from None


def size(descriptor: int) -> int:
    """How many bytes there are."""
    return os.fstat(descriptor).st_size


def pieces(descriptor: int, most: int | None = None) -> Iterator[bytes]:
    """What was written, from its start, `most` bytes of it."""
    at = 0
    while most is None or at < most:
        piece = os.pread(descriptor, PIECE if most is None else min(PIECE, most - at), at)
        if not piece:
            return
        at += len(piece)
        yield piece


def last_line(descriptor: int) -> str:
    """The last line that says something, for people."""
    end = size(descriptor)
    tail = os.pread(descriptor, 1_000, max(0, end - 1_000)).decode("utf-8", "replace")
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def stdin_of(text: bytes) -> int:
    """Open what a command reads on its standard input."""
    descriptor = unnamed()
    try:
        view = memoryview(text)
        while view:
            view = view[os.write(descriptor, view) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
    except OSError as error:
        os.close(descriptor)
        raise Refusal(f"cannot keep input in {folder()}: {reason(error)}", INPUT_OUTPUT) from None
    return descriptor
