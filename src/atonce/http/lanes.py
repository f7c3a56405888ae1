"""`FetchBackend`: the loop's lanes, with a session for as long as they serve, and a `Job` made of every URL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

from atonce._backends.contract import Backend, Capabilities, Desk, Lanes, Receiver, Running
from atonce._model.errors import MisuseError
from atonce._model.options import Rate
from atonce._runtime.clock import Clock
from atonce.http.address import without_credentials
from atonce.http.choose import adapted, gate_of
from atonce.http.client import Client
from atonce.http.fetcher import Fetcher, Job
from atonce.http.gate import Gate
from atonce.http.request import Request
from atonce.http.response import Response
from atonce.http.robots import MOST, Robots
from atonce.http.session import Session, join
from atonce.http.watch import Watch


@dataclass(frozen=True, slots=True)
class Limits:
    """How many requests run, in all and to one host, and how fast they start."""

    total: int
    per_host: int | None
    rate: Rate | None


class FetchBackend:
    """Runs the items of a fetch stream where `inner` runs them; each run of the stream opens and closes its session."""

    def __init__(self, inner: Backend, request: Request, client: Any, limits: Limits) -> None:
        self.capabilities: Capabilities = inner.capabilities
        self._inner = inner
        self._request = request
        self._client = client
        self._limits = limits
        self._watches: WeakSet[Watch] = WeakSet()
        #: Under which name robots.txt is obeyed; None: it is not asked.
        self.robot: str | None = None

    def limit(self, timeout: float) -> None:
        """Give requests so many seconds from now on, in the runs that there are and have a timeout."""
        for watch in self._watches:
            watch.limit(timeout)

    def start(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        is_async: bool,
        context: Context | None,
        to: Receiver,
    ) -> Running:
        """Start one call, as the inner backend does."""
        return self._inner.start(fn, args, is_async, context, to)

    def lanes(self, desk: Desk, bound: int, over: Callable[[], None]) -> Lanes:
        """Serve one run; it is over when its session is closed."""
        limits, request = self._limits, self._request
        timeout = request.timeout
        watch = None if timeout is None else Watch(timeout, desk.clock)
        if watch is not None:
            self._watches.add(watch)
        session = None if self._client is not None else join()
        gate = Gate(limits.total, limits.per_host, limits.rate)
        attempt: Callable[[Job], Any]
        if session is not None:
            attempt = self._fetcher(session.client, gate, watch).attempt
        else:
            attempt = self._through_users_client(gate, watch)
        return self._inner.lanes(FetchDesk(desk, attempt), bound, _End(session, watch, over))

    def _through_users_client(self, gate: Gate, watch: Watch | None) -> Callable[[Job], Any]:
        try:
            port = adapted(self._client)
        except MisuseError as error:
            return _always(error)
        gate.beyond = gate_of(self._client, port)
        return self._fetcher(port, gate, watch).attempt

    def _fetcher(self, client: Client, gate: Gate, watch: Watch | None) -> Fetcher:
        robots = None
        if self.robot is not None:
            named = tuple(one for one in self._request.headers if one[0].lower() == "user-agent")
            asks = Request.of(headers=named, timeout=self._request.timeout, max_bytes=MOST, follow=5)
            reader = Fetcher(asks, client, gate)
            robots = Robots(self.robot, lambda url: reader.attempt(Job(url)))
        return Fetcher(self._request, client, gate, watch, in_turn=True, robots=robots)


class _End:
    """Called when no lane runs any more: leaves the session, and says that it is over once that is done."""

    def __init__(self, session: Session | None, watch: Watch | None, over: Callable[[], None]) -> None:
        self._session = session
        self._watch = watch
        self._over = over
        self._task: asyncio.Task[None] | None = None

    def __call__(self) -> None:
        if self._watch is not None:
            self._watch.close()
        if self._session is None:
            self._over()
        elif self._task is None:
            self._task = self._session.loop.create_task(self._leave(self._session))

    async def _leave(self, session: Session) -> None:
        try:
            await session.leave()
        finally:
            self._over()


class FetchDesk:
    """A run of a stream as its lanes see it: they get a `Job` for each URL, the run gets its URLs back."""

    is_async = True
    timeout: float | None = None

    def __init__(self, desk: Desk, attempt: Callable[[Job], Any]) -> None:
        self.fn = attempt
        self.clock: Clock = desk.clock
        self.context: Context = desk.context
        self.may_take_more: Callable[[], bool] = desk.may_take_more
        self.timed_out: Callable[..., BaseException] = desk.timed_out
        self.arm: Callable[[float], None] = desk.arm
        self._desk = desk
        self._paused: dict[int, Job] = {}
        #: Which lane ran last. Every request waits, so that the consumer's turns need not be told apart from others'.
        self.current: object = None

    def take(self) -> tuple[int, Any] | None:
        """The next URL as a job, which is the same for every attempt at it."""
        taken = self._desk.take()
        if taken is None:
            return None
        index, url = taken
        if self._paused and index in self._paused:
            return index, self._paused.pop(index)
        return index, Job(url)

    def returned(self, index: int, item: Job, value: Response, began: float, ended: float) -> None:
        """An attempt succeeded; its time runs from its first place."""
        self._desk.returned(index, item.url, value, began if item.began is None else item.began, ended)

    def raised(self, index: int, item: Job, error: BaseException, began: float, ended: float) -> None:
        """An attempt failed."""
        if getattr(error, "again_in", None) is not None:
            self._paused[index] = item
        self._desk.raised(index, _shy(item.url), error, began if item.began is None else item.began, ended)


class ShyUrl(str):
    """A URL that does not show its user and password in notes and logs; otherwise the very same text."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(without_credentials(str(self)))


def _shy(url: object) -> object:
    return ShyUrl(url) if type(url) is str and "@" in url else url


def _always(error: Exception) -> Callable[[Job], Any]:
    """Stands for a client that cannot be used."""

    async def attempt(job: Job) -> Response:
        raise error

    return attempt
