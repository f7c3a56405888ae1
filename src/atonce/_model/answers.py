"""What a server's handler may answer in place of a plain reply."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal, TypeAlias

from atonce._model.checks import seconds


class _Sign(Enum):
    NO_REPLY = "NO_REPLY"
    IDLE = "IDLE"

    def __repr__(self) -> str:
        return self.value


#: `handle_call` returns it when `caller.reply(value)` is, or will be, called. Elixir: `{:noreply, state}`.
NO_REPLY: Final[Literal[_Sign.NO_REPLY]] = _Sign.NO_REPLY
#: The message that `handle_info` gets when nothing came for as long as an `Idle` said. Elixir: `:timeout`.
IDLE: Final[Literal[_Sign.IDLE]] = _Sign.IDLE


@dataclass(frozen=True, slots=True)
class Stop:
    """End the server: `terminate(reason)` runs, then `reply` goes to the caller, then it is over.

    A `reason` that is an exception is a failure, as if the handler had raised it; any other is a word for `terminate`.
    Returned by `init` it means that there is nothing to serve. Elixir: `{:stop, reason, reply, state}`.

    >>> Stop("empty", reply=0).reason
    'empty'
    """

    reason: object = None
    reply: Any = NO_REPLY


@dataclass(frozen=True, slots=True)
class Continue:
    """Run `handle_continue(arg)` next, before any message; `reply` goes out before that.

    Returned by `init` it lets the start return before slow work begins. Elixir: `{:continue, arg}`.

    >>> Continue("load").arg
    'load'
    """

    arg: Any = None
    reply: Any = NO_REPLY


@dataclass(frozen=True, slots=True)
class Idle:
    """Send `IDLE` to `handle_info` when no message comes for `seconds`; any message that comes calls it off.

    0 is legal: at once, if nothing is in the mailbox. Elixir: the timeout in `{:noreply, state, timeout}`.

    >>> Idle(30.0, reply="yes").seconds
    30.0
    """

    seconds: float
    reply: Any = NO_REPLY

    def __post_init__(self) -> None:
        object.__setattr__(self, "seconds", seconds("seconds", self.seconds, zero=True))


Answer: TypeAlias = Stop | Continue | Idle
ANSWERS = frozenset({Stop, Continue, Idle, _Sign})
