"""Running `async def` tests: on a fresh loop, in real or virtual time, with no task left at the end."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import async_solipsism

T = TypeVar("T")

FEW_TICKS = 3
"""Turns of the loop in which what was stopped may end, where Python does not let us await it."""


class _VirtualLoop(async_solipsism.EventLoop):
    """A loop whose clock jumps to the next timer; threads and real files cannot take part."""

    atonce_virtual_time = True


def exists(module: str) -> bool:
    """Whether a module can be found; it is not imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def virtual_loop() -> asyncio.AbstractEventLoop:
    """Make a loop with virtual time: atonce's own where it has one."""
    if exists("atonce.testing"):
        make = getattr(importlib.import_module("atonce.testing"), "virtual_loop", None)
        if make is not None:
            loop: asyncio.AbstractEventLoop = make()
            return loop
    return _VirtualLoop()


def run(
    main: Coroutine[Any, Any, T],
    *,
    virtual: bool = False,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> T:
    """Run `main` on a fresh loop and give its result; tasks that it leaves running are a failure."""
    factory = loop_factory or (virtual_loop if virtual else None)
    with asyncio.Runner(debug=False, loop_factory=factory) as runner:
        return runner.run(_nothing_left_by(main))


async def _nothing_left_by(main: Coroutine[Any, Any, T]) -> T:
    result = await main
    for _ in range(FEW_TICKS):
        if len(asyncio.all_tasks()) == 1:
            break
        await asyncio.sleep(0)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"tasks still run after the test: {left}"
    return result
