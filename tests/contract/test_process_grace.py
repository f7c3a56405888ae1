"""A function in a process that looks at `cancelled()` may end by itself; any other is killed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from atonce import Ok, ProcessBackend, Task, TaskStopped, TaskTimeout, cancelled, poll, shutdown, spawn


def look_and_end(mark: str) -> str:
    """End as soon as it should."""
    while not cancelled():
        Path(mark).touch()
        time.sleep(0.002)
    return "ended by itself"


def look_once(mark: str) -> None:
    """Look, and go on."""
    cancelled()
    Path(mark).touch()
    time.sleep(60)


def never_look(mark: str) -> None:
    """Go on."""
    Path(mark).touch()
    time.sleep(60)


@asynccontextmanager
async def running(
    work: Callable[[str], object], mark: Path, timeout: float | None = None
) -> AsyncIterator[Task[object]]:
    """A task that has begun, in a process."""
    async with ProcessBackend(workers=1) as processes:
        task = spawn(work, str(mark), on=processes, timeout=timeout)
        for _ in range(5_000):
            if mark.exists():
                break
            await asyncio.sleep(0.002)
        yield task


async def test_shutdown_lets_one_that_looks_end_by_itself(tmp_path: Path) -> None:
    async with running(look_and_end, tmp_path / "mark") as task:
        assert await shutdown(task, grace=10.0) == Ok("ended by itself")


async def test_shutdown_kills_one_that_looked_and_goes_on_after_the_grace(tmp_path: Path) -> None:
    async with running(look_once, tmp_path / "mark") as task:
        began = time.monotonic()
        assert await shutdown(task, grace=0.2) is None
        assert time.monotonic() - began >= 0.2
        assert task.is_over()


@pytest.mark.parametrize("grace", [0, 30.0])
async def test_shutdown_kills_one_that_never_looked_at_once(tmp_path: Path, grace: float) -> None:
    async with running(never_look, tmp_path / "mark") as task:
        began = time.monotonic()
        assert await shutdown(task, grace=grace) is None
        assert time.monotonic() - began < 10
        assert task.is_over()


async def test_no_grace_kills_one_that_looks_too(tmp_path: Path) -> None:
    async with running(look_once, tmp_path / "mark") as task:
        assert await shutdown(task, grace=0) is None
        assert task.is_over()


async def test_a_time_limit_knows_no_grace(tmp_path: Path) -> None:
    async with running(look_once, tmp_path / "mark", timeout=0.5) as task:
        outcome = await poll(task, 30.0)
        assert outcome is not None
        assert not outcome.ok
        assert isinstance(outcome.error, TaskTimeout)
        assert not outcome.error.abandoned


async def test_closing_the_backend_stops_what_runs_and_says_so(tmp_path: Path) -> None:
    async with running(never_look, tmp_path / "mark") as task:
        pass
    outcome = await poll(task, 30.0)
    assert outcome is not None
    assert not outcome.ok
    assert isinstance(outcome.error, TaskStopped)
