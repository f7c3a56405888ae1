"""Frames: how calls and replies are laid out in the pipes between a process and its workers."""

from __future__ import annotations

import mmap
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
STARTED, BEGAN, STOP, LOOKS, PID, LOADS = 0, 1, 2, 3, 4, 5
PAGE = 4096

#: A piece of a frame larger than this is not copied together with others, and is read into memory of its own.
LARGE = 65_536
#: Up to this size that memory is used again.
KEPT = 8 << 20


class Garbled(Exception):
    """What came out of a pipe is no reply: whoever wrote it cannot be trusted any more."""


def frame(kind: int, data: bytes | list[bytes], buffers: list[Any]) -> bytes | list[Any]:
    """One frame to a worker; a list of its pieces where joining them would copy what is large."""
    return joined(CALL_HEAD.pack(kind, len(buffers), size_of(data)), data, buffers)


def size_of(data: bytes | list[bytes]) -> int:
    """The length of a pickle that may be in pieces."""
    return len(data) if isinstance(data, bytes) else sum(map(len, data))


#: Before a call for a worker without work: it has no token, since nobody would want it back.
NO_TOKEN = CALL_HEAD.pack(AT_ONCE, 0, 0)
#: Lets a worker forget the function of a stream.
FORGOTTEN = CALL_HEAD.pack(FORGET, 0, 0)


def joined(head: bytes, data: bytes | list[bytes], buffers: list[Any]) -> bytes | list[Any]:
    """Put a frame together."""
    if isinstance(data, bytes):
        if not buffers and len(data) <= LARGE:
            return head + data
        data = [data]
    sizes = [SIZE.pack(buffer.nbytes) for buffer in buffers]
    return [b"".join((head, *sizes)), *data, *buffers]


def write_all(fd: int, pieces: list[Any]) -> None:
    """Write all of `pieces`, waiting where the pipe is full."""
    views = [memoryview(piece).cast("B") for piece in pieces if len(piece)]
    while views:
        written = os.writev(fd, views[:512])
        while views and written >= len(views[0]):
            written -= len(views.pop(0))
        if written:
            views[0] = views[0][written:]


def aligned(size: int) -> memoryview:
    """New memory that begins at a page, where the system copies several times as fast; MemoryError if there is none."""
    try:
        return memoryview(mmap.mmap(-1, size))
    except OSError as error:
        raise MemoryError(f"no memory for {size} bytes") from error


class Scratch:
    """Memory that is used again for one large piece after another: who takes it copies out what stays."""

    def __init__(self) -> None:
        self._memory = memoryview(b"")

    def take(self, size: int) -> memoryview:
        """Memory of `size` bytes, which is the next one's after that; what is very large gets its own."""
        if size > KEPT:
            return aligned(size)
        if len(self._memory) < size:
            self._memory = aligned(size)
        return self._memory[:size]


class Landing:
    """Where the large pieces of a frame are read to: the pickle, from which is loaded, and the buffers, which stay."""

    def __init__(self) -> None:
        self._pickle = Scratch()
        self._buffer = Scratch()

    def for_pickle(self, size: int) -> memoryview:
        """Memory that is good until the next large pickle."""
        return self._pickle.take(size)

    def for_buffer(self, size: int) -> memoryview | bytearray:
        """Memory to read a buffer to; `kept` makes of it what stays."""
        return bytearray(size) if size > KEPT else self._buffer.take(size)

    def kept(self, buffer: memoryview | bytearray) -> bytearray:
        """A buffer that was read, as memory of its own."""
        return buffer if isinstance(buffer, bytearray) else bytearray(buffer)


class Reader:
    """Takes frames out of a pipe, one at a time, in as few reads as may be."""

    def __init__(self, fd: int, head: Struct) -> None:
        self._fd = fd
        self._head = head
        self._data = b""
        self._at = 0
        self._landing = Landing()

    def frame(self) -> tuple[tuple[Any, ...], Any, list[Any]]:
        """Wait for the next frame: (fields of its head, pickle, buffers); EOFError when the other side is gone."""
        fields = self._head.unpack(self._take(self._head.size))
        sizes = [SIZE.unpack(self._take(SIZE.size))[0] for _ in range(fields[1])]
        size = fields[2]
        data = self._take(size) if size <= LARGE else self._fill(self._landing.for_pickle(size))
        return fields, data, [self._buffer(size) for size in sizes]

    def _buffer(self, size: int) -> Any:
        if size <= LARGE:
            return bytearray(self._take(size))
        return self._landing.kept(self._fill(self._landing.for_buffer(size)))

    def _take(self, size: int) -> Any:
        end = self._at + size
        if end <= len(self._data):
            taken = self._data[self._at : end]
            self._at = end
            return taken
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
