"""Ask a server that holds state, one call after another and many at once, against actors of asyncio, pykka, Elixir."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import elixir_peer
from harness import Absent, Contender, Section, Target, announce, finish, in_thread, measure, on_loop, options

CLIENTS = 10
BOUND = 10_000
TIMEOUT = 5.0
HAND, TIMED, PYKKA = "asyncio.Queue+Future actor", "the same, asyncio.timeout a call", "pykka ask"


# -- the subject --------------------------------------------------------------------------------------------------


def counting(waits: bool = False) -> Any:
    """A server that adds up what it is called with; `waits`: by an `async def` handler."""
    from atonce import Server

    class Plain(Server):
        def init(self) -> None:
            self.total = 0

        def handle_call(self, request: int, caller: Any) -> int:
            self.total += request
            return self.total

        def handle_cast(self, message: int) -> None:
            self.total += message

    class Async(Plain):
        async def handle_call(self, request: int, caller: Any) -> int:  # type: ignore[override]  # an async twin
            self.total += request
            return self.total

    return Async() if waits else Plain()


async def by_atonce(items: int, *, waits: bool = False, clients: int = 1) -> int:
    """Calls of an `atonce.Server`."""
    async with counting(waits) as server:
        return await shared_out(server.call, items, clients)


async def by_cast(items: int) -> int:
    """Casts, and a call at the end, which comes after all of them."""
    async with counting().options(max_mailbox=1_000_000) as server:
        for _ in range(items):
            server.cast(1)
        total: int = await server.call(0, None)
        return total


async def shared_out(call: Callable[[int], Awaitable[int]], items: int, clients: int) -> int:
    """So many calls, made by so many clients, each of which waits for its answer; gives the highest total."""

    async def client(calls: int) -> int:
        total = 0
        for _ in range(calls):
            total = await call(1)
        return total

    if clients == 1:
        return await client(items)
    share, rest = divmod(items, clients)
    return max(await asyncio.gather(*(client(share + (n < rest)) for n in range(clients))))


# -- what a programmer would write --------------------------------------------------------------------------------


class HandMade:
    """An actor as many write it: a bounded queue, a task that takes from it, a future for each answer."""

    def __init__(self) -> None:
        self.total = 0
        self.queue: asyncio.Queue[tuple[int, asyncio.Future[int] | None]] = asyncio.Queue(BOUND)

    def handle(self, request: int) -> int:
        """Do the same as the subject's handler."""
        self.total += request
        return self.total

    async def handle_later(self, request: int) -> int:
        """The same as an `async def`."""
        return self.handle(request)

    async def serve(self, waits: bool) -> None:
        """Answer one request after another; a handler that raises fails its caller."""
        while True:
            request, answer = await self.queue.get()
            try:
                result = await self.handle_later(request) if waits else self.handle(request)
            except Exception as error:
                if answer is not None and not answer.done():
                    answer.set_exception(error)
            else:
                if answer is not None and not answer.done():
                    answer.set_result(result)

    async def call(self, request: int) -> int:
        """Ask, without a limit of time."""
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        await self.queue.put((request, answer))
        return await answer

    async def timed_call(self, request: int) -> int:
        """Ask, for 5 seconds at most."""
        async with asyncio.timeout(TIMEOUT):
            return await self.call(request)


async def by_hand(items: int, *, timed: bool = False, waits: bool = False, clients: int = 1) -> int:
    """Calls of the hand-made actor."""
    actor = HandMade()
    task = asyncio.create_task(actor.serve(waits))
    try:
        return await shared_out(actor.timed_call if timed else actor.call, items, clients)
    finally:
        task.cancel()


async def by_hand_cast(items: int) -> int:
    """Messages that nobody waits for, and one call at the end."""
    actor = HandMade()
    actor.queue = asyncio.Queue(1_000_000)
    task = asyncio.create_task(actor.serve(False))
    for _ in range(items):
        actor.queue.put_nowait((1, None))
    total = await actor.call(0)
    task.cancel()
    return total


def by_pykka(items: int) -> int:
    """pykka's actor is a thread; its `ask` waits for the answer."""
    try:
        import pykka
    except ImportError as missing:
        raise Absent("pykka is not installed") from missing

    class Counting(pykka.ThreadingActor):
        def __init__(self) -> None:
            super().__init__()
            self.total = 0

        def on_receive(self, message: int) -> int:
            self.total += message
            return self.total

    actor = Counting.start()
    try:
        total = 0
        for _ in range(items):
            total = actor.ask(1, timeout=TIMEOUT)
        return total
    finally:
        actor.stop()


def by_blocking(items: int) -> int:
    """The blocking face: a plain thread asks a server on the private loop."""
    from atonce import blocking

    class Counting(blocking.Server):
        def init(self) -> None:
            self.total = 0

        def handle_call(self, request: int, caller: Any) -> int:
            self.total += request
            return self.total

    with Counting() as server:
        total = 0
        for _ in range(items):
            total = server.call(1)
        return total


# -- agents -------------------------------------------------------------------------------------------------------


async def by_update(items: int) -> int:
    """Updates of an `atonce.Agent`, and one get."""
    from atonce import Agent

    async with Agent(int) as agent:
        for _ in range(items):
            await agent.update(lambda n: n + 1)
        return await agent.get(lambda n: n)


async def by_get(items: int) -> int:
    """Gets of an `atonce.Agent`."""
    from atonce import Agent

    done = 0
    async with Agent(lambda: 1) as agent:
        for _ in range(items):
            done += await agent.get(lambda n: n)
    return done


async def by_lock(items: int) -> int:
    """What takes an agent's place within one program: a value and an `asyncio.Lock`."""
    lock, total = asyncio.Lock(), 0
    for _ in range(items):
        async with lock:
            total = await incremented(total)
    return total


async def incremented(n: int) -> int:
    """The function that is sent to an agent."""
    return n + 1


def sections(given: Any) -> list[Section]:
    """All comparisons of this topic."""
    items = given.count(50_000)
    targets = [Target(HAND, 2.0), Target(PYKKA, 0.2)]
    hand, timed = (
        Contender(HAND, on_loop(by_hand)),
        Contender(TIMED, on_loop(lambda n: by_hand(n, timed=True))),
    )
    pykka = Contender(PYKKA, in_thread(by_pykka), "a thread", 10_000)
    call = elixir_peer.contender("Elixir GenServer.call", "server_call")

    def contended(waits: bool) -> list[Contender]:
        return [
            Contender("atonce", on_loop(lambda n: by_atonce(n, waits=waits, clients=CLIENTS))),
            Contender(HAND, on_loop(lambda n: by_hand(n, waits=waits, clients=CLIENTS))),
            Contender(TIMED, on_loop(lambda n: by_hand(n, timed=True, waits=waits, clients=CLIENTS))),
        ]

    return [
        measure(
            "Call a server with a `def` handler, and wait for the reply",
            [Contender("atonce", on_loop(by_atonce), "5 s for each call"), hand, timed, pykka, call],
            given,
            items=items,
            targets=targets,
        ),
        measure(
            "Call a server with an `async def` handler, and wait for the reply",
            [
                Contender("atonce", on_loop(lambda n: by_atonce(n, waits=True)), "5 s for each call"),
                Contender(HAND, on_loop(lambda n: by_hand(n, waits=True))),
                Contender(TIMED, on_loop(lambda n: by_hand(n, waits=True, timed=True))),
                call,
            ],
            given,
            items=items,
            targets=targets[:1],
        ),
        measure(
            f"{CLIENTS} clients call one server with a `def` handler", contended(False), given, items=items
        ),
        measure(
            f"{CLIENTS} clients call one server with an `async def` handler",
            contended(True),
            given,
            items=items,
            targets=[Target(HAND, 2.0)],
        ),
        measure(
            "Cast messages, and have them handled",
            [
                Contender("atonce", on_loop(by_cast)),
                Contender("asyncio.Queue actor, put_nowait", on_loop(by_hand_cast)),
                elixir_peer.contender("Elixir GenServer.cast", "server_cast"),
            ],
            given,
            items=items,
        ),
        measure(
            "Call from a plain thread, and wait for the reply",
            [Contender("atonce", in_thread(by_blocking), "atonce.blocking"), pykka],
            given,
            items=given.count(10_000),
        ),
        measure(
            "Update the state of an agent",
            [
                Contender("atonce", on_loop(by_update)),
                Contender("a value and an asyncio.Lock", on_loop(by_lock), "no mailbox, no limit"),
                elixir_peer.contender("Elixir Agent.update", "agent_update"),
            ],
            given,
            items=items,
        ),
        measure(
            "Get the state of an agent",
            [Contender("atonce", on_loop(by_get)), elixir_peer.contender("Elixir Agent.get", "agent_get")],
            given,
            items=items,
        ),
    ]


def main() -> None:
    """Run all comparisons of this topic."""
    given = options(__doc__)
    announce("server")
    finish("server", sections(given), given)


if __name__ == "__main__":
    main()
