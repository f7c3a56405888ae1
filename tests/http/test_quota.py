"""A host that has nothing left for us is left alone until it has, and every other host goes on."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce import parallel_fetch
from atonce.http.gate import Gate
from atonce.http.quota import used_up
from atonce.http.response import Headers
from atonce.http.retries import LONGEST
from tests.http.server import Exchange, serving
from tests.http.test_gate import A, B

SECONDS = st.integers(1, 100)


def forms(left: int, reset: int, wall: int) -> list[list[tuple[str, str]]]:
    """The same in all ways in which servers say it."""
    return [
        [("RateLimit-Remaining", f"{left}"), ("RateLimit-Reset", f"{reset}")],
        [("x-ratelimit-remaining", f"{left}"), ("x-ratelimit-reset", f"{reset}")],
        [("X-RateLimit-Remaining", f" {left}"), ("X-RateLimit-Reset", f"{wall + reset}")],
        [("X-Rate-Limit-Remaining", f"{left}"), ("X-Rate-Limit-Reset", f"{wall + reset}.0")],
        [("RateLimit", f"limit=100, remaining={left}, reset={reset}")],
        [("RateLimit", f'"default";r={left};t={reset}')],
        [("RateLimit", f'"burst";r={left};t={reset}, "daily";r=50;t=9999')],
        [("RateLimit", f'"daily";r=50;t=9999, "burst";r={left};t={reset}')],
        [("RateLimit", '"daily";r=50;t=9999'), ("RateLimit", f'"burst";r={left};t={reset}')],
    ]


@given(st.integers(0, 3), SECONDS, st.integers(1_700_000_000, 1_800_000_000), st.integers(0, 8))
def test_every_form_says_how_long_nothing_is_left(left: int, reset: int, wall: int, form: int) -> None:
    headers = Headers([("Content-Type", "text/html"), *forms(left, reset, wall)[form]])
    raw = Headers.of_bytes(tuple((name.encode(), value.encode()) for name, value in headers.fields))
    expected = None if left else min(float(reset), LONGEST)
    assert used_up(headers, float(wall)) == expected
    assert used_up(raw, float(wall)) == expected


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["RateLimit", "RateLimit-Reset", "RateLimit-Remaining", "X"]),
            st.text(max_size=40),
        )
    )
)
def test_whatever_stands_there_is_a_time_to_wait_or_none(fields: list[tuple[str, str]]) -> None:
    found = used_up(Headers(fields), 1e9)
    assert found is None or 0.0 < found <= LONGEST


def test_of_several_policies_the_longest_wait_counts() -> None:
    assert used_up(Headers([("RateLimit", '"a";r=0;t=3, "b";r=0;t=9, "c";r=1;t=50')]), 0.0) == 9.0


@pytest.mark.virtual
async def test_a_held_host_is_left_alone_and_others_go_on_in_its_places() -> None:
    gate, loop = Gate(2, 2), asyncio.get_running_loop()
    began: list[tuple[str, float]] = []

    async def visit(place: tuple[str, int]) -> None:
        await gate.enter(place)
        began.append((place[0], loop.time()))
        await asyncio.sleep(1.0)
        gate.leave(place)

    start = loop.time()
    gate.hold(A, 10.0)
    async with asyncio.TaskGroup() as group:
        for place in (A, A, A, B, B):
            group.create_task(visit(place))
    assert [(name, at - start) for name, at in began] == [
        ("b", 0.0),
        ("b", 0.0),
        ("a", 10.0),
        ("a", 10.0),
        ("a", 11.0),
    ]
    assert gate.is_idle()


@pytest.mark.virtual
async def test_who_waits_for_a_held_host_can_be_cancelled() -> None:
    gate = Gate(1, 1)
    gate.hold(A, 10.0)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(gate.enter(A), 3.0)
    assert gate.is_idle()
    await gate.enter(B)
    gate.leave(B)
    assert gate.is_idle()


@pytest.mark.virtual
async def test_those_in_the_queue_of_a_host_wait_too_when_it_is_held() -> None:
    gate, loop = Gate(9, 1), asyncio.get_running_loop()
    start, began = loop.time(), list[float]()

    async def visit(wait: float) -> None:
        await gate.enter(A)
        began.append(loop.time() - start)
        await asyncio.sleep(1.0)
        if wait:
            gate.hold(A, wait)
        gate.leave(A)

    async with asyncio.TaskGroup() as group:
        for wait in (20.0, 0.0, 0.0):
            group.create_task(visit(wait))
    assert began == [0.0, 21.0, 22.0]


async def test_a_server_whose_quota_is_used_up_sees_no_request_before_its_reset() -> None:
    loop = asyncio.get_running_loop()
    refused_until = 0.0

    async def metered(exchange: Exchange) -> None:
        nonlocal refused_until
        now = loop.time()
        if now < refused_until:
            await exchange.answer("too early", 429)
            return
        refused_until = now + 0.9
        await exchange.answer("here", 200, {"RateLimit": '"one";r=0;t=1'})

    async with serving({"/": metered}) as server:
        began = loop.time()
        outcomes = await parallel_fetch([server.url("/")] * 3, per_host=1, retry=1)
        assert [outcome.ok for outcome in outcomes] == [True] * 3
        assert loop.time() - began >= 1.8
