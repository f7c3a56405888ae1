"""What functions did, wherever they ran: counts and flags that threads and processes can all see.

Workers import this file, so it imports little.
"""

from __future__ import annotations

import ast
import fcntl
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LONG = 30.0
"""Seconds after which whatever waits gives up, so that a broken test ends."""

_NUMBERS = struct.Struct("=qq")


class Flag:
    """A flag that can be seen from everywhere: a file that is there or not."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def set(self) -> None:
        self.path.touch()

    def is_set(self) -> bool:
        return self.path.exists()

    def wait(self, timeout: float = LONG) -> bool:
        """Wait until it is set; gives whether it is."""
        return reached(self.is_set, timeout)


class Ledger:
    """Who ran, how often, and how many at once; every copy of it writes in the same files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.let_go = Flag(folder / "let_go")
        self.asked = Flag(folder / "asked")
        self.underway = Flag(folder / "underway")

    def __reduce__(self) -> tuple[Any, ...]:
        return Ledger, (self.folder,)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        fd = os.open(self.folder / "numbers", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)  # the system lets it go when its holder is killed
            yield fd
        finally:
            os.close(fd)

    def write(self, item: Any) -> None:
        """Write down one call, at once."""
        fd = os.open(self.folder / "calls", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            os.write(fd, f"{item!r}\n".encode())
        finally:
            os.close(fd)

    def note(self, item: Any) -> int:
        """Write down one call; gives how many there were with the same item, this one included."""
        with self._locked():
            self.write(item)
            return self.calls.count(item)

    @property
    def calls(self) -> list[Any]:
        """The items that were noted, in order."""
        try:
            return [ast.literal_eval(line) for line in (self.folder / "calls").read_text().splitlines()]
        except FileNotFoundError:
            return []

    def enter(self, item: Any) -> None:
        """One more runs."""
        self.note(item)
        self._add(1)

    def leave(self) -> None:
        """One less runs."""
        self._add(-1)

    def _add(self, more: int) -> None:
        with self._locked() as fd:
            running, peak = self._numbers(fd)
            running += more
            os.pwrite(fd, _NUMBERS.pack(running, max(running, peak)), 0)

    def _numbers(self, fd: int) -> tuple[int, int]:
        data = os.pread(fd, _NUMBERS.size, 0)
        running, peak = _NUMBERS.unpack(data) if data else (0, 0)
        return running, peak

    @property
    def peak(self) -> int:
        """The most that ever ran at once."""
        with self._locked() as fd:
            return self._numbers(fd)[1]


def reached(condition: Any, timeout: float = LONG) -> bool:
    """Wait until `condition()`; gives whether it came true in time."""
    until = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.002)
    return True
