"""Interpreter exit: quick, silent, and never waiting for what was abandoned."""

from __future__ import annotations

import pytest
from tests.blocking.scripts import run

QUICK = 1.0

ALIVE: dict[str, str] = {
    "nothing was ever used": """
        import atonce.blocking
        print("end", flush=True)
    """,
    "a finished task": """
        from atonce.blocking import spawn
        print(spawn(lambda: 1).result(), "end", flush=True)
    """,
    "a live coroutine": """
        from atonce.blocking import spawn
        import asyncio
        task = spawn(asyncio.sleep, 60)
        print("end", flush=True)
    """,
    "a live coroutine that nobody refers to": """
        from atonce.blocking import spawn
        import asyncio
        spawn(asyncio.sleep, 60)
        print("end", flush=True)
    """,
    "a blocked thread": """
        from atonce.blocking import spawn
        import time
        task = spawn(time.sleep, 60)
        time.sleep(0.05)
        print("end", flush=True)
    """,
    "a busy thread": """
        from atonce.blocking import spawn
        import time
        def spin():
            while True:
                pass
        task = spawn(spin)
        time.sleep(0.05)
        print("end", flush=True)
    """,
    "an abandoned thread": """
        from atonce.blocking import spawn, capture
        import time
        task = spawn(time.sleep, 60)
        capture(task.result, 0.05)
        print("end", flush=True)
    """,
    "many blocked threads": """
        from atonce.blocking import spawn
        import time
        tasks = [spawn(time.sleep, 60) for _ in range(40)]
        time.sleep(0.05)
        print("end", flush=True)
    """,
    "an open stream": """
        from atonce.blocking import stream
        import asyncio
        async def work(n):
            if n:
                await asyncio.sleep(60)
        iterator = iter(stream(range(10), work))
        next(iterator)
        print("end", flush=True)
    """,
    "an open stream with a blocked input": """
        from atonce.blocking import stream
        import time
        def numbers():
            yield 1
            time.sleep(60)
        iterator = iter(stream(numbers(), str))
        next(iterator)
        print("end", flush=True)
    """,
    "an open block": """
        from atonce.blocking import scope, spawn
        import asyncio
        block = scope()
        block.__enter__()
        spawn(asyncio.sleep, 60)
        print("end", flush=True)
    """,
    "an open thread backend": """
        from atonce.blocking import ThreadBackend, spawn
        import time
        backend = ThreadBackend()
        spawn(time.sleep, 60, on=backend)
        time.sleep(0.05)
        print("end", flush=True)
    """,
    "a coroutine that swallows every cancel": """
        from atonce.blocking import spawn
        import asyncio
        async def stubborn():
            while True:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    pass
        task = spawn(stubborn)
        spawn(asyncio.sleep, 0).result()
        print("end", flush=True)
    """,
    "a loop of its own with a blocked thread": """
        import asyncio, time
        from atonce import spawn
        async def main():
            spawn(time.sleep, 60)
            await asyncio.sleep(0.05)
        asyncio.run(main())
        print("end", flush=True)
    """,
    "a loop of its own whose timed-out thread is abandoned": """
        import asyncio, time
        from atonce import capture, spawn
        async def main():
            print(type((await capture(spawn(time.sleep, 60, timeout=0.05))).error).__name__)
        asyncio.run(main())
        print("end", flush=True)
    """,
    "another thread that waits for a result": """
        from atonce.blocking import spawn
        import asyncio, threading, time
        def wait():
            try:
                spawn(asyncio.sleep, 60).result()
            except BaseException:
                pass
        threading.Thread(target=wait, daemon=True).start()
        time.sleep(0.05)
        print("end", flush=True)
    """,
    "a call in atexit": """
        import atexit
        from atonce.blocking import capture, parallel_map
        atexit.register(lambda: print(parallel_map([1, 2], str), flush=True))
        print(parallel_map([1], str), "end", flush=True)
    """,
}


@pytest.mark.parametrize("state", ALIVE)
def test_exit_is_quick_and_silent(state: str) -> None:
    ended = run(ALIVE[state], says="end")
    assert (ended.code, ended.err) == (0, "")
    assert ended.seconds < QUICK, ended


def test_exit_is_silent_in_development_mode_too() -> None:
    for state in ("a live coroutine", "a blocked thread", "an open stream"):
        ended = run(ALIVE[state], "-X", "dev", says="end")
        assert (ended.code, ended.err) == (0, ""), state


def test_an_uncaught_error_is_shown_once_and_ends_the_program_quickly() -> None:
    program = """
        from atonce.blocking import spawn
        import time
        task = spawn(time.sleep, 60)
        print("end", flush=True)
        raise ValueError("uncaught")
    """
    ended = run(program, says="end")
    assert ended.code == 1
    assert ended.seconds < QUICK
    assert ended.err.count("Traceback") == 1
    assert ended.err.rstrip().endswith("ValueError: uncaught")


def test_sys_exit_keeps_its_code() -> None:
    program = """
        from atonce.blocking import spawn
        import sys, time
        task = spawn(time.sleep, 60)
        print("end", flush=True)
        sys.exit(7)
    """
    ended = run(program, says="end")
    assert (ended.code, ended.err) == (7, "")


def test_a_failure_that_nobody_looked_at_is_logged_at_exit_or_before() -> None:
    program = """
        from atonce.blocking import spawn
        import time
        def broken():
            raise ValueError("unseen")
        spawn(broken)
        time.sleep(0.1)
        print("end", flush=True)
    """
    ended = run(program, says="end")
    assert ended.code == 0
    assert ended.err.count("nobody awaited it") == 1


def test_cleanups_of_live_coroutines_run_at_exit() -> None:
    program = """
        from atonce.blocking import spawn
        import asyncio
        async def work():
            try:
                await asyncio.sleep(60)
            finally:
                print("cleaned", flush=True)
        spawn(work)
        spawn(asyncio.sleep, 0).result()
        print("end", flush=True)
    """
    ended = run(program, says="end")
    assert "cleaned" in ended.out


def test_a_call_after_the_end_says_that_the_interpreter_is_exiting() -> None:
    program = """
        import atexit
        def late():
            from atonce.blocking import spawn
            try:
                spawn(print)
            except RuntimeError as error:
                print("refused:", error, flush=True)
        atexit.register(late)
        from atonce.blocking import spawn
        spawn(int).result()
        print("end", flush=True)
    """
    ended = run(program, says="end")
    assert (ended.code, ended.err) == (0, "")
    assert "refused:" in ended.out
    assert "exiting" in ended.out
