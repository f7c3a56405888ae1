"""What a stream may start, what may leave it, and in which order."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Window(Generic[T]):
    """The book-keeping of one run of a stream, with no clock, no thread and no event loop.

    An item is *pulled* from the input, *running* (or *resting* between two attempts), *finished* (it waits for the
    consumer or, when `ordered`, for a slow head), and has *left*. The laws, which tests drive as a state machine:
    running <= bound; an item starts only while finished + resting < buffer; so pulled and not left <=
    bound + buffer; ordered results leave in input order, unordered ones first done, first out; nothing is lost and
    nothing leaves twice. Lanes that hold items ahead (`may_start_ahead`) keep the bound themselves: `running` then
    counts what they hold too, and pulled and not left <= bound + buffer all the same.

    `given` is written by the side that runs the items and `left` by the side that consumes them, which may be two
    threads: each counter has one writer, and `ready` is a deque, whose two ends are safe.
    """

    __slots__ = (
        "_parked",
        "bound",
        "buffer",
        "given",
        "head",
        "left",
        "ordered",
        "ready",
        "resting",
        "running",
        "started",
    )

    def __init__(self, bound: int, buffer: int, ordered: bool) -> None:
        self.bound: int = bound
        self.buffer: int = buffer
        self.ordered: bool = ordered
        self.started: int = 0
        self.running: int = 0
        self.resting: int = 0
        self.given: int = 0
        self.left: int = 0
        self.head: int = 0
        self.ready: deque[T] = deque()
        self._parked: dict[int, T] = {}

    def may_start(self) -> bool:
        """Whether one more item may start now."""
        return self.running < self.bound and self.given - self.left + self.resting < self.buffer

    def may_start_ahead(self) -> bool:
        """Whether one more item may be handed to lanes that hold items before they start them.

        Such lanes run no more than `bound` at once by themselves; what they hold beyond that takes room in the buffer.
        """
        inside = self.given - self.left + self.resting
        held = self.running - self.bound
        return inside < self.buffer if held <= 0 else inside + held < self.buffer

    def may_resume(self) -> bool:
        """Whether an item that rested may start its next attempt now."""
        return self.running < self.bound

    def start(self) -> int:
        """Count one more running item and give its index."""
        index = self.started
        self.started = index + 1
        self.running += 1
        return index

    def rest(self) -> None:
        """A running item gives up its place until its next attempt."""
        self.running -= 1
        self.resting += 1

    def resume(self) -> None:
        """A resting item takes a place again."""
        self.resting -= 1
        self.running += 1

    def give(self, index: int, result: T) -> None:
        """A running item is finished with `result`."""
        self.running -= 1
        self.given += 1
        if not self.ordered:
            self.ready.append(result)
        elif index == self.head:
            self.ready.append(result)
            self.head = index + 1
            if self._parked:
                self._release()
        else:
            self._parked[index] = result

    def _release(self) -> None:
        """Let all leave that waited for the head only."""
        head, parked = self.head, self._parked
        while head in parked:
            self.ready.append(parked.pop(head))
            head += 1
        self.head = head

    def leave(self) -> T:
        """Take the next result out; IndexError when none may leave yet."""
        result = self.ready.popleft()
        self.left += 1
        return result

    def pull_limit(self) -> int:
        """How many items may have been pulled by now, counted from the start."""
        return self.left + self.bound + self.buffer

    def is_idle(self) -> bool:
        """Whether nothing runs, rests or waits to leave."""
        return not self.running and not self.resting and self.given == self.left
