"""Stopping in two steps: first nothing new starts and what runs may end, then what runs is cancelled."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

from atonce._model.durations import brief
from atonce.cli.exits import OF_ENDS

SIGNALS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


class Stopper:
    """Decides what each request to stop does; `why` says in the end why the run ended.

    `drain` is called to start nothing more, `cancel` to end what runs, `leave` to be gone at once.
    """

    def __init__(
        self,
        *,
        drain: Callable[[], None],
        cancel: Callable[[], object],
        say: Callable[[str], None],
        running: Callable[[], int],
        grace: float,
        leave: Callable[[int], object] = os._exit,
    ) -> None:
        self.why: str = "finished"
        self.is_cancelled: bool = False
        self._drain = drain
        self._cancel = cancel
        self._say = say
        self._running = running
        self._grace = grace
        self._leave = leave
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False
        self._asked = False

    def asked(self, why: str) -> None:
        """A signal came: the first drains, the second cancels, the third leaves at once."""
        if self._asked is False and not self.is_cancelled:
            self._asked = True
            self.why = why if self.why == "finished" else self.why
            if not self._is_over:
                self._drain()
                self._wait(why)
        elif self.is_cancelled or self._is_over:
            self._leave(OF_ENDS[why])
        else:
            self.now(why)

    def hung_up(self) -> None:
        """The terminal is gone, or someone wants no new items: what runs may end in its own time, as GNU parallel's."""
        if self.why == "finished" and not self._is_over:
            self.soon("hangup")
            self._say(f"hung up: no new items; {self._running()} running may end")

    def soon(self, why: str) -> None:
        """Start nothing more, and let what runs end in its own time."""
        if self.why == "finished" and not self._is_over:
            self.why = why
            self._drain()

    def now(self, why: str) -> None:
        """Cancel what runs; the first reason for an end is the one that counts."""
        if self.is_cancelled or self._is_over:
            return
        self.is_cancelled = True
        if self.why == "finished":
            self.why = why
        self._stop_waiting()
        self._cancel()

    def over(self) -> None:
        """The stream is closed: there is nothing to drain or to cancel, only the journal to close."""
        self._is_over = True
        self._stop_waiting()

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self, why: str) -> None:
        running = self._running()
        if running and self._grace:
            again = "Ctrl-C again cancels them" if why == "interrupted" else "once more cancels them"
            self._say(
                f"stopping: no new items; waiting up to {brief(self._grace)} for {running} running  ({again})"
            )
        self._timer = asyncio.get_running_loop().call_later(self._grace, self.now, why)


@contextmanager
def signals(stopper: Stopper, tell: Callable[[], None] = lambda: None) -> Generator[None]:
    """Let Ctrl-C and SIGTERM ask `stopper`, SIGHUP stop what has not started, and SIGUSR1 `tell` what runs.

    One that is ignored (nohup, a shell's background job) stays ignored.
    """
    loop = asyncio.get_running_loop()
    taken: list[signal.Signals] = []
    if threading.current_thread() is threading.main_thread():
        taken = [one for one in SIGNALS if signal.getsignal(one) is not signal.SIG_IGN]
    for one in taken:
        loop.add_signal_handler(one, stopper.asked, SIGNALS[one])
    if taken and hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        loop.add_signal_handler(signal.SIGHUP, stopper.hung_up)
        taken.append(signal.SIGHUP)
    if taken and hasattr(signal, "SIGUSR1"):
        loop.add_signal_handler(signal.SIGUSR1, tell)
        taken.append(signal.SIGUSR1)
    try:
        yield
    finally:
        for one in taken:
            loop.remove_signal_handler(one)
