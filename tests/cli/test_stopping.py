"""The first request to stop drains, the second cancels, the third leaves at once."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from atonce.cli.work.stopping import Stopper, signals


class Acts(list[str]):
    """What a stopper did, in order."""

    def stopper(self, grace: float = 10.0, running: int = 3) -> Stopper:
        return Stopper(
            drain=lambda: self.append("drain"),
            cancel=lambda: self.append("cancel"),
            say=self.append,
            running=lambda: running,
            grace=grace,
            leave=lambda code: self.append(f"leave {code}"),
        )


@pytest.mark.virtual
async def test_three_requests_are_three_steps() -> None:
    acts = Acts()
    stopper = acts.stopper()
    for _ in range(3):
        stopper.asked("interrupted")
    waiting = "stopping: no new items; waiting up to 10s for 3 running  (Ctrl-C again cancels them)"
    assert acts == ["drain", waiting, "cancel", "leave 130"]
    assert stopper.why == "interrupted"


@pytest.mark.virtual
async def test_patience_ends_by_itself_after_the_grace() -> None:
    acts = Acts()
    stopper = acts.stopper(grace=10.0)
    stopper.asked("terminated")
    await asyncio.sleep(9.9)
    assert "cancel" not in acts
    await asyncio.sleep(0.2)
    assert acts[-1] == "cancel"
    assert stopper.why == "terminated"


@pytest.mark.virtual
async def test_a_run_that_is_over_is_not_cancelled_any_more() -> None:
    acts = Acts()
    stopper = acts.stopper(grace=1.0)
    stopper.asked("interrupted")
    stopper.over()
    await asyncio.sleep(2.0)
    stopper.now("deadline")
    assert "cancel" not in acts
    stopper.asked("interrupted")
    assert acts[-1] == "leave 130"


@pytest.mark.virtual
async def test_nothing_is_said_when_there_is_nothing_to_wait_for() -> None:
    acts = Acts()
    acts.stopper(running=0).asked("interrupted")
    assert acts == ["drain"]


@pytest.mark.virtual
async def test_the_first_reason_counts() -> None:
    acts = Acts()
    stopper = acts.stopper()
    stopper.now("deadline")
    stopper.now("interrupted")
    assert (stopper.why, acts) == ("deadline", ["cancel"])


async def test_signals_ask_the_stopper_while_the_block_lasts() -> None:
    acts = Acts()
    with signals(acts.stopper(running=0)):
        os.kill(os.getpid(), signal.SIGTERM)
        while not acts:
            await asyncio.sleep(0)
    assert acts == ["drain"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


async def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with signals(Acts().stopper()):
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.virtual
async def test_a_hang_up_starts_nothing_more_and_has_all_the_patience_there_is() -> None:
    acts = Acts()
    stopper = acts.stopper(grace=1.0)
    stopper.hung_up()
    stopper.hung_up()
    await asyncio.sleep(3_600.0)
    assert acts == ["drain", "hung up: no new items; 3 running may end"]
    assert stopper.why == "hangup"
    stopper.asked("interrupted")
    await asyncio.sleep(1.5)
    assert acts[-1] == "cancel"


async def test_a_hang_up_asks_the_stopper_unless_it_is_ignored() -> None:
    acts = Acts()
    with signals(acts.stopper()):
        os.kill(os.getpid(), signal.SIGHUP)
        while not acts:
            await asyncio.sleep(0)
    assert acts[0] == "drain"
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals(Acts().stopper()):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
