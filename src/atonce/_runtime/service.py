"""What a supervisor can run again and again: a server, an agent, a supervisor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable


@runtime_checkable
class Service(Protocol):
    """Something that lives as long as one run of it, and can be run anew after that."""

    @property
    def name(self) -> str | None:
        """The name under which `whereis` finds it."""
        ...

    async def serve(self, ready: Callable[[], None]) -> None:
        """One run, from a fresh start to the end; calls `ready()` once it can be used.

        Raises what ended it badly. A cancel asks it to end in good order.
        """
        ...
