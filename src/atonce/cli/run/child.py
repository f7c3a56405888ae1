"""`Child`: one command that runs: its end is a wait on the loop, and it can be ended with all that it has started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable

from atonce.cli.run.ending import TermSeq

#: Seconds between two looks whether what a command has started is gone as well.
LOOK = 0.02


class Children:
    """The commands that run. One that ends is noticed by its pidfd, or where there are none by SIGCHLD."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._by_signal: set[Child] = set()
        self._listens = False

    def add(self, child: Child) -> None:
        """Notice its end."""
        if hasattr(os, "pidfd_open"):
            descriptor = os.pidfd_open(child.pid)
            self._loop.add_reader(descriptor, self._ended, descriptor, child)
            return
        self._by_signal.add(child)
        if not self._listens:
            self._loop.add_signal_handler(signal.SIGCHLD, self._look)
            self._listens = True
        self._loop.call_soon(self._look)

    def _ended(self, descriptor: int, child: Child) -> None:
        self._loop.remove_reader(descriptor)
        os.close(descriptor)
        child.reap(0)

    def _look(self) -> None:
        self._by_signal = {child for child in self._by_signal if not child.reap(os.WNOHANG)}

    def close(self) -> None:
        """Listen no more."""
        if self._listens:
            self._loop.remove_signal_handler(signal.SIGCHLD)


class Child:
    """A command at the head of a process group; `over` is called just before its number is given back."""

    def __init__(self, pid: int, over: Callable[[], None]) -> None:
        self.pid = pid
        self.code: int | None = None
        self._over = over
        self._waiting: asyncio.Future[None] | None = None

    def reap(self, flags: int) -> bool:
        """Take its exit code, and wake who waits; False when it still runs."""
        if flags and os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            return False
        self._over()
        try:
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        except ChildProcessError:  # somebody else has taken its code
            self.code = 255
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
        return True

    async def wait(self, span: float | None = None) -> bool:
        """Until it has ended, or for so many seconds; whether it has ended."""
        if self.code is not None:
            return True
        loop = asyncio.get_running_loop()
        waiting = self._waiting = loop.create_future()
        timer = None if span is None else loop.call_later(span, _wake, waiting)
        try:
            await waiting
        finally:
            if timer is not None:
                timer.cancel()
        return self.code is not None

    async def end(self, steps: TermSeq) -> None:
        """End it and all of its group, with one signal after the other; a cancel meanwhile kills at once."""
        try:
            for number, span in steps:
                if not self.signal(number) or await self._is_gone(span):
                    break
        except asyncio.CancelledError:
            self.signal(signal.SIGKILL)
            await self.wait(steps[-1][1])
            raise
        await self.wait(steps[-1][1])

    def signal(self, number: int) -> bool:
        """Send a signal to the group; False when nobody is left in it."""
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    async def _is_gone(self, span: float) -> bool:
        """Wait until the command and its group are gone, for so many seconds."""
        loop = asyncio.get_running_loop()
        until = loop.time() + span
        if not await self.wait(span):
            return False
        while self.signal(0):
            if loop.time() >= until:
                return False
            await asyncio.sleep(LOOK)
        return True


def _wake(waiting: asyncio.Future[None]) -> None:
    with contextlib.suppress(asyncio.InvalidStateError):
        waiting.set_result(None)
