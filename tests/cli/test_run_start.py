"""`Starter`: programs started in threads, with a cancel at the worst moment."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from atonce.cli.run import start
from atonce.cli.run.start import Starter


class Gate:
    """Stands for the system: a start that waits for the test."""

    def __init__(self, error: OSError | None = None) -> None:
        self.open = threading.Event()
        self.entered = threading.Event()
        self.error = error

    def __call__(self, argv: list[str], path: str, descriptors: Any) -> int:
        self.entered.set()
        self.open.wait(20)
        if self.error is not None:
            raise self.error
        return 4711


async def _cancelled_while_starting(monkeypatch: pytest.MonkeyPatch, gate: Gate) -> tuple[Any, list[int]]:
    monkeypatch.setattr(start, "_fast", lambda: gate)
    monkeypatch.setattr(start, "cpus", lambda: 2)
    held: list[int] = []
    starter = Starter(2)
    try:
        task = asyncio.create_task(starter.start(["x"], "/x", (), held.append))
        while not gate.entered.is_set():
            await asyncio.sleep(0)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
            assert not task.done()
        gate.open.set()
        return await task, held
    finally:
        starter.close()


async def test_a_cancel_waits_for_the_number_of_what_is_being_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await _cancelled_while_starting(monkeypatch, Gate()) == ((4711, True), [4711])


async def test_a_cancel_is_a_cancel_where_nothing_could_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(asyncio.CancelledError):
        await _cancelled_while_starting(monkeypatch, Gate(FileNotFoundError(2, "not there")))
