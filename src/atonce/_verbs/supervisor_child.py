"""`Child`: what a supervisor runs again and again, before it starts and while it lives."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, Literal, TypeAlias, TypeVarTuple, cast, overload

from atonce._backends.choose import On, backend_for
from atonce._model.call import checked_is_async, fn_name
from atonce._model.checks import choice, label, seconds
from atonce._policy.actions import Restart
from atonce._runtime.owner import GRACE, Owner, scope_var
from atonce._runtime.service import Service
from atonce._runtime.site import Site, shown_site, site_of
from atonce._verbs.ending import ids
from atonce._verbs.task import Task

Ts = TypeVarTuple("Ts")

ChildState: TypeAlias = Literal["waiting", "running", "backing off", "stopping", "ended"]


def _gone() -> None:
    """Stands for a function that is not kept."""


class Child:
    """A child of a supervisor: `start_child` gives one; made by hand it describes one, for `Supervisor(children=...)`.

    `fn` is a function, run with `args` as a task of its own each time; or a service (a `Server`, an `Agent`, a
    `Supervisor`), an instance, or its class with the arguments. `restart` says when it is run again: "permanent"
    always, "transient" after a failure, "temporary" never. `grace` seconds are given to it to end when the supervisor
    stops it (0: none); it is no limit on how long it may run. Each run has its own copy of the context.

    The same object is the handle on the living child, over all its runs; a description is used by one supervisor at
    a time. Elixir: a child specification; unlike a pid, `id` stays the same over restarts.

    >>> Child(print, "tick", restart="transient").state
    'waiting'
    """

    __slots__ = (
        "_args",
        "_context",
        "_fn",
        "_is_async",
        "_is_kept",
        "_name",
        "_on",
        "_site",
        "_state",
        "grace",
        "id",
        "last_error",
        "restart",
        "restarts",
        "service",
        "task",
    )

    @overload
    def __init__(
        self, fn: Service, /, *, restart: Restart = "permanent", grace: float = GRACE, name: str | None = None
    ) -> None: ...
    @overload
    def __init__(
        self,
        fn: Callable[[*Ts], object],
        /,
        *args: *Ts,
        restart: Restart = "permanent",
        grace: float = GRACE,
        on: On = None,
        name: str | None = None,
    ) -> None: ...
    def __init__(  # type: ignore[misc]  # mypy cannot match *Ts against *args: Any
        self,
        fn: Any,
        /,
        *args: Any,
        restart: Restart = "permanent",
        grace: float = GRACE,
        on: On = None,
        name: str | None = None,
    ) -> None:
        self.restart: Restart = choice("restart", restart, ("temporary", "transient", "permanent"))
        self.grace: float = seconds("grace", grace, zero=True)
        self._name = label("name", name)
        self._on: On = on
        #: The service that it runs, where it runs one.
        self.service: Service | None = None
        self._describe(fn, args)
        self._site: Site = site_of(sys._getframe(1))
        self._context: Context | None = None
        self._is_kept = True
        self._state: ChildState = "waiting"
        #: A number of its own in this process, the same over all its runs.
        self.id: int = next(ids)
        #: How often it was run again.
        self.restarts: int = 0
        #: The current run, else the last one; None before the first.
        self.task: Task[Any] | None = None
        #: What its latest failure was.
        self.last_error: BaseException | None = None

    def _describe(self, fn: Any, args: tuple[Any, ...]) -> None:
        """Check what it runs."""
        if isinstance(fn, type) and callable(getattr(fn, "serve", None)):
            fn, args = fn(*args), ()
        self._fn: Callable[..., Any] = fn
        self._args = args
        if not isinstance(fn, type) and callable(getattr(fn, "serve", None)):
            if args or self._on is not None:
                raise TypeError(
                    f"a service is given alone, and runs on the loop: {type(fn).__name__}(...) without `args` and `on=`"
                )
            self.service, self._is_async = fn, True
        else:
            self._is_async = checked_is_async(fn, args)
            backend_for(self._on, self._is_async)

    @property
    def name(self) -> str:
        """The name that it was given, else its service's, else its function's."""
        return self.own_name or (type(self.service).__name__ if self.service else fn_name(self._fn))

    @property
    def own_name(self) -> str | None:
        """The name under which its supervisor finds it."""
        return self._name or (self.service.name if self.service else None)

    @property
    def state(self) -> ChildState:
        """ "waiting" (for its start), "running", "backing off" (between two runs), "stopping" or "ended"."""
        return self._state

    @property
    def age(self) -> float | None:
        """Seconds since the current run began; None when none runs."""
        task = self.task
        if task is None or task.is_over():
            return None
        began = task.looked() if task.began is None else task.began
        return 0.0 if began is None else max(0.0, task.clock() - began)

    @property
    def is_alive(self) -> bool:
        """Whether some supervisor has it."""
        return self._context is not None

    @property
    def is_work(self) -> bool:
        """Whether it ends by itself some time: `idle` waits for that."""
        return self.restart != "permanent" and self.service is None

    @property
    def patience(self) -> float:
        """Seconds that its end may take: its grace, or what a supervisor needs to stop its own children."""
        needs: Callable[[], float] | None = getattr(self.service, "_stop_bound", None)
        return self.grace if needs is None else max(self.grace, needs())

    def __repr__(self) -> str:
        return f"<Child {self.id} {self.name!r} {self.restart} {self._state}>"

    def __str__(self) -> str:
        return f"child {self.name!r} (started at {shown_site(self._site)})"

    # -- what its supervisor does with it -----------------------------------------------------------------------

    def enter(self, *, site: Site | None = None) -> None:
        """Begin to live: as it is described, with the context of whoever starts it."""
        if site is not None:
            self._site = site
            self._is_kept = False
        self._context = copy_context()
        self._context.run(scope_var.set, None)
        self._state = "waiting"
        self.restarts = 0
        self.task = self.last_error = None

    def make_run(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> Task[Any]:
        """The task of the next run, whose failure is its supervisor's to tell."""
        fn = self._fn if self.service is None else self.service.serve
        backend = backend_for(self._on, self._is_async)
        task: Task[Any] = Task(fn, backend, owner, loop, None, self.name, self._site)
        task.ignore()
        self.task = task
        return task

    def begin(self, task: Task[Any], ready: Callable[[], None]) -> None:
        """Begin that run."""
        assert self._context is not None
        self._state = "running"
        args = self._args if self.service is None else (ready,)
        _ = task.begin(args, self._is_async, self._context.copy())

    def leave(self) -> None:
        """It will not run again; what a temporary one was to run is not kept."""
        self._state = "ended"
        self._context = None
        if not self._is_kept and self.service is None:
            self._name = self.name
            self._fn, self._args = _gone, ()

    def became(self, state: ChildState) -> None:
        """Say what it does now."""
        self._state = state


def child_of(
    fn: Any, args: tuple[Any, ...], restart: Restart | None, grace: float, on: On, name: str | None
) -> tuple[Child, bool]:
    """The child that `start_child` means, and whether it is the user's own description."""
    if isinstance(fn, Child):
        if args or (restart, grace, on, name) != (None, GRACE, None, None):
            raise TypeError("a Child says everything itself: start_child(child) without further arguments")
        return fn, True
    is_service = callable(getattr(fn, "serve", None))
    kind = restart or ("permanent" if is_service else "temporary")
    make = cast("Callable[..., Child]", Child)
    return make(fn, *args, restart=kind, grace=grace, on=on, name=name), False
