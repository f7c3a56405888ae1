"""`Agent`: one value that many share, changed by functions that are sent to it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from inspect import CO_VARARGS, CO_VARKEYWORDS
from types import CoroutineType, FunctionType, TracebackType
from typing import Any, Generic, Self, TypeVar, overload

from atonce._model.answers import NO_REPLY
from atonce._model.call import check_call
from atonce._model.checks import seconds_or_none, shown
from atonce._verbs.server import Server
from atonce._verbs.server_message import Caller
from atonce._verbs.server_values import ServerStatistics

S = TypeVar("S")
T = TypeVar("T")

_MORE = CO_VARARGS | CO_VARKEYWORDS
GET, UPDATE, GET_AND_UPDATE = "get", "update", "get_and_update"


def checked(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Check that `fn` takes the state; to ask for its signature would cost more than the whole call."""
    if type(fn) is FunctionType:
        code = fn.__code__
        if code.co_argcount == 1 and not code.co_flags & _MORE and not code.co_kwonlyargcount:
            return fn
    return check_call("fn", fn, (None,))


class Holder(Server):
    """The server behind an agent: a request is a verb and a function of the state."""

    state: Any

    async def init(self, make: Callable[[], Any]) -> None:
        """Make the first state."""
        state = make()
        self.state = await state if type(state) is CoroutineType else state

    def handle_call(self, request: tuple[str, Callable[[Any], Any]], caller: Caller, /) -> Any:
        """Apply a function, and answer what its verb promises."""
        verb, fn = request
        result = fn(self.state)
        if type(result) is CoroutineType:
            return self._later(verb, fn, result, caller)
        caller.reply(self._kept(verb, fn, result))
        return NO_REPLY  # what the function gave is a value, even where it looks like a server's answer

    def handle_cast(self, fn: Callable[[Any], Any], /) -> Any:
        """Apply a function that nobody waits for."""
        state = fn(self.state)
        if type(state) is CoroutineType:
            return self._cast_later(state)
        self.state = state
        return None

    async def _later(
        self, verb: str, fn: Callable[[Any], Any], result: Coroutine[Any, Any, Any], caller: Caller
    ) -> Any:
        caller.reply(self._kept(verb, fn, await result))
        return NO_REPLY

    async def _cast_later(self, state: Coroutine[Any, Any, Any]) -> None:
        self.state = await state

    def _kept(self, verb: str, fn: Callable[[Any], Any], result: Any) -> Any:
        """Keep the new state, where there is one, and give the reply."""
        if verb is GET:
            return result
        if verb is UPDATE:
            self.state = result
            return None
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(
                f"the function of get_and_update returns a pair, (reply, new state); "
                f"{shown(fn)} returned {shown(result)}"
            )
        reply, self.state = result
        return reply


class AgentParts(Generic[S]):
    """What an agent is on either face."""

    __slots__ = ("__weakref__", "_holder")

    @overload
    def __init__(
        self,
        init: Callable[[], Coroutine[Any, Any, S]],
        *,
        name: str | None = None,
        share: bool = False,
        max_mailbox: int = 10_000,
        timeout: float | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        init: Callable[[], S],
        *,
        name: str | None = None,
        share: bool = False,
        max_mailbox: int = 10_000,
        timeout: float | None = None,
    ) -> None: ...
    def __init__(
        self,
        init: Callable[[], Any],
        *,
        name: str | None = None,
        share: bool = False,
        max_mailbox: int = 10_000,
        timeout: float | None = None,
    ) -> None:
        seconds_or_none("timeout", timeout)
        self._holder: Holder = Holder(check_call("init", init, ())).options(
            name=name, share=share, max_mailbox=max_mailbox, init_timeout=timeout
        )
        self._holder._atonce.handle = self

    @property
    def name(self) -> str | None:
        """The name under which `whereis` finds it while it runs."""
        return self._holder.name

    async def serve(self, ready: Callable[[], None]) -> None:
        """One run, for a supervisor: begins with a fresh state, calls `ready()`, and raises what it ends badly with."""
        await self._holder.serve(ready)

    def statistics(self) -> ServerStatistics:
        """What it did over all its runs, and what waits for it now, as a frozen value."""
        return self._holder.statistics()

    def __repr__(self) -> str:
        return repr(self._holder)

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("an agent runs in this process and cannot be pickled; send what `get` gives instead")


class Agent(AgentParts[S]):
    """One value that many share: functions of it are sent to it and run inside, strictly one after another.

    `init` makes the first state; `async with Agent(dict) as agent:` runs it, or a supervisor does, which begins it anew
    from `init` when it fails. Prefer it to `Server` for plain state without timers or a protocol of its own. Each
    function may be `def` or `async def`, and unlike those of `spawn` a `def` runs on the event loop: compute outside.

    `timeout`: seconds for `init`. What `get` and `get_and_update` give is a copy, unless it cannot be changed anyway or
    `share=True`, with which whoever gets it can change the state. **Bounded**: `max_mailbox` messages wait; beyond, a
    `cast` raises `MailboxFull` and the others wait for a place. **Fails**: a function that raises ends the agent and
    loses the state; its caller gets the exception, others `TaskStopped` from it. When no caller sees it, the block is
    stopped and the failure raised from it. **Cancelled**: as a `Server`. **Costs** as a call of a `Server`.
    Elixir: `Agent`.

    >>> async def main():
    ...     async with Agent(dict) as agent:
    ...         await agent.update(lambda state: state | {"hits": 1})
    ...         return await agent.get(lambda state: state["hits"])
    >>> asyncio.run(main())
    1
    """

    __slots__ = ()

    @overload
    async def get(self, fn: Callable[[S], Coroutine[Any, Any, T]], *, timeout: float | None = 5.0) -> T: ...
    @overload
    async def get(self, fn: Callable[[S], T], *, timeout: float | None = 5.0) -> T: ...
    async def get(self, fn: Callable[[S], Any], *, timeout: float | None = 5.0) -> Any:
        """Give `fn(state)`, a copy unless the agent shares; `fn` must leave the state as it is.

        **Fails**: what `fn` raises, which ends the agent; `TaskTimeout` when it takes more than `timeout` seconds
        (None: no limit), and goes on; `TaskStopped` when the agent does not run or ends first; `MisuseError` from
        within one of its own functions. **Cancelled**: the wait ends, `fn` runs. Elixir: `Agent.get/3`.

        >>> async def main():
        ...     async with Agent(lambda: [3, 1, 2]) as agent:
        ...         return await agent.get(sorted)
        >>> asyncio.run(main())
        [1, 2, 3]
        """
        return await self._holder.call((GET, checked(fn)), timeout)

    @overload
    async def update(
        self, fn: Callable[[S], Coroutine[Any, Any, S]], *, timeout: float | None = 5.0
    ) -> None: ...
    @overload
    async def update(self, fn: Callable[[S], S], *, timeout: float | None = 5.0) -> None: ...
    async def update(self, fn: Callable[[S], Any], *, timeout: float | None = 5.0) -> None:
        """Make `fn(state)` the new state, and return when it is.

        **Fails** as `get`; one that is late is still applied. **Cancelled**: the wait ends, `fn` is applied.
        Elixir: `Agent.update/3`.

        >>> async def main():
        ...     async with Agent(int) as agent:
        ...         await agent.update(lambda n: n + 2)
        ...         return await agent.get(lambda n: n)
        >>> asyncio.run(main())
        2
        """
        await self._holder.call((UPDATE, checked(fn)), timeout)

    @overload
    async def get_and_update(
        self, fn: Callable[[S], Coroutine[Any, Any, tuple[T, S]]], *, timeout: float | None = 5.0
    ) -> T: ...
    @overload
    async def get_and_update(self, fn: Callable[[S], tuple[T, S]], *, timeout: float | None = 5.0) -> T: ...
    async def get_and_update(self, fn: Callable[[S], Any], *, timeout: float | None = 5.0) -> Any:
        """Take `fn(state)` as (reply, new state), keep the second and give the first; nothing comes in between.

        **Fails** as `get`; anything but a pair ends the agent with a `TypeError`. **Cancelled**: the wait ends, `fn` is
        applied. Elixir: `Agent.get_and_update/3`.

        >>> async def main():
        ...     async with Agent(lambda: ["first", "second"]) as queue:
        ...         return await queue.get_and_update(lambda state: (state[0], state[1:]))
        >>> asyncio.run(main())
        'first'
        """
        return await self._holder.call((GET_AND_UPDATE, checked(fn)), timeout)

    def cast(self, fn: Callable[[S], S] | Callable[[S], Coroutine[Any, Any, S]]) -> None:
        """Make `fn(state)` the new state some time; never waits. One that does not run drops it, as in Elixir.

        **Fails**: `MailboxFull` when `max_mailbox` messages wait already; what `fn` raises ends the agent.
        Elixir: `Agent.cast/2`.

        >>> async def main():
        ...     async with Agent(int) as agent:
        ...         agent.cast(lambda n: n + 1)
        ...         return await agent.get(lambda n: n)
        >>> asyncio.run(main())
        1
        """
        self._holder.cast(checked(fn))

    async def stop(self, reason: object = None, timeout: float | None = None) -> None:
        """Apply what was sent before, and return when it is over, at most `timeout` seconds later.

        A `reason` that is an exception ends it as a failure. **Fails** as `Server.stop`. Elixir: `Agent.stop/3`.

        >>> async def main():
        ...     async with Agent(int) as agent:
        ...         await agent.stop()
        >>> asyncio.run(main())
        """
        await self._holder.stop(reason, timeout)

    async def __aenter__(self) -> Self:
        await self._holder.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        return await self._holder.__aexit__(kind, error, traceback)
