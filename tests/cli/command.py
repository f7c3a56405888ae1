"""Running the program in a test: in this process, as a child with pipes, or as a child in a pseudo-terminal."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 20.0
_CLEARED = ("CI", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "PYTHONWARNINGS")
#: Where a developer's own settings are not.
_NOWHERE = "/nonexistent"


def environment(**more: str) -> dict[str, str]:
    """The environment of a child: none of what changes how it looks, unless the test says so."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _CLEARED and not name.startswith("ATONCE_")
    }
    path = os.pathsep.join([str(ROOT / "src"), *filter(None, [kept.get("PYTHONPATH")])])
    return {
        **kept,
        "PYTHONPATH": path,
        "TERM": "xterm-256color",
        "PYTHONIOENCODING": "utf-8",
        "XDG_CONFIG_HOME": _NOWHERE,
        **more,
    }


def command(*args: str) -> list[str]:
    """The program with arguments."""
    return [sys.executable, "-W", "error", "-m", "atonce", *args]


def ended(
    *args: str, stdin: bytes | int = subprocess.DEVNULL, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """The program run to its end as a child with pipes."""
    given: dict[str, Any] = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
    return subprocess.run(
        command(*args), capture_output=True, timeout=PATIENCE, check=False, env=env or environment(), **given
    )


@contextlib.contextmanager
def started(*args: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """The program as a child that is killed if the test leaves it running."""
    usual = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "env": environment(),
    }
    with subprocess.Popen(command(*args), **{**usual, **options}) as child:
        try:
            yield child
        finally:
            child.kill()


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Look again and again until `condition` holds."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, f"{what} did not come about"
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that only waits for init to bury it has."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except FileNotFoundError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


@dataclass(frozen=True)
class Ran:
    """One run in this process: exit code, what was on standard output and error."""

    code: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines on standard output."""
        return self.out.decode("utf-8", "surrogateescape").splitlines()


Run = Callable[..., Ran]


@dataclass(frozen=True)
class Screen:
    """What a program wrote to its terminal, and its exit code."""

    text: str
    code: int


def in_terminal(
    *args: str, keys: Mapping[str, bytes | Callable[[], object]] | None = None, **env: str
) -> Screen:
    """The program in a pseudo-terminal of 80 columns; each of `keys` is typed, or called, when its text was shown."""
    return shown_in_terminal(command(*args), keys, **env)


def shown_in_terminal(
    line: list[str], keys: Mapping[str, bytes | Callable[[], object]] | None = None, **env: str
) -> Screen:
    """The same with any command."""
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe(line[0], line, environment(**env))
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    waiting = dict(keys or {})
    shown = b""
    until = time.monotonic() + PATIENCE
    try:
        while chunk := _read(terminal, until):
            shown += chunk
            for text in [text for text in waiting if text.encode() in shown]:
                key = waiting.pop(text)
                os.write(terminal, key) if isinstance(key, bytes) else key()
    finally:
        os.close(terminal)
        _, status = os.waitpid(child, 0)
    return Screen(shown.decode("utf-8", "replace"), os.waitstatus_to_exitcode(status))


def _read(terminal: int, until: float) -> bytes:
    """What the child wrote next; nothing when it has ended."""
    ready, _, _ = select.select([terminal], [], [], max(0.0, until - time.monotonic()))
    assert ready, "the program neither wrote nor ended"
    try:
        return os.read(terminal, 65_536)
    except OSError:  # Linux says so when the child has closed its end
        return b""


def records(data: bytes | Path) -> list[dict[str, Any]]:
    """All lines of an output, each of which is JSON."""
    raw = data.read_bytes() if isinstance(data, Path) else data
    assert not raw or raw.endswith(b"\n")
    return [json.loads(line) for line in raw.decode("utf-8").split("\n")[:-1]]


def items(data: bytes | Path) -> list[dict[str, Any]]:
    """The records of items among them."""
    return [record for record in records(data) if "i" in record]
