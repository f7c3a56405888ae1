"""A workload for a stream as a value: what its items do, where they come from, and what its consumer does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from hypothesis import strategies as st

Kind = Literal[
    "value",
    "raises",
    "raises base",
    "raises stop iteration",
    "raises cancelled",
    "cancels its task",
    "swallows cancel",
    "outlives cancel",
    "cleans up",
    "sets variable",
    "flaky",
    "leaves a child",
]
#: How a consumer ends: it takes all, or leaves early in one of the ways in which one can.
End = Literal["drain", "break", "raise", "close", "cancel"]

TICK = -1.0
"""The delay of an item that lets other tasks run once, and takes no time."""

# All times are exact in binary, so that sums are, and "at the same moment" means just that.
DELAYS = (0.0, 0.0, TICK, 0.125, 0.25, 0.5, 1.0, 3.0)
TIMEOUTS = (0.25, 0.5, 1.0)


@dataclass(frozen=True)
class Item:
    """One item: how long it takes, and how it ends."""

    number: int
    delay: float = 0.0
    kind: Kind = "value"
    #: "outlives cancel", "cleans up": seconds that it goes on after a cancel; "flaky": failures before it succeeds.
    more: float = 0.0

    @property
    def seconds(self) -> float:
        return max(0.0, self.delay)


@dataclass(frozen=True)
class Source:
    """Where the items come from, where that ends in an error, and how long each pull and its closing take (async only)."""

    kind: Literal["list", "iterator", "generator", "async generator", "async iterator"] = "list"
    raises_at: int | None = None
    pause: float = 0.0
    cleanup: float = 0.0
    infinite: bool = False


@dataclass(frozen=True)
class Plan:
    """All of it."""

    items: tuple[Item, ...]
    source: Source = Source()
    width: int = 3
    buffer: int = 4
    ordered: bool = True
    timeout: float | None = None
    attempts: int | None = None
    rate: int | None = None
    fake: bool = False
    #: What the consumer does: take so many (int), then pause so long (float; TICK: one turn), and so on.
    script: tuple[int | float, ...] = ()
    end: End = "drain"
    cancel_at: float = 0.0
    #: Cancel at this turn of the loop instead, whatever the time is.
    cancel_turn: int | None = None
    #: Cancel again so many turns after that.
    cancel_again: int | None = None
    in_block: bool = True
    seeds: tuple[int | None, ...] = field(default=(None, 1, 2), compare=False)

    @property
    def is_eager(self) -> bool:
        """Whether the consumer never makes the stream wait."""
        return not self.script and self.end == "drain"


@st.composite
def items_(draw: st.DrawFn, most: int, kinds: tuple[Kind, ...]) -> tuple[Item, ...]:
    made = []
    for number in range(draw(st.integers(0, most))):
        kind = draw(st.sampled_from(kinds))
        more = 0.0
        if kind == "cleans up":
            more = draw(st.sampled_from([TICK, 0.125]))
        elif kind == "outlives cancel":
            more = draw(st.sampled_from([TICK, 0.125, 1.0, 30.0]))
        elif kind == "flaky":
            more = draw(st.integers(1, 3))
        made.append(Item(number, draw(st.sampled_from(DELAYS)), kind, more))
    return tuple(made)


ALL_KINDS: tuple[Kind, ...] = (
    *("value", "value", "value", "raises", "raises base", "raises stop iteration", "raises cancelled"),
    *("cancels its task", "swallows cancel", "outlives cancel", "cleans up", "sets variable", "flaky"),
    "leaves a child",
)
SOURCES = ("list", "iterator", "generator", "async generator", "async iterator")


@st.composite
def plans(
    draw: st.DrawFn, *, ends: tuple[End, ...], most: int = 12, kinds: tuple[Kind, ...] = ALL_KINDS
) -> Plan:
    """A whole plan; every part of it may be at its simplest, towards which it shrinks."""
    items = draw(items_(most, kinds))
    end = draw(st.sampled_from(ends))
    kind: Any = draw(st.sampled_from(SOURCES))
    can_fail = kind not in ("list", "iterator")
    source = Source(
        kind,
        raises_at=draw(st.none() | st.integers(0, len(items))) if can_fail else None,
        pause=draw(st.sampled_from([0.0, TICK, 0.125, 1.0])) if kind.startswith("async") else 0.0,
        cleanup=draw(st.sampled_from([0.0, TICK, 0.125])) if kind.startswith("async") else 0.0,
        infinite=bool(items) and can_fail and end != "drain" and draw(st.booleans()),
    )
    return Plan(
        items,
        source,
        width=draw(st.integers(1, 5)),
        buffer=draw(st.integers(1, 6)),
        ordered=draw(st.booleans()),
        timeout=draw(st.none() | st.sampled_from(TIMEOUTS)),
        attempts=draw(st.none() | st.integers(2, 3)),
        rate=draw(st.none() | st.none() | st.none() | st.sampled_from([1, 8])),
        fake=draw(st.booleans()),
        script=tuple(draw(st.lists(st.integers(1, 4) | st.sampled_from([TICK, 0.125, 2.0]), max_size=4))),
        end=end,
        cancel_at=draw(st.sampled_from([0.0, 0.125, 0.25, 0.5, 1.0, 2.0])),
        # An input without end may give items that take no time, and then no time passes.
        cancel_turn=draw(st.integers(2, 80)) if end == "cancel" and source.infinite else None,
        cancel_again=draw(st.none() | st.integers(1, 3)) if end == "cancel" else None,
        in_block=draw(st.booleans()),
    )
