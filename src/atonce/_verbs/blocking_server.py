"""Servers and agents for code without a loop: they live on the private loop, and are called from any thread."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, overload

from atonce._runtime.portal import BlockingScope, portal
from atonce._verbs.agent import Agent as _Agent
from atonce._verbs.agent import AgentParts, S, T, checked
from atonce._verbs.behaviour import Behaviour
from atonce._verbs.server import Server as _Server
from atonce._verbs.server_host import begin_in, patience
from atonce._verbs.server_life import Control

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


def waiting(
    verb: Callable[Concatenate[Behaviour, P], Coroutine[Any, Any, R]],
) -> Callable[[Callable[[Any], None]], Callable[Concatenate[Behaviour, P], R]]:
    """Put in the place of a `def` the blocking twin of an async method: the same call, which waits in its thread."""

    @wraps(verb)
    def call(self: Behaviour, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return portal().run(verb, self, *args, **kwargs)

    return lambda _: call


def at_once(
    verb: Callable[Concatenate[Behaviour, P], R],
) -> Callable[[Callable[[Any], None]], Callable[Concatenate[Behaviour, P], R]]:
    """The same for a method that does not wait, which handlers, on the private loop itself, use too."""

    @wraps(verb)
    def call(self: Behaviour, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return _at_once(verb, self, *args, **kwargs)

    return lambda _: call


def _at_once(verb: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    door = portal()
    return verb(*args, **kwargs) if door.is_inside() else door.call(verb, *args, **kwargs)


def like(verb: Callable[..., Any]) -> Callable[[F], F]:
    """Take over the docstring of the async twin, and nothing of its signature."""

    def dressed(method: F) -> F:
        method.__doc__ = verb.__doc__
        return method

    return dressed


def _enter(control: Control) -> None:
    """Begin a run in a block of the calling thread."""
    block = BlockingScope(grace=patience(control), name=control.title)
    block.__enter__()
    scope = block._scope
    try:
        portal().run(begin_in, scope, control)
    except BaseException as error:
        scope.unbind()
        portal().run(scope.leave, error)
        raise
    scope.unbind()


def _leave(control: Control, error: BaseException | None) -> bool:
    scope, control.scope = control.scope, None
    assert scope is not None
    return portal().run(scope.leave, error)


class Server(Behaviour):
    """`atonce.Server` for code without a loop: `with Counter(5) as server: server.call("next")`, from any thread.

    The handlers are the same, `def` or `async def`, and run on the private loop: one that blocks, blocks all of
    `atonce.blocking`. They may use `self.cast` and `self.send_after`. A failure that no caller has seen is raised at
    the end of the block, which cannot be interrupted.

    >>> from atonce import blocking
    >>> class Counter(blocking.Server):
    ...     def init(self, start: int) -> None:
    ...         self.count = start
    ...     def handle_call(self, request, caller):
    ...         self.count += 1
    ...         return self.count
    >>> with Counter(5) as server:
    ...     server.call("next")
    6
    """

    __slots__ = ()

    @waiting(_Server.call)
    def call(self) -> None: ...

    @at_once(_Server.cast)
    def cast(self) -> None: ...

    @at_once(_Server.send_after)
    def send_after(self) -> None: ...

    @waiting(_Server.stop)
    def stop(self) -> None: ...

    def __enter__(self) -> Self:
        _enter(self._atonce)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        return _leave(self._atonce, error)


class Agent(AgentParts[S]):
    """`atonce.Agent` for code without a loop: `with Agent(dict) as agent: agent.get(len)`, from any thread.

    The functions run on the private loop. A failure that no caller has seen is raised at the end of the block.

    >>> from atonce import blocking
    >>> with blocking.Agent(int) as agent:
    ...     agent.update(lambda n: n + 2)
    ...     agent.get(lambda n: n)
    2
    """

    __slots__ = ()

    @overload
    def get(self, fn: Callable[[S], Coroutine[Any, Any, T]], *, timeout: float | None = 5.0) -> T: ...
    @overload
    def get(self, fn: Callable[[S], T], *, timeout: float | None = 5.0) -> T: ...
    @wraps(_Agent.get)
    def get(self, *args: Any, **options: Any) -> Any:
        return portal().run(_Agent.get, self, *args, **options)

    @overload
    def update(self, fn: Callable[[S], Coroutine[Any, Any, S]], *, timeout: float | None = 5.0) -> None: ...
    @overload
    def update(self, fn: Callable[[S], S], *, timeout: float | None = 5.0) -> None: ...
    @wraps(_Agent.update)
    def update(self, *args: Any, **options: Any) -> None:
        portal().run(_Agent.update, self, *args, **options)

    @overload
    def get_and_update(
        self, fn: Callable[[S], Coroutine[Any, Any, tuple[T, S]]], *, timeout: float | None = 5.0
    ) -> T: ...
    @overload
    def get_and_update(self, fn: Callable[[S], tuple[T, S]], *, timeout: float | None = 5.0) -> T: ...
    @wraps(_Agent.get_and_update)
    def get_and_update(self, *args: Any, **options: Any) -> Any:
        return portal().run(_Agent.get_and_update, self, *args, **options)

    @like(_Agent.cast)
    def cast(self, fn: Callable[[S], S] | Callable[[S], Coroutine[Any, Any, S]]) -> None:
        _at_once(_Server.cast, self._holder, checked(fn))

    @like(_Agent.stop)
    def stop(self, reason: object = None, timeout: float | None = None) -> None:
        portal().run(_Agent.stop, self, reason, timeout)

    def __enter__(self) -> Self:
        _enter(self._holder._atonce)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        return _leave(self._holder._atonce, error)
