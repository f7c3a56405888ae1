"""Frames: how calls and replies are laid out in the pipes between a process and its workers."""

from __future__ import annotations

import os
from struct import Struct
from typing import Any

#: To a worker: kind, number of buffers beside the pickle, length of the pickle.
CALL_HEAD = Struct("=BxxxIQ")
#: From a worker: the same, and when the call began and ended by the system's monotonic clock.
REPLY_HEAD = Struct("=BxxxIQdd")
#: Before the buffers of a frame: the length of each.
SIZE = Struct("=Q")

# Kinds of frames to a worker.
FUNCTION, ITEMS, ITEM, CALL, FORGET, AT_ONCE = 1, 2, 3, 4, 5, 6
# Kinds of replies.
READY, UNREADY, VALUE, ERROR, UNDUMPABLE, UNLOADABLE = 1, 2, 3, 4, 5, 6

#: What a worker reads for each call: to run it, or to leave it out, since it was taken back.
RUN, SKIP = b"r", b"s"

#: Replies have no more buffers and bytes than this; a head that says so is none.
MOST_BUFFERS, MOST_BYTES = 1 << 24, 1 << 44

# Words of the page that a worker shares with its parent.
STARTED, BEGAN, STOP, LOOKS = 0, 1, 2, 3
PAGE = 4096

#: A piece of a frame larger than this is not copied together with others, and is read into memory of its own.
LARGE = 65_536
#: Up to this size that memory is used again.
KEPT = 8 << 20


class Garbled(Exception):
    """What came out of a pipe is no reply: whoever wrote it cannot be trusted any more."""


def frame(kind: int, data: bytes, buffers: list[Any]) -> bytes | list[Any]:
    """One frame to a worker; a list of its pieces where joining them would copy what is large."""
    head = CALL_HEAD.pack(kind, len(buffers), len(data))
    return joined(head, data, buffers)


#: Before a call for a worker without work: it has no token, since nobody would want it back.
NO_TOKEN = CALL_HEAD.pack(AT_ONCE, 0, 0)
#: Lets a worker forget the function of a stream.
FORGOTTEN = CALL_HEAD.pack(FORGET, 0, 0)


def joined(head: bytes, data: bytes, buffers: list[Any]) -> bytes | list[Any]:
    """Put a frame together."""
    if buffers:
        sizes = [SIZE.pack(buffer.nbytes) for buffer in buffers]
        return [b"".join((head, *sizes, data)), *buffers]
    return head + data if len(data) <= LARGE else [head, data]


def write_all(fd: int, pieces: list[Any]) -> None:
    """Write all of `pieces`, waiting where the pipe is full."""
    views = [memoryview(piece).cast("B") for piece in pieces if len(piece)]
    while views:
        written = os.writev(fd, views[:512])
        while views and written >= len(views[0]):
            written -= len(views.pop(0))
        if written:
            views[0] = views[0][written:]


class Scratch:
    """Memory that is used again for one large pickle after another: loading copies out of it what stays."""

    def __init__(self) -> None:
        self._memory = bytearray()

    def take(self, size: int) -> memoryview | bytearray:
        """Memory of `size` bytes, which is the next one's after that; what is very large gets its own."""
        if size > KEPT:
            return bytearray(size)
        if len(self._memory) < size:
            self._memory = bytearray(size)
        return memoryview(self._memory)[:size]


class Reader:
    """Takes frames out of a pipe, one at a time, in as few reads as may be."""

    def __init__(self, fd: int, head: Struct) -> None:
        self._fd = fd
        self._head = head
        self._data = b""
        self._at = 0
        self._scratch = Scratch()

    def frame(self) -> tuple[tuple[Any, ...], Any, list[Any]]:
        """Wait for the next frame: (fields of its head, pickle, buffers); EOFError when the other side is gone."""
        fields = self._head.unpack(self._take(self._head.size))
        sizes = [SIZE.unpack(self._take(SIZE.size))[0] for _ in range(fields[1])]
        data = self._take(fields[2]) if fields[2] <= LARGE else self._fill(self._scratch.take(fields[2]))
        return fields, data, [self._take(size) for size in sizes]

    def _take(self, size: int) -> Any:
        end = self._at + size
        if end <= len(self._data):
            taken = self._data[self._at : end]
            self._at = end
            return taken
        if size > LARGE:
            return self._fill(bytearray(size))
        rest = self._data[self._at :]
        while len(rest) < size:
            more = os.read(self._fd, LARGE)
            if not more:
                raise EOFError
            rest += more
        self._data, self._at = rest, size
        return rest[:size]

    def _fill(self, whole: Any) -> Any:
        """Read straight into memory."""
        size = len(whole)
        have = len(self._data) - self._at
        whole[:have] = self._data[self._at :]
        self._data, self._at = b"", 0
        view = memoryview(whole)
        while have < size:
            count = os.readv(self._fd, [view[have:]])
            if not count:
                raise EOFError
            have += count
        return whole
