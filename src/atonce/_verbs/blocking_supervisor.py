"""A supervisor for code without an event loop: the async one, asked through the private loop."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Coroutine, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, overload

from atonce._backends.choose import On
from atonce._policy.actions import Restart
from atonce._runtime.portal import portal
from atonce._runtime.sigterm import EXIT_CODE
from atonce._verbs.blocking_stream import BlockingStream
from atonce._verbs.stream import StreamOptions
from atonce._verbs.supervisor import Supervisor
from atonce._verbs.supervisor_child import Child
from atonce._verbs.supervisor_starting import Starting
from atonce._verbs.task import Task

I = TypeVar("I")  # noqa: E741  # the item's type, as T is the result's
T = TypeVar("T")


class BlockingSupervisor(Starting):
    """`with Supervisor() as sup:` for code without a loop: as the async `Supervisor`, on the private loop.

    There is one difference, which threads impose: what ends the block (`RestartLimit`, the failure of a task that was
    started by `spawn` outside any `with scope()`) stops all at once, and is raised at the end of the block, which
    cannot be interrupted between two calls.

    >>> from atonce import blocking
    >>> with blocking.Supervisor(max_children=10) as sup:
    ...     sup.spawn_nolink(sum, [1, 2, 3]).result()
    6
    """

    _made: Supervisor | None = None

    @property
    def _inner(self) -> Supervisor:
        if self._made is None:
            self._made = Supervisor._of(self._plan, self)
        return self._made

    def __enter__(self) -> Self:
        portal().run(self._inner._enter, None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if isinstance(error, SystemExit) and error.code == EXIT_CODE:
            portal().run(self._inner._drain)
        return portal().run(self._inner._leave, error)

    def _spawn(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        on: On,
        timeout: float | None,
        name: str | None,
        grace: float,
        *,
        linked: bool,
    ) -> Task[Any]:
        return portal().call(self._inner._spawn, fn, args, on, timeout, name, grace, linked=linked)

    def _start_child(
        self, fn: Any, args: tuple[Any, ...], restart: Restart | None, grace: float, on: On, name: str | None
    ) -> Child:
        return portal().call(self._inner._start_child, fn, args, restart, grace, on, name)

    def _ask(self, question: str, *args: Any) -> Any:
        return portal().call(self._inner._ask, question, *args)

    def terminate_child(self, child: int | Child | Task[Any]) -> bool:
        return portal().run(self._inner.terminate_child, child)

    def idle(self) -> None:
        portal().run(self._inner.idle)

    def ready(self, child: Child) -> Child:
        return portal().run(self._inner.ready, child)

    @overload
    def stream(
        self,
        items: Iterable[I] | AsyncIterable[I],
        fn: Callable[[I], Coroutine[Any, Any, T]],
        **options: Unpack[StreamOptions],
    ) -> BlockingStream[T]: ...
    @overload
    def stream(
        self, items: Iterable[I] | AsyncIterable[I], fn: Callable[[I], T], **options: Unpack[StreamOptions]
    ) -> BlockingStream[T]: ...
    def stream(self, items: Any, fn: Callable[..., Any], **options: Any) -> BlockingStream[Any]:
        return BlockingStream(self._inner.stream(items, fn, **options))

    @overload
    def parallel_map(
        self,
        items: Iterable[I] | AsyncIterable[I],
        fn: Callable[[I], Coroutine[Any, Any, T]],
        **options: Unpack[StreamOptions],
    ) -> list[T]: ...
    @overload
    def parallel_map(
        self, items: Iterable[I] | AsyncIterable[I], fn: Callable[[I], T], **options: Unpack[StreamOptions]
    ) -> list[T]: ...
    def parallel_map(self, items: Any, fn: Callable[..., Any], **options: Any) -> list[Any]:
        found: list[Any] = portal().run(self._inner.parallel_map, items, fn, **options)
        return found


for _name in ("terminate_child", "idle", "ready", "stream", "parallel_map"):
    getattr(BlockingSupervisor, _name).__doc__ = getattr(Supervisor, _name).__doc__
