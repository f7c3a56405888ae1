"""Functions and variables that workers find by module and name; they import this file, so it imports little."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextvars import ContextVar
from pathlib import Path
from pickle import PickleBuffer
from typing import Any

found: ContextVar[Any] = ContextVar("found", default="nothing")
other: ContextVar[Any] = ContextVar("other", default="nothing")


class LoadsNever:
    """A value that can be pickled, and raises when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return int, ("x",)


def look(*args: Any) -> tuple[Any, Any]:
    """What the variables are; then they are something else."""
    seen = found.get(), other.get()
    found.set("the call's")
    return seen


async def alook(*args: Any) -> tuple[Any, Any]:
    """The same, on a loop."""
    await asyncio.sleep(0)
    return look()


def allocate(size: int) -> int:
    """Take so much memory, and give it back."""
    return len(bytearray(size))


def pid_of(n: int = 0) -> int:
    """Who runs this."""
    return os.getpid()


def note_start(file: Path) -> None:
    """Write down that one more worker starts."""
    with file.open("a") as notes:
        notes.write(f"{os.getpid()}\n")


def started(file: Path) -> list[int]:
    """The workers that were written down."""
    return [int(line) for line in file.read_text().splitlines()] if file.exists() else []


def exit_at_start(file: Path) -> None:
    """Write it down, and die."""
    note_start(file)
    os._exit(3)


def fail_unless(file: Path) -> None:
    """Fail as long as there is no such file."""
    if not file.exists():
        raise ConnectionError("the database is not up")


def module_of_name(name: str) -> Any:
    """What a module that was imported before said of where that was."""
    module = sys.modules.get(name)
    return None if module is None else module.imported_in


def mark_and_stay(mark: Path) -> None:
    """Tell that one runs, and go on."""
    mark.touch()
    time.sleep(60)


class Buffered:
    """A value whose memory travels beside its pickle, as that of a NumPy array."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return Buffered, (PickleBuffer(self.data),)


def buffered(n: int) -> Buffered:
    """A little of it."""
    return Buffered(bytearray(b"x" * (n % 5)))
