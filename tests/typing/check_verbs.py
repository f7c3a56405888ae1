"""What a user's editor infers; checked by mypy and basedpyright, never run."""

from __future__ import annotations

from typing import assert_type

import atonce
from atonce import blocking


async def later(n: int) -> str:
    return str(n)


def now(n: int) -> str:
    return str(n)


async def async_face() -> None:
    first = atonce.spawn(later, 1)
    _ = assert_type(first, atonce.Task[str])
    second = atonce.spawn(now, 1)
    _ = assert_type(second, atonce.Task[str])
    assert_type(await atonce.spawn(later, 1), str)
    assert_type(atonce.stream([1], later), atonce.Stream[str])
    assert_type(atonce.stream([1], now, timeout=1.0), atonce.Stream[str])
    assert_type(await atonce.parallel_map([1], later), list[str])
    assert_type(await atonce.parallel_map([1], now), list[str])
    assert_type(await atonce.retry_with_backoff(later, 1), str)
    assert_type(await atonce.await_many([atonce.spawn(later, 1)]), list[str])


def blocking_face() -> None:
    assert_type(blocking.spawn(later, 1).result(), str)
    assert_type(blocking.stream([1], later), blocking.Stream[str])
    assert_type(blocking.parallel_map([1], now), list[str])
    assert_type(blocking.parallel_map([1], later), list[str])
    assert_type(blocking.retry_with_backoff(now, 1), str)
