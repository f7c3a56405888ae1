"""`async def` tests run, in real and in virtual time, and may leave no task."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.running import run


async def test_an_async_test_runs_on_a_loop_without_debug() -> None:
    await asyncio.sleep(0)
    assert not asyncio.get_running_loop().get_debug()


@pytest.mark.parametrize("value", [1, 2])
async def test_an_async_test_takes_parameters_and_fixtures(value: int, tmp_path: Path) -> None:
    assert value in {1, 2}
    assert tmp_path.exists()


@given(st.integers())
async def test_an_async_test_under_given_runs_for_each_example(number: int) -> None:
    await asyncio.sleep(0)
    assert isinstance(number, int)


@pytest.mark.xfail(raises=ZeroDivisionError, strict=True)
async def test_an_async_test_can_fail() -> None:
    await asyncio.sleep(0)
    raise ZeroDivisionError


@pytest.mark.xfail(raises=ZeroDivisionError, strict=True)
@given(st.booleans())
async def test_an_async_test_under_given_can_fail(value: bool) -> None:
    await asyncio.sleep(0)
    raise ZeroDivisionError


@pytest.mark.virtual
async def test_virtual_time_passes_at_once() -> None:
    loop, start = asyncio.get_running_loop(), time.monotonic()
    begin = loop.time()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3600):
            await asyncio.sleep(7200)
    assert loop.time() - begin == pytest.approx(3600)
    assert time.monotonic() - start < 1


@pytest.mark.virtual
@given(st.floats(0.001, 80_000))
async def test_virtual_time_serves_given_too(seconds: float) -> None:
    await asyncio.sleep(seconds)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_seed_shuffles_what_is_ready_and_repeats_the_order(seed: int) -> None:
    order: list[int] = []

    async def main() -> list[int]:
        order.clear()
        await asyncio.gather(*(one(n) for n in range(20)))
        return list(order)

    async def one(n: int) -> None:
        order.append(n)

    assert run(main(), virtual=True) == list(range(20))
    assert run(main(), seed=seed) == run(main(), seed=seed) != list(range(20))


@pytest.mark.virtual(seed=1)
async def test_the_marker_takes_a_seed() -> None:
    await asyncio.sleep(3600)


def test_a_coroutine_runs_from_a_plain_test(arun: Callable[..., Any]) -> None:
    assert arun(asyncio.sleep(3600, "value"), virtual=True) == "value"
    assert arun(asyncio.sleep(0, "value")) == "value"


def test_a_task_that_still_runs_is_a_failure() -> None:
    kept = []

    async def main() -> None:
        kept.append(asyncio.create_task(asyncio.sleep(60)))

    with pytest.raises(AssertionError, match="tasks still run"):
        run(main())


def test_a_task_that_ends_in_the_next_turn_of_the_loop_is_none() -> None:
    kept = []

    async def main() -> None:
        kept.append(asyncio.create_task(asyncio.sleep(0)))

    run(main())
