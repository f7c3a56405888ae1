"""`Board`: memory that workers share with the program, on which a batch says what it is on and what it has already."""

from __future__ import annotations

import mmap
import os
import struct
from functools import lru_cache
from typing import Any, Final

#: Bytes for each batch on its way; memory is used only where something is written.
SIZE: Final = 262_144
#: At the start of a batch's part: the row that it is on, and how many bytes of frames follow.
_HEAD: Final = 2
_FIRST: Final = 8 * _HEAD
_LENGTH: Final = struct.Struct("q")


class Sheet:
    """The part of one batch; the worker writes, the program reads.

    A frame is a piece of bytes. It counts once `end` says so, which is written after it.
    """

    __slots__ = ("_memory", "marks", "place")

    def __init__(self, memory: memoryview, slot: int) -> None:
        self._memory = memory[slot * SIZE : (slot + 1) * SIZE]
        self.marks: Any = memory.cast("q")
        #: Where in `marks` the number of the row stands: the worker sets it for each row.
        self.place: int = slot * (SIZE // 8)

    def clear(self) -> None:
        """Nothing is known."""
        self.marks[self.place] = -1
        self.marks[self.place + 1] = 0

    def row(self) -> int | None:
        """The row that the batch is on; None when it did not say."""
        number = int(self.marks[self.place])
        return None if number < 0 else number

    def write(self, frame: bytes) -> bool:
        """Add a frame; False when there is no room."""
        end = int(self.marks[self.place + 1])
        start = _FIRST + end
        if start + 8 + len(frame) > SIZE:
            return False
        self._memory[start : start + 8] = _LENGTH.pack(len(frame))
        self._memory[start + 8 : start + 8 + len(frame)] = frame
        self.marks[self.place + 1] = end + 8 + len(frame)
        return True

    @property
    def end(self) -> int:
        """How many bytes of frames there are."""
        return int(self.marks[self.place + 1])

    def frame(self, at: int) -> tuple[bytes, int]:
        """The frame at a place, and where the next one is."""
        start = _FIRST + at
        (length,) = _LENGTH.unpack(self._memory[start : start + 8])
        return bytes(self._memory[start + 8 : start + 8 + length]), at + 8 + length


class Board:
    """Has `slots` sheets; `path` is where a worker opens it, None where the system has no such memory.

    Nothing of it is left when the program is gone, however that goes: it is in no folder.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.path: str | None = None
        self._descriptor = -1
        self._view: memoryview | None = None
        make = getattr(os, "memfd_create", None)
        if make is None or not os.path.isdir("/proc/self/fd"):
            return
        self._descriptor = make("atonce-board")
        os.ftruncate(self._descriptor, SIZE * slots)
        self._view = memoryview(mmap.mmap(self._descriptor, SIZE * slots))
        self.path = f"/proc/{os.getpid()}/fd/{self._descriptor}"

    def sheet(self, slot: int) -> Sheet | None:
        """The part of a batch; None where there is no board."""
        return None if self._view is None else Sheet(self._view, slot)

    def close(self) -> None:
        """Give the memory back as soon as nobody looks at it; safe to repeat."""
        if self._view is not None:
            self._view = self.path = None
            os.close(self._descriptor)


@lru_cache(maxsize=1)
def opened(path: str, slots: int) -> memoryview | None:
    """In a worker: the board to write on; None when the program is gone, or the system hides its files."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return memoryview(mmap.mmap(descriptor, SIZE * slots))
    except (OSError, ValueError):
        return None
    finally:
        os.close(descriptor)
