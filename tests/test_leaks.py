"""The leak check finds what it is for, and lets idle workers be."""

from __future__ import annotations

import _thread
import asyncio
import logging
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from atonce.testing.census import census, is_idle, leftovers
from tests.leaks import Trouble, watching

BRIEFLY = 0.05


def test_nothing_new_is_no_leak() -> None:
    assert leftovers(census(), BRIEFLY) == []


@pytest.mark.parametrize(
    "start", [lambda f: threading.Thread(target=f).start(), lambda f: _thread.start_new_thread(f, ())]
)
def test_a_thread_that_still_runs_is_found(start: Callable[[Callable[[], object]], object]) -> None:
    before, started, release = census(), threading.Event(), threading.Event()
    start(lambda: (started.set(), release.wait()))
    started.wait()
    try:
        [found] = leftovers(before, BRIEFLY)
        assert "still runs, at" in found or "started at" in found
    finally:
        release.set()
    assert leftovers(before) == []


def test_a_thread_that_ends_soon_is_waited_for() -> None:
    before = census()
    threading.Timer(0.1, lambda: None).start()
    assert leftovers(before) == []


@pytest.mark.parametrize("name", ["atonce-loop", "atonce-idle-3"])
def test_a_thread_that_lasts_by_its_name_may_stay(name: str) -> None:
    before, release = census(), threading.Event()
    thread = threading.Thread(target=release.wait, name=name)
    thread.start()
    try:
        assert leftovers(before, BRIEFLY) == []
    finally:
        release.set()
        thread.join()


def test_a_pooled_thread_may_stay_only_while_it_waits_for_its_next_call(tmp_path: Path) -> None:
    frames = {}
    for function in ("_next", "work"):
        code = compile(
            f"def {function}():\n    return sys._getframe()", "/x/atonce/_backends/thread.py", "exec"
        )
        scope = {"sys": sys}
        exec(code, scope)
        frames[function] = scope[function]()
    assert is_idle("atonce-thread-1", frames["_next"])
    assert not is_idle("somebody-else", frames["_next"])
    assert not is_idle("atonce-thread-1", frames["work"])
    assert not is_idle("atonce-thread-1", sys._getframe())

    before, release = census(), threading.Event()
    thread = threading.Thread(target=release.wait, name="atonce-thread-1")
    thread.start()
    try:
        assert len(leftovers(before, BRIEFLY)) == 1
    finally:
        release.set()
        thread.join()


def test_a_child_process_is_found_while_it_runs_and_while_nobody_waited_for_it() -> None:
    before = census()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pipesize=-1)
    try:
        assert any(f"process {child.pid}" in found for found in leftovers(before, BRIEFLY))
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert any("zombie" in found for found in leftovers(before, BRIEFLY))
    finally:
        child.communicate()
    assert leftovers(before) == []


def test_an_open_file_is_found() -> None:
    before = census()
    reader, writer = os.pipe()
    try:
        assert len(leftovers(before, BRIEFLY)) == 2
    finally:
        os.close(reader)
        os.close(writer)
    assert leftovers(before) == []


def test_an_unraisable_error_is_reported() -> None:
    class Broken:
        def __del__(self) -> None:
            raise OSError("in del")

    with watching() as seen:
        Broken()
        assert "in del" in seen.expect("unraisable")[0]
    assert seen.reports == []


def test_a_warning_in_a_finalizer_is_reported(trouble: Trouble) -> None:
    open(os.devnull)  # noqa: SIM115  # nobody closes it, that is the test
    assert trouble.expect("ResourceWarning")


def test_an_error_that_ends_a_thread_is_reported() -> None:
    with watching() as seen:
        thread = threading.Thread(target=lambda: 1 / 0, name="divides")
        thread.start()
        thread.join()
    assert seen.expect("thread divides died: ZeroDivisionError")


def test_calls_of_a_loops_exception_handler_are_reported_once(trouble: Trouble) -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(main())
    assert len(trouble.expect("ZeroDivisionError")) == 1


def test_an_error_that_nobody_retrieved_is_reported(trouble: Trouble) -> None:
    async def main() -> None:
        asyncio.get_running_loop().create_future().set_exception(OSError("lost"))

    asyncio.run(main())
    assert "lost" in trouble.expect("never retrieved")[0]


def test_a_task_that_was_destroyed_is_reported(trouble: Trouble) -> None:
    loop = asyncio.new_event_loop()
    task = loop.create_task(asyncio.sleep(1))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    with warnings.catch_warnings(action="ignore"):
        del task
        assert trouble.expect("Task was destroyed but it is pending")


def test_what_asyncio_only_logs_is_reported(trouble: Trouble) -> None:
    logging.getLogger("asyncio").warning("socket.send() raised exception.")
    assert trouble.expect("asyncio logged: socket.send()")


def test_expecting_what_was_not_reported_fails() -> None:
    with pytest.raises(AssertionError, match="nothing was reported"):
        Trouble(["one"]).expect("two")


def test_a_leaky_test_fails_and_says_what_it_left(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        "from tests import conftest\n\nconftest.PATIENCE = 0.2\nfrom tests.conftest import *"
    )
    pytester.makeini(f"[pytest]\npythonpath = {Path(__file__).parent.parent}\nmarkers = virtual")
    pytester.makepyfile(
        """
        import os

        kept = []

        def test_leaks():
            kept.append(os.pipe())

        async def test_is_run():
            raise ValueError("it was")

        class Ring:
            def __init__(self):
                self.ring = self

            def __del__(self):
                raise OSError("late")

        rings = []

        def test_keeps_what_fails_when_it_goes():
            rings.append(Ring())

        def test_drops_what_another_kept():
            rings.clear()
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:randomly")
    result.stdout.fnmatch_lines(["*the test: 2 left behind:*", "- file descriptor * is still open on pipe:*"])
    result.stdout.fnmatch_lines(["*ValueError: it was*"])
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_drops_what_another_kept*"])
    result.stdout.fnmatch_lines(["- unraisable: *OSError('late')"])
    result.assert_outcomes(passed=3, failed=1, errors=2)


def test_a_set_of_tasks_that_others_change_meanwhile_is_looked_at_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = next(name for name in ("_scheduled_tasks", "_all_tasks") if hasattr(asyncio.tasks, name))
    real = getattr(asyncio.tasks, name)
    looks = []

    class Changing:
        def __iter__(self) -> Iterator[Any]:
            looks.append(1)
            if len(looks) < 3:
                raise RuntimeError("Set changed size during iteration")
            return iter(real)

    monkeypatch.setattr(asyncio.tasks, name, Changing())
    census()
    assert len(looks) == 3
