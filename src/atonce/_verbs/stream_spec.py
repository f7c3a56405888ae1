"""What a stream is asked to do, and what it counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from atonce._backends.contract import Backend
from atonce._model.options import Rate, Retry


@dataclass(frozen=True, slots=True)
class Spec:
    """What a stream is asked to do, checked."""

    items: Any
    fn: Callable[..., Any]
    is_async: bool
    backend: Backend
    name: str
    bound: int
    buffer: int
    ordered: bool
    timeout: float | None
    retry: Retry | None
    rate: Rate | None


@dataclass(frozen=True, slots=True)
class StreamStatistics:
    """Counts of one run: `running` now, `waiting` finished and not delivered, `delivered`, `failed` of all that
    finished, `retried` attempts, and `abandoned`: items whose time was up and that could not be ended."""

    started: int
    running: int
    waiting: int
    delivered: int
    failed: int
    retried: int
    abandoned: int

    @classmethod
    def total(cls, parts: list[StreamStatistics]) -> StreamStatistics:
        """Add up the counts of several runs."""
        names = cls.__slots__
        return cls(*(sum(getattr(part, name) for part in parts) for name in names))
