"""One worker as its parent sees it: descriptors, frames sent, replies received, its end."""

from __future__ import annotations

import fcntl
import mmap
import os
import socket
import tempfile
from collections import deque
from contextlib import ExitStack, suppress
from signal import SIGKILL
from time import monotonic
from typing import Any

from atonce._backends import wire
from atonce._backends.forkserver import END, SIGNALLED
from atonce._backends.process_launch import Launcher
from atonce._backends.worker import Start
from atonce._model.checks import LARGEST
from atonce._model.tree import Node

#: Bytes of replies that are read at once: the loop's other tasks have their turn in between.
READ = 16_384
WIDE = 1 << 20
#: Seconds in which a worker that is up has certainly begun a call that it was sent.
STUCK = 1.0
#: The same while it loads the function of a stream: whatever that imports is not the time of an item.
LOADING = 30.0
HEAD = wire.REPLY_HEAD.size


def _shared_file() -> int:
    """A file of one page that has no name."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("atonce")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, wire.PAGE)
    return fd


def _whole(data: bytes, start: int, many: int, length: int) -> tuple[int, bytes, list[bytearray]] | None:
    """A reply with buffers of which nothing is missing in `data`: (where it ends, pickle, buffers)."""
    at = start + wire.SIZE.size * many
    if at + length > len(data):
        return None
    sizes = [size for (size,) in wire.SIZE.iter_unpack(data[start:at])]
    if at + length + sum(sizes) > len(data):
        return None
    pickle, at = data[at : at + length], at + length
    buffers: list[bytearray] = []
    for size in sizes:
        buffers.append(bytearray(data[at : at + size]))
        at += size
    return at, pickle, buffers


class _Large:
    """A reply of which something is missing still: that is read straight into the memory that its value will keep."""

    def __init__(self, head: tuple[Any, ...], data: bytes, landing: wire.Landing) -> None:
        self.kind, many, length, self.began, self.ended = head
        self._landing = landing
        self._sizes: list[int] = []
        self._parts: list[Any] = [bytearray(wire.SIZE.size * many), landing.for_pickle(length)]
        self._part = self._filled = 0
        while data and not self.is_whole():
            part = self._parts[self._part]
            piece = data[: len(part) - self._filled]
            part[self._filled : self._filled + len(piece)] = piece
            data = data[len(piece) :]
            self._advance(len(piece))

    @property
    def pickle(self) -> Any:
        """The pickle, good until the next large one is read."""
        return self._parts[1]

    @property
    def buffers(self) -> list[Any]:
        """What lay beside it."""
        return self._parts[2:]

    def read(self, fd: int) -> None:
        """Read what is there, as far as it belongs to this reply."""
        view = memoryview(self._parts[self._part])[self._filled :]
        count = os.readv(fd, [view])
        if not count:
            raise EOFError
        self._advance(count)

    def is_whole(self) -> bool:
        """Whether nothing is missing; empty parts are passed over."""
        self._advance(0)
        return self._part == len(self._parts)

    def _advance(self, count: int) -> None:
        self._filled += count
        while self._part < len(self._parts) and self._filled == len(self._parts[self._part]):
            if self._part == 0:
                self._sizes = [size for (size,) in wire.SIZE.iter_unpack(bytes(self._parts[0]))]
            elif self._part > 1:
                self._parts[self._part] = self._landing.kept(self._parts[self._part])
            self._part, self._filled = self._part + 1, 0
            if 2 <= self._part < 2 + len(self._sizes):
                self._parts.append(self._landing.for_buffer(self._sizes[self._part - 2]))


class Handle:
    """One worker as its parent sees it: what it was sent, and what it has sent back."""

    def __init__(self, number: int, most_calls: int | None) -> None:
        self.number = number
        self._most_calls = LARGEST if most_calls is None else most_calls
        #: The calls that it was sent and has not answered, in order.
        self.outstanding: deque[Any] = deque()
        #: Whose calls these are, and whose function it holds.
        self.feeder: Any = None
        self.knows: Any = None
        self.dying = False
        #: Whether it has closed its end of the pipe: there will be no further reply.
        self.silent: bool = False
        #: It sent back what is no reply; nothing more is read.
        self.garbled: bool = False
        #: Its forkserver is dead, and nobody tells its end; how often it was looked at since.
        self.orphaned: bool = False
        self.looked: int = 0
        #: Its first unanswered call takes long: it gets no more until that is answered.
        self.slow = False
        #: Whether its initializer is done, or what it raised, also as it was sent; how many calls it has answered.
        self.ready: bool = False
        self.failure: BaseException | None = None
        self.unready: tuple[int, bytes] | None = None
        self.runs = 0
        #: When its first unanswered call became the first.
        self.since: float = 0.0
        #: Up to this call it has a heavy one among its calls.
        self.heavy = 0
        self._closed, self._wide = True, False
        self._data = b""
        self._large: _Large | None = None
        self._landing = wire.Landing()
        self._unsent: deque[memoryview] = deque()
        self.calls: int
        self.replies: int
        self.end: int
        with ExitStack() as undo:
            self._open(undo)
            undo.pop_all()
        self._closed = False

    def _open(self, undo: ExitStack) -> None:
        """Make pipes and page; where descriptors run out, `undo` closes those that were made."""

        def mine(ends: tuple[int, ...]) -> tuple[int, ...]:
            for fd in ends:
                undo.callback(os.close, fd)
            return ends

        self._calls_there, self.calls = mine(os.pipe())
        self.replies, self._replies_there = mine(os.pipe())
        self.end, self._end_there = mine(os.pipe())
        (self._page_there,) = mine((_shared_file(),))
        self._tokens_in, self._tokens = [undo.enter_context(end) for end in socket.socketpair()]
        self._map = mmap.mmap(self._page_there, wire.PAGE)
        self.page: memoryview[int] = memoryview(self._map).cast("Q")
        self._times = self.page.cast("B").cast("d")
        for fd in (self.calls, self.replies, self.end):
            os.set_blocking(fd, False)

    def launch(self, launcher: Launcher, start: Start) -> None:
        """Have it forked, and close the descriptors that are the worker's alone."""
        own = (self._calls_there, self._replies_there, self._page_there, self._end_there)
        calls, replies, page, end = own
        try:
            launcher.start(self.number, start, (calls, replies, self._tokens.fileno(), page, end))
        except BaseException:
            self.close()
            raise
        finally:
            for fd in own:
                os.close(fd)

    def close(self) -> None:
        """Close our ends; a worker that waits for calls then ends by itself. Safe to repeat."""
        if self._closed:
            return
        self._closed = True
        for fd in (self.calls, self.replies, self.end):
            os.close(fd)
        self._tokens_in.close()
        self._tokens.close()
        self._times.release()
        self.page.release()
        self._map.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self.close()

    # -- sending ------------------------------------------------------------------------------------------------

    def send(self, frames: list[Any], calls: int) -> bool:
        """Send frames with so many `calls` that may be taken back; False when the pipe is full: then `flush` is due."""
        if calls:
            self._tokens_in.send(wire.RUN * calls)
        if not self._unsent and all(type(frame) is bytes for frame in frames):
            data = frames[0] if len(frames) == 1 else b"".join(frames)
            try:
                written = os.write(self.calls, data)
            except BlockingIOError:
                written = 0
            except OSError:  # it is dead; its end tells what becomes of the calls
                return True
            if written == len(data):
                return True
            self._unsent.append(memoryview(data)[written:])
            return False
        if not self._wide:
            self.widen()
        for frame in frames:
            pieces = frame if isinstance(frame, list) else [frame]
            self._unsent.extend(memoryview(piece).cast("B") for piece in pieces if len(piece))
        return self.flush()

    def widen(self) -> None:
        """Make the pipes as wide as the system allows, for large frames: on Linux up to a megabyte."""
        self._wide = True
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            with suppress(OSError):
                for fd in (self.calls, self.replies):
                    fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, WIDE)

    def flush(self) -> bool:
        """Send what is left, as far as the pipe takes it; True when nothing is left."""
        unsent = self._unsent
        while unsent:
            try:
                written = os.writev(self.calls, [unsent[place] for place in range(min(len(unsent), 64))])
            except BlockingIOError:
                return False
            except OSError:
                unsent.clear()
                break
            while unsent and written >= len(unsent[0]):
                written -= len(unsent.popleft())
            if written:
                unsent[0] = unsent[0][written:]
        return True

    @property
    def calls_left(self) -> int:
        """How many calls it may still be sent before it is replaced, those that it has counted in."""
        return self._most_calls - self.runs

    def take_back(self) -> list[Any]:
        """Take back the calls that it has not let in: those will not run there. The last one comes first."""
        waiting = len(self.outstanding) - 1
        if waiting < 1:
            return []
        try:
            tokens = self._tokens.recv(65_536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        self._tokens_in.send(
            wire.SKIP * len(tokens)
        )  # what it reads instead, for those taken back before too
        return [self.outstanding.pop() for _ in range(tokens.count(wire.RUN))]

    # -- looking ------------------------------------------------------------------------------------------------

    def begun(self) -> int:
        """How many of its unanswered calls have begun: more than one where its answers cannot be read."""
        return max(0, self.page[wire.STARTED] - self.runs)

    def current(self) -> float | None:
        """When its first unanswered call began, by the system's monotonic clock; None when that has not."""
        if self.outstanding and self.page[wire.STARTED] > self.runs:
            return float(self._times[wire.BEGAN])
        return None

    def counts_from(self) -> float | None:
        """From when a time limit of its first unanswered call counts: from its beginning.

        A worker that is up and does not begin it is stopped by a signal, or stuck: then from when it might have begun.
        """
        began = self.current()
        if began is None and self.ready and self.outstanding:
            patience = LOADING if self.page[wire.LOADS] else STUCK
            return self.since if monotonic() - self.since > patience else None
        return began

    def node(self) -> Node:
        """What it is on, and since when."""
        number, began, calls = int(self.page[wire.PID]), self.current(), list(self.outstanding)
        doing = self.feeder.call_name(calls[0]) if calls and self.feeder is not None else ""
        more = f"{len(calls) - 1} more sent" if len(calls) > 1 else ""
        state = "idle" if not calls else "starting" if began is None else "running"
        age = None if began is None else max(0.0, monotonic() - began)
        return Node(
            "worker", f"pid {number}" if number else "", state, age, 0, ", ".join(filter(None, (doing, more)))
        )

    def looks(self) -> bool:
        """Whether the call that it is on has ever asked `cancelled()`."""
        return bool(self.page[wire.LOOKS] == self.runs + 1)

    def ask(self) -> None:
        """Let `cancelled()` be true for the call that it is on."""
        self.page[wire.STOP] = self.runs + 1

    def end_of_life(self) -> tuple[int, int] | None:
        """How it ended, once it has: (EXITED, SIGNALLED or NOT_STARTED, value)."""
        try:
            told = os.read(self.end, END.size)
        except BlockingIOError:
            return None
        if len(told) < END.size:
            self.orphaned = True
            return SIGNALLED, SIGKILL  # the forkserver itself is dead, and its workers die with it
        kind, value = END.unpack(told)
        return kind, value

    # -- receiving ----------------------------------------------------------------------------------------------

    def receive(self) -> list[tuple[Any, ...]]:
        """The replies that are there, a bounded number of them: (kind, began, ended, pickle, buffers)."""
        if self.garbled:
            return []
        try:
            return self._receive()
        except (MemoryError, OverflowError) as error:
            raise wire.Garbled(f"no memory for its reply: {error!r}") from error

    def _receive(self) -> list[tuple[Any, ...]]:
        try:
            if self._large is not None:
                self._large.read(self.replies)
                return self._received_large()
            data = os.read(self.replies, READ)
        except OSError:  # nothing there
            return []
        except EOFError:
            data = b""
        if not data:
            self.silent = True
            return []
        data = self._data + data if self._data else data
        found: list[tuple[Any, ...]] = []
        at, size, head = 0, len(data), wire.REPLY_HEAD
        while size - at >= HEAD:
            kind, many, length, began, ended = head.unpack_from(data, at)
            start = at + HEAD
            if many or size - start < length:
                if many > wire.MOST_BUFFERS or length > wire.MOST_BYTES:
                    self.garbled = True
                    break
                if many and (whole := _whole(data, start, many, length)):
                    at, pickle, buffers = whole
                    found.append((kind, began, ended, pickle, buffers))
                    continue
                if many or length > READ:
                    fields = (kind, many, length, began, ended)
                    self._large = _Large(fields, data[start:], self._landing)
                    at = size
                break
            at = start + length
            found.append((kind, began, ended, data[start:at], None))
        self._data = data[at:]
        return found

    def _received_large(self) -> list[tuple[Any, ...]]:
        """The large reply, once it is whole."""
        large = self._large
        assert large is not None
        if not large.is_whole():
            return []
        self._large = None
        return [(large.kind, large.began, large.ended, large.pickle, large.buffers)]
