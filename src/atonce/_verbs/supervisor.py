"""`Supervisor`: someone who watches over tasks, children and services, restarts them, and ends them in good order."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable
from contextvars import copy_context
from dataclasses import replace
from sys import _getframe
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, overload

from atonce._backends.choose import On, backend_for
from atonce._model.call import checked_is_async
from atonce._model.checks import flag, label, seconds, seconds_or_none, shown
from atonce._model.errors import MisuseError
from atonce._policy.actions import Restart
from atonce._runtime.owner import GRACE, Owner, scope_var, task_owner
from atonce._runtime.registry import register, unregister
from atonce._runtime.sigterm import end_first, forget
from atonce._runtime.site import site_of
from atonce._verbs.parallel_map import map_spec
from atonce._verbs.stream import Stream, StreamOptions
from atonce._verbs.stream_spec import Spec, make_spec
from atonce._verbs.supervisor_child import Child, child_of
from atonce._verbs.supervisor_crew import Crew
from atonce._verbs.supervisor_plan import Plan
from atonce._verbs.supervisor_starting import Starting
from atonce._verbs.supervisor_work import Block, Link, Places
from atonce._verbs.task import Task

I = TypeVar("I")  # noqa: E741  # the item's type, as T is the result's
T = TypeVar("T")

_LOOP = backend_for("loop", True)


class Supervisor(Starting):
    """A block that watches over what is started under it, and leaves nothing running.

    `async with Supervisor() as sup:` gives one without children: `spawn` and `spawn_nolink` start tasks, `start_child`
    what nobody awaits and what is to be restarted, `stream` and `parallel_map` many calls of one function. `children`
    are started when the block is entered, one after another, each when the one before can be used.

    `max_children` bounds all that runs here: tasks, children, and `max_concurrency` of each stream. At the bound
    `on_full="raise"` raises `TooManyChildren`; with "wait" up to `max_queue` wait, first come, first served.
    More than `max_restarts` restarts within `max_seconds` (a sliding window over all children): it gives up, stops all
    and raises `RestartLimit` from the block. `backoff` (a `Retry`, of which `base_delay`, `max_delay` and `jitter` are
    read) is a child's pause before its next run; it grows with every restart, and begins anew when a run has lasted
    `max_seconds`. None: no pause, as in Elixir. `strategy` says which of `children` are restarted with one of them:
    none, all ("one_for_all"), or those after it ("rest_for_one"); started afterwards counts as "one_for_one".

    Leaving the block stops all at the same time, each with its own grace; then `children`, one by one, the last first.
    `await sup.idle()` before that waits for the work. On SIGTERM the outermost supervisors of a loop do so before the
    program exits: `drain` seconds for the work to end by itself, then the stop. It is itself a service: a child of
    another supervisor, which starts it anew, from its `children`, when it has given up.

    **Bounded**: as said; the stop takes no longer than the longest grace and the sum of those of `children`. **Fails**:
    with what ended it: `RestartLimit`, or the failure of a task that the block itself has linked with `spawn`; several
    as an `ExceptionGroup`. **Cancelled**: all is stopped, then the cancel goes on. Elixir: `Task.Supervisor`,
    `DynamicSupervisor`, and for `children` `Supervisor`.

    >>> async def main() -> int:
    ...     async with Supervisor(max_children=10) as sup:
    ...         task = sup.spawn_nolink(sum, [1, 2, 3])
    ...         return await task
    >>> asyncio.run(main())
    6
    """

    _crew: Crew | None = None
    #: What `whereis` gives: the same supervisor, on the face on which it was made.
    _face: Any = None

    @classmethod
    def _of(cls, plan: Plan, face: Any) -> Supervisor:
        """One for another face, with options that are checked."""
        made = cls.__new__(cls)
        made._plan, made._face = plan, face
        return made

    # -- its block ----------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self._enter(asyncio.current_task())
        if self._crew is not None:
            end_first(self._crew.loop, self, self._crew.block.host, self._end_first)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        return await self._leave(error)

    async def serve(self, ready: Callable[[], None]) -> None:
        """One life as a child of another supervisor, from its `children` to the end; raises what ended it badly."""
        await self._enter(asyncio.current_task())
        try:
            ready()
            await asyncio.get_running_loop().create_future()
        except BaseException as error:
            await self._leave(error)
            raise

    async def _enter(self, host: asyncio.Task[Any] | None) -> None:
        """Begin, in the code of `host`; None: in a thread, which cannot be interrupted."""
        if self._crew is not None:
            raise MisuseError(f"{self} runs already: make a new Supervisor, or leave the block first")
        if self.name is not None:
            register(self.name, self._face or self)
        block = Block(f"supervisor {self.name!r}" if self.name else "supervisor", host)
        self._crew = crew = Crew(self._plan, block, self._gone)
        block.adopt(crew)
        try:
            await crew.open()
        except BaseException as error:
            await self._leave(error)
            raise
        if crew.roster.closed:
            await self._leave(None)

    async def _leave(self, error: BaseException | None) -> bool:
        """Stop, wait until all is over, and raise what failed; True when `error` was only our own cancel."""
        crew = self._crew
        assert crew is not None
        try:
            return await crew.block.leave(error)
        finally:
            self._crew = None

    async def _drain(self) -> None:
        """Give the work here and under supervisors below its time to end by itself."""
        if self._crew is not None and self._plan.drain:
            await self._crew.drain(self._plan.drain)

    async def _end_first(self) -> None:
        """The program is to exit: drain, stop, and wait until that is over."""
        crew = self._crew
        if crew is not None:
            await self._drain()
            crew.stop()
            await crew.wait_over()

    def _gone(self) -> None:
        if self._crew is not None:
            forget(self._crew.loop, self)
        if self.name is not None:
            unregister(self.name, self._face or self)

    def _stop_bound(self) -> float:
        """Seconds that its stop may take, as things are."""
        return 0.0 if self._crew is None else self._crew.stop_bound()

    # -- starting -----------------------------------------------------------------------------------------------

    def _running(self) -> Crew:
        crew = self._crew
        if crew is None or crew.is_over:
            raise MisuseError(f"{self} does not run: use it inside `async with Supervisor() as sup:`")
        if crew.thread != threading.get_ident():
            raise MisuseError(
                f"{self} belongs to the event loop of another thread: call it there (loop.call_soon_threadsafe), "
                "or use atonce.blocking.Supervisor"
            )
        return crew

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
        coroutine = checked_is_async(fn, args)
        if timeout is not None:
            timeout = seconds_or_none("timeout", timeout)
        if name is not None:
            name = label("name", name)
        crew = self._running()
        backend = _LOOP if coroutine and on is None else backend_for(on, coroutine)
        task: Task[Any] = Task(fn, backend, crew.work, crew.loop, timeout, name, site_of(_getframe(2)))
        if grace != GRACE:
            task._grace = seconds("grace", grace, zero=True)
        verdict = "start" if crew.roster.is_plain else crew.roster.admit_task(task)
        scope = scope_var.get()
        context = None if scope is None and verdict == "start" else copy_context()
        if linked and verdict in ("start", "wait"):
            self._tie(crew, task, scope or task_owner(crew.loop))
        if verdict != "start":
            assert context is not None
            crew.queue(task, args, coroutine, context, verdict)
            return task
        crew.started += 1
        return task.begin(args, coroutine, context)

    def _tie(self, crew: Crew, task: Task[Any], caller: Owner) -> None:
        link = Link(task, caller, crew.block)
        try:
            link.tie()
        except BaseException:
            crew.task_ended(task)
            raise
        crew.links[task] = link
        task.when_over(_nothing)

    def _start_child(
        self, fn: Any, args: tuple[Any, ...], restart: Restart | None, grace: float, on: On, name: str | None
    ) -> Child:
        child, is_own = child_of(fn, args, restart, grace, on, name)
        return self._running().take(child, None if is_own else site_of(_getframe(2)))

    def _ask(self, question: str, *args: Any) -> Any:
        return getattr(self._running(), question)(*args)

    # -- waiting ------------------------------------------------------------------------------------------------

    async def terminate_child(self, child: int | Child | Task[Any]) -> bool:
        """Stop one child or task, itself or its `id`, with its grace; True when it was here and is over, else False.

        It is not run again, whatever its `restart`; one that waits for its place never starts. **Fails**: when a child
        asks for its own end and would wait for ever. **Cancelled**: it is ended all the same, then the cancel goes on.
        Elixir: `Task.Supervisor.terminate_child/2`.
        """
        if isinstance(child, bool) or not isinstance(child, (int, Child, Task)):
            raise TypeError(f"child is a Child, a Task, or the id of one; got {shown(child)}")
        crew = self._running()
        return await crew.terminate(crew.find(child))

    async def idle(self) -> None:
        """Wait until no work is left here that ends by itself, running or waiting.

        Work is every task, every stream, and every child that runs a function and is not "permanent"; services and
        permanent children do not count, since they would never end. More may be started in the meantime. **Cancelled**:
        the waiter ends alone. Elixir has none.
        """
        await self._running().idle()

    async def ready(self, child: Child) -> Child:
        """Wait until `child` runs, and can be used where it is a service; gives it back.

        **Fails**: `TaskStopped` when it ended before that. **Cancelled**: the waiter ends alone.
        """
        await self._running().ready(child)
        return child

    # -- streams ------------------------------------------------------------------------------------------------

    @overload
    def stream(
        self,
        items: Iterable[I] | AsyncIterable[I],
        fn: Callable[[I], Coroutine[Any, Any, T]],
        **options: Unpack[StreamOptions],
    ) -> Stream[T]: ...
    @overload
    def stream(
        self, items: Iterable[I] | AsyncIterable[I], fn: Callable[[I], T], **options: Unpack[StreamOptions]
    ) -> Stream[T]: ...
    def stream(self, items: Any, fn: Callable[..., Any], **options: Any) -> Stream[Any]:
        """As `atonce.stream`; its runs are the supervisor's, and stopped with it.

        **Bounded**: while it is iterated it takes `max_concurrency` places of `max_children`, all of them when the
        iteration begins: `TooManyChildren` is raised there, or with `on_full="wait"` it waits there. **Fails**, as
        `stream`; `TaskStopped` is raised where the supervisor stops it. Items are not restarted: use `retry`.
        Elixir: `Task.Supervisor.async_stream_nolink/4`, which fails in mid-run when there is no place.
        """
        return Stream(self._spec(items, fn, **options))

    @overload
    async def parallel_map(
        self,
        items: Iterable[I] | AsyncIterable[I],
        fn: Callable[[I], Coroutine[Any, Any, T]],
        **options: Unpack[StreamOptions],
    ) -> list[T]: ...
    @overload
    async def parallel_map(
        self, items: Iterable[I] | AsyncIterable[I], fn: Callable[[I], T], **options: Unpack[StreamOptions]
    ) -> list[T]: ...
    async def parallel_map(self, items: Any, fn: Callable[..., Any], **options: Any) -> list[Any]:
        """As `atonce.parallel_map`, under the supervisor: see `stream` for the places that it takes.

        **Fails**: the first failure stops the rest and is raised at once. **Cancelled**: every item is stopped and
        over, then the cancel goes on.
        """
        in_order = flag("ordered", options.pop("ordered", True))
        return await map_spec(self._spec(items, fn, ordered=False, **options), in_order=in_order)

    def _spec(self, items: Any, fn: Callable[..., Any], *, ordered: bool = True, **options: Any) -> Spec:
        """What a stream under this supervisor is asked to do."""
        names = ("max_concurrency", "timeout", "retry", "rate", "buffer", "on", "name")
        unknown = sorted(set(options) - set(names))
        if unknown:
            raise TypeError(
                f"a stream has no option {unknown[0]!r}; its options are {', '.join(names)}, ordered"
            )
        chosen = [options.get(name) for name in names]
        return replace(make_spec(items, fn, *chosen, ordered=flag("ordered", ordered)), seats=_Seats(self))


class _Seats:
    """Where the streams of a supervisor get their places."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    async def seat(self, spec: Spec) -> Owner:
        return await self._supervisor._running().seat(spec.name, spec.bound)

    def vacate(self, owner: Owner) -> None:
        if isinstance(owner, Places):
            owner.release()


def _nothing() -> None:
    """A task with a callback tells its end to its owner."""
