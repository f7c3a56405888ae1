"""Which client sends: a user's own, told by its class without importing its library, or one made here."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any
from weakref import WeakKeyDictionary

from atonce._model.checks import shown
from atonce._model.errors import MisuseError
from atonce.http.client import Client
from atonce.http.gate import Gate

_gates: WeakKeyDictionary[Any, Gate] = WeakKeyDictionary()


def gate_of(user_client: Any, client: Client) -> Gate | None:
    """The gate in front of a user's client that limits its connections, one for all who use the client.

    With it the wait for a free connection comes before the attempt, so that it does not count against the timeout.
    """
    total, per_host = client.limits
    if total is None and per_host is None:
        return None
    gate = _gates.get(user_client)
    if gate is None:
        gate = _gates[user_client] = Gate(total, per_host)
    return gate


def check_client(client: Any, verify: Any = True) -> None:
    """Check at the call that there will be a client: a user's that can be used, or aiohttp for one of our own."""
    if client is None:
        own_library()
        return
    if library_of(client) == "httpx" and verify is not True:
        raise ValueError("verify= belongs to the client here: make it with httpx.AsyncClient(verify=...)")
    if getattr(client, "closed", False) or getattr(client, "is_closed", False):
        raise MisuseError("client is closed: call fetch inside its `async with` block")


def library_of(client: Any) -> str:
    """Which library a user's client is of; `TypeError` says what can be used instead."""
    for cls in type(client).__mro__:
        library = cls.__module__.split(".")[0]
        if (library, cls.__name__) == ("aiohttp", "ClientSession"):
            return "aiohttp"
        if library in ("httpx", "httpx2") and cls.__name__ == "AsyncClient":
            return "httpx"
        if library in ("httpx", "httpx2") and cls.__name__ == "Client":
            raise TypeError(f"client is a {library}.Client, which blocks: pass a {library}.AsyncClient")
        if library in ("requests", "urllib3"):
            raise TypeError(
                f"client is of {library}, which blocks: pass an aiohttp.ClientSession or an httpx.AsyncClient, "
                "or leave client= out; to keep it, use parallel_map(urls, session.get)"
            )
    raise TypeError(
        f"client is an aiohttp.ClientSession or an httpx.AsyncClient (or httpx2); got {shown(client)}"
    )


def adapted(client: Any) -> Client:
    """The port to a user's client, which stays the user's: it is never closed here."""
    library = library_of(client)
    home = getattr(client, "_loop", None)
    if isinstance(home, asyncio.AbstractEventLoop) and home is not asyncio.get_running_loop():
        raise MisuseError(
            "client belongs to another event loop: make it where it is used, or leave client= out "
            "(atonce.blocking runs a loop of its own)"
        )
    if library == "httpx":
        module = importlib.import_module("atonce.http.httpx_client")
    else:
        module = importlib.import_module("atonce.http.aiohttp_client")
    made: Client = module.adapt(client)
    return made


def own_library() -> Any:
    """The room of the client that fetch makes for itself; without aiohttp an error that says what to install."""
    try:
        return importlib.import_module("atonce.http.aiohttp_client")
    except ModuleNotFoundError as error:
        if error.name != "aiohttp":
            raise
        raise ModuleNotFoundError(
            "fetch needs aiohttp: pip install 'atonce[http]' (or pass client=httpx.AsyncClient())",
            name="aiohttp",
        ) from None
