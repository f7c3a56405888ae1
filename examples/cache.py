"""A supervised cache: values live for a while, and each key is loaded at most once at a time, whoever asks for it.

    python examples/cache.py

The cache is a `Server`. It never waits for a load: it keeps the callers, lets a task do the work, and answers all of
them when the result comes back as a message. A load that fails fails its callers and nobody else. Should the cache
itself fail, its supervisor starts it again, empty, and whoever holds it goes on using the same object.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from time import perf_counter
from typing import Any

from atonce import NO_REPLY, Child, Ok, Outcome, Server, Supervisor, Task, TaskStopped, spawn


class Cache(Server):
    """Values by key, each for `ttl` seconds, at most `limit` of them; `load(key)` makes one that is missing.

    `load` may be an `async def`, or a plain function, which runs in a thread.
    """

    def init(
        self,
        load: Callable[[Any], Any] | Callable[[Any], Awaitable[Any]],
        ttl: float = 60.0,
        limit: int = 1_000,
    ) -> None:
        self.load, self.ttl, self.limit = load, ttl, limit
        self.clock = asyncio.get_running_loop().time
        #: The value and the time of its end; all live equally long, so the first is the next to go.
        self.entries: dict[Hashable, tuple[Any, float]] = {}
        #: Who waits for a key that is being loaded.
        self.waiting: dict[Hashable, list[Any]] = {}
        self.sweeper = self.send_after(ttl, "sweep")

    # -- what its users call ------------------------------------------------------------------------------------

    async def get(self, key: Hashable, timeout: float | None = 5.0) -> Any:
        """The value of `key`, loaded when it is not there; raises what `load` raised."""
        outcome: Outcome[Any] = await self.call(("get", key), timeout)
        return outcome.unwrap()

    async def put(self, key: Hashable, value: Any) -> None:
        """Set a value; one that is being loaded meanwhile does not replace it."""
        await self.call(("put", key, value))

    async def size(self) -> int:
        """How many values there are."""
        count: int = await self.call(("size",))
        return count

    # -- its handlers -------------------------------------------------------------------------------------------

    def handle_call(self, request: Any, caller: Any) -> Any:
        match request:
            case ("get", key):
                return self.found(key, caller)
            case ("put", key, value):
                return self.keep(key, value)
            case ("size",):
                self.drop_the_old()
                return len(self.entries)
        raise ValueError(f"a cache does not understand {request!r}")

    def handle_info(self, message: Any) -> None:
        match message:
            case ("loaded", key, outcome):
                self.loaded(key, outcome)
            case "sweep":
                self.drop_the_old()
                self.sweep_later()

    def found(self, key: Hashable, caller: Any) -> Any:
        """Answer now, or when the value is there; the first to ask has it loaded."""
        self.drop_the_old()
        if key in self.entries:
            return Ok(self.entries[key][0])
        if key not in self.waiting:
            self.waiting[key] = []
            spawn(self.load, key).add_done_callback(partial(self.tell, key))
        self.waiting[key].append(caller)
        return NO_REPLY

    def tell(self, key: Hashable, task: Task[Any]) -> None:
        """A load is over; the handlers hear of it in their turn."""
        self.send_after(0, ("loaded", key, task.outcome()))

    def loaded(self, key: Hashable, outcome: Outcome[Any]) -> None:
        """Keep the value, unless a newer one was put, and answer all who wait."""
        if key in self.entries:
            outcome = Ok(self.entries[key][0])
        elif outcome.ok:
            self.keep(key, outcome.unwrap())
        for caller in self.waiting.pop(key):
            caller.reply(outcome)

    def keep(self, key: Hashable, value: Any) -> None:
        """Set a value; the oldest goes when there are too many."""
        self.entries.pop(key, None)
        self.entries[key] = (value, self.clock() + self.ttl)
        if len(self.entries) > self.limit:
            del self.entries[next(iter(self.entries))]
        if len(self.entries) == 1:
            self.sweep_later()

    def drop_the_old(self) -> None:
        """Drop the values whose time is over."""
        now = self.clock()
        while self.entries:
            key = next(iter(self.entries))
            if self.entries[key][1] > now:
                return
            del self.entries[key]

    def sweep_later(self) -> None:
        """Look again when the next value is due, so that an idle cache gets empty too."""
        if self.entries:
            _, due = next(iter(self.entries.values()))
            self.sweeper.cancel()
            self.sweeper = self.send_after(max(0.0, due - self.clock()), "sweep")


async def slow_square(number: int) -> int:
    """Something that is worth keeping."""
    print(f"  loading {number}")
    await asyncio.sleep(0.2)
    if number < 0:
        raise ValueError(f"no square of {number} today")
    return number * number


async def main() -> None:
    """Ask for the same few values many times, let them grow old, and break the cache."""
    cache = Cache(slow_square, ttl=1.0)
    async with Supervisor(children=[Child(cache)]):
        print("100 ask for 4 values:")
        began = perf_counter()
        await asyncio.gather(*(cache.get(n % 4) for n in range(100)))
        print(f"  {await cache.size()} values after {perf_counter() - began:.1f} s")

        print("a load that fails:")
        try:
            await cache.get(-1)
        except ValueError as error:
            print(f"  {error}; {await cache.size()} values are still there")

        print("after a while:")
        await asyncio.sleep(1.0)
        print(f"  {await cache.size()} values")

        print("a request that breaks it:")
        await cache.put("answer", 42)
        for request in ("nonsense", ("size",)):
            try:
                await cache.call(request)
            except (ValueError, TaskStopped) as error:
                print(f"  {type(error).__name__}: {error}")
        await asyncio.sleep(0.1)
        print(f"  started again, with {await cache.size()} values")


if __name__ == "__main__":
    # The supervisor logs the failure that it heals, with a traceback that would drown this tour.
    logging.getLogger("atonce").setLevel(logging.CRITICAL)
    asyncio.run(main())
