"""Real Elixir as a contender: one warm BEAM that is asked for a job and says how long it took, measured inside."""

from __future__ import annotations

import atexit
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

from harness import Absent, Contender

SCRIPT = Path(__file__).parent / "elixir" / "verbs.exs"


class Elixir:
    """A BEAM at the other end of a pipe; it sleeps while others are measured."""

    def __init__(self) -> None:
        program = shutil.which("elixir")
        if program is None:
            raise Absent("no elixir on this machine's PATH")
        self._process = subprocess.Popen(
            [program, str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        atexit.register(self.close)
        self.version = self._read()

    def ask(self, job: str, items: int) -> float:
        """Have a job done for so many items, after a garbage collection there too; the amount it took."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{job} {items}\n")
        self._process.stdin.flush()
        return float(self._read())

    def close(self) -> None:
        """Close its input, which ends it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"elixir ended with exit code {self._process.wait(10)}")
        return line


@cache
def elixir() -> Elixir:
    """The one BEAM of this process, started when it is first asked."""
    return Elixir()


def job(name: str) -> Callable[[int], float]:
    """A contender's `run` that has Elixir do it."""
    return lambda items: elixir().ask(name, items)


def contender(label: str, name: str, note: str = "", items: int | None = None) -> Contender:
    """Elixir's own way to do a job."""
    return Contender(label, job(name), note, items)
