"""`Screen`: standard output and error of the program as the commands' output goes there: whole, or line by line."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress

from atonce.cli.journal.output import Output, PipeClosed
from atonce.cli.run.spool import PIECE, Spool, pieces, size

#: Output up to this size is put together with that of others and written at once.
_SMALL = 65_536


def tagged(parts: Iterable[bytes], prefix: bytes) -> Iterator[bytes]:
    r"""The same with `prefix` before each line.

    >>> b"".join(tagged([b"a\nb", b"c\n"], b"> "))
    b'> a\n> bc\n'
    """
    is_new = True
    for part in parts:
        if not part:
            continue
        body = part[:-1].replace(b"\n", b"\n" + prefix) + part[-1:]
        yield prefix + body if is_new else body
        is_new = part.endswith(b"\n")


class Screen:
    """Both outputs; nobody writes between the halves of a line of another."""

    def __init__(self, out: Output) -> None:
        self.out: Output = out
        self.err: Output = Output(None, standard=2)
        self.lock: asyncio.Lock = asyncio.Lock()

    async def show(self, spool: Spool, prefix: bytes) -> None:
        """Write what a command wrote: its output, then its errors."""
        if count := size(spool.out):
            if count <= _SMALL:
                self.out.put(b"".join(_shown(spool.out, prefix)))
            else:
                await self._write_all(self.out, spool.out, prefix)
        if size(spool.err):
            await self.out.flush()
            with suppress(PipeClosed):
                await self._write_all(self.err, spool.err, prefix)

    async def _write_all(self, output: Output, descriptor: int, prefix: bytes) -> None:
        await output.flush()
        for piece in _shown(descriptor, prefix):
            await output.write(piece)


def _shown(descriptor: int, prefix: bytes) -> Iterator[bytes]:
    found = pieces(descriptor)
    return tagged(found, prefix) if prefix else found


class Pump:
    """One output of one command, taken from a pipe and written in whole lines while the command runs.

    **Bounded**: what is read waits until it is written; only a line without an end is kept in memory.
    """

    def __init__(self, screen: Screen, output: Output, prefix: bytes) -> None:
        self.writer: int
        self._reader, self.writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._screen = screen
        self._output = output
        self._prefix = prefix
        self._half = bytearray()
        self._ended = False
        self._waiting: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """The command has its end of the pipe: read."""
        os.close(self.writer)
        self.writer = -1
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def finish(self) -> None:
        """The command has ended: write what it left, not waiting for others that still have its pipe."""
        self._ended = True
        self._wake()
        if self._task is not None:
            await self._task

    def close(self) -> None:
        """Give up; safe to repeat."""
        if self._task is not None:
            self._task.cancel()
        for descriptor in (self.writer, self._reader if self._task is None else -1):
            if descriptor >= 0:
                os.close(descriptor)
        self.writer = -1

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def _run(self) -> None:
        try:
            while data := await self._read():
                await self._take(data)
            if self._half:
                await self._write(bytes(self._half) + b"\n")
        finally:
            os.close(self._reader)

    async def _read(self) -> bytes:
        """What comes next; nothing at the end, or when the command has ended and left no more."""
        while True:
            try:
                return os.read(self._reader, PIECE)
            except BlockingIOError:
                if self._ended:
                    return b""
            await self._readable()

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        loop.add_reader(self._reader, self._wake)
        try:
            await self._waiting
        finally:
            loop.remove_reader(self._reader)

    async def _take(self, data: bytes) -> None:
        end = data.rfind(b"\n") + 1
        if end:
            lines = bytes(self._half) + data[:end]
            self._half.clear()
            await self._write(lines)
        self._half += data[end:]

    async def _write(self, lines: bytes) -> None:
        if self._prefix:
            lines = b"".join(tagged([lines], self._prefix))
        async with self._screen.lock:
            await self._output.write(lines)
