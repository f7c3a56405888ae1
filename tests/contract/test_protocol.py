"""The contract itself: what a backend owes to the receiver of a call."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import Any

import pytest

from atonce._backends.contract import Capabilities
from atonce._runtime.clock import Clock, clock_of
from tests.contract.work import SHORT, Work


class Recorder:
    """A receiver that only remembers what it was told."""

    def __init__(self) -> None:
        self.began: float | None = None
        self.loop = asyncio.get_running_loop()
        self.clock: Clock = clock_of(self.loop)
        self.told: list[tuple[str, Any]] = []
        self.over = asyncio.Event()

    def returned(self, value: Any) -> None:
        self._tell("returned", value)

    def gave(self, value: Any) -> None:
        self._tell("returned", value)

    def raised(self, error: BaseException) -> None:
        self._tell("raised", error)

    def _tell(self, what: str, value: Any) -> None:
        assert asyncio.get_running_loop() is self.loop, "told on another loop"
        self.told.append((what, value))
        self.over.set()


async def settled() -> None:
    await asyncio.sleep(SHORT / 4)


async def test_a_backend_publishes_what_it_promises(backend: Any) -> None:
    promised = backend.capabilities
    assert isinstance(promised, Capabilities)
    assert promised.stops in ("at the next await", "asked", "killed", "never")
    assert promised.default_concurrency >= 1
    assert promised.patience is None or promised.patience >= 0
    assert promised.turns >= 0


@pytest.mark.parametrize("fails", [False, True])
async def test_the_receiver_is_told_the_end_exactly_once(work: Work, fails: bool) -> None:
    error = ValueError()

    def run() -> int:
        if fails:
            raise error
        return 3

    to = Recorder()
    before = to.clock()
    running = work.backend.start(work.of(run), (), work.is_async, copy_context(), to)
    await asyncio.wait_for(to.over.wait(), 5)
    await settled()
    [(what, told)] = to.told
    assert what == ("raised" if fails else "returned")
    if fails:
        work.check_same(told, error)
    else:
        assert told == 3
    assert to.began is not None
    assert before <= to.began <= to.clock()
    running.cancel()
    running.cancel()
    await settled()
    assert len(to.told) == 1, "a cancel after the end changes nothing"


async def test_a_cancel_may_be_repeated_and_leads_to_one_end(endable: Work) -> None:
    to = Recorder()
    running = endable.backend.start(endable.endless_fn(), (), endable.is_async, copy_context(), to)
    await endable.underway()
    running.cancel()
    running.cancel()
    if endable.ends:
        await asyncio.wait_for(to.over.wait(), 5)
    await settled()
    if endable.ends:
        [(what, error)] = to.told
        assert what == "raised"
        assert isinstance(error, asyncio.CancelledError)
    else:
        assert to.told == [], "it goes on, and its end is told when it comes"
        endable.let_go.set()
        await asyncio.wait_for(to.over.wait(), 5)
        assert len(to.told) == 1


async def test_a_call_without_a_context_gets_a_copy_of_the_current_one(work: Work) -> None:
    to = Recorder()
    work.backend.start(work.of(lambda: 3), (), work.is_async, None, to)
    await asyncio.wait_for(to.over.wait(), 5)
    assert to.told == [("returned", 3)]
