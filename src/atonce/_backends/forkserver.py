"""The process that workers are forked from: small, with one thread, and the first to know that one of them is dead.

Its parent's end of the control socket is its life line: when the parent is gone, however it went, every worker and
whatever those have started is killed.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from importlib import import_module
from select import poll
from selectors import EVENT_READ, DefaultSelector
from struct import Struct
from typing import NoReturn

from atonce._backends import worker

#: Before each message: its length; a message to start a worker brings its five descriptors along.
LENGTH = Struct("=I")
#: What is told of a worker's end: which of these, and its value.
END = Struct("=Bxxxi")
EXITED, SIGNALLED, NOT_STARTED = 1, 2, 3
#: The descriptors of workers lie above this, out of the way of tasks that close theirs by number.
HIGH = 200


class Forkserver:
    """Starts, kills and buries workers as its parent asks."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._ends: dict[int, tuple[int, int]] = {}  # by number: process id, where to tell of the end
        self._selector = DefaultSelector()
        self._woken, self._wake = os.pipe()
        for fd in (self._woken, self._wake):
            os.set_blocking(fd, False)

    def serve(self) -> None:
        """Serve until the parent is gone."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        self._selector.register(self._control, EVENT_READ)
        self._selector.register(self._woken, EVENT_READ)
        while True:
            ready = {key.fd for key, _ in self._selector.select()}
            if self._woken in ready:
                with suppress(BlockingIOError):
                    os.read(self._woken, 4096)
                self._bury()
            if self._control.fileno() in ready and not self._obey():
                break
        self._end_all()

    def _obey(self) -> bool:
        """Carry out one message; False when there will be no more."""
        try:
            head, fds, _, _ = socket.recv_fds(self._control, LENGTH.size, 5)
            if len(head) < LENGTH.size:
                return False
            kind, number, start = pickle.loads(_receive(self._control, LENGTH.unpack(head)[0]))
        except (OSError, EOFError):
            return False
        if kind == "start":
            self._start(number, start, fds)
        elif number in self._ends:
            _kill_group(self._ends[number][0])
        return True

    def _start(self, number: int, start: worker.Start, fds: Sequence[int]) -> None:
        end, forkserver = fds[4], os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            _tell(end, NOT_STARTED, error.errno or 0)
            pid = -1
        if pid == 0:
            self._become_worker(start, forkserver, fds)
        for fd in fds[:4]:
            os.close(fd)
        if pid > 0:
            with suppress(OSError):  # the worker does the same; whoever is first
                os.setpgid(pid, pid)
            self._ends[number] = (pid, end)

    def _become_worker(self, start: worker.Start, forkserver: int, fds: Sequence[int]) -> NoReturn:
        """In the child: let go of all that is the forkserver's, and work."""
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            with suppress(OSError):
                os.setpgid(0, 0)
            self._control.close()
            self._selector.close()
            for fd in (self._woken, self._wake, fds[4], *(end for _, end in self._ends.values())):
                os.close(fd)
            calls, replies, tokens, page = [_out_of_the_way(fd) for fd in fds[:4]]
        except BaseException:
            os._exit(71)
        worker.main(start, forkserver, calls, replies, tokens, page)

    def _bury(self) -> None:
        """Tell the ends of all that died, after whatever they have started was killed."""
        for number, (pid, end) in list(self._ends.items()):
            state = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if state is None:
                continue
            _kill_group(pid)  # as long as it is not buried, its number is nobody else's
            os.waitpid(pid, 0)
            del self._ends[number]
            _tell(end, EXITED if state.si_code == os.CLD_EXITED else SIGNALLED, state.si_status)

    def _end_all(self) -> None:
        for pid, _ in self._ends.values():
            _kill_group(pid)
        for pid, end in self._ends.values():
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
            _tell(end, SIGNALLED, signal.SIGKILL)


def _kill_group(pid: int) -> None:
    """End a worker and what it has started; one that was forked a moment ago may not lead its group yet."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
        return
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _tell(end: int, kind: int, value: int) -> None:
    with suppress(OSError):  # nobody listens any more
        os.write(end, END.pack(kind, value))
    os.close(end)


def _receive(control: socket.socket, size: int) -> bytes:
    """Exactly `size` bytes."""
    data = b""
    while len(data) < size:
        more = control.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _out_of_the_way(fd: int) -> int:
    """The same file under a high number, and closed in whatever the worker executes."""
    import fcntl

    try:
        high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH)
    except OSError:  # a low limit on open files
        return fd
    os.close(fd)
    return high


def main(control: int, preload: Sequence[str]) -> None:
    """Be the forkserver on the socket with this number, with `preload` imported before anything is forked."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends when its parent is gone, and not before
    with suppress(Exception):
        import ctypes  # noqa: F401  # workers need it, and forking is cheaper than importing
    with socket.socket(fileno=control) as life_line:
        with _ending_with(life_line) if preload else nullcontext():
            for name in preload:
                _import(name)
        Forkserver(life_line).serve()
    os._exit(0)


def _import(name: str) -> None:
    try:
        import_module(name)
    except Exception as error:
        sys.stderr.write(f"atonce: preload={name!r} could not be imported: {error!r}\n")


@contextmanager
def _ending_with(life_line: socket.socket) -> Iterator[None]:
    """End when the parent does, in a thread that is gone before anything is forked, since imports may take long."""
    reader, writer = os.pipe()
    thread = threading.Thread(target=_watch, args=(life_line.fileno(), reader), daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.close(writer)
        thread.join()
        os.close(reader)


def _watch(life_line: int, reader: int) -> None:
    """Wait for the end of one of both, and end this process where it is the life line's."""
    line = poll()
    for descriptor in (life_line, reader):
        line.register(descriptor, 0)  # that it was hung up is said in any case
    if any(descriptor == life_line for descriptor, _ in line.poll()):
        os._exit(0)
