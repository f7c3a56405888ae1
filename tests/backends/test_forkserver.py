"""The forkserver while it imports what is to be preloaded: it ends with its parent, and nothing else disturbs it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator

IMPORTS = """
import socket, sys, time
from atonce._backends.forkserver import _ending_with

with _ending_with(socket.socket(fileno=int(sys.argv[1]))):
    print("begun", flush=True)
    end = time.monotonic() + float(sys.argv[2])
    while time.monotonic() < end:
        sum(range(50))
"""


@contextlib.contextmanager
def importing(seconds: float) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """A process that imports for so long, and the other end of its life line."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-c", IMPORTS, str(theirs.fileno()), str(seconds)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=[theirs.fileno()]) as child:
            theirs.close()
            try:
                assert child.stdout is not None
                assert child.stdout.readline() == b"begun\n"
                yield child, ours
            finally:
                child.kill()


def test_what_its_parent_sends_meanwhile_does_not_disturb_an_import() -> None:
    with importing(0.3) as (child, ours):
        while child.poll() is None:
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                ours.send(b"x", socket.MSG_DONTWAIT)
        assert child.returncode == 0


def test_it_ends_with_its_parent_in_the_middle_of_an_import() -> None:
    with importing(60.0) as (child, ours):
        ours.close()
        assert child.wait(20) == 0
