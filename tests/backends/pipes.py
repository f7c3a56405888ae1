"""A pipe whose every read and write is decided by the test: how much comes, and how much is taken."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any


class Pieces:
    """Stands in for `os` where something reads from or writes to one pipe."""

    def __init__(self, pieces: Iterable[bytes] = (), takes: Iterable[int] = ()) -> None:
        self._pieces = deque(piece for piece in pieces if piece)
        self._takes = deque(takes)
        self.written = b""
        self.is_closed = True

    def has_more(self) -> bool:
        """Whether a read would give something."""
        return bool(self._pieces)

    def read(self, fd: int, size: int) -> bytes:
        """At most one piece, as much of it as there is room for."""
        if not self._pieces:
            if self.is_closed:
                return b""
            raise BlockingIOError
        piece = self._pieces.popleft()
        if len(piece) > size:
            self._pieces.appendleft(piece[size:])
        return piece[:size]

    def readv(self, fd: int, views: list[Any]) -> int:
        """The same, into memory."""
        [view] = views
        piece = self.read(fd, len(view))
        view[: len(piece)] = piece
        return len(piece)

    def writev(self, fd: int, views: list[Any]) -> int:
        """Take as much as was decided, and at least one byte."""
        data = b"".join(views)
        count = max(1, min(len(data), self._takes.popleft() if self._takes else len(data)))
        self.written += data[:count]
        return count


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """Cut `data` at `places`, wherever those are."""
    ends = sorted({place % (len(data) + 1) for place in places})
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]
