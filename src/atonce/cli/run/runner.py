"""`Runner`: runs one command to its end, within its time, and ends all that it has started when it must."""

from __future__ import annotations

import asyncio
import errno
import heapq
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from atonce.cli.rows.keys import canonical
from atonce.cli.run.child import Child, Children
from atonce.cli.run.ending import TermSeq, said
from atonce.cli.run.guard import Guard
from atonce.cli.run.naming import folder_name
from atonce.cli.run.preflight import NOT_EXECUTABLE, NOT_FOUND, on_path
from atonce.cli.run.screen import Pump, Screen
from atonce.cli.run.spool import Spool, stdin_of
from atonce.cli.run.start import Descriptors, start
from atonce.cli.run.template import Misfit, Part, Template, Values, filled, text_of

Mode = Literal["group", "line-buffer", "ungroup"]


class CommandFailed(Exception):
    """A command ended badly, with this `code` (below 0: by a signal)."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(message or said(code))
        self.code = code


class CommandTimeout(CommandFailed):
    """A command was ended since its time was up, after `limit` seconds."""

    def __init__(self, limit: float) -> None:
        super().__init__(-1, "its time was up")
        self.limit = limit


class CommandRefused(CommandFailed):
    """A command was not started."""


@dataclass(frozen=True, slots=True)
class How:
    """How commands run; `limit` gives the seconds that one may take now, None for no limit."""

    template: Template
    path: str | None
    term_seq: TermSeq
    limit: Callable[[], float | None]
    mode: Mode = "group"
    tag: tuple[Part, ...] | None = None
    stdin: Literal["none", "line", "row"] = "none"
    results: Path | None = None


@dataclass(slots=True, eq=False)
class Job:
    """One row on its way: its place and key, when its first attempt began and its last ended, what it wrote."""

    i: int
    key: str | None
    row: Any
    began: float | None = None
    ended: float | None = None
    is_cut: bool = False
    spool: Spool | None = None
    prefix: bytes = b""

    @property
    def text(self) -> str:
        """The row as it is shown to people."""
        return " ".join(self.row) if _is_words(self.row) else canonical(self.row)

    def close(self) -> None:
        """Give back what it wrote; safe to repeat."""
        if self.spool is not None:
            self.spool.close()
            self.spool = None


def _is_words(row: Any) -> bool:
    return isinstance(row, list) and all(isinstance(one, str) for one in row)


class Runner:
    """Starts the commands of one run; make it on the loop, and close it there."""

    def __init__(self, how: How, screen: Screen | None, jobs: int) -> None:
        self._how = how
        self._screen = screen
        self._children = Children()
        self._guard = Guard()
        self._slots = list(range(1, jobs + 1))
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._scripts: set[str] = set()

    def close(self) -> None:
        """Give everything back."""
        self._children.close()
        self._guard.close()
        os.close(self._null)

    async def run(self, job: Job) -> Job:
        """One attempt at one command; `CommandFailed` unless it ends with 0."""
        clock = asyncio.get_running_loop().time
        job.close()
        job.ended = None
        job.began = clock() if job.began is None else job.began
        slot = heapq.heappop(self._slots)
        try:
            code = await self._ended(job, slot)
        except asyncio.CancelledError:
            job.is_cut = True
            raise
        finally:
            heapq.heappush(self._slots, slot)
            job.ended = clock()
        if code:
            raise CommandFailed(code)
        return job

    async def _ended(self, job: Job, slot: int) -> int:
        how = self._how
        values = Values(job.row, job.i + 1, slot)
        try:
            argv = how.template.argv(values)
            job.prefix = b"" if how.tag is None else os.fsencode(filled(how.tag, values) + "\t")
        except Misfit as error:
            raise CommandRefused(0, str(error)) from None
        pumps: list[Pump] = []
        try:
            child = self._started(argv, job, slot, pumps)
            limit = how.limit()
            try:
                is_over = await child.wait(limit)
            except asyncio.CancelledError:
                await child.end(how.term_seq)
                raise
            if not is_over:
                await child.end(how.term_seq)
            for pump in pumps:
                await pump.finish()
        finally:
            for pump in pumps:
                pump.close()
        if not is_over and limit is not None:
            raise CommandTimeout(limit)
        return 0 if child.code is None else child.code

    def _started(self, argv: list[str], job: Job, slot: int, pumps: list[Pump]) -> Child:
        """The command, which runs."""
        path = self._path(argv[0])
        stdin = self._stdin(job)
        try:
            out, err = self._outputs(job, pumps)
            ends = ((stdin, 0), (out, 1), (err, 2))
            pid = self._start(argv, path, ends)
            self._guard.holds(slot, pid)
        finally:
            if stdin != self._null:
                os.close(stdin)
        child = Child(pid, lambda: self._guard.holds(slot, 0))
        self._children.add(child)
        for pump in pumps:
            pump.begin()
        return child

    def _path(self, name: str) -> str:
        if self._how.path is not None:
            return self._how.path
        found = name if "/" in name else on_path(name)
        if found is None:
            raise CommandRefused(NOT_FOUND, f"{name!r} is not on PATH")
        return found

    def _stdin(self, job: Job) -> int:
        rows = job.row if isinstance(job.row, list) else [job.row]
        if self._how.stdin == "none":
            return self._null
        text = text_of if self._how.stdin == "line" else _json
        return stdin_of("".join(f"{text(row)}\n" for row in rows).encode("utf-8", "surrogateescape"))

    def _outputs(self, job: Job, pumps: list[Pump]) -> tuple[int, int]:
        if self._how.mode == "ungroup":
            return 1, 2
        if self._how.mode == "line-buffer":
            assert self._screen is not None
            screen = self._screen
            pumps += (Pump(screen, output, job.prefix) for output in (screen.out, screen.err))
            return pumps[0].writer, pumps[1].writer
        folder = self._how.results
        job.spool = Spool(None if folder is None else folder / folder_name(job.text, str(job.key)))
        return job.spool.out, job.spool.err

    def _start(self, argv: list[str], path: str, descriptors: Descriptors) -> int:
        if path in self._scripts:
            argv = ["/bin/sh", path, *argv[1:]]
            path = "/bin/sh"
        try:
            return start(argv, path, descriptors)
        except OSError as error:
            if error.errno == errno.ENOEXEC and path != "/bin/sh":
                self._scripts.add(path)  # a script without #!, which shells run themselves
                return self._start(argv, path, descriptors)
            code = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
            raise CommandRefused(code, f"cannot start {argv[0]}: {error.strerror}") from None
        except ValueError:
            raise CommandRefused(NOT_EXECUTABLE, "an argument has a NUL, which no program can take") from None


def _json(row: Any) -> str:

    return json.dumps(row, ensure_ascii=False, default=str)
