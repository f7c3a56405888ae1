"""The parent's side of the forkserver, and of one worker: descriptors, frames sent, replies received, its end."""

from __future__ import annotations

import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from atonce._backends.forkserver import LENGTH
from atonce._backends.worker import Start
from atonce._model.checks import several, shown

#: What a forkserver runs. It needs two files of the package and not the face, whose imports would cost it 60 ms; a
#: task that imports atonce gets the real one.
_BOOT = """
import sys, types
sys.path[:] = {path!r}
face = sys.modules["atonce"] = types.ModuleType("atonce")
face.__path__ = [{package!r}]
from atonce._backends.forkserver import main
del sys.modules["atonce"], face
main({control}, {preload!r})
"""
PACKAGE = str(Path(__file__).parent.parent)
#: Seconds that closing waits for the forkserver to have buried its workers.
BURIAL = 2.0


def _flags() -> list[str]:
    """The interpreter's own flags (-O, -W, -X ...), as multiprocessing passes them on."""
    flags: list[str] = getattr(subprocess, "_args_from_interpreter_flags")()  # noqa: B009  # unknown to type checkers
    return flags


def module_names(preload: Sequence[str]) -> list[str]:
    """The argument `preload`, checked."""
    names = several("preload", preload) if not isinstance(preload, str) else [preload]
    for name in names:
        if not isinstance(name, str) or not name:
            raise TypeError(
                f"preload is a list of module names, e.g. preload=['numpy']; got {shown(preload)}"
            )
    return names


class Launcher:
    """A forkserver, started when the first worker is; closing it, or our own end however it comes, ends all workers."""

    def __init__(self, preload: Sequence[str]) -> None:
        self._preload = tuple(preload)
        self._lock = threading.RLock()  # loops in several threads have workers started
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        """The forkserver's process id, once there is one."""
        return None if self._process is None else self._process.pid

    def descriptors(self) -> list[int]:
        """Its end of the control socket, while it is open."""
        return [] if self._control is None else [self._control.fileno()]

    def start(self, number: int, start: Start, fds: Sequence[int]) -> None:
        """Have a worker forked that works on `fds`; its end is told on the last of them."""
        self._send(("start", number, start), fds)

    def kill(self, number: int) -> None:
        """Have a worker killed, and all that it has started."""
        with suppress(OSError):  # then the forkserver is dead, and its workers with it
            self._send(("kill", number, None), ())

    def _send(self, message: tuple[str, int, Start | None], fds: Sequence[int]) -> None:
        data = pickle.dumps(message, 5)
        with self._lock:
            self._send_whole(message[0], data, fds)

    def _send_whole(self, kind: str, data: bytes, fds: Sequence[int]) -> None:
        """Send a message, with nobody else's in between; for a start there is a new forkserver where there is none."""
        control = self._control
        if control is not None:
            try:
                socket.send_fds(control, [LENGTH.pack(len(data))], list(fds))
                control.sendall(data)
                return
            except OSError:
                self.close()  # it is dead; whoever killed it, its workers die with it
        if kind == "kill":
            return
        control = self._boot()
        socket.send_fds(control, [LENGTH.pack(len(data))], list(fds))
        control.sendall(data)

    def _boot(self) -> socket.socket:
        """Start the forkserver: a fresh interpreter, never a fork of this process, which may have threads."""
        ours, theirs = socket.socketpair()
        with ExitStack() as undo:
            undo.enter_context(ours)
            self._process = self._started(theirs)
            undo.pop_all()
        self._control = ours
        return ours

    def _started(self, theirs: socket.socket) -> subprocess.Popen[bytes]:
        code = _BOOT.format(path=sys.path, package=PACKAGE, control=theirs.fileno(), preload=self._preload)
        with theirs:
            return subprocess.Popen(
                [sys.executable, *_flags(), "-c", code],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )

    def let_go(self) -> None:
        """Close our end: the forkserver kills its workers and ends."""
        if self._control is not None:
            self._control.close()
            self._control = None

    def close(self) -> None:
        """End all workers, and wait until they are buried."""
        with self._lock:
            self.let_go()
            process, self._process = self._process, None
        if process is None:
            return
        try:
            process.wait(BURIAL)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
