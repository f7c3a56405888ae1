"""`Session`: a client of our own and its places, shared by all who fetch on one loop at the same time."""

from __future__ import annotations

import asyncio
import threading
from functools import cache
from typing import Any

from atonce.http.choose import own_library
from atonce.http.gate import Gate

#: Requests that lone `fetch` calls of one loop have under way together; the others wait for a place.
PLACES = 100


class Session:
    """Opened for the first who asks, closed by the last who leaves: nothing stays behind between two fetches.

    Calls that overlap share connections; one `fetch` after the other opens a connection each. `fetch_stream` and
    `parallel_fetch` keep it for their whole run.
    """

    __slots__ = ("client", "gate", "loop", "users")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self.client: Any = own_library().open_client(user_agent())
        self.gate: Gate = Gate(PLACES, None)
        self.users: int = 0

    async def leave(self) -> None:
        """Be done with it; the last one closes it, and waits until its connections are gone."""
        self.users -= 1
        if self.users:
            return
        if getattr(_here, "session", None) is self:
            _here.session = None
        await self.client.close()


class _Here(threading.local):
    session: Session | None = None


_here = _Here()


def join() -> Session:
    """The session of the running loop; whoever joins must `leave`."""
    loop = asyncio.get_running_loop()
    session = _here.session
    if session is None or session.loop is not loop:
        session = _here.session = Session(loop)
    session.users += 1
    return session


@cache
def user_agent() -> str:
    """How fetch introduces itself."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"atonce/{version('atonce')}"
    except PackageNotFoundError:
        return "atonce"
