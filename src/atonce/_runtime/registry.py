"""Names of what runs long, unique in this process, so that it can be found."""

from __future__ import annotations

from typing import Any

from atonce._model.checks import label

_named: dict[str, Any] = {}


def register(name: str, thing: Any) -> None:
    """Give `thing` the name until `unregister`; ValueError when another one has it."""
    holder = _named.setdefault(name, thing)
    if holder is not thing:
        raise ValueError(f"the name {name!r} is taken by {holder!r}, which still runs; names are unique")


def unregister(name: str, thing: Any) -> None:
    """Free the name, if `thing` has it."""
    if _named.get(name) is thing:
        del _named[name]


def whereis(name: str) -> Any:
    """What runs under `name`, a supervisor, a server or an agent, or None; on the face on which it was made.

    Elixir: `GenServer.whereis/1`.

    >>> whereis("nobody") is None
    True
    """
    return _named.get(label("name", name) or "")
