"""The supervised cache: one load a key at a time, values that grow old, and a failure that costs the values alone."""

from __future__ import annotations

import asyncio
import runpy
import subprocess
import sys
from typing import Any

import pytest

from atonce import Child, Supervisor, TaskStopped, capture, spawn
from tests.cli.command import ROOT, environment
from tests.verbs.acts import error_of, now, turns

EXAMPLE = ROOT / "examples" / "cache.py"
Cache: Any = runpy.run_path(str(EXAMPLE))["Cache"]
virtual = pytest.mark.virtual


class Source:
    """Loads in 2 seconds, counts the loads, and fails for what is negative."""

    def __init__(self) -> None:
        self.loads: list[int] = []

    async def load(self, key: int) -> list[int]:
        self.loads.append(key)
        await asyncio.sleep(2.0)
        if key < 0:
            raise ValueError(f"no {key}")
        return [key]


@virtual
async def test_many_who_ask_at_once_share_one_load() -> None:
    source = Source()
    async with Cache(source.load) as cache:
        got = await asyncio.gather(*(cache.get(n % 3) for n in range(30)))
        assert got == [[n % 3] for n in range(30)]
        assert sorted(source.loads) == [0, 1, 2]
        assert now() == pytest.approx(2.0)
        assert await cache.get(1) == [1]
        assert len(source.loads) == 3


@virtual
async def test_a_value_can_be_changed_by_who_got_it_without_harm() -> None:
    async with Cache(Source().load) as cache:
        (await cache.get(1)).append("mine")
        assert await cache.get(1) == [1]


@virtual
async def test_other_keys_are_served_while_one_is_loaded() -> None:
    async with Cache(Source().load) as cache:
        await cache.put("quick", "value")
        slow = spawn(cache.get, 1)
        await turns()
        assert await cache.get("quick") == "value"
        assert now() == pytest.approx(0.0)
        assert await slow == [1]


@virtual
async def test_a_load_that_fails_fails_all_who_wait_and_is_tried_again_by_the_next() -> None:
    source = Source()
    async with Cache(source.load) as cache:
        outcomes = await asyncio.gather(*(capture(cache.get(-1)) for _ in range(3)))
        assert [str(error_of(one)) for one in outcomes] == ["no -1"] * 3
        assert await cache.size() == 0
        assert not (await capture(cache.get(-1))).ok
        assert source.loads == [-1, -1]


@virtual
async def test_values_are_loaded_anew_when_their_time_is_over() -> None:
    source = Source()
    async with Cache(source.load, ttl=10.0) as cache:
        await cache.get(1)
        await asyncio.sleep(9.9)
        await cache.get(1)
        assert source.loads == [1]
        await asyncio.sleep(0.2)
        await cache.get(1)
        assert source.loads == [1, 1]


@virtual
async def test_an_idle_cache_drops_its_values_by_itself_each_in_its_time() -> None:
    async with Cache(Source().load, ttl=10.0) as cache:
        for second in range(5):
            await cache.put(second, "value")
            await asyncio.sleep(1.0)
        await asyncio.sleep(7.5)
        assert list(cache.entries) == [3, 4]
        await asyncio.sleep(10.0)
        assert cache.entries == {}
        assert cache.statistics().timers == 0
        await cache.put("again", "value")
        await asyncio.sleep(11.0)
        assert cache.entries == {}


@virtual
async def test_the_oldest_goes_when_there_are_too_many() -> None:
    async with Cache(Source().load, limit=3) as cache:
        for key in "abc":
            await cache.put(key, key)
        await cache.put("a", "newer")
        await cache.put("d", "d")
        assert list(cache.entries) == ["c", "a", "d"]
        assert await cache.size() == 3


@virtual
async def test_what_is_put_while_it_is_loaded_is_what_all_get() -> None:
    async with Cache(Source().load) as cache:
        waiting = spawn(cache.get, 1)
        await turns()
        await cache.put(1, "put")
        assert await waiting == "put"
        assert await cache.get(1) == "put"


@virtual
async def test_a_cache_that_fails_is_started_again_empty_and_its_loads_are_over() -> None:
    source = Source()
    cache = Cache(source.load)
    async with Supervisor(children=[Child(cache)]):
        await cache.put("old", "value")
        waiting = spawn(cache.get, 1)
        await turns()
        with pytest.raises(ValueError, match="does not understand 'nonsense'"):
            await cache.call("nonsense")
        await turns(10)
        assert isinstance(error_of(waiting.outcome()), TaskStopped)
        assert await cache.size() == 0
        assert await cache.get(1) == [1]
        assert source.loads == [1, 1]


async def test_a_plain_function_loads_in_a_thread() -> None:
    async with Cache(str) as cache:
        assert await asyncio.gather(*(cache.get(n % 5) for n in range(50))) == [str(n % 5) for n in range(50)]


def test_the_example_runs_and_shows_what_it_says() -> None:
    line = [sys.executable, "-W", "error", str(EXAMPLE)]
    done = subprocess.run(line, capture_output=True, text=True, env=environment(), timeout=50, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("loading") == 5
    assert "4 values are still there" in done.stdout
    assert "started again, with 0 values" in done.stdout
