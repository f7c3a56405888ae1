"""`Guard`: a small process that kills the commands' groups when this program is gone, however it went."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Final

from atonce.cli.run.spool import unnamed
from atonce.cli.run.start import start

#: Reads until this program's end of the pipe is closed, then kills each group that the page still has.
_SCRIPT: Final = (
    'trap "" HUP INT TERM; while read -r x; do :; done;'
    ' while read -r p <&3; do [ "$p" -gt 1 ] && kill -s KILL -- "-$p"; done'
)
_ENTRY: Final = b"%11d\n"
_WIDTH: Final = 12


def _page() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("atonce", os.MFD_CLOEXEC)
    return unnamed()  # no memfd outside Linux


class Guard:
    """A page with the process group of each slot, and the process that reads it when the pipe to it breaks.

    A command that began less than a few milliseconds before this program was killed may not be on the page yet.
    """

    def __init__(self) -> None:
        self._page = _page()
        reader, self._pipe = os.pipe()
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            ends = ((reader, 0), (null, 1), (null, 2), (self._page, 3))
            self._pid = start(["/bin/sh", "-c", _SCRIPT], "/bin/sh", ends)
        finally:
            os.close(reader)
            os.close(null)

    def holds(self, slot: int, group: int) -> None:
        """A slot (from 1) has this group now; 0 for none."""
        os.pwrite(self._page, _ENTRY % group, (slot - 1) * _WIDTH)

    def close(self) -> None:
        """End it; what runs is not touched."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)
        os.close(self._pipe)
        os.close(self._page)
