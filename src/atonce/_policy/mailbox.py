"""Which message a server handles next: a bounded queue, those who wait for a place in it, and what goes first."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

M = TypeVar("M", bound=Hashable)


class Mailbox(Generic[M]):
    """Messages in the order in which they came, at most `limit` of them, for one who takes one at a time.

    One who sends and waits for the answer stands in line when no place is free, and may leave the line; each place
    that gets free is that of the first in line. One who does not wait is refused meanwhile, and overtakes nobody.
    """

    __slots__ = ("_closed", "_first", "_idle_at", "_inside", "_line", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._inside: deque[M] = deque()
        #: Those in line, as the keys of a dict: in order, and quick to leave.
        self._line: dict[M, None] = {}
        self._first: M | None = None
        self._idle_at: float | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._inside)

    @property
    def in_line(self) -> int:
        """How many wait for a place."""
        return len(self._line)

    def is_empty(self) -> bool:
        """Whether there is nothing to take."""
        return not self._inside and self._first is None

    def drop_in(self, message: M) -> bool:
        """Take in a message of one who does not wait; False when there is no place for it."""
        if self._closed or len(self._inside) >= self.limit:
            return False
        self._idle_at = None
        self._inside.append(message)
        return True

    def bring(self, message: M) -> bool:
        """Take in a message whose sender waits, in line when there is no place; False when it is closed."""
        if self._closed:
            return False
        self._idle_at = None
        if len(self._inside) < self.limit:
            self._inside.append(message)
        else:
            self._line[message] = None
        return True

    def withdraw(self, message: M) -> bool:
        """Its sender waits no more: True when it was still in line, and is forgotten; what is inside stays."""
        if message in self._line:
            del self._line[message]
            return True
        return False

    def deliver(self, message: M) -> None:
        """Take in a message that has a place of its own, beyond the limit: a timer's."""
        if not self._closed:
            self._idle_at = None
            self._inside.append(message)

    def put_first(self, message: M) -> None:
        """The next to be taken, before all others."""
        if not self._closed:
            self._first = message

    def take(self) -> M | None:
        """The next message, None when there is none; the first in line gets the place."""
        first = self._first
        if first is not None:
            self._first = None
            return first
        if not self._inside:
            return None
        message = self._inside.popleft()
        if self._line and len(self._inside) < self.limit:
            brought = next(iter(self._line))
            del self._line[brought]
            self._inside.append(brought)
        return message

    def rest(self, until: float) -> bool:
        """Be idle at `until` unless a message comes before; False when there is one already."""
        if self._closed or not self.is_empty():
            return False
        self._idle_at = until
        return True

    def passed_by(self) -> None:
        """A message was handled that took no place: whoever rests is not idle."""
        self._idle_at = None

    def is_idle(self, now: float) -> bool:
        """Whether it was to be idle by `now`, and nothing has come; said once."""
        if self._idle_at is None or now < self._idle_at:
            return False
        self._idle_at = None
        return True

    def close(self) -> list[M]:
        """Take in nothing more, and give up all that was not taken."""
        left = [*([] if self._first is None else [self._first]), *self._inside, *self._line]
        self._closed = True
        self._first = self._idle_at = None
        self._inside.clear()
        self._line.clear()
        return left
