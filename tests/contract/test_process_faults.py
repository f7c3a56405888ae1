"""Every fault ends as itself, harms nobody else, and leaves nothing: through `spawn` and through `stream`.

`FAULTS` in `tests/contract/faults.py` is the table.
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

import atonce
from atonce import Failed, Ok, ProcessBackend, WorkerLost, spawn, stream
from tests.contract.faults import FAULTS, Fault, run, victim
from tests.contract.ledger import Ledger, reached

LIMIT = 20.0
"""Seconds in which whatever happens must have ended, on a busy machine."""

LEAVES = ("leaves a child", "leaves a fork")


def check(outcome: Any, fault: Fault) -> None:
    """Check that it ended as the table says."""
    if fault.error is None:
        assert isinstance(outcome, Ok), outcome
        assert fault.says in repr(outcome.value)
        return
    assert isinstance(outcome, Failed), outcome
    error: Any = outcome.error
    assert isinstance(error, fault.error), repr(error)[:1_000]
    if fault.says:
        assert fault.says in str(error)
    for name, value in fault.attributes:
        assert getattr(error, name) == value
    if isinstance(error, WorkerLost):
        assert (error.exitcode, error.signal) == (fault.exitcode, fault.signal)
        assert (error.exitcode is None) != (error.signal is None)


def check_left(outcome: Any) -> None:
    """What a call left behind went with its worker, at the latest when the backend was closed."""
    assert isinstance(outcome, Ok)
    assert reached(lambda: is_gone(outcome.value), 5), "it is still there"


def is_gone(pid: int) -> bool:
    """Whether a process is dead; who buries an orphan is not our affair."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_ends_as_itself_and_harms_no_other(name: str, tmp_path: Path) -> None:
    with ProcessBackend(workers=2, preload=["tests.contract.faults"]) as processes:
        outcomes = [await of_a_task(name, processes, tmp_path), await of_an_item(name, processes, tmp_path)]
        is_lost = FAULTS[name].error is WorkerLost or "when let go" in name
        assert processes.statistics().lost == 2 * is_lost
    for outcome in outcomes:
        check(outcome, FAULTS[name])
        if name in LEAVES:
            check_left(outcome)


async def of_a_task(name: str, processes: ProcessBackend, folder: Path) -> Any:
    """Spawn it among 19 that have no fault, then one more."""
    fault, ledger = FAULTS[name], Ledger(folder / "tasks")
    work = partial(run, ledger)
    tasks = [spawn(work, n, on=processes) for n in range(10)]
    faulty = spawn(work, victim(name), on=processes, timeout=fault.timeout)
    tasks += [spawn(work, n, on=processes) for n in range(10, 19)]
    outcome = await atonce.poll(faulty, LIMIT)
    assert await asyncio.wait_for(atonce.await_many(tasks), LIMIT) == list(range(19))
    assert await asyncio.wait_for(spawn(abs, -77, on=processes), LIMIT) == 77
    assert sorted(ledger.calls) == list(range(19)), "each ran exactly once"
    return outcome


async def of_an_item(name: str, processes: ProcessBackend, folder: Path) -> Any:
    """Let a stream have it as one of 40 items, then another stream."""
    fault, ledger = FAULTS[name], Ledger(folder / "items")
    items: list[Any] = [*range(13), victim(name), *range(14, 40)]
    view = stream(items, partial(run, ledger), on=processes, timeout=fault.timeout, max_concurrency=2)
    got = await asyncio.wait_for(taken(view), LIMIT)
    assert [one.index for one in got] == list(range(40))
    innocent = [n for n in range(40) if n != 13]
    assert [one.value for one in got if one.index != 13] == innocent
    assert sorted(ledger.calls) == innocent, "each ran exactly once"
    assert await taken(stream(range(4), abs, on=processes).values()) == list(range(4))
    return got[13]


async def taken(view: Any) -> list[Any]:
    return [one async for one in view]
