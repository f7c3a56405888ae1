"""Where the records go: a file that is made for them, or standard output."""

from __future__ import annotations

import os
import stat
from typing import Final

from atonce._verbs.spawn import spawn
from atonce.cli.exits import INPUT_OUTPUT, Refusal
from atonce.cli.inputs import reason

STDOUT: Final = 1


class PipeClosed(Exception):
    """Nobody reads standard output any more."""


class Output:
    """An open place for records; `name` is None for standard output, `size` counts what has been written."""

    def __init__(self, path: str | None, *, overwrite: bool = False) -> None:
        self.name: str | None = None if path == "-" else path
        self.size: int = 0
        #: A write was given up while it was blocked: whoever writes more would be blocked too.
        self.is_stuck: bool = False
        try:
            self._descriptor = STDOUT if self.name is None else _created(self.name, overwrite)
            kind = os.fstat(self._descriptor).st_mode
        except OSError as error:
            raise self._lost(error) from None
        self._is_file = stat.S_ISREG(kind)
        self._is_synced = True

    @property
    def is_tty(self) -> bool:
        """Whether a person looks at the records as they come."""
        return os.isatty(self._descriptor)

    async def write(self, line: bytes) -> None:
        """Append one whole line; it has left the program when this returns.

        A pipe or a terminal may block, so that is written from a thread: what runs keeps its time limits meanwhile.
        """
        try:
            if self._is_file:
                _write(self._descriptor, line)
            else:
                self.is_stuck = True
                await spawn(_write, self._descriptor, line)
                self.is_stuck = False
        except (BrokenPipeError, ConnectionResetError):
            raise PipeClosed from None
        except OSError as error:
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


def _created(path: str, overwrite: bool) -> int:
    """Open a file that is not there yet; a device or a pipe may be there."""
    try:
        is_there = not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        is_there = False
    flags = os.O_WRONLY | getattr(os, "O_CLOEXEC", 0)
    if is_there:
        return os.open(path, flags)
    try:
        return os.open(path, flags | os.O_CREAT | (os.O_TRUNC if overwrite else os.O_EXCL), 0o666)
    except FileExistsError:
        raise Refusal(f"{path} is there already: give another -o, or --overwrite to replace it") from None


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
