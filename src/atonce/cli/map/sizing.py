"""`Sizing`: how many rows go into a batch, so that it comes back after a fixed time; and `Reorder`; pure."""

from __future__ import annotations

#: The most rows in a batch, and how much larger the next one may be.
MOST = 5_000
GROWTH = 8


class Sizing:
    """Begins with one row, and follows how long rows take."""

    def __init__(self, aim: float, most: int = MOST) -> None:
        self.size: int = 1
        self._aim = aim
        self._most = most

    def told(self, count: int, elapsed: float) -> None:
        """So many rows took so many seconds."""
        if count < 1:
            self.size = 1
            return
        ideal = self._most if elapsed <= 0.0 else count * self._aim / elapsed
        self.size = int(max(1, min(self._most, ideal, GROWTH * self.size)))


class Reorder:
    """Lets pieces leave in the order of their positions; `head` is the first position that is missing."""

    def __init__(self) -> None:
        self.head: int = 0
        self._parked: dict[int, tuple[int, bytes]] = {}

    def give(self, at: int, count: int, data: bytes) -> bytes:
        """The rows from `at` have ended; gives what may leave now."""
        if count:
            self._parked[at] = (count, data)
        found = []
        while self.head in self._parked:
            size, piece = self._parked.pop(self.head)
            self.head += size
            found.append(piece)
        return b"".join(found)

    def rest(self) -> bytes:
        """All that waits, in order, gaps or not: for a run that ends early."""
        pieces = [piece for _, (_, piece) in sorted(self._parked.items())]
        self._parked.clear()
        return b"".join(pieces)
