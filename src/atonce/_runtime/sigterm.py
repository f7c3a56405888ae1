"""SIGTERM as the owner's cancel: what runs is stopped, its `finally` blocks run, and the program exits with 143."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, TypeAlias

#: 128 + 15, as a shell calls it.
EXIT_CODE = 143

End: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

#: What ends in good order before a loop is left, by loop: the outermost supervisors that run on it, in whose code each
#: was entered, and how it ends.
_first: dict[asyncio.AbstractEventLoop, dict[object, tuple[object, End]]] = {}

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


def end_first(loop: asyncio.AbstractEventLoop, key: object, host: object, end: End) -> None:
    """On SIGTERM run `end()`, which is bounded, before `loop` is left; until `forget`.

    Of one `host`, an asyncio task, the last to come is the first to end, as its blocks are left.
    """
    _first.setdefault(loop, {})[key] = (host, end)


def forget(loop: asyncio.AbstractEventLoop, key: object) -> None:
    """It has ended."""
    ends = _first.get(loop, {})
    ends.pop(key, None)
    if not ends:
        _first.pop(loop, None)


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
    loop.call_soon_threadsafe(_leave, loop)


def _leave(loop: asyncio.AbstractEventLoop) -> None:
    """Leave the loop, when what ends first has ended."""
    hosts: dict[object, list[End]] = {}
    for host, end in reversed(_first.get(loop, {}).values()):
        hosts.setdefault(host, []).append(end)
    if not hosts:
        sys.exit(EXIT_CODE)
    waiting = asyncio.gather(*map(_end_in_turn, hosts.values()))
    waiting.add_done_callback(lambda _: loop.call_soon(sys.exit, EXIT_CODE))


async def _end_in_turn(ends: list[End]) -> None:
    """End one after the other; one that cannot does not keep the others."""
    for end in ends:
        await asyncio.gather(end(), return_exceptions=True)
