"""Python 3.14 shows who awaits whom, ours too; here a stand-in for its two functions writes it down."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from atonce._runtime.awaited_by import shows_await, shows_children, shows_waiter
from atonce._verbs.task import Task

STAND_IN = """
import asyncio

links = {}

def add(part, waiter):
    assert isinstance(part, asyncio.Future) and isinstance(waiter, asyncio.Future)
    key = part.get_name(), waiter.get_name()
    links[key] = links.get(key, 0) + 1

def discard(part, waiter):
    key = part.get_name(), waiter.get_name()
    links[key] -= 1
    if not links[key]:
        del links[key]

asyncio.future_add_to_awaited_by, asyncio.future_discard_from_awaited_by = add, discard

import atonce
from atonce import *
from atonce.testing import run_virtual

def show():
    print(sorted(links))

async def part(seconds=0.02, then=None):
    await asyncio.sleep(seconds)
    return then

async def look(waiting):
    asyncio.current_task().set_name("looker")
    task = asyncio.get_running_loop().create_task(waiting, name="waiter")
    await asyncio.sleep(0.005)
    show()
    result = await asyncio.gather(task, return_exceptions=True)
    assert not links, links
    return result[0]
"""

WAITS = {
    "await": "await spawn(part)",
    "await_many": "await await_many([spawn(part), spawn(part)])",
    "await_one": "await await_one(spawn(part), timeout=5)",
    "capture": "await capture(spawn(part))",
    "retry": "await retry_with_backoff(part)",
    "pipeline": "await async_pipeline(0.02, [part])",
    "race": "await race([part, part])",
    "stream": "[one async for one in stream([0.02], part)]",
    "scope": "await in_a_scope()",
    "timeout": "await capture(await_one(spawn(part, 60), timeout=0.02))",
}


def run(code: str) -> list[str]:
    """What a program prints in which asyncio can show awaits."""
    environment = {**os.environ, "PYTHONPATH": str(Path("src").resolve())}
    command = [sys.executable, "-c", STAND_IN + code]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_every_way_to_wait_is_shown_while_it_lasts_and_not_after() -> None:
    code = "async def in_a_scope():\n    async with scope():\n        spawn(tidies)\n        await asyncio.sleep(0)\n\n"
    code += "async def tidies():\n    try:\n        await asyncio.sleep(60)\n    finally:\n        await asyncio.sleep(0.02)\n\n"
    for name, expression in WAITS.items():
        code += f"async def by_{name}():\n    {expression}\n\nprint({name!r}); run_virtual(lambda: look(by_{name}()))\n"
    lines = run(code)
    seen = dict(zip(lines[::2], lines[1::2], strict=True))
    assert seen.pop("stream").endswith("'waiter')]")
    assert seen.pop("scope") == "[('tidies', 'waiter')]"
    assert seen == dict.fromkeys(seen, "[('part', 'waiter')]")
    assert len(seen) == len(WAITS) - 2


def test_a_chain_is_shown_as_one() -> None:
    code = """
async def middle():
    return await spawn(part, 0.02, 7)

async def outer():
    return await spawn(middle)

print(run_virtual(lambda: look(outer())))
"""
    assert run(code) == ["[('middle', 'waiter'), ('part', 'middle')]", "7"]


def test_a_waiter_that_is_cancelled_is_shown_no_longer() -> None:
    code = """
async def main():
    task = spawn(part, 0.05)
    waiter = asyncio.ensure_future(task)
    waiter.set_name("waiter")
    await asyncio.sleep(0.005)
    show()
    waiter.cancel()
    await asyncio.wait([waiter])
    show()
    await task

run_virtual(main)
"""
    assert run(code) == ["[('part', 'waiter')]", "[]"]


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="there asyncio can show it")
def test_where_asyncio_cannot_show_it_nothing_is_put_in_the_way() -> None:
    for plain in (Task.__await__, Task.wait):
        assert not hasattr(plain, "__wrapped__")
        assert shows_await(plain) is shows_waiter(plain) is shows_children(plain) is plain  # type: ignore[arg-type, comparison-overlap]  # of no kind in particular
    assert not hasattr(asyncio, "future_add_to_awaited_by")
