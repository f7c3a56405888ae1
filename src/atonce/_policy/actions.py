"""What a supervisor's roster asks for, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Restart: TypeAlias = Literal["temporary", "transient", "permanent"]
Strategy: TypeAlias = Literal["one_for_one", "one_for_all", "rest_for_one"]
#: How a run ended: by itself, by a stop, or by an error.
How: TypeAlias = Literal["normal", "stopped", "failed"]
#: What becomes of one who asks for places: it starts, it waits, there is no room (now, or ever), or nothing starts.
Verdict: TypeAlias = Literal["start", "wait", "full", "never", "closed"]
State: TypeAlias = Literal["waiting", "starting", "running", "resting", "stopping", "down"]


@dataclass(frozen=True, slots=True)
class Start:
    """Run it now, and tell `ready` or `ended`."""

    key: Any


@dataclass(frozen=True, slots=True)
class Rest:
    """Tell `due(key)` in so many seconds; key None: the group of static children rests."""

    key: Any
    seconds: float


@dataclass(frozen=True, slots=True)
class Stop:
    """End them all at the same time, and tell `ended` of each."""

    keys: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Drop:
    """They did not run, and never will."""

    keys: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class GiveUp:
    """There were too many restarts, the last one because of `key`: report that, and tell `stop`."""

    key: Any
    restarts: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """A static child failed before it could be used the first time: the supervisor does not come up; tell `stop`."""

    key: Any


@dataclass(frozen=True, slots=True)
class Open:
    """All static children are there."""


@dataclass(frozen=True, slots=True)
class Over:
    """After a stop nothing is left."""


Action: TypeAlias = Start | Rest | Stop | Drop | GiveUp | Refuse | Open | Over
