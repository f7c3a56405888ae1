"""What both faces of a supervisor share: its options, and how things are started under it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar, TypeVarTuple, overload

from atonce._backends.choose import On
from atonce._model.options import Retry
from atonce._policy.actions import Restart, Strategy
from atonce._runtime.owner import GRACE
from atonce._runtime.service import Service
from atonce._verbs.supervisor_child import Child
from atonce._verbs.supervisor_plan import OnFull, Plan, SupervisorStatistics
from atonce._verbs.task import Task

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Starting(ABC):
    """A supervisor, whoever asks it."""

    def __init__(
        self,
        max_children: int | None = None,
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        on_full: OnFull = "raise",
        backoff: Retry | None = None,
        name: str | None = None,
        *,
        children: Iterable[Child] = (),
        strategy: Strategy = "one_for_one",
        max_queue: int = 10_000,
        drain: float = 0.0,
    ) -> None:
        self._plan = Plan.of(
            max_children,
            max_restarts,
            max_seconds,
            on_full,
            backoff,
            name,
            children,
            strategy,
            max_queue,
            drain,
        )

    @abstractmethod
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
        """Start a task."""

    @abstractmethod
    def _start_child(
        self, fn: Any, args: tuple[Any, ...], restart: Restart | None, grace: float, on: On, name: str | None
    ) -> Child:
        """Start a child."""

    @abstractmethod
    def _ask(self, question: str, *args: Any) -> Any:
        """Ask what runs."""

    @overload
    def spawn(
        self,
        fn: Callable[[*Ts], Coroutine[Any, Any, T]],
        *args: *Ts,
        on: On = None,
        timeout: float | None = None,
        name: str | None = None,
        grace: float = GRACE,
    ) -> Task[T]: ...
    @overload
    def spawn(
        self,
        fn: Callable[[*Ts], T],
        *args: *Ts,
        on: On = None,
        timeout: float | None = None,
        name: str | None = None,
        grace: float = GRACE,
    ) -> Task[T]: ...
    def spawn(  # type: ignore[misc]  # mypy cannot match *Ts against *args: Any
        self,
        fn: Callable[..., Any],
        *args: Any,
        on: On = None,
        timeout: float | None = None,
        name: str | None = None,
        grace: float = GRACE,
    ) -> Task[Any]:
        """Start `fn(*args)` under the supervisor, linked to whoever calls this: the end of one is the end of the other.

        Prefer `spawn_nolink` where a failure is to harm nobody. `timeout`: seconds that it may run; `grace`: seconds
        that it gets to end when the supervisor stops (0: none).

        **Bounded**: by `max_children`; when that is reached, `TooManyChildren` here, or with `on_full="wait"` the task
        starts later. **Fails**: as `spawn`; a failure is raised from the innermost `scope`, or from the supervisor's
        own block, which end at once; any other asyncio task that spawned it is cancelled, and the failure logged.
        The supervisor survives where its block is not the caller. **Cancelled**: when the caller ends, it is stopped.
        Elixir: `Task.Supervisor.async/3`.
        """
        return self._spawn(fn, args, on, timeout, name, grace, linked=True)

    @overload
    def spawn_nolink(
        self,
        fn: Callable[[*Ts], Coroutine[Any, Any, T]],
        *args: *Ts,
        on: On = None,
        timeout: float | None = None,
        name: str | None = None,
        grace: float = GRACE,
    ) -> Task[T]: ...
    @overload
    def spawn_nolink(
        self,
        fn: Callable[[*Ts], T],
        *args: *Ts,
        on: On = None,
        timeout: float | None = None,
        name: str | None = None,
        grace: float = GRACE,
    ) -> Task[T]: ...
    def spawn_nolink(  # type: ignore[misc]  # mypy cannot match *Ts against *args: Any
        self,
        fn: Callable[..., Any],
        *args: Any,
        on: On = None,
        timeout: float | None = None,
        name: str | None = None,
        grace: float = GRACE,
    ) -> Task[Any]:
        """Start `fn(*args)` under the supervisor alone: its failure harms nobody, and it outlives whoever calls this.

        `timeout`: seconds that it may run; `grace`: seconds that it gets to end when the supervisor stops (0: none).

        **Bounded**: by `max_children`; when that is reached, `TooManyChildren` here, or with `on_full="wait"` the task
        starts later. **Fails**: what it raises is raised where it is awaited, and logged once when it never is.
        **Cancelled**: it goes on when its caller ends, and is stopped with the supervisor. **Costs** about a tenth more
        than `spawn`. Elixir: `Task.Supervisor.async_nolink/3`.
        """
        return self._spawn(fn, args, on, timeout, name, grace, linked=False)

    @overload
    def start_child(
        self,
        fn: Service | Child,
        /,
        *,
        restart: Restart | None = None,
        grace: float = GRACE,
        name: str | None = None,
    ) -> Child: ...
    @overload
    def start_child(
        self,
        fn: Callable[[*Ts], object],
        /,
        *args: *Ts,
        restart: Restart | None = None,
        grace: float = GRACE,
        on: On = None,
        name: str | None = None,
    ) -> Child: ...
    def start_child(  # type: ignore[misc]  # mypy cannot match *Ts against *args: Any
        self,
        fn: Any,
        /,
        *args: Any,
        restart: Restart | None = None,
        grace: float = GRACE,
        on: On = None,
        name: str | None = None,
    ) -> Child:
        """Start a child that nobody awaits: a function, a service (`Server`, `Agent`, `Supervisor`), or a `Child`.

        `restart`: "temporary" (never run again; the default of functions), "transient" (after a failure: an exception,
        a time limit, a lost worker) or "permanent" (always; the default of services). Each run is a task of its own.
        `grace`: seconds that it gets to end when it is stopped (0: none). `name` is unique under this supervisor.

        **Bounded**: by `max_children` as `spawn_nolink`; restarts by `max_restarts` within `max_seconds`. **Fails**: a
        failure is logged once, with what follows. **Cancelled**: nothing but the supervisor's end, or
        `terminate_child`, ends it. Elixir: `Task.Supervisor.start_child/3`, `DynamicSupervisor.start_child/2`.
        """
        return self._start_child(fn, args, restart, grace, on, name)

    @property
    def name(self) -> str | None:
        """The name under which `whereis` finds it while it runs."""
        return self._plan.name

    def children(self) -> list[Task[Any] | Child]:
        """The tasks and children that have a place here, those between two runs included, in no certain order.

        Those that wait for a place are not among them. Elixir: `Task.Supervisor.children/1`, which leaves out those
        that are being restarted.
        """
        found: list[Task[Any] | Child] = self._ask("children")
        return found

    def count_children(self) -> int:
        """How many `children` there are. Elixir: `DynamicSupervisor.count_children/1`."""
        return len(self.children())

    def statistics(self) -> SupervisorStatistics:
        """Counts since it was entered, as a frozen value."""
        found: SupervisorStatistics = self._ask("statistics")
        return found

    def whereis(self, name: str) -> Child | None:
        """The living child that was given that name, or None."""
        found: Child | None = self._ask("named", name)
        return found

    def __repr__(self) -> str:
        return f"<Supervisor {self.name!r}>" if self.name else "<Supervisor>"
