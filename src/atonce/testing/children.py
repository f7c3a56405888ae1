"""The child processes of this one and theirs, from what the system tells."""

from __future__ import annotations

import multiprocessing
import os
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

_STATES = {
    "R": "running",
    "S": "sleeping",
    "D": "waiting for a disk",
    "T": "stopped",
    "t": "stopped",
    "Z": "zombie",
}
#: In the command line of the process that forks the workers of a process backend, and of those.
_WORKERS = "atonce._backends.forkserver"


@dataclass(frozen=True)
class Process:
    """One process; `began`, in the system's own count, tells it from a later one with the same number."""

    pid: int
    parent: int = field(compare=False)
    began: str
    state: str = field(compare=False)
    arguments: tuple[str, ...] = field(compare=False)
    name: str = field(compare=False)

    def shown(self) -> str:
        """What it runs, in short."""
        if any(_WORKERS in word for word in self.arguments):
            return "of a ProcessBackend"
        text = " ".join(self.arguments) or self.name
        return text if len(text) <= 80 else f"{text[:77]}..."


def children() -> list[Process]:
    """Child processes and theirs, the dead that nobody waited for included.

    On Linux from /proc, elsewhere from psutil where that is installed, else those of `multiprocessing` alone.
    """
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)  # takes nobody's exit code
    except ChildProcessError:
        return []  # there is no child, so no need to look at others
    except AttributeError:
        pass  # a system without waitid
    if os.path.exists(f"/proc/self/task/{os.getpid()}/children"):
        return _below(os.getpid())
    return _by_psutil()


def _below(pid: int) -> list[Process]:
    found: list[Process] = []
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            for number in _read(f"/proc/{pid}/task/{thread}/children").split():
                found += _from(int(number))
    return found


def _from(pid: int) -> list[Process]:
    """A process and those below it; none when it has ended meanwhile."""
    try:
        return [_process(pid), *_below(pid)]
    except (OSError, ValueError, IndexError):
        return []


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:  # it ended meanwhile
        return ""


def _process(pid: int) -> Process:
    name, _, rest = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(") ")
    fields = rest.split()
    words = _read(f"/proc/{pid}/cmdline").split("\0")[:-1]
    state = _STATES.get(fields[0], fields[0])
    return Process(pid, int(fields[1]), fields[19], state, tuple(words), name.partition("(")[2])


def _by_psutil() -> list[Process]:
    try:
        psutil: Any = import_module("psutil")
    except ImportError:
        return [
            Process(one.pid or 0, os.getpid(), str(one.pid), "running", (), one.name)
            for one in multiprocessing.active_children()
        ]
    found: list[Process] = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            began, state = str(child.create_time()), child.status()
            words = () if state == psutil.STATUS_ZOMBIE else tuple(child.cmdline())
            found.append(Process(child.pid, child.ppid(), began, state, words, child.name()))
    return found
