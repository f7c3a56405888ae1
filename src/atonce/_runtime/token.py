"""The cancellation token: how a plain function in a thread learns that it should stop."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol


class Token:
    """Set once by whoever wants the work to end."""

    __slots__ = ("asked",)

    def __init__(self) -> None:
        self.asked: bool = False


class Asked(Protocol):
    """What `cancelled` looks at."""

    @property
    def asked(self) -> bool:
        """Whether the work was asked to end."""
        ...


token_var: ContextVar[Asked | None] = ContextVar("atonce_token", default=None)


def cancelled() -> bool:
    """Whether the task that this code runs in was asked to stop (by a timeout, a stop, or its owner's end).

    Call it now and then in a long plain function that runs in a thread, and return when it is True: a thread cannot be
    ended from outside, and one that does not look is abandoned. In a process a function that looks gets the grace of
    `shutdown`; a timeout kills it all the same. Outside a task, and on the loop, where a cancel arrives as
    `CancelledError`, it is False.

    >>> cancelled()
    False
    """
    token = token_var.get()
    return token is not None and token.asked
