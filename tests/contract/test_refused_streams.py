"""A stream that its backend cannot serve says so at its first step, starts nothing and leaves nothing with its owner."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import atonce
from atonce import AtonceError, NotSerializable, ProcessBackend, blocking, stream

LIMIT = 20.0


class Input:
    """Numbers, and whether they were closed."""

    def __init__(self) -> None:
        self.given = 0

    def __iter__(self) -> Iterator[int]:
        while True:
            self.given += 1
            yield self.given


def cannot_travel() -> Callable[[int], Any]:
    lock = threading.Lock()
    return lambda n: lock.acquire()


async def drained(view: Any) -> None:
    async for _ in view:
        pass


@pytest.mark.parametrize("form", ["outcomes", "values", "failed"])
async def test_a_function_that_cannot_travel_is_refused_by_name(form: str) -> None:
    with ProcessBackend(workers=1) as processes:
        view = stream(Input(), cannot_travel(), on=processes)
        forms: dict[str, Any] = {"outcomes": view, "values": view.values(), "failed": view.failed()}
        with pytest.raises(NotSerializable, match=r"the function of .*lambda.*closure\['lock'\] is a lock"):
            await asyncio.wait_for(drained(forms[form]), LIMIT)
        assert processes.statistics().made == 0


def test_the_blocking_face_refuses_it_too() -> None:
    with ProcessBackend(workers=1) as processes:
        for verb in (
            lambda fn: next(iter(blocking.stream(Input(), fn, on=processes))),
            lambda fn: blocking.parallel_map(range(3), fn, on=processes),
            lambda fn: blocking.process_batch(range(3), fn, on=processes),
        ):
            with pytest.raises(NotSerializable, match="lock"):
                verb(cannot_travel())
        assert blocking.parallel_map(range(3), abs, on=processes) == [0, 1, 2]


async def test_a_backend_that_is_closed_refuses_and_the_owner_has_nothing_to_wait_for() -> None:
    made = ProcessBackend()
    made.close()
    async with asyncio.timeout(LIMIT), atonce.scope():
        with pytest.raises(AtonceError, match="closed"):
            await drained(stream(range(3), abs, on=made))


async def test_a_scope_ends_after_a_function_was_refused() -> None:
    numbers = Input()
    with ProcessBackend(workers=1) as processes:
        async with asyncio.timeout(LIMIT), atonce.scope():
            with pytest.raises(NotSerializable):
                await drained(stream(numbers, cannot_travel(), on=processes))
    assert numbers.given == 0


class Broken:
    """An input that cannot even begin."""

    def __iter__(self) -> Iterator[int]:
        raise OSError("no such file")


@pytest.mark.parametrize("on", ["loop", "thread", "process"])
async def test_an_input_that_cannot_begin_is_raised_and_the_owner_has_nothing_to_wait_for(on: Any) -> None:
    async with asyncio.timeout(LIMIT), atonce.scope():
        with pytest.raises(OSError, match="no such file"):
            await drained(stream(Broken(), abs, on=on))
