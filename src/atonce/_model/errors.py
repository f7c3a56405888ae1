"""Every error that atonce raises or stores, all under `AtonceError`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class AtonceError(Exception):
    """The root of all errors that are atonce's own; a user's exception stays the user's."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, dict(self.__dict__))


class MisuseError(AtonceError, RuntimeError):
    """A call was made from a place where it cannot work; the message says what to call instead."""


class TaskTimeout(AtonceError, TimeoutError):
    """A task's time ran out, or a wait for it did.

    `timeout` is the limit in seconds; `abandoned` is True when the work could not be ended and was left behind
    (a thread that does not look at `atonce.cancelled()`, a coroutine that swallows every cancel).
    """

    def __init__(self, message: str, *, timeout: float | None = None, abandoned: bool = False) -> None:
        super().__init__(message)
        self.timeout = timeout
        self.abandoned = abandoned


class TaskStopped(AtonceError):
    """A task was stopped: shut down, its owner ended, or its scope was closed.

    Awaiting a stopped task raises this and never `asyncio.CancelledError`, which means that *you* are cancelled.
    `abandoned` is True when the work could not be ended and was left behind.
    """

    def __init__(self, message: str, *, abandoned: bool = False) -> None:
        super().__init__(message)
        self.abandoned = abandoned


class WorkerLost(AtonceError):
    """The worker that ran a task died; of `exitcode` and `signal` exactly one is set."""

    def __init__(self, message: str, *, exitcode: int | None = None, signal: int | None = None) -> None:
        super().__init__(message)
        self.exitcode = exitcode
        self.signal = signal


class NotSerializable(AtonceError, TypeError):
    """An argument, a result or a function cannot travel to or from another process."""


class RemoteError(AtonceError):
    """Stands for an exception of a worker that cannot be rebuilt here."""

    def __init__(self, message: str, *, type_name: str, traceback_text: str = "") -> None:
        super().__init__(f"{type_name}: {message}")
        self.type_name = type_name
        self.message = message
        self.traceback_text = traceback_text


class TooManyChildren(AtonceError):
    """A supervisor is at its `max_children`."""


class RestartLimit(AtonceError):
    """A supervisor would have had to restart its children more often than it may, and gave up.

    `child` is the name of the child that ended last, `restarts` how many restarts were due within the window; its
    last error is the `__cause__`.
    """

    def __init__(self, message: str, *, child: str = "", restarts: int = 0) -> None:
        super().__init__(message)
        self.child = child
        self.restarts = restarts


class MailboxFull(AtonceError):
    """A message that does not wait found a server's mailbox full; `limit` is its `max_mailbox`."""

    def __init__(self, message: str, *, limit: int = 0) -> None:
        super().__init__(message)
        self.limit = limit


class FetchError(AtonceError):
    """An HTTP request failed before it had an acceptable answer; `kind` says at which step."""

    def __init__(self, message: str, *, kind: str, url: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.url = url


class HttpStatusError(FetchError):
    """The answer's status is not among those that the caller asked for; `response` is the whole answer."""

    def __init__(self, message: str, *, status: int, response: Any, url: str = "") -> None:
        super().__init__(message, kind="status", url=url)
        self.status = status
        self.response = response


def _rebuild(cls: type[AtonceError], args: tuple[Any, ...], state: Mapping[str, Any]) -> AtonceError:
    """Make an error again without calling its `__init__`, whose keywords pickle does not know."""
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error
