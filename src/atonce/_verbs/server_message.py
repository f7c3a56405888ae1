"""What lies in a server's mailbox: messages, and callers, who wait for an answer."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Protocol, TypeAlias

from atonce._model.checks import shown
from atonce._model.errors import MisuseError
from atonce._model.handed import handed_out
from atonce._runtime.waiting import resolve
from atonce._verbs.server_values import Counts, ServerOptions

#: The handler that a message is for; STOP is for the run itself.
Verb: TypeAlias = str
CALL, CAST, INFO, CONTINUE, INIT, STOP = (
    "handle_call",
    "handle_cast",
    "handle_info",
    "handle_continue",
    "init",
    "stop",
)


class Answering(Protocol):
    """The run whose caller one is."""

    title: str
    options: ServerOptions
    counts: Counts
    loop: asyncio.AbstractEventLoop
    thread: int
    callers: set[Caller]


class Message:
    """One message, and the handler that it is for."""

    __slots__ = ("payload", "verb")

    def __init__(self, verb: Verb, payload: Any) -> None:
        self.verb: Verb = verb
        self.payload: Any = payload

    def __str__(self) -> str:
        return f"{self.verb}({shown(self.payload)})"


class Caller(Message):
    """Who made a call: `handle_call` gets it, and may keep it to answer later with `reply`, from any thread."""

    __slots__ = ("_replied", "_run", "_value", "error", "over", "timeout", "waiter")

    def __init__(self, verb: Verb, payload: Any, run: Answering) -> None:
        super().__init__(verb, payload)
        self._run = run
        self._replied = False
        self._value: Any = None
        #: What is raised at the caller instead of a value.
        self.error: BaseException | None = None
        #: Whether it waits no more, for whatever reason.
        self.over: bool = False
        self.waiter: asyncio.Future[None] | None = None
        #: How long it was ready to wait.
        self.timeout: float = 0.0

    def reply(self, value: Any) -> None:
        """Give the caller its answer, once: a copy of `value`, unless the server shares. Elixir: `GenServer.reply/2`.

        A caller that has given up, or whose server has ended, does not get it. **Fails**: `MisuseError` when it was
        answered before.

        >>> class Echo(Server):
        ...     def handle_call(self, request, caller):
        ...         caller.reply(request)
        ...         return NO_REPLY
        >>> async def main():
        ...     async with Echo() as echo:
        ...         return await echo.call("hello")
        >>> asyncio.run(main())
        'hello'
        """
        if self._replied:
            raise MisuseError(
                f"the caller of {self} has its answer already: return NO_REPLY from handle_call, or do not reply"
            )
        self._replied = True
        run = self._run
        if threading.get_ident() == run.thread:
            self.answer(value)
        elif not run.loop.is_closed():
            run.loop.call_soon_threadsafe(self.answer, value)

    def answer(self, value: Any) -> None:
        """On the loop: store the answer and wake the caller, if it still waits."""
        run = self._run
        self._replied = True
        if self.over:
            run.counts.late += 1
            return
        try:
            self._value = value if run.options.share else handed_out(value)
        except Exception as error:
            self.error = _not_copied(run.title, value, error)
        self.settle()

    def fail(self, error: BaseException) -> bool:
        """Wake the caller with an error; False when it waits no more."""
        if self.over:
            return False
        self.error = error
        self.settle()
        return True

    def settle(self) -> None:
        """It waits no more."""
        self.over = True
        self._run.callers.discard(self)
        if self.waiter is not None:
            resolve(self.waiter)

    def outcome(self) -> Any:
        """The answer, or raise the error."""
        error = self.error
        if error is None:
            return self._value
        self.error = None
        try:
            raise error
        finally:
            del error

    def __deepcopy__(self, memo: object) -> Caller:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a caller waits in this process and cannot be pickled; keep it here and reply to it")


def _not_copied(title: str, value: object, error: Exception) -> TypeError:
    failure = TypeError(
        f"{title} answered with {shown(value)}, which cannot be copied: answer with plain data, "
        "or hand out what is the server's own with the option share=True"
    )
    failure.__cause__ = error
    return failure
