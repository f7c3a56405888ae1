"""Two hundred children of mixed kinds, killed at random: none is lost, none runs twice, nothing grows, nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

import atonce
from atonce import Child, Retry, Supervisor, TaskStopped
from atonce._backends.process import ProcessBackend
from atonce.testing import run_virtual
from tests.verbs.acts import eventually, fake

CHILDREN = 200
RESTARTS = ("permanent", "permanent", "transient")
#: Seconds of real time in which processes are killed.
SECONDS = 20.0 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 2.0


class Crash(Exception):
    """What the test does to a child."""


class Worker:
    """The code of one child: runs until it is crashed, finishes or is stopped; counts its lives."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.running = self.runs = 0
        self.is_gone = False
        self.hit: asyncio.Future[Any] | None = None
        self.kind: tuple[int, Any] = (0, "permanent")

    async def work(self) -> None:
        """One life."""
        assert not self.is_gone, "it was terminated, and ran again"
        self.running += 1
        self.runs += 1
        assert self.running == 1, "it runs twice"
        self.hit = asyncio.get_running_loop().create_future()
        try:
            await self.hit
        finally:
            self.hit = None
            self.running -= 1

    async def serve(self, ready: Callable[[], None]) -> None:
        """One life as a service."""
        await asyncio.sleep(0.01)
        ready()
        await self.work()

    name: str | None = None

    def strike(self, end: BaseException | None) -> None:
        """Let it fail, or finish."""
        if self.hit is not None and not self.hit.done():
            if end is None:
                self.hit.set_result(None)
            else:
                self.hit.set_exception(end)


class Storm:
    """A supervisor, its workers, and the dice that decide what is done to them."""

    def __init__(self, sup: Supervisor, dice: random.Random) -> None:
        self.sup = sup
        self.dice = dice
        self.workers: dict[Child, Worker] = {}
        self.dealt: Counter[str] = Counter()
        self.numbers = 0
        #: Kinds of which there are too few; each that ends is replaced by one of its kind.
        self.kinds: list[tuple[int, Any]] = []

    def start(self) -> None:
        """Start one more, of the kind that is missing."""
        worker, dice = Worker(self.numbers), self.dice
        self.numbers += 1
        self.kinds = self.kinds or [(kind, restart) for kind in range(4) for restart in RESTARTS] * (
            CHILDREN // 12 + 1
        )
        kind, restart = worker.kind = self.kinds.pop()
        if kind == 0:
            child = self.sup.start_child(worker, restart=restart)
        elif kind == 1:
            child = self.sup.start_child(worker.work, restart=restart, on=fake(0.05))
        elif kind == 2:
            inner = Supervisor(children=[Child(worker.work, restart="permanent")], max_restarts=1)
            child = self.sup.start_child(inner)
        else:
            child = self.sup.start_child(worker.work, restart=restart, grace=dice.choice([0.0, 1.0]))
        self.workers[child] = worker

    async def deal(self) -> None:
        """Do something to a random child."""
        child = self.dice.choice(list(self.workers))
        worker = self.workers[child]
        what = self.dice.choice(
            ["crash", "crash", "crash", "finish", "stop", "terminate", "nolink", "stream"]
        )
        self.dealt[what] += 1
        if what == "crash":
            worker.strike(Crash())
        elif what == "finish":
            worker.strike(None)
        elif what == "stop" and child.task is not None:
            child.task.stop()
        elif what == "terminate":
            known = child in self.sup.children()
            assert await self.sup.terminate_child(child) == known
            worker.is_gone = True
            self.forget(child)
        elif what == "nolink":
            self.sup.spawn_nolink(asyncio.sleep, self.dice.random())
        elif what == "stream":
            assert await self.sup.parallel_map(range(3), _number, max_concurrency=2) == [0, 1, 2]
        self.bury()

    def bury(self) -> None:
        """Replace those that have ended as they may."""
        for child in [child for child in self.workers if child.state == "ended"]:
            assert child.restart == "transient"
            assert self.workers[child].running == 0
            self.forget(child)
        while len(self.workers) < CHILDREN:
            self.start()

    def forget(self, child: Child) -> None:
        """One has ended; another one of its kind is to come."""
        self.kinds.append(self.workers.pop(child).kind)

    def census(self) -> int:
        """How many objects live, but for the last error of each child, which more and more of them have."""
        for child in self.workers:
            child.last_error = None
        gc.collect()
        return len(gc.get_objects())

    def check(self) -> None:
        """The supervisor's books agree with what the workers know."""
        children = {child for child in self.sup.children() if isinstance(child, Child)}
        assert children == {child for child in self.workers if child.state != "ended"}
        for child, worker in self.workers.items():
            assert worker.running <= 1
            if child.state == "backing off":
                assert worker.running == 0


async def _number(item: int) -> int:
    await asyncio.sleep(0.01)
    return item


async def weather(seed: int) -> tuple[int, int, Counter[str]]:
    """Sixty seconds of it; gives the objects that live after 20 s and after 60 s, and what was dealt."""
    dice = random.Random(seed)
    objects: list[int] = []
    backoff = Retry(base_delay=0.05, max_delay=0.5)
    async with Supervisor(max_restarts=10**6, max_seconds=1.0, backoff=backoff) as sup:
        storm = Storm(sup, dice)
        storm.bury()
        for until in (20.0, 60.0):
            while asyncio.get_running_loop().time() < until:
                await storm.deal()
                storm.check()
                await asyncio.sleep(dice.random() * 0.1)
            await asyncio.sleep(2.0)
            storm.bury()
            await asyncio.sleep(1.0)
            objects.append(storm.census())
        for child, worker in storm.workers.items():
            assert child.state in ("running", "ended"), child
            assert worker.running == (child.state == "running"), f"{child} was lost"
        crew = sup._crew
        assert crew is not None
        assert not crew._timers
        assert not crew._waiters
        assert not crew.roster.work
    assert all(worker.running == 0 for worker in storm.workers.values())
    assert sum(worker.runs for worker in storm.workers.values()) > CHILDREN
    return objects[0], objects[1], storm.dealt


@pytest.mark.parametrize("seed", [1, 2])
def test_a_minute_of_random_kills_loses_nothing_and_memory_stays_flat(
    seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "atonce")
    early, late, dealt = run_virtual(lambda: weather(seed), seed=seed)
    assert set(dealt) == {"crash", "finish", "stop", "terminate", "nolink", "stream"}
    assert dealt.total() > 500
    assert late < early * 1.05, f"{early} objects after 20 s, {late} after 60 s"


# -- real processes and threads -----------------------------------------------------------------------------------


def in_a_process(folder: str, number: int) -> None:
    """Say where it runs, and run until it is killed or asked to end."""
    place = Path(folder, f"{number}-{os.getpid()}")
    place.touch()
    while not atonce.cancelled():
        time.sleep(0.005)


def in_a_thread(number: int) -> None:
    """Run until it is asked to end."""
    while not atonce.cancelled():
        time.sleep(0.05)


@pytest.mark.timeout(120)
async def test_real_processes_threads_and_coroutines_survive_kills_from_outside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "atonce")
    dice, processes, threads = random.Random(7), 6, 14
    killed: set[int] = set()
    async with ProcessBackend(workers=processes) as backend:
        async with Supervisor(max_restarts=10**6) as sup:
            start = partial(sup.start_child, restart="permanent")
            started = [start(in_a_process, str(tmp_path), number, on=backend) for number in range(processes)]
            started += [start(in_a_thread, number) for number in range(threads)]
            workers = [Worker(number) for number in range(CHILDREN - processes - threads)]
            started += [start(worker.work) for worker in workers]
            await eventually(lambda: _alive(tmp_path) == processes, 20.0)
            loop = asyncio.get_running_loop()
            until = loop.time() + SECONDS
            while loop.time() < until or len(killed) < 2 * processes:
                for path in tmp_path.iterdir():
                    pid = int(path.name.split("-")[1])
                    if pid not in killed and dice.random() < 0.3:
                        killed.add(pid)
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                for worker in dice.sample(workers, 20):
                    worker.strike(Crash())
                task = started[processes + dice.randrange(threads)].task
                if task is not None:
                    task.stop()
                assert set(sup.children()) == set(started)
                await asyncio.sleep(0.02)
            await eventually(lambda: all(worker.running == 1 for worker in workers))
            await eventually(lambda: _alive(tmp_path) == processes, 20.0)
            assert all(child.state == "running" for child in started)
            assert sum(isinstance(child.last_error, atonce.WorkerLost) for child in started) == processes
            assert all(worker.runs > 1 for worker in workers) or SECONDS < 5
            mine = {int(path.name.split("-")[1]) for path in tmp_path.iterdir()}
        assert all(child.state == "ended" for child in started)
        assert all(
            isinstance(child.last_error, (Crash, atonce.WorkerLost, TaskStopped, type(None)))
            for child in started
        )
    assert not [pid for pid in mine if psutil.pid_exists(pid)]


def _alive(folder: Path) -> int:
    """How many children are at work in processes that live."""
    return sum(map(_lives, {int(path.name.split("-")[1]) for path in folder.iterdir()}))


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
