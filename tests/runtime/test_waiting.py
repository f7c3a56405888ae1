"""Waiting for an end with a bound; spawn sites; notes; the clock."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import atonce
from atonce._runtime.clock import clock_of, is_virtual
from atonce._runtime.notes import Earlier, annotate, as_raised, short
from atonce._runtime.site import shown_site, site_of
from atonce._runtime.waiting import after_turns, resolve, wait_for_end
from atonce.testing import VirtualTimeLoop

pytestmark = pytest.mark.virtual


def now() -> float:
    return asyncio.get_running_loop().time()


class End:
    """Something that ends at a time."""

    def __init__(self, at: float) -> None:
        self.at = at

    def is_over(self) -> bool:
        return now() >= self.at

    def subscribe(self, future: asyncio.Future[None]) -> None:
        asyncio.get_running_loop().call_at(self.at, resolve, future)


@pytest.mark.parametrize(
    ("at", "grace", "over", "waited"), [(0, 5, True, 0), (3, 5, True, 3), (9, 5, False, 5), (9, 0, False, 0)]
)
async def test_an_end_is_waited_for_within_the_grace(
    at: float, grace: float, over: bool, waited: float
) -> None:
    end = End(at)
    assert await wait_for_end(end.is_over, end.subscribe, grace) == (over, None)
    assert now() == waited
    await asyncio.sleep(10)


async def test_a_resolved_future_that_is_not_yet_the_end_is_waited_for_again() -> None:
    end = End(3)
    asked = 0

    def hasty(future: asyncio.Future[None]) -> None:
        nonlocal asked
        asked += 1
        asyncio.get_running_loop().call_later(1, resolve, future)

    assert await wait_for_end(end.is_over, hasty, 5) == (True, None)
    assert asked == 3


async def test_cancels_are_held_back_and_given() -> None:
    end, got = End(3), []

    async def waiter() -> None:
        got.append(await wait_for_end(end.is_over, end.subscribe, 5))

    task = asyncio.ensure_future(waiter())
    for _ in range(2):
        await asyncio.sleep(1)
        task.cancel()
    await task
    [(over, cancelled)] = got
    assert over
    assert isinstance(cancelled, asyncio.CancelledError)
    assert task.cancelling() == 2


async def test_a_future_may_be_resolved_twice_or_after_its_cancel() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    resolve(future)
    resolve(future)
    other: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    other.cancel()
    resolve(other)
    assert other.cancelled()


@pytest.mark.parametrize("turns", [0, 1, 3])
async def test_something_is_done_after_so_many_turns_of_the_loop(turns: int) -> None:
    done: list[int] = []
    after_turns(asyncio.get_running_loop(), turns, lambda: done.append(1))
    for _ in range(turns):
        assert not done
        await asyncio.sleep(0)
    if turns:
        await asyncio.sleep(0)
    assert done == [1]


# -- sites --------------------------------------------------------------------------------------------------------


async def test_a_task_shows_the_line_on_which_it_was_spawned() -> None:
    line = sys._getframe().f_lineno + 1
    task = atonce.spawn(asyncio.sleep, 0)
    assert f"{__file__}:{line} in test_a_task_shows_the_line" in str(task)
    await task


def test_a_site_of_many_lines_is_shown_by_the_line_of_the_call() -> None:
    site = site_of(sys._getframe())
    assert shown_site(site).startswith(f"{__file__}:")


def test_the_verbs_of_atonce_are_not_the_users_site() -> None:
    line = sys._getframe().f_lineno + 1
    task = atonce.blocking.spawn(abs, -1)
    assert f"{__file__}:{line} in " in str(task)
    assert task.result() == 1


# -- notes --------------------------------------------------------------------------------------------------------


def test_a_note_is_added_once_and_notes_have_an_end() -> None:
    error = ValueError()
    for n in range(50):
        annotate(error, "same")
        annotate(error, f"other {n}")
    assert error.__notes__[0] == "same"
    assert len(set(error.__notes__)) == len(error.__notes__) < 20


class _Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@given(st.text(max_size=500))
def test_an_error_is_shown_on_one_short_line(text: str) -> None:
    shown = short(ValueError(text))
    assert "\n" not in shown
    assert len(shown) <= 100


def test_an_error_without_a_working_text_is_shown_by_its_type() -> None:
    assert short(_Unprintable()) == "_Unprintable: <unprintable>"


def test_the_earlier_attempts_are_told_and_the_many_are_cut() -> None:
    error, earlier = ValueError("last"), Earlier()
    earlier.tell(error)
    assert not hasattr(error, "__notes__")
    for n in range(30):
        earlier.add(KeyError(n))
    earlier.tell(error)
    [note] = error.__notes__
    assert "31 attempts" in note
    assert "KeyError: 29" in note
    assert len(note) < 500


def test_only_the_stop_iteration_that_python_wrapped_is_unwrapped() -> None:
    async def work() -> None:
        next(iter(()))

    with pytest.raises(RuntimeError) as caught:
        work().send(None)
    assert isinstance(as_raised(caught.value), StopIteration)
    own = RuntimeError("own")
    own.__cause__ = StopIteration()
    assert as_raised(own) is own


# -- the clock ----------------------------------------------------------------------------------------------------


def test_the_clock_of_a_plain_loop_is_the_monotonic_one_and_of_others_their_own() -> None:
    plain, virtual = asyncio.new_event_loop(), VirtualTimeLoop()
    try:
        assert clock_of(plain) is time.monotonic
        assert clock_of(virtual)() == virtual.time() == 0.0
        assert is_virtual(virtual)
        assert not is_virtual(plain)
    finally:
        plain.close()
        virtual.close()


async def test_a_wall_clock_that_jumps_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    jumps = iter([1e9, 0.0] * 10_000)
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    got: list[Any] = [one async for one in atonce.stream([1.0, 9.0], asyncio.sleep, timeout=5.0)]
    assert [one.ok for one in got] == [True, False]
    assert now() == 5.0


async def test_a_clock_that_jumps_a_day_ahead_ends_what_is_late_once() -> None:
    """A suspended machine: one round of late timeouts, and no storm of attempts."""
    calls: list[float] = []

    async def work(n: int) -> None:
        calls.append(now())
        await asyncio.sleep(100_000)

    async def jump() -> None:
        await asyncio.sleep(1)
        asyncio.get_running_loop()._virtual.now += 86_400  # type: ignore[attr-defined]  # the day

    jumping = asyncio.ensure_future(jump())
    retry = atonce.Retry(2, base_delay=1.0, jitter=None)
    got = [one async for one in atonce.stream(range(3), work, timeout=5.0, retry=retry)]
    await jumping
    assert [one.ok for one in got] == [False] * 3
    assert len(calls) == 6
    assert now() == pytest.approx(86_401 + 1 + 5)
