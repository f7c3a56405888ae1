"""A forked child: its own face works, and what belongs to the parent says so instead of hanging."""

from __future__ import annotations

import os

import pytest
from tests.blocking.scripts import run

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

PARENT = """
        import os, sys, time, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        import atonce
        from atonce.blocking import ThreadBackend, parallel_map, race, scope, spawn, stream, await_one
        import asyncio

        def in_child(work):
            sys.stdout.flush()
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    work()
                    code = 0
                except BaseException as error:
                    print(type(error).__name__, isinstance(error, RuntimeError), isinstance(error, atonce.AtonceError), error)
                sys.stdout.flush()
                os._exit(code)
            until = time.monotonic() + 10
            while time.monotonic() < until:
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    return os.waitstatus_to_exitcode(status)
                time.sleep(0.005)
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            print("the child hung")
            return "hung"
"""


def script(body: str) -> str:
    """A program that has used the face before it forks."""
    lines = "\n".join(f"        {line}" for line in body.strip().splitlines())
    return f"{PARENT}\n        parallel_map(range(4), str)\n{lines}\n"


def test_the_child_has_a_face_of_its_own() -> None:
    ended = run(
        script("""
print(in_child(lambda: print(parallel_map(range(3), str), race([lambda: 7]), spawn(int, "5").result())))
""")
    )
    assert ended.out.splitlines() == ["['0', '1', '2'] 7 5", "0"], ended


def test_the_child_can_stream() -> None:
    ended = run(script("print(in_child(lambda: print([o.value for o in stream(range(3), str)])))"))
    assert ended.out.splitlines() == ["['0', '1', '2']", "0"], ended


def test_the_parent_goes_on_after_a_fork() -> None:
    ended = run(
        script("""
in_child(lambda: parallel_map(range(3), str))
print(parallel_map(range(3), str))
""")
    )
    assert ended.out.splitlines() == ["['0', '1', '2']"], ended


def test_a_thread_backend_of_the_parent_refuses_to_work_in_the_child() -> None:
    ended = run(
        script("""
backend = ThreadBackend()
parallel_map(range(3), str, on=backend)
print(in_child(lambda: parallel_map(range(3), str, on=backend)))
""")
    )
    first, code = ended.out.splitlines()
    assert " True True " in first
    assert "fork" in first
    assert code == "1"


def test_waiting_in_the_child_for_a_task_of_the_parent_refuses_instead_of_hanging() -> None:
    ended = run(
        script("""
task = spawn(asyncio.sleep, 30)
print(in_child(lambda: task.result()))
print(in_child(lambda: task.result(timeout=0.1)))
print(in_child(lambda: await_one(task, timeout=1)))
""")
    )
    lines = ended.out.splitlines()
    assert lines[1::2] == ["1", "1", "1"], ended
    assert all(" True True " in line for line in lines[::2]), ended


def test_a_finished_task_of_the_parent_can_be_read_in_the_child() -> None:
    ended = run(
        script("""
task = spawn(int, "5")
task.result()
print(in_child(lambda: print(task.result(), task.done())))
""")
    )
    assert ended.out.splitlines() == ["5 True", "0"], ended


def test_the_child_exits_normally_while_the_parent_has_live_tasks() -> None:
    ended = run(
        script("""
live = [spawn(asyncio.sleep, 30), spawn(time.sleep, 30)]
sys.stdout.flush()
pid = os.fork()
if pid == 0:
    sys.exit(0)
began = time.monotonic()
_, status = os.waitpid(pid, 0)
print(os.waitstatus_to_exitcode(status), time.monotonic() - began < 1.0)
""")
    )
    assert ended.out.splitlines() == ["0 True"], ended
    assert ended.err == ""


def test_a_fork_inside_a_block_leaves_the_block_to_the_parent() -> None:
    ended = run(
        script("""
with scope():
    task = spawn(asyncio.sleep, 30)
    print(in_child(lambda: print(spawn(int, "5").result())))
print(task.done())
""")
    )
    assert ended.out.splitlines() == ["5", "0", "True"], ended


# -- processes ----------------------------------------------------------------------------------------------------


def test_a_process_backend_of_the_parent_refuses_to_work_in_the_child_and_goes_on_in_the_parent() -> None:
    ended = run(
        script("""
backend = atonce.ProcessBackend(workers=1)
parallel_map(range(3), abs, on=backend)
print(in_child(lambda: spawn(abs, -1, on=backend)))
print(in_child(lambda: parallel_map(range(3), abs, on=backend)))
print(in_child(backend.close))
print(parallel_map(range(3), abs, on=backend), backend.statistics().made)
""")
    )
    first, code, second, again, closed, goes_on = ended.out.splitlines()
    for line in (first, second):
        assert " True True " in line
        assert "fork" in line
    assert (code, again, closed) == ("1", "1", "0")
    assert goes_on == "[0, 1, 2] 1", ended
    assert ended.err == ""


def test_the_child_has_processes_of_its_own() -> None:
    ended = run(
        script("""
parallel_map(range(3), abs, on="process")
print(in_child(lambda: print(parallel_map(range(3), abs, on="process"))))
print(parallel_map(range(3), abs, on="process"))
""")
    )
    assert ended.out.splitlines() == ["[0, 1, 2]", "0", "[0, 1, 2]"], ended


def test_a_child_does_not_keep_the_workers_of_a_parent_that_was_killed() -> None:
    ended = run("""
        import os, signal, time, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        told, tell = os.pipe()
        parent = os.fork()
        if parent == 0:
            from atonce import blocking
            worker = blocking.spawn(os.getpid, on="process").result()
            busy = blocking.spawn(time.sleep, 60, on="process")
            child = os.fork()
            if child == 0:
                time.sleep(60)
            os.write(tell, f"{worker} {child}".encode())
            time.sleep(60)
        worker, child = map(int, os.read(told, 99).split())
        os.kill(parent, signal.SIGKILL)
        os.waitpid(parent, 0)
        until = time.monotonic() + 10
        while os.path.exists(f"/proc/{worker}") and time.monotonic() < until:
            time.sleep(0.01)
        print(os.path.exists(f"/proc/{child}"), os.path.exists(f"/proc/{worker}"))
        os.kill(child, signal.SIGKILL)
    """)
    assert ended.out.splitlines() == ["True False"], ended
