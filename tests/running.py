"""Running `async def` tests: on a fresh loop, in real or virtual time, with no task left at the end."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

IS_BRIEF = os.environ.get("HYPOTHESIS_PROFILE") == "brief"
"""The second and third Python of a run: the same laws and faults, with fewer examples and items."""

FEW_TICKS = 3
"""Turns of the loop in which what was stopped may end, where Python does not let us await it."""


def exists(module: str) -> bool:
    """Whether a module can be found; it is not imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def run(main: Coroutine[Any, Any, T], *, virtual: bool = False, seed: int | None = None) -> T:
    """Run `main` on a fresh loop and give its result; tasks that it leaves running are a failure.

    With a `seed` time is virtual and the order in which ready tasks run is shuffled.
    """
    factory = partial(_virtual_loop, seed) if virtual or seed is not None else None
    with asyncio.Runner(debug=False, loop_factory=factory) as runner:
        return runner.run(_nothing_left_by(main))


def _virtual_loop(seed: int | None) -> asyncio.AbstractEventLoop:
    from atonce.testing import VirtualTimeLoop  # here, so that tests of the house run while src is broken

    return VirtualTimeLoop(seed)


async def _nothing_left_by(main: Coroutine[Any, Any, T]) -> T:
    result = await main
    for _ in range(FEW_TICKS):
        if len(asyncio.all_tasks()) == 1:
            break
        await asyncio.sleep(0)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"tasks still run after the test: {left}"
    return result
