"""What the program knows of the items on their way: the intake numbers them, the watch follows them by telemetry."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from atonce._runtime import telemetry
from atonce.cli.record import Keys
from atonce.cli.terminal import without_credentials

_NO_LIMIT = 10**9


@dataclass(frozen=True, slots=True)
class Item:
    """One row of the input: its number, its key, as it is shown and recorded, and the host it concerns."""

    i: int
    key: str
    shown: str
    host: str | None


class Intake:
    """The input as a stream takes it, lazily; what has been taken is found here by its number until it is done."""

    def __init__(self, source: Iterable[str], host_of: Callable[[str], str | None]) -> None:
        self.taken: dict[int, Item] = {}
        self._source = source
        self._host_of = host_of

    def __iter__(self) -> Iterator[str]:
        keys = Keys()
        for i, text in enumerate(self._source):
            shown = without_credentials(text)
            self.taken[i] = Item(i, keys.of(shown), shown, self._host_of(text))
            yield text


class Watch:
    """Follows one stream: which items run, how many for each host, who asked to slow down, how long retries took."""

    def __init__(self, name: str, taken: Mapping[int, Item], jobs: int, per_host: int | None) -> None:
        self.running: dict[int, float] = {}
        self.slowed: set[str] = set()
        self._name = name
        self._taken = taken
        self._jobs = jobs
        self._per_host = per_host or _NO_LIMIT
        self._hosts: Counter[str | None] = Counter()
        self._busy = 0
        self._first: dict[int, float] = {}
        self._spans: dict[int, float] = {}

    def busy(self) -> int:
        """How many have a place; the others wait for one at their host."""
        return min(self._jobs, self._busy)

    def span(self, index: int, last: float) -> float:
        """Seconds from the start of the first attempt, where there were several; else those of the `last`."""
        return self._spans.pop(index, last)

    @contextmanager
    def attached(self) -> Generator[None]:
        """Listen for as long as the block lasts."""
        telemetry.attach("atonce.cli", "task.*", self._told)
        try:
            yield
        finally:
            telemetry.detach("atonce.cli")

    def _told(self, event: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        if metadata.get("name") != self._name or "index" not in metadata:
            return
        index: int = metadata["index"]
        now = asyncio.get_running_loop().time()
        if event == "task.start":
            self.running[index] = now
            self._at(index, 1)
        elif event == "task.retry":
            self._first.setdefault(index, now - measurements["elapsed"])
            self._note(index, metadata["error"])
        elif self.running.pop(index, None) is not None:
            self._at(index, -1)
            first = self._first.pop(index, None)
            if first is not None:
                self._spans[index] = now - first

    def _at(self, index: int, change: int) -> None:
        """One more or less for a host; beyond `per_host` it is not busy but waiting."""
        host = self._taken[index].host
        before = min(self._hosts[host], self._per_host)
        self._hosts[host] += change
        self._busy += min(self._hosts[host], self._per_host) - before
        if not self._hosts[host]:
            del self._hosts[host]

    def _note(self, index: int, error: BaseException) -> None:
        host = self._taken[index].host
        if getattr(error, "status", None) == 429 and host is not None:
            self.slowed.add(host)
