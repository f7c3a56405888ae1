"""What a server is made of: the handlers that a subclass writes, and the state that they keep on `self`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from inspect import signature
from typing import Any, NoReturn, Self, Unpack

from atonce._model.checks import shown
from atonce._model.errors import MisuseError
from atonce._runtime.owner import log
from atonce._verbs.server_life import Control, serve
from atonce._verbs.server_message import Caller
from atonce._verbs.server_values import ServerChoices, ServerOptions, ServerStatistics


class Behaviour:
    """The handlers of a server with what they do unless a subclass says otherwise, and its options."""

    __slots__ = ("__dict__", "__weakref__", "_atonce")
    _atonce: Control
    _atonce_options = ServerOptions()

    def __init_subclass__(cls, **options: Unpack[ServerChoices]) -> None:
        super().__init_subclass__()
        cls._atonce_options = replace(cls._atonce_options, **options)

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        self._atonce = Control(self, cls._atonce_options)
        return self

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        try:
            signature(self.init).bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(
                f"{type(self).__name__}(...) takes the arguments of its `init`: {error}"
            ) from None
        self._atonce.arguments = (args, kwargs)

    def options(self, **options: Unpack[ServerChoices]) -> Self:
        """Set options of this one server before it runs, and give it back; a class sets them as class keywords.

        `name`: unique among what runs in this process, for `whereis`. `max_mailbox`: so many messages may wait; a
        `cast` beyond is refused with `MailboxFull`, a `call` waits for its place. `init_timeout`: seconds for `init`,
        None for no limit. `grace`: seconds for the handler at work and for `terminate` when it has to end; 0: both
        are cut off. `share=True`: replies are handed out as they are, not as copies; then whoever gets one can change
        the server's state.

        >>> class Counter(Server, max_mailbox=100):
        ...     def init(self, start: int) -> None:
        ...         self.count = start
        >>> Counter(5).options(name="hits").name
        'hits'
        """
        control = self._atonce
        if control.run is not None:
            raise MisuseError(f"{control.title} runs already: set its options before")
        control.options = replace(control.options, **options)
        return self

    @property
    def name(self) -> str | None:
        """The name under which `whereis` finds it while it runs."""
        return self._atonce.options.name

    @name.setter
    def name(self, value: object) -> NoReturn:
        raise AttributeError(
            f"`name` of a server is the one it is found by: set it with options(name=...), and call the attribute "
            f"that is to be {shown(value)} something else"
        )

    # -- the handlers -------------------------------------------------------------------------------------------

    def init(self, *args: Any, **kwargs: Any) -> Any:
        """Make the state, on `self`, from the arguments of the constructor; each run begins with it.

        Return None, or `Continue(arg)`, `Idle(seconds)` or `Stop(reason)`. What it raises is raised where the server
        was started. `def` or `async def`, like all handlers; a `def` runs on the event loop and must be quick.
        """

    def handle_call(self, request: Any, caller: Caller, /) -> Any:
        """Answer a call: return the reply, or `NO_REPLY` and call `caller.reply(value)` later, or an answer.

        The answers are `Stop`, `Continue` and `Idle`, each with a `reply`. One that raises ends the server, and the
        caller gets the exception.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no handle_call, and was called with {shown(request)}"
        )

    def handle_cast(self, message: Any, /) -> Any:
        """Take a message that nobody waits for; return None or an answer without a reply."""
        raise NotImplementedError(f"{type(self).__name__} has no handle_cast, and was sent {shown(message)}")

    def handle_info(self, message: Any, /) -> Any:
        """Take a message of `send_after`, or `IDLE`; unless it is written, the message is logged and forgotten."""
        log.warning("%s got %s and has no handle_info", self._atonce.title, shown(message))

    def handle_continue(self, arg: Any, /) -> Any:
        """Go on after `Continue(arg)`, before any other message."""
        raise NotImplementedError(
            f"{type(self).__name__} has no handle_continue, and was to go on with {shown(arg)}"
        )

    def terminate(self, reason: object, /) -> Any:
        """Have the last word, within the grace: `reason` is None when it was stopped, else what it ends with.

        Not called when `init` did not succeed, and not certain to be called: a process can be killed.
        """

    # -- being run ----------------------------------------------------------------------------------------------

    async def serve(self, ready: Callable[[], None]) -> None:
        """One run, for a supervisor: calls `ready()` when `init` is done, and raises what it ends badly with."""
        await serve(self._atonce, ready)

    def statistics(self) -> ServerStatistics:
        """What it did over all its runs, and what waits for it now, as a frozen value."""
        return self._atonce.statistics()

    def __repr__(self) -> str:
        run = self._atonce.run
        state = (
            "not running" if run is None else "ending" if run.end is not None or run.closing else "running"
        )
        return f"<{self._atonce.title} {state}>"

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a server runs in this process and cannot be pickled; send what it answers instead")
