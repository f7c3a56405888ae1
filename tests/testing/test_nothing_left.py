"""`assert_nothing_left` finds what outlives a block, names it, and says where it comes from; idle workers may stay."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from atonce import Agent, ProcessBackend, Supervisor, ThreadBackend, blocking, scope, spawn, stream
from atonce._model.errors import MisuseError
from atonce.testing import assert_nothing_left, run_virtual
from atonce.testing.children import children
from atonce.testing.sites import MOST, Sites

HERE = Path(__file__).as_posix()
BRIEFLY = 0.05


@pytest.fixture
def kept() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def found_by(work: Callable[[], object]) -> str:
    """What the check says of `work`."""
    with pytest.raises(AssertionError) as caught, assert_nothing_left(patience=BRIEFLY):
        work()
    return str(caught.value)


# -- without a loop -----------------------------------------------------------------------------------------------


def test_a_block_that_leaves_nothing_passes(tmp_path: Path) -> None:
    with assert_nothing_left():
        assert blocking.spawn(sum, [1, 2]).result() == 3
        (tmp_path / "file").write_text("closed")
        assert blocking.spawn(abs, -1, on="process").result() == 1


def test_what_was_there_before_does_not_count(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w"), assert_nothing_left(patience=BRIEFLY):
        pass


def test_an_open_file_is_named_with_the_line_that_opened_it(tmp_path: Path, kept: ExitStack) -> None:
    text = found_by(lambda: kept.enter_context((tmp_path / "left").open("w")))
    assert text.startswith("1 left behind:\n- file descriptor ")
    assert f"still open on {tmp_path / 'left'}, opened at {HERE}:" in text


def test_a_file_is_found_by_another_name_too(tmp_path: Path, kept: ExitStack) -> None:
    (tmp_path / "real").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    text = found_by(lambda: kept.enter_context(open(os.fsencode(tmp_path / "link"))))  # noqa: SIM115  # the stack does
    assert f"still open on {tmp_path / 'real'}, opened at {HERE}:" in text


def test_a_pipe_is_named() -> None:
    ends: list[int] = []
    text = found_by(lambda: ends.extend(os.pipe()))
    assert text.count("is still open on pipe:") == 2
    for end in ends:
        os.close(end)


def test_a_socket_is_named_with_its_addresses_and_the_line_that_made_it(kept: ExitStack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        text = found_by(lambda: kept.enter_context(socket.create_connection(address)))
    assert f" to {address}), made at {HERE}:" in text
    assert text.startswith("1 left behind:\n- socket ")


def test_a_thread_is_named_with_the_line_where_it_is_and_the_one_that_started_it() -> None:
    release = threading.Event()

    def waits_here() -> None:
        release.wait()

    def start() -> None:
        threading.Thread(target=waits_here, name="lonely").start()

    text = found_by(start)
    release.set()
    assert f"thread lonely still runs, at {HERE}:" in text
    assert "in waits_here, started at" in text
    assert text.endswith("in start")


def test_a_process_is_named_with_the_line_that_started_it(kept: ExitStack) -> None:
    command = [sys.executable, "-c", "input()"]
    made: list[subprocess.Popen[bytes]] = []
    text = found_by(lambda: made.append(subprocess.Popen(command, stdin=subprocess.PIPE)))
    assert f"process {made[0].pid} (" in text
    assert f"started at {HERE}:" in text
    made[0].communicate()


def test_a_grandchild_is_found() -> None:
    inner = f"import subprocess, sys; subprocess.run([{sys.executable!r}, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", inner], stdin=subprocess.PIPE) as child:
        until = time.monotonic() + 10
        below: list[tuple[str, ...]] = []
        while below != [("-c", "input()")] and time.monotonic() < until:
            below = [one.arguments[1:] for one in children() if one.parent == child.pid]
        assert below == [("-c", "input()")]
        child.communicate()


def test_a_task_is_named_with_the_line_that_spawned_it() -> None:
    tasks: list[blocking.Task[None]] = []
    text = found_by(lambda: tasks.append(blocking.spawn(asyncio.sleep, 3600)))
    assert text == f"1 left behind:\n- {tasks[0]} still runs"
    assert f"task 'sleep' (spawned at {HERE}:" in text
    tasks[0].stop()
    blocking.shutdown(tasks[0])


def test_an_abandoned_function_is_named_with_the_line_that_spawned_it() -> None:
    started, release = threading.Event(), threading.Event()

    def deaf() -> None:
        started.set()
        release.wait()

    def abandon() -> None:
        task = blocking.spawn(deaf, name="deaf")
        started.wait()
        blocking.shutdown(task, grace=0)

    text = found_by(abandon)
    release.set()
    assert "thread atonce-thread-" in text
    assert f", for task 'deaf' (spawned at {HERE}:" in text


def test_an_open_stream_is_named() -> None:
    runs = blocking.stream([3600] * 3, asyncio.sleep, max_concurrency=2)

    def begin() -> None:
        iterator = iter(runs)
        taker = threading.Thread(target=lambda: list(iterator), name="taker")
        taker.start()
        while not runs.statistics().running:
            time.sleep(0.001)

    text = found_by(begin)
    runs.close()
    assert "stream 'sleep' (2 running) still runs" in text


def test_a_process_backend_that_is_not_closed_is_one_thing() -> None:
    made: list[ProcessBackend] = []

    def use() -> None:
        made.append(ProcessBackend(workers=1))
        blocking.spawn(abs, -1, on=made[0]).result()

    text = found_by(use)
    made[0].close()
    assert text.startswith(f"1 left behind:\n- <ProcessBackend of 1 workers, made at {HERE}:")


def test_a_busy_process_backend_of_the_interpreter_is_left_alone() -> None:
    tasks: list[blocking.Task[None]] = []

    def use() -> None:
        tasks.append(blocking.spawn(time.sleep, 3600, on="process"))
        while tasks[0].looked() is None:
            time.sleep(0.001)

    assert "task 'sleep'" in found_by(use)
    assert not tasks[0].done()
    blocking.shutdown(tasks[0], grace=0)


def test_idle_threads_of_pools_may_stay() -> None:
    async def main() -> int:
        async with assert_nothing_left(patience=BRIEFLY):
            assert await asyncio.to_thread(abs, -1) == 1  # asyncio keeps that thread as long as the loop
            return await spawn(abs, -2)

    assert asyncio.run(main()) == 2
    with ThreadBackend() as threads, assert_nothing_left(patience=BRIEFLY):
        blocking.spawn(abs, -1, on=threads).result()


def test_a_thread_that_ends_soon_is_waited_for() -> None:
    with assert_nothing_left():
        threading.Timer(0.05, lambda: None).start()


def test_an_error_of_the_block_goes_on_and_nothing_is_checked(tmp_path: Path, kept: ExitStack) -> None:
    with pytest.raises(LookupError, match="the block's own"), assert_nothing_left():
        kept.enter_context((tmp_path / "left").open("w"))
        raise LookupError("the block's own")


def test_it_is_a_plain_check_too(tmp_path: Path) -> None:
    left = assert_nothing_left(patience=BRIEFLY)
    left.check()
    with (tmp_path / "left").open("w"), pytest.raises(AssertionError, match="file descriptor"):
        left.check()
    left.check()
    left.close()


def test_patience_is_seconds() -> None:
    with pytest.raises(ValueError, match="patience"):
        assert_nothing_left(patience=-1)


# -- in a loop ----------------------------------------------------------------------------------------------------


async def test_a_block_in_a_loop_that_leaves_nothing_passes() -> None:
    async with assert_nothing_left():
        async with scope():
            spawn(asyncio.sleep, 0.001)
        async for outcome in stream([0.001, 1, 1], asyncio.sleep):
            assert outcome.ok
            break


async def sleeps_here() -> None:
    await asyncio.sleep(3600)


def test_asyncio_tasks_and_ours_are_named_with_where_they_stand() -> None:
    async def main() -> None:
        async with assert_nothing_left():
            made.append(asyncio.create_task(sleeps_here(), name="bare"))
            spawn(sleeps_here, name="ours")
            await asyncio.sleep(0)

    made: list[asyncio.Task[None]] = []
    for run in (asyncio.run, lambda coroutine: run_virtual(lambda: coroutine)):
        with pytest.raises(AssertionError) as caught:
            run(main())
        text = str(caught.value)
        assert text.startswith("2 left behind:\n- asyncio task 'bare' still runs in sleeps_here, at " + HERE)
        assert f"\n- task 'ours' (spawned at {HERE}:" in text


def test_a_task_says_where_it_was_made_when_its_loop_debugs() -> None:
    async def main() -> None:
        async with assert_nothing_left():
            made.append(asyncio.create_task(sleeps_here(), name="bare"))

    made: list[asyncio.Task[None]] = []
    with pytest.raises(AssertionError, match=f", created at {HERE}:"):
        asyncio.run(main(), debug=True)


def test_a_task_whose_loop_is_closed_is_found() -> None:
    loop = asyncio.new_event_loop()
    made = []
    with (
        pytest.raises(AssertionError, match="never will: its loop is closed"),
        assert_nothing_left(patience=0),
    ):
        made.append(loop.create_task(sleeps_here()))
        loop.close()
    made[0].get_coro().close()
    made[0]._log_destroy_pending = False


async def test_a_thread_is_waited_for_while_the_loop_turns() -> None:
    async with assert_nothing_left():
        threading.Timer(0.05, lambda: None).start()


@pytest.mark.virtual
async def test_a_thread_is_waited_for_in_virtual_time() -> None:
    async with assert_nothing_left():
        threading.Timer(0.05, lambda: None).start()


@pytest.mark.virtual
async def test_supervisors_and_servers_leave_nothing_and_what_they_run_is_named() -> None:
    async with assert_nothing_left(), Supervisor() as sup, Agent(dict):
        sup.start_child(asyncio.sleep, 60)
        sup.spawn(asyncio.sleep, 60)
    async with Supervisor() as sup:
        left = assert_nothing_left()
        sup.start_child(sleeps_here, name="poller")
        sup.spawn_nolink(sleeps_here, name="ours")
        found = await left.left_by_now()
        left.close()
    assert [one.partition(" (")[0] for one in found] == ["task 'ours'", "task 'poller'"]


@pytest.mark.virtual
async def test_a_task_that_was_asked_to_end_is_waited_for() -> None:
    async def tidies_up() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.01)

    async with assert_nothing_left():
        task = spawn(tidies_up)
        await asyncio.sleep(0)
        task.stop()
    assert task.done()


async def test_the_forms_without_a_loop_say_so_in_one() -> None:
    with pytest.raises(MisuseError, match="async with assert_nothing_left"), assert_nothing_left():
        pass
    left = assert_nothing_left()
    with pytest.raises(MisuseError, match="async with assert_nothing_left"):
        left.check()
    left.close()


# -- remembering where --------------------------------------------------------------------------------------------


def test_nothing_is_remembered_while_nobody_asks(tmp_path: Path) -> None:
    sites = Sites()
    sites.begin()
    with (tmp_path / "seen").open("w"):
        assert sites.of_file(str(tmp_path / "seen"))
    sites.end()
    with (tmp_path / "unseen").open("w"):
        assert sites.of_file(str(tmp_path / "unseen")) is None
    sites.begin()
    assert sites.of_file(str(tmp_path / "seen")) is None
    sites.end()


def test_what_is_remembered_is_bounded(tmp_path: Path) -> None:
    sites = Sites()
    sites.begin()
    for number in range(MOST + 2):
        sites._audit("open", (f"{tmp_path}/{number}", "r", 0))
    sites.end()
    assert len(sites._files) == MOST
    assert f"{tmp_path}/1" not in sites._files
    assert f"{tmp_path}/2" in sites._files
