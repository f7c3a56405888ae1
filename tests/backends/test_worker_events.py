"""Each worker process starts once, and stops or is lost once; whoever listens hears of it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import atonce
from atonce import ProcessBackend, Task, WorkerLost, capture, spawn, stream, telemetry

LIMIT = 20.0


class Events(list[tuple[str, dict[str, Any]]]):
    """What was told of workers."""

    def ends(self) -> list[tuple[str, str | None]]:
        """What is not a start, with its reason."""
        return [(event, told.get("reason")) for event, told in self if event != "worker.start"]

    def check_each_ended_once(self, workers: int) -> None:
        """Check that so many workers started, and each of them ended."""
        started = Counter(told["number"] for event, told in self if event == "worker.start")
        ended = Counter(told["number"] for event, told in self if event != "worker.start")
        assert started == ended
        assert set(started.values()) == {1}
        assert len(started) == workers


@pytest.fixture
def events() -> Iterator[Events]:
    seen = Events()
    telemetry.attach(
        "test", "worker.*", lambda event, measured, told: seen.append((event, {**measured, **told}))
    )
    yield seen
    telemetry.detach("test")


def kill_oneself(how: int) -> None:
    os.kill(os.getpid(), how)


def endless(mark: Path) -> None:
    """Tell that one runs, and go on."""
    mark.touch()
    time.sleep(60)


async def running(mark: Path, processes: ProcessBackend) -> Task[None]:
    """A task that has begun."""
    task = spawn(endless, mark, on=processes)
    while not mark.exists():
        await asyncio.sleep(0.002)
    return task


async def test_closing_stops_workers_whether_they_work_or_not(events: Events, tmp_path: Path) -> None:
    async with ProcessBackend(workers=2) as processes:
        await asyncio.gather(*(spawn(time.sleep, 0.01, on=processes) for _ in range(2)))
        busy = await running(tmp_path / "mark", processes)
    assert not (await capture(busy)).ok
    assert events.ends() == [("worker.stop", "closed")] * 2
    events.check_each_ended_once(2)
    assert sum(told["calls"] for event, told in events if event == "worker.stop") == 2
    assert processes.statistics().lost == 0, "who is closed is not lost"


async def test_a_worker_that_is_killed_for_a_time_limit_or_a_stop_says_so(
    events: Events, tmp_path: Path
) -> None:
    async with ProcessBackend(workers=1) as processes:
        assert not (await capture(spawn(time.sleep, 60, on=processes, timeout=0.05))).ok
        task = await running(tmp_path / "mark", processes)
        task.stop()
        await capture(task)
        assert events.ends() == [("worker.stop", "killed")] * 2
    events.check_each_ended_once(2)


async def test_a_worker_that_has_made_all_its_calls_says_so(events: Events) -> None:
    async with ProcessBackend(workers=1, max_tasks_per_worker=3) as processes:
        async for _ in stream(range(7), abs, on=processes):
            pass
    assert events.ends() == [
        ("worker.stop", "used up"),
        ("worker.stop", "used up"),
        ("worker.stop", "closed"),
    ]
    assert [told["calls"] for event, told in events if event == "worker.stop"] == [3, 3, 1]
    events.check_each_ended_once(3)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
async def test_a_worker_that_dies_is_lost_with_how_it_died(events: Events, how: int) -> None:
    async with ProcessBackend(workers=1) as processes:
        assert await spawn(abs, -1, on=processes) == 1
        await capture(spawn(kill_oneself, how, on=processes))
        assert await spawn(abs, -2, on=processes) == 2
        [(event, told)] = [one for one in events if one[0] != "worker.start"]
        assert (event, told["calls"]) == ("worker.lost", 1)
        assert isinstance(told["error"], WorkerLost)
        assert told["error"].signal == how
        assert told["error"].exitcode is None
        assert processes.statistics().lost == 1
    events.check_each_ended_once(2)


async def test_a_worker_that_exits_is_lost_with_its_exit_code(events: Events) -> None:
    async with ProcessBackend(workers=1) as processes:
        await capture(spawn(os._exit, 7, on=processes))
    [error] = [told["error"] for event, told in events if event == "worker.lost"]
    assert (error.exitcode, error.signal) == (7, None)
    events.check_each_ended_once(1)


@pytest.mark.parametrize("idle", [0.0, 0.7], ids=["at its loop", "given back"])
async def test_an_idle_worker_that_is_killed_is_lost_too(events: Events, idle: float) -> None:
    async with ProcessBackend(workers=1) as processes:
        pid = await spawn(os.getpid, on=processes)
        await asyncio.sleep(idle)
        os.kill(pid, signal.SIGKILL)
        while psutil.pid_exists(pid):
            await asyncio.sleep(0.002)
        assert await asyncio.wait_for(spawn(abs, -1, on=processes), LIMIT) == 1
        assert processes.statistics().lost == 1
        assert events.ends() == [("worker.lost", None)]
    events.check_each_ended_once(2)


async def test_the_workers_of_a_forkserver_that_is_killed_are_lost(events: Events, tmp_path: Path) -> None:
    async with ProcessBackend(workers=1) as processes:
        task = await running(tmp_path / "mark", processes)
        psutil.Process(processes.launcher.pid).kill()
        assert isinstance((await capture(task)).error, WorkerLost)
        assert events.ends() == [("worker.lost", None)]
        assert processes.statistics().lost == 1
    events.check_each_ended_once(1)


async def test_who_hears_of_a_worker_may_look_at_its_backend() -> None:
    seen = []
    async with ProcessBackend(workers=1, max_tasks_per_worker=1) as processes:
        telemetry.attach("looking", "worker.*", lambda *_: seen.append(processes.statistics().workers))
        try:
            await atonce.parallel_map(range(4), abs, on=processes)
        finally:
            telemetry.detach("looking")
    assert len(seen) >= 7
