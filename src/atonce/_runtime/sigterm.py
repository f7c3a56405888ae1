"""SIGTERM as the owner's cancel: what runs is stopped, its `finally` blocks run, and the program exits with 143."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from types import FrameType

#: 128 + 15, as a shell calls it.
EXIT_CODE = 143

_heeded = False
_pid = 0


def heed() -> None:
    """See to it, once, that SIGTERM ends this program as `sys.exit` does, unless the program has its own way.

    The default action would end it on the spot: no task would be stopped, no `finally` block would run. A handler that
    the program has set, or sets later, stays in force. Signals can be arranged in the main thread only; called in
    another one this does nothing.
    """
    global _heeded, _pid
    if _heeded or threading.current_thread() is not threading.main_thread():
        return
    _heeded = True
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        _pid = os.getpid()
        signal.signal(signal.SIGTERM, _terminated)


def _terminated(number: int, frame: FrameType | None) -> None:
    """Leave the main thread: through its loop, where one runs, and never through the code of a task.

    A second SIGTERM has the default action, and so has the first in a forked child, whose parent may ask how it ended.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if os.getpid() != _pid:
        os.kill(os.getpid(), signal.SIGTERM)
        return
    loop = asyncio._get_running_loop()
    if loop is None:
        sys.exit(EXIT_CODE)
    loop.call_soon_threadsafe(sys.exit, EXIT_CODE)
