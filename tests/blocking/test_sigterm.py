"""SIGTERM is the owner's cancel: everything is stopped, `finally` blocks run, the program exits with 143."""

from __future__ import annotations

import os
import signal
import uuid
from unittest.mock import patch

import psutil
import pytest
from tests.blocking.scripts import Ended, interrupt

ENDS: dict[str, str] = {
    "tasks on a loop": """
        import asyncio, atonce
        async def work():
            try:
                print("ready", flush=True)
                await asyncio.sleep(60)
            finally:
                print("cleaned", flush=True)
        async def main():
            await atonce.spawn(work)
        asyncio.run(main())
    """,
    "a stream on a loop": """
        import asyncio, atonce
        async def work(n):
            try:
                if n == 2:
                    print("ready", flush=True)
                await asyncio.sleep(60)
            finally:
                if n == 2:
                    print("cleaned", flush=True)
        async def main():
            async for outcome in atonce.stream(range(9), work, max_concurrency=3):
                pass
        asyncio.run(main())
    """,
    "a busy coroutine, between two of its awaits": """
        import asyncio, atonce
        async def work(n):
            try:
                while True:
                    print("ready", flush=True)
                    sum(range(100_000))
                    await asyncio.sleep(0)
            finally:
                print("cleaned", flush=True)
        async def main():
            await atonce.await_many([atonce.spawn(work, 1)])
        asyncio.run(main())
    """,
    "the blocking face": """
        import asyncio
        from atonce import blocking as atonce
        async def work():
            try:
                print("ready", flush=True)
                await asyncio.sleep(60)
            finally:
                print("cleaned", flush=True)
        atonce.await_many([atonce.spawn(work)])
    """,
    "a thread that never looks": """
        import time
        from atonce import blocking as atonce
        def work(n):
            if n == 1:
                print("ready", flush=True)
            time.sleep(60)
        try:
            for outcome in atonce.stream(range(4), work):
                pass
        finally:
            print("cleaned", flush=True)
    """,
    "processes": """
        import time
        from atonce import blocking as atonce
        def work(n):
            if n == 1:
                print("ready", flush=True)
            time.sleep(60)
        try:
            for outcome in atonce.stream(range(4), work, on="process", max_concurrency=2):
                pass
        finally:
            print("cleaned", flush=True)
    """,
}


def terminate(program: str, **how: int) -> Ended:
    """Send SIGTERM to the program, and see that nothing of it is left."""
    mark = uuid.uuid4().hex
    with patch.dict(os.environ, ATONCE_TEST_MARK=mark):
        ended = interrupt(program, says="ready", how=signal.SIGTERM, **how)
    assert not [process for process in psutil.process_iter() if _mark(process) == mark]
    return ended


def _mark(process: psutil.Process) -> str | None:
    try:
        return process.environ().get("ATONCE_TEST_MARK")
    except psutil.Error:
        return None


@pytest.mark.parametrize("program", ENDS.values(), ids=ENDS)
def test_sigterm_stops_everything_runs_finally_and_exits_with_143(program: str) -> None:
    ended = terminate(program)
    assert ended.code == 143, ended.err
    assert ended.out.endswith("cleaned\n")
    assert ended.err == ""
    assert ended.seconds < 2


def test_a_handler_that_the_program_has_set_stays_in_force() -> None:
    ended = interrupt(
        """
        import asyncio, atonce, signal, sys
        async def work():
            print("ready", flush=True)
            await asyncio.sleep(60)
        async def main():
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, sys.exit, 7)
            await atonce.spawn(work)
        asyncio.run(main())
        """,
        says="ready",
        how=signal.SIGTERM,
    )
    assert ended.code == 7


def test_a_forked_child_ends_by_the_signal_as_its_parent_expects() -> None:
    ended = interrupt(
        """
        import os, signal, time
        from atonce import blocking as atonce
        atonce.spawn(int, "1").result()
        signal.signal(signal.SIGUSR1, lambda *_: None)
        up, told = os.pipe()
        child = os.fork()
        if not child:
            os.write(told, b"up")
            time.sleep(60)
        os.read(up, 2)
        os.kill(child, signal.SIGTERM)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        print("ready", flush=True)
        """,
        says="ready",
        how=signal.SIGUSR1,
    )
    assert "-15" in ended.out


def test_a_second_sigterm_ends_what_a_cleanup_holds_up() -> None:
    ended = interrupt(
        """
        import asyncio, atonce, time
        async def work():
            try:
                print("ready", flush=True)
                await asyncio.sleep(60)
            finally:
                time.sleep(30)
        async def main():
            await atonce.spawn(work)
        asyncio.run(main())
        """,
        says="ready",
        how=signal.SIGTERM,
        times=2,
    )
    assert ended.code == -signal.SIGTERM
    assert ended.seconds < 2
