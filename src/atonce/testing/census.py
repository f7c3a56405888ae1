"""All that outlives a function call (tasks, threads, processes, open files and sockets), at one moment."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from atonce._runtime.owner import owners
from atonce._runtime.portal import existing_portal
from atonce._verbs.overview import Overview
from atonce.testing.children import Process, children
from atonce.testing.sites import author, shown_frame, sites

PATIENCE = 5.0
"""Seconds that something may take to be gone: the system reports the end of threads and processes late."""

PERSISTENT_THREADS = ("atonce-loop", "atonce-idle")
"""Threads that live until interpreter exit, by the beginning of their name."""

POOLED_THREADS = {
    "atonce-thread": (f"{os.sep}atonce{os.sep}_", frozenset({"_next", "_await_call", "_idle"})),
    "asyncio_": (f"{os.sep}concurrent{os.sep}futures{os.sep}thread.py", frozenset({"_worker"})),
}
"""Threads that may stay as long as they are idle, by the beginning of their name: in the innermost frame of the file
whose path contains this they wait in one of these functions."""


_PAGE = "/memfd:atonce"
"""What a worker process shares with this one."""


@dataclass(frozen=True)
class Census:
    """All that was there at one moment: a key that is never used twice, and a description."""

    things: dict[object, str]

    def added_since(self, before: Census) -> list[str]:
        """Describe what is there and was not there `before`, with where it was spawned, started or opened."""
        return sorted(text + _origin(key) for key, text in self.things.items() if key not in before.things)


def census() -> Census:
    """Count tasks, threads, child processes, open files and sockets."""
    backends = _process_backends()
    pids, numbers = _belongings(list(backends.values()))
    open_ones = {key: f"{backend} is not closed" for key, backend in backends.items()}
    return Census({**_work(), **_threads(), **open_ones, **_processes(pids), **_descriptors(numbers)})


def leftovers(before: Census, patience: float = PATIENCE) -> list[str]:
    """Describe what is there and was not before, once it had `patience` seconds to go away."""
    until = time.monotonic() + patience
    pause = 0.001
    while added := set(census().things) - set(before.things):
        gc.collect()
        if time.monotonic() >= until:
            break
        time.sleep(pause)
        pause = min(2 * pause, 0.05)
    return census().added_since(before) if added else []


# -- tasks --------------------------------------------------------------------------------------------------------


def _work() -> dict[object, str]:
    """What atonce runs, and asyncio tasks that are not part of it."""
    overview = Overview()
    found: dict[object, str] = {weakref.ref(one): f"{one} still runs" for one in overview.work()}
    for task in _asyncio_tasks():
        if not task.done() and task not in overview.part_of:
            found[weakref.ref(task)] = f"asyncio task {task.get_name()!r} still runs {_progress(task)}"
    return found


def _asyncio_tasks() -> Iterator[asyncio.Task[Any]]:
    """Those of all loops, where asyncio tells; else those of the loops that are known."""
    seen = False
    for name in ("_scheduled_tasks", "_all_tasks"):
        every = getattr(asyncio.tasks, name, None)
        if every is not None:
            seen = True
            yield from _copied(every)
            break
    yield from _copied(getattr(asyncio.tasks, "_eager_tasks", ()))
    if not seen or sys.version_info >= (3, 14):
        loops = {asyncio._get_running_loop(), *(getattr(owner, "loop", None) for owner in owners())}
        for loop in loops - {None}:
            yield from asyncio.all_tasks(loop)


def _copied(tasks: Iterable[asyncio.Task[Any]]) -> list[asyncio.Task[Any]]:
    """A set as a list, although loops in other threads go on adding to it; asyncio's own `all_tasks` tries as often."""
    for _ in range(1_000):
        with contextlib.suppress(RuntimeError):
            return list(tasks)
    return list(tasks)


def _progress(task: asyncio.Task[Any]) -> str:
    """Which function it is, and at which line of the user's code."""
    steps: Any = task.get_coro()
    name = getattr(steps, "__qualname__", None) or repr(steps)
    if task.get_loop().is_closed():
        return f"in {name}, and never will: its loop is closed"
    place = None
    while steps is not None:
        place = shown_frame(getattr(steps, "cr_frame", None)) or place
        steps = getattr(steps, "cr_await", None) or getattr(steps, "gi_yieldfrom", None)
    return f"in {name}, at {place}" if place else f"in {name}"


def _at(frame: FrameType | None) -> str:
    place = shown_frame(frame)
    return f", at {place}" if place else ""


# -- threads ------------------------------------------------------------------------------------------------------


def _threads() -> dict[object, str]:
    """Every thread that runs Python, those started without `threading` included."""
    known = {thread.ident: thread for thread in threading.enumerate()}
    return {
        thread or ident: f"thread {thread.name if thread else ident} still runs{_at(frame)}"
        for ident, frame in sys._current_frames().items()
        if not (thread := known.get(ident)) or not _may_stay(thread, frame)
    }


def _may_stay(thread: threading.Thread, frame: FrameType) -> bool:
    return thread.name.startswith(PERSISTENT_THREADS) or is_idle(thread.name, frame)


def is_idle(name: str, frame: FrameType | None) -> bool:
    """Whether a thread of this name is a pool's, and waits for its next call."""
    for beginning, (source, functions) in POOLED_THREADS.items():
        if name.startswith(beginning):
            while frame is not None and source not in frame.f_code.co_filename:
                frame = frame.f_back
            return frame is not None and frame.f_code.co_name in functions
    return False


# -- processes ----------------------------------------------------------------------------------------------------


def _processes(known: set[int]) -> dict[object, str]:
    """Child processes and theirs, the dead that nobody waited for included; without those of `known` forkservers."""
    return {
        child: f"process {child.pid} ({child.shown()}) is still {child.state}"
        for child in children()
        if child.pid not in known and child.parent not in known
    }


def _process_backends() -> dict[object, Any]:
    """Those that are open and have workers: one entry stands for all that is theirs."""
    module = sys.modules.get("atonce._backends.process")
    every = list(module._all) if module is not None else []
    return {weakref.ref(one): one for one in every if one.launcher.pid and one._pid == os.getpid()}


def _belongings(backends: list[Any]) -> tuple[set[int], set[int]]:
    """The forkservers and the descriptors of process backends."""
    pids = {backend.launcher.pid for backend in backends}
    return pids, {number for backend in backends for number in backend.descriptors()}


# -- files and sockets --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Descriptor:
    """An open file descriptor and what it is open on."""

    number: int
    target: str


def _descriptors(known: set[int]) -> dict[object, str]:
    """Open file descriptors; empty where the system does not tell. Those of the private loop last."""
    found: dict[object, str] = {}
    lasting = _lasting() | known
    folder = next((one for one in ("/proc/self/fd", "/dev/fd") if os.path.isdir(one)), None)
    if folder is None:
        return found
    for name in os.listdir(folder):
        number = int(name)
        with contextlib.suppress(OSError):
            target = _target(folder, number)
            if number not in lasting and not (known and target.startswith(_PAGE)):
                kind = "socket" if "socket" in target else "file descriptor"
                found[Descriptor(number, target)] = f"{kind} {number} is still open on {target}"
    return found


def _target(folder: str, number: int) -> str:
    if folder.startswith("/proc"):
        return os.readlink(f"{folder}/{number}")
    state = os.fstat(number)
    return f"file {state.st_dev}:{state.st_ino}, mode {state.st_mode:o}"


def _lasting() -> set[int]:
    """The descriptors of the private loop of `atonce.blocking`, which is made when it is first used."""
    private = existing_portal()
    loop = None if private is None else private.loop
    parts = [getattr(loop, name, None) for name in ("_selector", "_ssock", "_csock")]
    found: set[int] = set()
    for part in parts:
        with contextlib.suppress(OSError, ValueError):
            if part is not None:
                found.add(part.fileno())
    return found


# -- where it comes from ------------------------------------------------------------------------------------------


def _origin(key: object) -> str:
    """Where something was started or opened, as far as that is known; what atonce spawned says so by itself."""
    match key:
        case threading.Thread() if key.name.startswith(tuple(POOLED_THREADS)):
            return _call_of(key)
        case threading.Thread():
            site, verb = sites.of_thread(key), "started"
        case Process():
            site, verb = sites.of_program(key.arguments), "started"
        case Descriptor(number, target) if target.startswith("socket:"):
            site, ends = sites.of_socket(number)
            return (f" ({ends})" if ends else "") + (f", made at {site}" if site else "")
        case Descriptor(_, target):
            site, verb = sites.of_file(target), "opened"
        case weakref.ref():
            task: Any = key()
            stack = getattr(task, "_source_traceback", None) or ()  # in a loop's debug mode
            lines = [f"{one.filename}:{one.lineno}" for one in stack if author(one.filename) == "user"]
            site, verb = next(reversed(lines), None), "created"
        case _:
            return ""
    return f", {verb} at {site}" if site else ""


def _call_of(thread: threading.Thread) -> str:
    """Which call a pool's thread is on, an abandoned one included."""
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None and frame.f_code.co_name != "_serve":
        frame = frame.f_back
    receiver = getattr(frame.f_locals.get("work"), "to", None) if frame is not None else None
    return f", for {receiver}" if receiver is not None else ""
