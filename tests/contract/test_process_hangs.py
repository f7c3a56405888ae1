"""All workers hang where no signal reaches, in C code or stopped: time limits end them, and the pool works again at once."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from atonce import Ok, ProcessBackend, TaskTimeout, blocking, capture, spawn, stream
from atonce._backends import process_handle
from tests.contract.faults import Brings, Loads, hang_deaf, hang_in_c, hang_or, send_oneself

SOON = 2.0
"""Seconds until it works again; what is promised is 0.5, on a machine that has nothing else to do."""

HANGS: dict[str, Callable[[], object]] = {
    "in C with the GIL": hang_in_c,
    "stopped": partial(send_oneself, signal.SIGSTOP),
    "deaf to signals": hang_deaf,
}


@pytest.mark.parametrize("how", HANGS)
async def test_after_all_workers_hung_on_tasks_the_pool_works_again(how: str) -> None:
    async with ProcessBackend(workers=2, preload=["tests.contract.faults"]) as processes:
        tasks = [spawn(HANGS[how], on=processes, timeout=0.3) for _ in range(4)]
        for task in tasks:
            assert isinstance((await capture(task)).error, TaskTimeout)
        began = time.monotonic()
        assert await spawn(abs, -1, on=processes) == 1
        took = time.monotonic() - began
        print(f"works again after {took:.3f} s")  # noqa: T201  # pytest -s shows it
        assert took < SOON
        assert processes.statistics().made >= 5


@pytest.mark.parametrize("how", HANGS)
async def test_a_stream_whose_workers_all_hang_goes_on(how: str) -> None:
    async with ProcessBackend(workers=2, preload=["tests.contract.faults"]) as processes:
        fn = partial(hang_or, HANGS[how])
        got = [one async for one in stream(range(11), fn, on=processes, timeout=0.3)]
        assert [one.value for one in got if one.ok] == [0, 5, 10]
        assert {type(one.error) for one in got if not one.ok} == {TaskTimeout}
        began = time.monotonic()
        assert [one.value async for one in stream(range(4), abs, on=processes)] == [0, 1, 2, 3]
        assert time.monotonic() - began < SOON


async def test_the_time_in_which_a_function_is_imported_is_not_that_of_an_item(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "atonce_slow_import.py").write_text("import time; time.sleep(1.5)\ndef same(n): return n\n")
    monkeypatch.syspath_prepend(tmp_path)
    same = import_module("atonce_slow_import").same
    async with ProcessBackend(workers=1) as processes:
        got = [one async for one in stream(range(6), same, on=processes, timeout=0.3)]
        assert got == [Ok(n) for n in range(6)]
        assert processes.statistics().made == 1


async def test_a_function_that_hangs_when_it_is_loaded_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_handle, "LOADING", 0.5)
    async with ProcessBackend(workers=1, preload=["tests.contract.faults"]) as processes:
        fn: Any = Brings(Loads(hang_in_c))
        got = [one async for one in stream(range(2), fn, on=processes, timeout=0.1)]
        assert {type(one.error) for one in got} == {TaskTimeout}


async def test_leaving_a_stream_whose_workers_all_hang_takes_no_time() -> None:
    async with ProcessBackend(workers=2, preload=["tests.contract.faults"]) as processes:
        fn = partial(hang_or, hang_in_c)
        async with stream(itertools.count(), fn, on=processes) as results:
            async for _ in results:
                while processes.statistics().busy < 2:
                    await asyncio.sleep(0.002)
                break
            began = time.monotonic()
        assert await spawn(abs, -1, on=processes) == 1
        assert time.monotonic() - began < SOON


def test_closing_a_backend_whose_workers_all_hang_takes_no_time() -> None:
    processes = ProcessBackend(workers=2, preload=["tests.contract.faults"])
    tasks: list[Any] = [blocking.spawn(hang_in_c, on=processes) for _ in range(4)]
    while processes.statistics().busy < 2:
        time.sleep(0.002)
    began = time.monotonic()
    processes.close()
    assert time.monotonic() - began < SOON
    assert not any(blocking.capture(task.result, 20.0).ok for task in tasks)
