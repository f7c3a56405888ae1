"""A backend without threads or processes, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any

from atonce._backends.contract import Capabilities, Desk, Receiver, Running
from atonce._backends.loop import run_call
from atonce._backends.loop_lanes import on_the_loop
from atonce._backends.pushed import PushedLanes


class FakeBackend:
    """A backend without threads or processes, for tests: calls run on the loop, each after `delay(args)` seconds.

    It keeps the contract of the real ones and takes part in virtual time.
    """

    capabilities: Capabilities = Capabilities(
        name="fake",
        stops="at the next await",
        ends=True,
        shares_memory=True,
        default_concurrency=32,
        patience=None,
        turns=3,
    )

    def __init__(self, delay: Callable[[tuple[Any, ...]], float] = lambda args: 0.0) -> None:
        self._delay = delay

    def start(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        is_async: bool,
        context: Context | None,
        to: Receiver,
    ) -> Running:
        """Start a call in an asyncio task of its own."""
        awaitable = fn if is_async else on_the_loop(fn)

        async def delayed(*values: Any) -> Any:
            await asyncio.sleep(self._delay(values))
            return await awaitable(*values)

        return to.loop.create_task(run_call(to, delayed, args), context=context)

    def lanes(self, desk: Desk, bound: int, over: Callable[[], None]) -> PushedLanes:
        """Serve a stream, one call an item."""
        return PushedLanes(self, desk, over)
