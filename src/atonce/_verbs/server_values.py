"""Values of a server: its options, what is counted, how a run ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

from atonce._model.answers import NO_REPLY
from atonce._model.checks import count, flag, label, seconds, seconds_or_none


class ServerChoices(TypedDict, total=False):
    """The options of a server, as keywords."""

    name: str | None
    max_mailbox: int
    init_timeout: float | None
    grace: float
    share: bool


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a server is run; see `Server.options`."""

    name: str | None = None
    max_mailbox: int = 10_000
    init_timeout: float | None = None
    grace: float = 5.0
    share: bool = False

    def __post_init__(self) -> None:
        label("name", self.name)
        count("max_mailbox", self.max_mailbox)
        seconds_or_none("init_timeout", self.init_timeout)
        seconds("grace", self.grace, zero=True)
        flag("share", self.share)


@dataclass(frozen=True, slots=True)
class ServerStatistics:
    """What a server did, over all its runs, and what it has before it now."""

    running: bool
    #: How often it was begun.
    runs: int
    #: Messages of all kinds that a handler was given.
    handled: int
    #: Messages in the mailbox now, and callers who wait for a place in it.
    waiting: int
    in_line: int
    #: Callers who wait for an answer now, those whose message is in the mailbox included.
    callers: int
    #: Messages of `send_after` on their way now.
    timers: int
    #: Messages of `cast` and `send_after` that found no server running, or one that ended before their turn.
    dropped: int
    #: Calls that were not answered in time, and answers that came when nobody waited any more.
    timed_out: int
    late: int


@dataclass(slots=True)
class Counts:
    """What is counted over all runs of a server."""

    runs: int = 0
    handled: int = 0
    dropped: int = 0
    timed_out: int = 0
    late: int = 0


@dataclass(slots=True)
class End:
    """Why a run ends: `error` where it ends badly; `last` is whose message ended it, with what it is to be told."""

    reason: object
    error: BaseException | None = None
    last: Any = None
    reply: Any = NO_REPLY


def end_of(reason: object, last: Any = None, reply: Any = NO_REPLY) -> End:
    """The end for a reason that was given to `Stop` or `stop`: an exception is a failure."""
    return End(reason, reason if isinstance(reason, BaseException) else None, last, reply)
