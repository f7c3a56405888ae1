"""What waits for a server's time: callers with their limits, and messages that come later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import get_ident
from typing import Any

from atonce._model.errors import TaskTimeout
from atonce._policy.due import Due
from atonce._policy.mailbox import Mailbox
from atonce._verbs.server_message import INFO, Caller, Message
from atonce._verbs.server_values import Counts


class Limits:
    """Ends the wait of callers whose time is up, with one timer for all."""

    __slots__ = ("_counts", "_due", "_loop", "_mailbox", "_timer", "_title")

    def __init__(
        self, title: str, loop: asyncio.AbstractEventLoop, mailbox: Mailbox[Message], counts: Counts
    ) -> None:
        self._title = title
        self._loop = loop
        self._mailbox = mailbox
        self._counts = counts
        self._due: Due[Caller] = Due()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, caller: Caller, when: float) -> None:
        """`caller` waits until then at the latest."""
        if self._due.enter(when, caller, _waits):
            self.cancel()
            self._timer = self._loop.call_at(when, self._ring, when)

    def cancel(self) -> None:
        """Ring no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _ring(self, now: float) -> None:
        for caller in self._due.expired(now, _waits):
            self._counts.timed_out += 1
            in_line = self._mailbox.withdraw(caller)
            rest = "it was never handled" if in_line else "the work goes on, and its answer is dropped"
            limit = caller.timeout
            caller.fail(
                TaskTimeout(
                    f"{self._title} did not answer {caller} within {limit:g} s: {rest}", timeout=limit
                )
            )
        ring = self._due.next_ring()
        self._timer = None if ring is None else self._loop.call_at(ring, self._ring, ring)


def _waits(caller: Caller) -> bool:
    return not caller.over


class Timers:
    """Messages that are on their way to one run of a server."""

    __slots__ = ("_arrived", "loop", "thread", "under_way")

    def __init__(self, loop: asyncio.AbstractEventLoop, arrived: Callable[[Message], None]) -> None:
        self._arrived = arrived
        self.loop: asyncio.AbstractEventLoop = loop
        self.thread: int = get_ident()
        self.under_way: set[Timer] = set()

    def send(self, delay: float, message: Any) -> Timer:
        """Let a message arrive later."""
        timer = Timer(self, message)
        self.under_way.add(timer)
        timer.handle = self.loop.call_later(delay, self._ring, timer)
        return timer

    def take_out(self, timer: Timer) -> bool:
        """Whether it was still under way; who takes it out, in whichever thread, is alone to do so."""
        try:
            self.under_way.remove(timer)
        except KeyError:
            return False
        return True

    def _ring(self, timer: Timer) -> None:
        if self.take_out(timer):
            self._arrived(Message(INFO, timer.message))

    def cancel_all(self) -> int:
        """Call all back; gives how many there were."""
        return sum(timer.cancel() for timer in tuple(self.under_way))


class Timer:
    """What `send_after` gives: a message that is on its way, and can be called back."""

    __slots__ = ("_timers", "handle", "message")

    def __init__(self, timers: Timers | None, message: Any) -> None:
        self._timers = timers
        self.message: Any = message
        self.handle: asyncio.TimerHandle | None = None

    def cancel(self) -> bool:
        """Call it back, from any thread; False when it is in the mailbox already, or its server has ended.

        Elixir: `Process.cancel_timer/1`.
        """
        timers, handle = self._timers, self.handle
        if timers is None or handle is None or not timers.take_out(self):
            return False
        if timers.thread == get_ident():
            handle.cancel()
        elif not timers.loop.is_closed():
            timers.loop.call_soon_threadsafe(handle.cancel)
        return True
