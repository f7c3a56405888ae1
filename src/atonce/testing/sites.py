"""Where threads, processes, files and sockets were started and opened: remembered while somebody asks."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import sysconfig
import threading
import weakref
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Literal

from atonce._runtime.site import OURS

#: Folders whose code opens things for others.
_STDLIB = sysconfig.get_paths()["stdlib"] + os.sep
_LIBRARIES = ("site-packages", "dist-packages")
#: How many of a kind are remembered; of more the first are forgotten.
MOST = 10_000


def author(file: str) -> Literal["user", "library", "python"]:
    """Whose code a file has; what is ours counts as Python's."""
    if any(folder in file for folder in _LIBRARIES):
        return "python" if file.startswith(OURS) else "library"
    return "python" if file.startswith((OURS, _STDLIB, "<")) else "user"


def user_frame(frame: FrameType | None) -> FrameType | None:
    """The innermost frame of the user's own code, else of a library's, else None."""
    library = None
    while frame is not None:
        whose = author(frame.f_code.co_filename)
        if whose == "user":
            return frame
        if whose == "library":
            library = library or frame
        frame = frame.f_back
    return library


def shown_frame(frame: FrameType | None) -> str | None:
    """Say `file:line in function`, where there is a frame of somebody's who is not Python itself."""
    found = user_frame(frame)
    if found is None:
        return None
    return f"{found.f_code.co_filename}:{found.f_lineno} in {found.f_code.co_name}"


class Sites:
    """What was opened since the first `watching()` block that is still open began, and where.

    Python tells it as audit events (PEP 578). A hook for those cannot be taken away again: there is one, from the first
    block on, and it looks at nothing while no block is open.
    """

    def __init__(self) -> None:
        self._watchers = 0
        self._is_hooked = False
        self._lock = threading.Lock()
        self._files: dict[str | bytes | os.PathLike[str], str] = {}
        self._sockets: dict[weakref.ref[Any], str] = {}
        self._threads: dict[weakref.ref[threading.Thread], str] = {}
        self._programs: dict[tuple[str, ...], str] = {}
        self._keepers: dict[str, Callable[[tuple[Any, ...], str], None]] = {
            "open": self._opened,
            "socket.__new__": lambda args, site: _keep(self._sockets, weakref.ref(args[0]), site),
            "_thread.start_new_thread": self._started,
            "_thread.start_joinable_thread": self._started,
            "subprocess.Popen": self._ran,
        }

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Remember in this block."""
        self.begin()
        try:
            yield
        finally:
            self.end()

    def begin(self) -> None:
        """Remember from now on."""
        with self._lock:
            if not self._is_hooked:
                self._is_hooked = True
                sys.addaudithook(self._audit)
                if sys.version_info < (3, 12):
                    self._hook_threads()
            if not self._watchers:
                for kept in (self._files, self._sockets, self._threads, self._programs):
                    kept.clear()
            self._watchers += 1

    def end(self) -> None:
        """One watcher less; the last one gone, nothing more is remembered."""
        with self._lock:
            self._watchers -= 1

    def of_file(self, path: str) -> str | None:
        """Where the file that is now `path` was opened."""
        for name, site in reversed(tuple(self._files.items())):
            with contextlib.suppress(OSError, ValueError):
                if os.path.realpath(os.fsdecode(name)) == path:
                    return site
        return None

    def of_socket(self, fd: int) -> tuple[str | None, str | None]:
        """Where the socket with this number was made, and what it is connected to."""
        for ref, site in reversed(tuple(self._sockets.items())):
            one: socket.socket | None = ref()
            if one is not None and one.fileno() == fd:
                return site, _ends(one)
        return None, None

    def of_thread(self, thread: threading.Thread) -> str | None:
        """Where it was started."""
        return self._threads.get(weakref.ref(thread))

    def of_program(self, arguments: tuple[str, ...]) -> str | None:
        """Where a program with these arguments was last started."""
        return self._programs.get(arguments)

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        keep = self._keepers.get(event) if self._watchers else None
        if keep is None:
            return
        with contextlib.suppress(Exception):  # whoever opens something must not fail for being watched
            site = shown_frame(sys._getframe(1))
            if site is not None:
                keep(args, site)

    def _hook_threads(self) -> None:
        """Before 3.12 the start of a thread is no audit event."""
        start: Callable[..., Any] = getattr(threading, "_start_new_thread")  # noqa: B009  # unknown to type checkers

        def heard(function: Callable[..., Any], *args: Any) -> Any:
            self._audit("_thread.start_new_thread", (function, *args))
            return start(function, *args)

        setattr(threading, "_start_new_thread", heard)  # noqa: B010  # as above

    def _opened(self, args: tuple[Any, ...], site: str) -> None:
        if not isinstance(args[0], int):
            _keep(self._files, args[0], site)

    def _started(self, args: tuple[Any, ...], site: str) -> None:
        thread = getattr(args[0], "__self__", None)
        if isinstance(thread, threading.Thread):
            _keep(self._threads, weakref.ref(thread), site)

    def _ran(self, args: tuple[Any, ...], site: str) -> None:
        given = args[1]
        words = [given] if isinstance(given, (str, bytes, os.PathLike)) else list(given)
        _keep(self._programs, tuple(os.fsdecode(word) for word in words), site)


def _keep(kept: dict[Any, str], key: Any, site: str) -> None:
    kept.pop(key, None)
    while len(kept) >= MOST:
        del kept[next(iter(kept))]
    kept[key] = site


def _ends(one: socket.socket) -> str | None:
    """Between which addresses it is, as far as it knows."""
    here = there = None
    with contextlib.suppress(OSError):
        here = one.getsockname()
        there = one.getpeername()
    shown = [str(end) for end in (here, there) if end]
    return " to ".join(shown) or None


#: One for the interpreter, as its hook is.
sites: Sites = Sites()
