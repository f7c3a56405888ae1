"""Ctrl-C at every single line of atonce's own code: the face must go on, and nothing may be left running."""

from __future__ import annotations

import sys

import pytest
from tests.blocking.scripts import run

#: Raises KeyboardInterrupt at the n-th line of atonce that the calling thread runs, for every n, and looks what is left.
PROGRAM = """
        import asyncio, os, sys, threading, time
        import atonce
        from atonce.blocking import parallel_map, scope, spawn, stream

        OURS = os.path.dirname(atonce.__file__)
        running = set()
        sys.unraisablehook = lambda report: None  # an interrupt inside `__del__` can only be reported

        async def work(n):
            running.add(n)
            try:
                await asyncio.sleep(0.0005)
                return n
            finally:
                running.discard(n)

        def use():
            {use}

        def interrupted_at(wanted):
            count = 0
            def tracer(frame, event, arg):
                nonlocal count
                if not frame.f_code.co_filename.startswith(OURS):
                    return None
                if event == "line":
                    count += 1
                    if count == wanted:
                        raise KeyboardInterrupt
                return tracer
            sys.settrace(tracer)
            try:
                use()
            except KeyboardInterrupt:
                pass
            finally:
                sys.settrace(None)
            return count >= wanted

        def after(line):
            alive = []
            def look():
                while not alive:
                    time.sleep(0.01)
                    if time.monotonic() > began + 3:
                        print("hangs after line", line, flush=True)
                        os._exit(1)
            began = time.monotonic()
            threading.Thread(target=look, daemon=True).start()
            assert spawn(work, "same thread").result() == "same thread"
            assert parallel_map([1, 2], work) == [1, 2]
            while running and time.monotonic() < began + 1:
                time.sleep(0.001)
            alive.append(1)
            if running:
                print("left running after line", line, set(running), flush=True)
                os._exit(1)

        use()
        line = 1
        while interrupted_at(line):
            after(line)
            line += 1
        print("lines:", line)
"""

USES = {
    "spawn": "spawn(work, 1).result()",
    "parallel_map": "parallel_map(range(3), work)",
    "a stream": "[outcome.value for outcome in stream(range(5), work, max_concurrency=2)]",
    "a stream that is closed": "with stream(range(50), work) as s: next(iter(s))",
    "a block": "with scope(): spawn(work, 1).result()",
}


@pytest.mark.skipif(sys.gettrace() is not None, reason="another tracer is at work")
@pytest.mark.parametrize("use", USES)
def test_an_interrupt_at_any_line_leaves_a_face_that_works_and_nothing_running(use: str) -> None:
    ended = run(PROGRAM.format(use=USES[use]))
    assert ended.code == 0, ended.out + ended.err
    assert ended.out.startswith("lines:"), ended.out
    assert int(ended.out.split()[1]) > 20
