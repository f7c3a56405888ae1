"""Starting a program: at the head of a session and group of its own, without a copy of this process's memory."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from atonce._runtime.cpus import cpus

#: (ours, its) for each descriptor that a program gets; everything else of ours is closed there.
Descriptors = tuple[tuple[int, int], ...]
#: What Python has set for itself, and a program expects as it was.
_RESET: Final = [one for one in (signal.SIGPIPE, getattr(signal, "SIGXFSZ", None)) if one is not None]
#: Room for each of the C library's structures, whose sizes are below 400 bytes.
_ROOM: Final = 1_024
_SETSIGDEF: Final = 0x04
_SETSID: Final = 0x80


@lru_cache(maxsize=1)
def _environment() -> dict[bytes, bytes]:
    """This process's environment; made once, since that takes as long as a system call for each variable."""
    return dict(os.environb)


def start(argv: list[str], path: str, descriptors: Descriptors) -> int:
    """Start a program, and wait until it is loaded, holding the interpreter meanwhile."""
    actions = [(os.POSIX_SPAWN_DUP2, ours, its) for ours, its in descriptors]
    env = _environment()
    try:
        return os.posix_spawn(path, argv, env, file_actions=actions, setsid=True, setsigdef=_RESET)
    except NotImplementedError:  # a C library without POSIX_SPAWN_SETSID
        return os.posix_spawn(path, argv, env, file_actions=actions, setpgroup=0, setsigdef=_RESET)


class _Spawn:
    """The same through ctypes, which lets other threads run until the program is loaded."""

    def __init__(self) -> None:
        import ctypes

        self._c = library = ctypes.CDLL(None)
        self._types = ctypes
        self._attributes = ctypes.create_string_buffer(_ROOM)
        signals = ctypes.create_string_buffer(_ROOM)
        library.posix_spawnattr_init(self._attributes)
        library.posix_spawnattr_setflags(self._attributes, ctypes.c_short(_SETSID | _SETSIGDEF))
        library.sigemptyset(signals)
        for one in _RESET:
            library.sigaddset(signals, int(one))
        library.posix_spawnattr_setsigdefault(self._attributes, signals)
        self._env = self._texts([name + b"=" + value for name, value in _environment().items()])

    def _texts(self, texts: list[bytes]) -> Any:
        if any(b"\0" in text for text in texts):
            raise ValueError("embedded null byte")
        return (self._types.c_char_p * (len(texts) + 1))(*texts, None)

    def __call__(self, argv: list[str], path: str, descriptors: Descriptors) -> int:
        library, types = self._c, self._types
        words = self._texts([os.fsencode(word) for word in argv])
        actions = types.create_string_buffer(_ROOM)
        pid = types.c_int()
        library.posix_spawn_file_actions_init(actions)
        for ours, its in descriptors:
            library.posix_spawn_file_actions_adddup2(actions, ours, its)
        error = library.posix_spawn(
            types.byref(pid), os.fsencode(path), actions, self._attributes, words, self._env
        )
        library.posix_spawn_file_actions_destroy(actions)
        if error:
            raise OSError(error, os.strerror(error))
        return int(pid.value)


@lru_cache(maxsize=1)
def _fast() -> Callable[[list[str], str, Descriptors], int] | None:
    """None where the C library is not one that is known."""
    if sys.platform != "linux":
        return None
    try:
        return _Spawn()
    except (ImportError, AttributeError, OSError):
        return None


class Starter:
    """Starts programs of one run, several at a time: to load one takes longer than all else that is done for it.

    **Bounded**: as many threads as there are CPUs, or jobs if those are fewer.
    """

    def __init__(self, jobs: int) -> None:
        from concurrent.futures import ThreadPoolExecutor

        width = min(jobs, cpus())
        self._spawn = _fast() if width > 1 else None
        self._pool = None if self._spawn is None else ThreadPoolExecutor(width, "atonce-start")

    async def start(
        self, argv: list[str], path: str, descriptors: Descriptors, started: Callable[[int], None]
    ) -> tuple[int, bool]:
        """The number of the new process, and whether a cancel came meanwhile, which its caller has to carry out.

        `started` is called with the number as soon as there is one, maybe in another thread.
        """
        if self._pool is None:
            pid = start(argv, path, descriptors)
            started(pid)
            return pid, False
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._pool, self._begin, argv, path, descriptors, started)
        is_cancelled = False
        while not future.done():
            try:
                await asyncio.wait((future,))
            except asyncio.CancelledError:  # the program would be nobody's if we left now
                is_cancelled = True
        if is_cancelled and future.exception() is not None:
            raise asyncio.CancelledError
        return future.result(), is_cancelled

    def _begin(
        self, argv: list[str], path: str, descriptors: Descriptors, started: Callable[[int], None]
    ) -> int:
        assert self._spawn is not None
        pid = self._spawn(argv, path, descriptors)
        started(pid)
        return pid

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()
