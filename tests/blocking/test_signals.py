"""Ctrl-C: the prompt is back at once, with nothing left and one short traceback."""

from __future__ import annotations

import pytest
from tests.blocking.scripts import Ended, interrupt

SOON = 0.5
#: A traceback has its own lines and the interpreter has its exit to do; a storm has several tracebacks.
WAITS: dict[str, str] = {
    "await_many of coroutines": """
        from atonce.blocking import await_many, spawn
        import asyncio
        async def sleep():
            print("ready", flush=True)
            await asyncio.sleep(60)
        await_many([spawn(sleep)])
    """,
    "result of a blocked thread": """
        from atonce.blocking import spawn
        import time
        def sleep():
            print("ready", flush=True)
            time.sleep(60)
        spawn(sleep).result()
    """,
    "a stream of blocked threads": """
        from atonce.blocking import stream
        import time
        def sleep(n):
            if n == 3:
                print("ready", flush=True)
            time.sleep(60)
        for outcome in stream(range(100), sleep, max_concurrency=4):
            pass
    """,
    "a stream of busy threads": """
        from atonce.blocking import stream
        def spin(n):
            if n == 1:
                print("ready", flush=True)
            while True:
                sum(range(1000))
        for outcome in stream(range(2), spin):
            pass
    """,
    "the body of a stream": """
        from atonce.blocking import stream
        import asyncio, time
        async def work(n):
            if n:
                await asyncio.sleep(60)
        for outcome in stream(range(4), work):
            print("ready", flush=True)
            time.sleep(60)
    """,
    "a block": """
        from atonce.blocking import scope, spawn
        import asyncio, time
        async def sleep():
            await asyncio.sleep(60)
        with scope():
            spawn(sleep)
            spawn(time.sleep, 60)
            print("ready", flush=True)
            time.sleep(60)
    """,
    "a blocked input": """
        from atonce.blocking import stream
        import time
        def numbers():
            yield 1
            print("ready", flush=True)
            time.sleep(60)
        for outcome in stream(numbers(), str):
            pass
    """,
    "a race": """
        from atonce.blocking import race
        import time
        def slow():
            print("ready", flush=True)
            time.sleep(60)
        race([slow, slow])
    """,
    "a pause between attempts": """
        from atonce.blocking import retry_with_backoff
        def broken():
            print("ready", flush=True)
            raise ValueError
        retry_with_backoff(broken, base_delay=60, max_delay=60, jitter=None)
    """,
    "the async face": """
        import asyncio, time
        from atonce import await_many, spawn
        async def main():
            tasks = [spawn(asyncio.sleep, 60), spawn(time.sleep, 60)]
            print("ready", flush=True)
            await await_many(tasks)
        asyncio.run(main())
    """,
}


def assert_prompt_is_back(ended: Ended) -> None:
    """It ended by the interrupt, soon, and said so once."""
    assert ended.code in (-2, 130), ended
    assert ended.seconds < SOON, ended
    assert ended.err.rstrip().endswith("KeyboardInterrupt"), ended.err
    for noise in ("never retrieved", "was destroyed", "Exception ignored", "Fatal", "abandoned"):
        assert noise not in ended.err, ended.err


@pytest.mark.parametrize("wait", WAITS)
def test_ctrl_c_brings_the_prompt_back(wait: str) -> None:
    ended = interrupt(WAITS[wait], says="ready")
    assert_prompt_is_back(ended)
    assert ended.err.count("Traceback") <= 2, (
        ended.err
    )  # asyncio.run shows the cancel that the interrupt became


@pytest.mark.parametrize("wait", ["await_many of coroutines", "a stream of blocked threads", "a block"])
def test_a_second_ctrl_c_does_no_harm(wait: str) -> None:
    ended = interrupt(WAITS[wait], says="ready", times=2)
    assert ended.code != 0
    assert ended.seconds < 2 * SOON
    assert "Fatal" not in ended.err


def test_cleanups_of_coroutines_run_at_ctrl_c() -> None:
    program = """
        from atonce.blocking import await_many, spawn
        import asyncio
        async def sleep():
            try:
                print("ready", flush=True)
                await asyncio.sleep(60)
            finally:
                print("cleaned", flush=True)
        await_many([spawn(sleep)])
    """
    ended = interrupt(program, says="ready")
    assert "cleaned" in ended.out


def test_after_a_ctrl_c_that_was_caught_the_face_goes_on() -> None:
    program = """
        from atonce.blocking import spawn, await_one, parallel_map
        import asyncio
        async def sleep():
            print("ready", flush=True)
            await asyncio.sleep(60)
        try:
            spawn(sleep).result()
        except KeyboardInterrupt:
            print("caught", parallel_map([1, 2], str), flush=True)
    """
    ended = interrupt(program, says="ready")
    assert (ended.code, ended.err) == (0, "")
    assert "caught ['1', '2']" in ended.out


def test_ctrl_c_in_a_verb_stops_the_work_of_that_verb() -> None:
    program = """
        from atonce.blocking import parallel_map, spawn
        import asyncio, time
        running = set()
        async def sleep(n):
            running.add(n)
            if n == 2:
                print("ready", flush=True)
            try:
                await asyncio.sleep(60)
            finally:
                running.discard(n)
        try:
            parallel_map(range(3), sleep)
        except KeyboardInterrupt:
            print("left", len(running), flush=True)
    """
    ended = interrupt(program, says="ready")
    assert (ended.code, ended.err) == (0, "")
    assert "left 0" in ended.out


def test_capture_does_not_swallow_ctrl_c() -> None:
    program = """
        from atonce.blocking import capture, race
        import time
        def slow():
            print("ready", flush=True)
            time.sleep(60)
        capture(race, [slow])
    """
    assert_prompt_is_back(interrupt(program, says="ready"))
