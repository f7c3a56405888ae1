"""`Gate`: places for running requests, in all and for each host, and the pace at which they start."""

from __future__ import annotations

import asyncio
from collections import deque

from atonce._model.options import Rate
from atonce._policy.rate import Pacer
from atonce._runtime.clock import clock_of

Place = tuple[str, int]
NO_LIMIT = 10**9


class Gate:
    """At most `total` requests at a time, and at most `per_host` to the same host and port.

    Whoever waits for a busy host does not keep others from theirs. Who came first to a host goes first, and no host
    starves: places go to the hosts that are not busy in the order in which they could first be used. `beyond` is a
    further gate to pass (the limits of a client that is shared).
    """

    def __init__(self, total: int | None, per_host: int | None, rate: Rate | None = None) -> None:
        self._free = total or NO_LIMIT
        self._per_host = per_host or NO_LIMIT
        self._pacer = Pacer(rate) if rate is not None else None
        self.beyond: Gate | None = None
        self._busy: dict[Place, int] = {}
        self._waiting: dict[Place, deque[asyncio.Future[None]]] = {}
        self._turn: deque[Place] = deque()
        #: Until when nobody goes to a host.
        self._held: dict[Place, float] = {}

    async def enter(self, place: Place) -> bool:
        """Wait for a place, and tell whether that took a wait; a cancel takes none."""
        waits = False
        while True:
            if self._held and place in self._held:
                await self._rest(place)
                waits = True
            waits = await self._enter(place) or waits
            if not (self._held and place in self._held):
                return waits
            self.leave(place)

    def hold(self, place: Place, seconds: float) -> None:
        """Let nobody begin a request to a host for so long."""
        until = clock_of(asyncio.get_running_loop())() + seconds
        self._held[place] = max(until, self._held.get(place, 0.0))

    async def _rest(self, place: Place) -> None:
        """Wait, without a place, until nobody holds the host."""
        clock = clock_of(asyncio.get_running_loop())
        while (left := self._held.get(place, 0.0) - clock()) > 0.0:  # noqa: ASYNC110  # it may grow
            await asyncio.sleep(left)
        self._held.pop(place, None)

    async def _enter(self, place: Place) -> bool:
        busy = self._busy.get(place, 0)
        waits = not self._free or busy >= self._per_host
        if waits:
            await self._queue(place)
        else:
            self._free -= 1
            self._busy[place] = busy + 1
        if self._pacer is None and self.beyond is None:
            return waits
        try:
            await self._go_on(place)
        except BaseException:
            self._return(place)
            raise
        return True

    def leave(self, place: Place) -> None:
        """Give a place back."""
        if self.beyond is not None:
            self.beyond.leave(place)
        self._return(place)

    def is_idle(self) -> bool:
        """Whether nobody has a place or waits for one."""
        return not self._busy and not self._waiting

    async def _go_on(self, place: Place) -> None:
        """What comes after the place: the pace, and the further gate."""
        if self._pacer is not None:
            now = clock_of(asyncio.get_running_loop())()
            wait = self._pacer.wait(now)
            self._pacer.start(now)
            if wait > 0.0:
                await asyncio.sleep(wait)
        if self.beyond is not None:
            await self.beyond.enter(place)

    async def _queue(self, place: Place) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(place, deque()).append(future)
        if self._busy.get(place, 0) < self._per_host:
            self._turn.append(place)
        try:
            await future
        except BaseException:
            if future.done() and not future.cancelled():
                self._return(place)
            else:
                self._forget(place, future)
            raise

    def _forget(self, place: Place, future: asyncio.Future[None]) -> None:
        queue = self._waiting.get(place)
        if queue is not None and future in queue:
            queue.remove(future)
            if not queue:
                del self._waiting[place]

    def _return(self, place: Place) -> None:
        busy = self._busy[place] - 1
        if busy:
            self._busy[place] = busy
        else:
            del self._busy[place]
        self._free += 1
        if self._waiting:
            if place in self._waiting:
                self._turn.append(place)
            self._admit()

    def _admit(self) -> None:
        """Give the free places to the hosts in turn; an entry in `_turn` is a hint that is looked at again."""
        while self._free and self._turn:
            place = self._turn.popleft()
            queue = self._waiting.get(place)
            busy = self._busy.get(place, 0)
            if queue is None or busy >= self._per_host:
                continue
            future = queue.popleft()
            if not queue:
                del self._waiting[place]
            if future.done():
                self._turn.append(place)
                continue
            self._free -= 1
            self._busy[place] = busy + 1
            future.set_result(None)
            if queue and busy + 1 < self._per_host:
                self._turn.append(place)
