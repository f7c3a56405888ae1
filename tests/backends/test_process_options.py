"""What `ProcessBackend` can be told, and context variables; each test fails where the promise is broken."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import atonce
from atonce import (
    Failed,
    NotSerializable,
    Ok,
    ProcessBackend,
    WorkerLost,
    capture,
    parallel_map,
    spawn,
    stream,
)
from atonce._backends import process_starts
from tests.backends.work import (
    LoadsNever,
    allocate,
    alook,
    exit_at_start,
    fail_unless,
    found,
    look,
    module_of_name,
    note_start,
    other,
    pid_of,
    started,
)
from tests.blocking.scripts import run

LIMIT = 20.0
MIB = 1 << 20


async def taken(view: Any) -> list[Any]:
    return [one async for one in view]


# -- max_tasks_per_worker -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_worker_makes_so_many_calls_and_is_replaced_with_nothing_lost(workers: int) -> None:
    async with ProcessBackend(workers=workers, max_tasks_per_worker=3) as processes:
        pids = await asyncio.wait_for(parallel_map(range(20), pid_of, on=processes), LIMIT)
        pids += await asyncio.wait_for(
            atonce.await_many([spawn(pid_of, on=processes) for _ in range(10)]), LIMIT
        )
        assert processes.statistics().lost == 0
        assert processes.statistics().made >= 10
    assert max(Counter(pids).values()) == 3
    assert len(pids) == 30


# -- memory_limit -------------------------------------------------------------------------------------------------


async def test_more_memory_than_the_limit_is_a_memory_error_of_that_call_alone() -> None:
    async with ProcessBackend(workers=1, memory_limit=200 * MIB) as processes:
        sizes = [MIB, 300 * MIB, 50 * MIB]
        got = await taken(stream(sizes, allocate, on=processes))
        assert [one.ok for one in got] == [True, False, True]
        assert isinstance(got[1].error, MemoryError)
        assert isinstance((await capture(spawn(allocate, 300 * MIB, on=processes))).error, MemoryError)
        assert await spawn(allocate, 50 * MIB, on=processes) == 50 * MIB
        assert processes.statistics().made == 1


async def test_a_worker_without_a_limit_takes_what_there_is() -> None:
    async with ProcessBackend(workers=1) as processes:
        assert await spawn(allocate, 300 * MIB, on=processes) == 300 * MIB


# -- initializer --------------------------------------------------------------------------------------------------


async def test_the_initializer_runs_once_in_each_worker_before_its_first_call(tmp_path: Path) -> None:
    file = tmp_path / "started"
    async with ProcessBackend(
        workers=2, max_tasks_per_worker=5, initializer=partial(note_start, file)
    ) as processes:
        pids = await parallel_map(
            range(20), lambda n: (os.getpid() in started(file), os.getpid()), on=processes
        )
    assert all(was_ready for was_ready, _ in pids)
    assert {pid for _, pid in pids} <= set(started(file))
    assert len(started(file)) == len(set(started(file)))


async def test_what_an_initializer_leaves_behind_is_there_for_calls() -> None:
    def initialize() -> None:
        os.environ["LEFT_BY_INITIALIZER"] = "yes"

    async with ProcessBackend(workers=1, initializer=initialize) as processes:
        assert await spawn(lambda: os.environ.get("LEFT_BY_INITIALIZER"), on=processes) == "yes"


@pytest.mark.parametrize("workers", [1, 3])
async def test_an_initializer_that_raises_fails_all_calls_with_its_error_and_makes_no_storm(
    workers: int,
) -> None:
    def initialize() -> None:
        raise ValueError("no database")

    async with ProcessBackend(workers=workers, initializer=initialize) as processes:
        got = await asyncio.wait_for(taken(stream(range(60), abs, on=processes)), LIMIT)
        got += [await capture(task) for task in [spawn(abs, -1, on=processes) for _ in range(20)]]
        assert processes.statistics().made <= workers + process_starts.FAILURES
    assert len(got) == 80
    for outcome in got:
        assert isinstance(outcome, Failed)
        assert type(outcome.error) is ValueError
        assert "no database" in str(outcome.error)
        assert any("in initialize" in note for note in outcome.error.__notes__), "its traceback is told"
    assert len({id(outcome.error) for outcome in got}) == 80, "each has an error, and notes, of its own"


async def test_an_initializer_that_ends_its_process_loses_the_call_and_makes_no_storm(tmp_path: Path) -> None:
    file = tmp_path / "started"
    async with ProcessBackend(workers=2, initializer=partial(exit_at_start, file)) as processes:
        got = await asyncio.wait_for(taken(stream(range(30), abs, on=processes)), LIMIT)
    for outcome in got:
        assert isinstance(outcome.error, WorkerLost)
        assert (outcome.error.exitcode, outcome.error.signal) == (3, None)
    assert len(started(file)) <= 2 + process_starts.FAILURES


async def test_an_initializer_that_works_again_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_starts, "PAUSE", 0.05)
    file = tmp_path / "up"
    async with ProcessBackend(workers=1, initializer=partial(fail_unless, file)) as processes:
        got = await taken(stream(range(10), abs, on=processes))
        assert {type(one.error) for one in got} == {ConnectionError}
        file.touch()
        await asyncio.sleep(0.06)
        assert await asyncio.wait_for(spawn(abs, -1, on=processes), LIMIT) == 1
        assert await taken(stream(range(10), abs, on=processes)) == [Ok(n) for n in range(10)]


def test_an_initializer_that_cannot_travel_is_refused_at_once() -> None:
    lock = threading.Lock()
    with pytest.raises(NotSerializable, match=r"initializer.*lock"):
        ProcessBackend(initializer=lock.acquire)


# -- preload ------------------------------------------------------------------------------------------------------


async def test_what_is_preloaded_is_imported_once_before_workers_are_forked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "atonce_preloaded.py").write_text("import os\nimported_in = os.getpid()\n")
    monkeypatch.syspath_prepend(tmp_path)
    async with ProcessBackend(workers=2, max_tasks_per_worker=2, preload=["atonce_preloaded"]) as processes:
        places = await parallel_map(["atonce_preloaded"] * 8, module_of_name, on=processes)
        assert places == [processes.launcher.pid] * 8
    async with ProcessBackend(workers=1) as processes:
        assert await spawn(module_of_name, "atonce_preloaded", on=processes) is None


async def test_a_preloaded_module_that_cannot_be_imported_is_told_and_harms_nobody(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async with ProcessBackend(workers=1, preload=["atonce_no_such_module"]) as processes:
        assert await spawn(abs, -1, on=processes) == 1
    assert "preload='atonce_no_such_module' could not be imported" in capfd.readouterr().err


# -- context variables --------------------------------------------------------------------------------------------


async def test_variables_travel_with_each_call_and_do_not_come_back() -> None:
    async with ProcessBackend(workers=1) as processes:
        found.set("first")
        first = spawn(look, on=processes)
        found.set("second")
        other.set(["also", {"nested": 1}])
        assert await first == ("first", "nothing")
        assert await spawn(look, on=processes) == ("second", ["also", {"nested": 1}])
        assert found.get() == "second"
        got = await taken(stream(range(3), look, on=processes).values())
        assert got == [("second", ["also", {"nested": 1}])] * 3


async def test_an_async_def_in_a_process_sees_them_too() -> None:
    found.set("the caller's")
    async with ProcessBackend(workers=1) as processes:
        assert (
            await taken(stream(range(2), alook, on=processes).values()) == [("the caller's", "nothing")] * 2
        )
        assert await spawn(alook, 1, on=processes) == ("the caller's", "nothing")


@pytest.mark.parametrize("value", [threading.Lock(), LoadsNever()], ids=["not picklable", "not loadable"])
async def test_a_variable_whose_value_cannot_travel_stays_here_and_harms_nobody(value: Any) -> None:
    found.set(value)
    other.set("travels")
    async with ProcessBackend(workers=1) as processes:
        assert await spawn(look, on=processes) == ("nothing", "travels")


async def test_a_variable_that_no_module_names_stays_here() -> None:
    nameless: ContextVar[str] = ContextVar("nameless", default="nothing")
    nameless.set("the caller's")
    found.set("travels")
    async with ProcessBackend(workers=1) as processes:
        assert (await spawn(look, on=processes))[0] == "travels"


# -- nothing to make workers of -----------------------------------------------------------------------------------


def test_where_files_run_out_calls_wait_for_the_workers_that_there_are_or_fail_and_later_ones_work() -> None:
    ended = run("""
        import asyncio, os, resource, time
        from atonce import ProcessBackend, capture, spawn, stream

        def few():
            resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 3, most[1]))

        async def main():
            async with ProcessBackend(workers=2) as processes:
                await spawn(abs, -1, on=processes)
                few()
                print([one.ok async for one in stream([0.01] * 5, time.sleep, on=processes)])
                resource.setrlimit(resource.RLIMIT_NOFILE, most)
            async with ProcessBackend(workers=2) as processes:
                few()
                print([type(one.error) async for one in stream([0.01] * 3, time.sleep, on=processes)])
                print(type((await capture(spawn(abs, -1, on=processes))).error))
                resource.setrlimit(resource.RLIMIT_NOFILE, most)
                print([one.ok async for one in stream([0.01] * 5, time.sleep, on=processes)])
                print(processes.statistics().made)

        most = resource.getrlimit(resource.RLIMIT_NOFILE)
        asyncio.run(main())
    """)
    ok, error = [True] * 5, OSError
    assert ended.out.splitlines() == [str(ok), str([error] * 3), str(error), str(ok), "2"], ended
    assert ended.err == ""
