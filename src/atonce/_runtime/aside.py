"""A pool's thread that waits for other work stands aside meanwhile, so that those it waits for never lack a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Pool(Protocol):
    """Whose threads these are."""

    def stand_aside(self, threads: int, /) -> None:
        """So many more of its threads wait (-1: one goes on), and do not count among those that it may have."""
        ...


class _Here(threading.local):
    """The pool that the current thread belongs to."""

    pool: Pool | None = None


here = _Here()


@contextmanager
def standing_aside() -> Iterator[None]:
    """While the current thread waits in this block, its pool may have one more."""
    pool = here.pool
    if pool is None:
        yield
        return
    pool.stand_aside(1)
    try:
        yield
    finally:
        pool.stand_aside(-1)
