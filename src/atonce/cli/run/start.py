"""Starting a program: at the head of a session and group of its own, without a copy of this process's memory."""

from __future__ import annotations

import os
import signal
from functools import lru_cache
from typing import Final

#: (ours, its) for each descriptor that a program gets; everything else of ours is closed there.
Descriptors = tuple[tuple[int, int], ...]
#: What Python has set for itself, and a program expects as it was.
_RESET: Final = [one for one in (signal.SIGPIPE, getattr(signal, "SIGXFSZ", None)) if one is not None]


@lru_cache(maxsize=1)
def _environment() -> dict[bytes, bytes]:
    """This process's environment; made once, since that takes as long as a system call for each variable."""
    return dict(os.environb)


def start(argv: list[str], path: str, descriptors: Descriptors) -> int:
    """Start a program, and wait until it is loaded.

    It takes a tenth of a millisecond, less than to hand it to a thread and back: while that runs, each system call of
    the other commands would have to get the interpreter back from it.
    """
    actions = [(os.POSIX_SPAWN_DUP2, ours, its) for ours, its in descriptors]
    env = _environment()
    try:
        return os.posix_spawn(path, argv, env, file_actions=actions, setsid=True, setsigdef=_RESET)
    except NotImplementedError:  # a C library without POSIX_SPAWN_SETSID
        return os.posix_spawn(path, argv, env, file_actions=actions, setpgroup=0, setsigdef=_RESET)
