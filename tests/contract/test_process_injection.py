"""Faults at named points of the protocol: one outcome each, no innocent lost or run twice, and nothing left.

Points and faults are in `tests/contract/injection.py`: 85 of the 10 points of a worker's way with a call x 9 faults,
for a task and for an item of a stream, are 170 cases, each among innocent calls. 26 more: 7 before a worker is ready,
7 of an idle one, 4 while the parent writes a large argument, 8 points at which the backend is closed. And chaos.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import pytest

import atonce
from atonce import (
    Failed,
    NotSerializable,
    Ok,
    ProcessBackend,
    TaskStopped,
    TaskTimeout,
    WorkerLost,
    spawn,
    stream,
)
from atonce._backends import process_handle
from tests.contract.injection import FAULTS, HEAD, POINTS, VARIABLE, idle_fault, plan, run
from tests.contract.ledger import Ledger
from tests.contract.test_process_faults import LIMIT, taken
from tests.running import IS_BRIEF

#: How a call with such a fault may end; where its answer was on its way already, it may also be `Ok`.
ENDS: dict[str, type[BaseException]] = {
    "kill": WorkerLost,
    "stop": TaskTimeout,
    "exit0": WorkerLost,
    "exit7": WorkerLost,
    "hang": TaskTimeout,
    "raises": WorkerLost,
    "garbage": WorkerLost,
    "unknown": WorkerLost,
    "closes": WorkerLost,
}
LIES = ("garbage", "unknown", "closes")
"""Faults after which a worker goes on: its next call may be lost with it, having begun."""
STALLS = ("stop", "hang")
SOME = POINTS[::2] if IS_BRIEF else POINTS


@pytest.fixture(autouse=True)
def _sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is up and begins nothing counts as stuck sooner, so that the suite is quicker."""
    monkeypatch.setattr(process_handle, "STUCK", 0.3)


def faults_at(point: str) -> list[str]:
    """All, but for a whole frame within another one: a length that is wrong and possible is waited for."""
    return [fault for fault in FAULTS if fault != "unknown" or not point.startswith("mid_write")]


def test_the_table_has_170_cases() -> None:
    assert set(ENDS) == set(FAULTS)
    assert 2 * sum(len(faults_at(point)) for point in POINTS) == 170


def processes(**options: Any) -> ProcessBackend:
    return ProcessBackend(preload=["tests.contract.injection"], **{"workers": 2, **options})


def check_victim(outcome: Any, point: str, fault: str) -> None:
    """Check that it ended once, as its fault says."""
    if isinstance(outcome, Ok):
        assert point == "after_write", outcome
        assert outcome.value == ("victim", plan(point, fault))
        return
    assert isinstance(outcome, Failed), (point, fault, outcome)
    allowed = (
        (ENDS[fault], NotSerializable) if point.startswith("mid_write") and fault in LIES else ENDS[fault]
    )
    assert isinstance(outcome.error, allowed), (point, fault, outcome)
    assert point != "after_write", (fault, outcome)
    if isinstance(outcome.error, WorkerLost):
        assert (outcome.error.exitcode is None) != (outcome.error.signal is None)


def check_innocent(outcomes: list[Any], ledger: Ledger, items: list[int], point: str, fault: str) -> None:
    """Check that all others are Ok and ran once; but a worker that can no longer be heard takes its next call along."""
    where = (point, fault)
    lost = [item for item, one in zip(items, outcomes, strict=True) if one != Ok(item)]
    excused = 1 if fault in LIES or (point == "after_write" and fault in STALLS) else 0
    assert len(lost) <= excused, (where, lost, [outcomes[items.index(item)] for item in lost])
    for item in lost:
        error = outcomes[items.index(item)].error
        assert isinstance(error, (ENDS[fault], WorkerLost)), (where, error)
    runs = Counter(item for item in ledger.calls if isinstance(item, int))
    assert all(times == 1 for times in runs.values()), (where, runs)
    assert set(items) - set(runs) <= set(lost), where


@pytest.mark.parametrize("point", SOME)
async def test_a_fault_on_the_way_of_a_task_harms_no_other(point: str, tmp_path: Path) -> None:
    with processes() as backend:
        for fault in faults_at(point):
            ledger = Ledger(tmp_path / fault)
            work = partial(run, ledger)
            limit = 0.1 if fault in STALLS else None
            # Only calls with a limit can tell a worker that was stopped from one that takes its time.
            tasks = [spawn(work, n, on=backend, timeout=limit and 2.0) for n in range(8)]
            victim = spawn(work, ("victim", plan(point, fault)), on=backend, timeout=limit)
            tasks += [spawn(work, n, on=backend, timeout=limit and 2.0) for n in range(8, 16)]
            check_victim(await atonce.poll(victim, LIMIT), point, fault)
            outcomes = [await atonce.poll(task, LIMIT) for task in tasks]
            check_innocent(outcomes, ledger, [*range(16)], point, fault)
            assert await asyncio.wait_for(spawn(abs, -77, on=backend), LIMIT) == 77


def noted(notes: Path, item: Any) -> Any:
    """Leave a note of a number, in one short write."""
    if isinstance(item, int):
        file = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, b"%d\n" % item)
        os.close(file)
    return item


async def test_what_a_worker_ran_that_could_not_be_heard_any_more_runs_in_no_other(tmp_path: Path) -> None:
    """On a busy machine a worker may not come to its next call before it is found out: then it is tried again."""
    items: list[Any] = [*range(300), ("victim", plan(f"mid_write+{HEAD - 1}", "garbage")), *range(300, 600)]
    most_lost = 0
    for attempt in range(20):
        notes = tmp_path / f"notes {attempt}"
        got: list[Any] = []
        with processes(workers=1) as backend:
            async for one in stream(items, partial(noted, notes), on=backend, max_concurrency=1, buffer=200):
                got.append(one)
                if len(got) % 25 == 0:
                    time.sleep(0.05)  # noqa: ASYNC251  # blocks the loop while the worker goes on
        lost = [one for one in got if not one.ok]
        assert all(isinstance(one.error, WorkerLost) for one in lost)
        runs = Counter(notes.read_text().split())
        assert max(runs.values()) == 1
        assert {n for n in range(600) if f"{n}" not in runs} <= {one.input for one in lost}
        most_lost = max(most_lost, len(lost))
        if most_lost > 1:
            return
    pytest.fail("the worker never began a further call before it was found out: nothing was tested")


@pytest.mark.parametrize("point", SOME)
async def test_a_fault_on_the_way_of_an_item_harms_no_other(point: str, tmp_path: Path) -> None:
    with processes() as backend:
        for fault in faults_at(point):
            ledger = Ledger(tmp_path / fault)
            items: list[Any] = [*range(9), ("victim", plan(point, fault)), *range(10, 24)]
            limit = 0.4 if fault in STALLS else None  # of the innocents too, on whatever machine
            view = stream(items, partial(run, ledger), on=backend, timeout=limit, max_concurrency=2)
            got = await asyncio.wait_for(taken(view), LIMIT)
            assert [one.index for one in got] == list(range(24))
            check_victim(got[9], point, fault)
            innocent = [n for n in range(24) if n != 9]
            check_innocent([got[n] for n in innocent], ledger, innocent, point, fault)
            assert await taken(stream(range(4), abs, on=backend).values()) == list(range(4))


@pytest.mark.parametrize("fault", ["kill", "exit0", "exit7", "raises"])
async def test_a_worker_that_dies_before_it_is_ready_costs_no_call(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path)
    with processes(workers=1) as backend:
        monkeypatch.setenv(VARIABLE, plan("before_ready", fault))
        tasks = [spawn(partial(run, ledger), n, on=backend) for n in range(6)]
        monkeypatch.delenv(VARIABLE)
        assert await asyncio.wait_for(atonce.await_many(tasks), LIMIT) == list(range(6))
        assert backend.statistics().made == 2
    assert sorted(ledger.calls) == list(range(6))


@pytest.mark.parametrize("fault", ["kill", "exit0", "exit7"])
async def test_workers_that_never_become_ready_fail_the_call_and_are_not_made_for_ever(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with processes(workers=1) as backend:
        monkeypatch.setenv(VARIABLE, plan("before_ready", fault))
        outcome = await atonce.poll(spawn(abs, -1, on=backend), LIMIT)
        monkeypatch.delenv(VARIABLE)
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.error, WorkerLost)
        assert backend.statistics().made == 3
        assert await asyncio.wait_for(spawn(abs, -2, on=backend), LIMIT) == 2


@pytest.mark.parametrize("fault", ["kill", "exit0", "exit7", "garbage", "unknown", "closes"])
async def test_what_an_idle_worker_does_harms_no_later_call(fault: str, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    with processes(workers=1) as backend:
        pid = await spawn(idle_fault, fault, on=backend)
        until = time.monotonic() + LIMIT
        while psutil.pid_exists(pid) and time.monotonic() < until:
            await asyncio.sleep(0.005)
        tasks = [spawn(partial(run, ledger), n, on=backend) for n in range(6)]
        assert await asyncio.wait_for(atonce.await_many(tasks), LIMIT) == list(range(6))
        assert backend.statistics().made == 2
    assert sorted(ledger.calls) == list(range(6))


async def test_an_idle_worker_that_was_stopped_costs_one_call_its_time_and_no_more(tmp_path: Path) -> None:
    with processes(workers=1) as backend:
        pid = await spawn(os.getpid, on=backend)
        os.kill(pid, signal.SIGSTOP)
        tasks = [spawn(partial(run, Ledger(tmp_path)), n, on=backend, timeout=0.1) for n in range(4)]
        outcomes = [await atonce.poll(task, LIMIT) for task in tasks]
        assert isinstance(outcomes[0], Failed)
        assert isinstance(outcomes[0].error, TaskTimeout)
        assert outcomes[1:] == [Ok(1), Ok(2), Ok(3)]


@pytest.mark.parametrize("fault", ["kill", "exit0", "exit7", "raises"])
async def test_a_worker_that_dies_while_it_is_sent_a_large_argument_harms_no_other(
    fault: str, tmp_path: Path
) -> None:
    ledger = Ledger(tmp_path)
    with processes() as backend:
        argument = (plan("mid_send", fault), bytearray(20_000_000))
        victim = spawn(len, argument, on=backend)
        tasks = [spawn(partial(run, ledger), n, on=backend) for n in range(12)]
        outcome = await atonce.poll(victim, LIMIT)
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.error, WorkerLost)
        assert await asyncio.wait_for(atonce.await_many(tasks), LIMIT) == list(range(12))
    assert sorted(ledger.calls) == list(range(12))


@pytest.mark.parametrize("point", POINTS[:-1])
async def test_closing_ends_calls_wherever_they_are_stopped(point: str) -> None:
    backend = processes()
    await atonce.await_many([spawn(abs, -n, on=backend) for n in range(2)])
    stopped = [spawn(str, plan(point, "stop"), on=backend) for _ in range(2)]
    queued = spawn(abs, -1, on=backend)
    await asyncio.sleep(0.02)
    began = time.monotonic()
    backend.close()
    outcomes = [await atonce.poll(task, LIMIT) for task in (*stopped, queued)]
    assert time.monotonic() - began < 2
    for outcome in outcomes:
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.error, TaskStopped)
    backend.close()


async def test_chaos_loses_those_on_the_workers_that_were_killed_and_no_others(tmp_path: Path) -> None:
    seed = random.getrandbits(32)
    print(f"chaos seed: {seed}")  # noqa: T201  # pytest shows it where the test fails
    dice, ledger, kills = random.Random(seed), Ledger(tmp_path), count()

    async def killer() -> None:
        for _ in range(60):  # not for ever: where starting a worker takes long, none would get anywhere
            await asyncio.sleep(dice.expovariate(25))
            workers = [one for forkserver in psutil.Process().children() for one in forkserver.children()]
            if workers:
                os.kill(dice.choice(workers).pid, signal.SIGKILL)
                next(kills)

    with processes(workers=3) as backend:
        killing = asyncio.ensure_future(killer())
        view = stream(range(2_000), partial(run, ledger), on=backend, ordered=dice.random() < 0.5)
        got = await asyncio.wait_for(taken(view), LIMIT)
        killing.cancel()
        await asyncio.wait([killing])
        assert await taken(stream(range(9), abs, on=backend).values()) == list(range(9))
    assert sorted(one.index for one in got) == list(range(2_000))
    failed = [one for one in got if not one.ok]
    assert all(isinstance(one.error, WorkerLost) and one.error.signal == signal.SIGKILL for one in failed)
    assert len(failed) <= next(kills)
    runs = Counter(ledger.calls)
    assert all(times == 1 for times in runs.values())
    assert {one.index for one in got if one.ok} <= set(runs)


async def test_a_forkserver_that_is_killed_costs_what_ran_and_nothing_runs_twice(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    with processes(workers=2) as backend:
        assert await spawn(abs, -1, on=backend) == 1
        forkserver = psutil.Process(backend.launcher.pid)
        view = stream(range(400), partial(run, ledger), on=backend)
        got = []
        async with view:
            async for one in view:
                got.append(one)
                if len(got) == 100:
                    forkserver.kill()
        assert await spawn(abs, -2, on=backend) == 2
    assert [one.index for one in got] == list(range(400))
    failed = [one for one in got if not one.ok]
    assert len(failed) <= 2
    assert all(isinstance(one.error, WorkerLost) for one in failed)
    assert max(Counter(ledger.calls).values()) == 1
