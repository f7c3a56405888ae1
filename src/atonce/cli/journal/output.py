"""Where the records go: a file that is made for them or gone on with, or standard output."""

from __future__ import annotations

import asyncio
import os
import select
import stat
from typing import Final

from atonce._verbs.spawn import spawn
from atonce.cli.exits import INPUT_OUTPUT, Refusal
from atonce.cli.rows.text import reason

STDOUT: Final = 1
#: Bytes that wait for no more.
ENOUGH: Final = 65_536
#: Bytes that a pipe with room for any takes as a whole.
SURE: Final = getattr(select, "PIPE_BUF", 512)


class PipeClosed(Exception):
    """Nobody reads standard output any more."""


class Output:
    """An open place for records; `name` is None for standard output, `size` is how much of a file is whole.

    `at` goes on with a file after so many bytes: what comes after them is cut off. `standard` is another descriptor
    in place of standard output.
    """

    def __init__(
        self,
        path: str | None,
        *,
        overwrite: bool = False,
        at: int | None = None,
        standard: int = STDOUT,
    ) -> None:
        self.name: str | None = None if path == "-" else path
        self.size: int = at or 0
        self._waiting: list[bytes] = []
        self._waits = 0
        self._turn = asyncio.Lock()
        #: A write was given up while it was blocked: whoever writes more would be blocked too.
        self.is_stuck: bool = False
        try:
            self._descriptor = standard if self.name is None else _file_for(self.name, overwrite, at)
            kind = os.fstat(self._descriptor).st_mode
        except OSError as error:
            raise self._lost(error) from None
        self._is_file = stat.S_ISREG(kind)
        self._is_synced = True

    @property
    def is_tty(self) -> bool:
        """Whether a person looks at the records as they come."""
        return os.isatty(self._descriptor)

    @property
    def is_full(self) -> bool:
        """Whether what was `put` should not wait any longer."""
        return self._waits > ENOUGH

    def put(self, lines: bytes) -> None:
        """Keep whole lines for the next `flush`."""
        if lines:
            self._waiting.append(lines)
            self._waits += len(lines)

    async def flush(self) -> None:
        """Write what was put; two that flush at a time do it one after the other."""
        while self._waiting:
            async with self._turn:
                data = b"".join(self._waiting)
                self._waiting.clear()
                self._waits = 0
                await self.write(data)

    async def write(self, line: bytes) -> None:
        """Append whole lines; they have left the program when this returns.

        A pipe or a terminal that would block is written from a thread: what runs keeps its time limits meanwhile.
        """
        written = _Written()
        try:
            if self._is_file:
                _write(self._descriptor, line, written)
            elif not _write_ready(self._descriptor, line, written):
                self.is_stuck = True
                await spawn(_write, self._descriptor, line, written)
                self.is_stuck = False
        except (BrokenPipeError, ConnectionResetError):
            raise PipeClosed from None
        except OSError as error:
            self.size += line.rfind(b"\n", 0, written.count) + 1
            self._take_back()
            raise self._lost(error) from None
        self.size += len(line)
        self._is_synced = False

    async def sync(self) -> None:
        """Have a file on the disk, not only in the system's memory."""
        if self._is_synced or not self._is_file:
            return
        self._is_synced = True
        try:
            await spawn(os.fsync, self._descriptor)
        except OSError as error:
            raise self._lost(error) from None

    def close(self) -> None:
        """Close the file; standard output stays open. Safe to repeat."""
        if self.name is not None and self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _take_back(self) -> None:
        """Cut off half a line, so that what is there can be read and gone on with."""
        if self._is_file and self.name is not None:
            try:
                os.ftruncate(self._descriptor, self.size)
            except OSError:
                return

    def _lost(self, error: OSError) -> Refusal:
        return Refusal(f"cannot write {self.name or 'standard output'}: {reason(error)}", INPUT_OUTPUT)


def _file_for(path: str, overwrite: bool, at: int | None) -> int:
    """Open a file that is not there yet, or one to go on with; a device or a pipe may be there."""
    try:
        is_special = not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        is_special = False
    flags = os.O_WRONLY | getattr(os, "O_CLOEXEC", 0)
    if is_special:
        return os.open(path, flags)
    if at is None and not overwrite:
        flags |= os.O_EXCL
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_APPEND, 0o666)
    except FileExistsError:
        raise already_there(path) from None
    try:
        _lock(descriptor, path)
        os.ftruncate(descriptor, at or 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def already_there(path: str) -> Refusal:
    """What is said of an output that nobody asked to touch."""
    return Refusal(
        f"{path} is there already: --resume goes on with it, --overwrite replaces it; or give another -o"
    )


def _lock(descriptor: int, path: str) -> None:
    """No two runs write one journal."""
    try:
        import fcntl
    except ImportError:  # Windows has no such locks
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Refusal(
            f"{path} is being written by another run: wait for its end, or give another -o"
        ) from None
    except OSError:  # a file system without locks
        return


class _Written:
    """How many bytes of a write are out, also where it fails."""

    count = 0


def _write(descriptor: int, data: bytes, written: _Written) -> None:
    view = memoryview(data)
    while written.count < len(data):
        written.count += os.write(descriptor, view[written.count :])


def _write_ready(descriptor: int, data: bytes, written: _Written) -> bool:
    """Write as much as cannot block; True when that was all.

    What is ready takes `SURE` bytes: POSIX says so of pipes.
    """
    view = memoryview(data)
    while written.count < len(data):
        try:
            ready = select.select([], [descriptor], [], 0.0)[1]
        except (OSError, ValueError):
            return False
        if not ready:
            return False
        written.count += os.write(descriptor, view[written.count : written.count + SURE])
    return True
