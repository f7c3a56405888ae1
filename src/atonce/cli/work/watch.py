"""What the program knows of the items on their way: the intake numbers them, the watch follows them by telemetry."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from atonce._runtime import telemetry
from atonce.cli.rows.block import Blocks
from atonce.cli.rows.keys import canonical
from atonce.cli.work.width import Width

_NO_LIMIT = 10**9


@dataclass(frozen=True, slots=True)
class Item:
    """One row: its place in the input, its key, what is recorded of it as `in`, and the host that it concerns."""

    i: int
    key: str | None
    shown: Any
    host: str | None = None

    @property
    def text(self) -> str:
        """As it is shown to people."""
        return self.shown if isinstance(self.shown, str) else canonical(self.shown)


def _as_it_is(row: Any) -> Any:
    return row


def _no_host(row: Any) -> None:
    return None


class Intake:
    """Blocks of rows as a stream takes them, one by one; what has been taken is found here by its number in the
    stream until it is done.

    `argument` makes the stream's item of a row (`with_place`: it and the row's place), `shown` what is recorded of it.
    `width` holds rows back while enough are taken, as long as `is_wanted()`.
    """

    def __init__(
        self,
        blocks: Blocks,
        *,
        argument: Callable[[Any], Any] = _as_it_is,
        shown: Callable[[Any], Any] = _as_it_is,
        host_of: Callable[[Any], str | None] = _no_host,
        with_place: bool = False,
        width: Width | None = None,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        self.taken: dict[int, Item] = {}
        self._blocks = blocks
        self._argument = argument
        self._shown = shown
        self._host_of = host_of
        self._with_place = with_place
        self._width = width
        self._is_wanted = is_wanted

    def __iter__(self) -> Iterator[Any]:
        index = 0
        for block in self._blocks:
            for n, row in enumerate(block.rows):
                if self._width is not None:
                    self._width.wait(self.taken.__len__, self._is_wanted)
                key = None if block.keys is None else block.keys[n]
                self.taken[index] = Item(block.places[n], key, self._shown(row), self._host_of(row))
                index += 1
                argument = self._argument(row)
                yield (argument, block.places[n]) if self._with_place else argument

    def pop(self, index: int) -> Item:
        """What has ended."""
        item = self.taken.pop(index)
        if self._width is not None:
            self._width.ended()
        return item


class Watch:
    """Follows one stream: which items run, how many for each host, who asked to slow down, how long retries took."""

    def __init__(self, name: str, taken: Mapping[int, Item], jobs: int, per_host: int | None) -> None:
        self.running: dict[int, float] = {}
        self.slowed: set[str] = set()
        self.began: float = 0.0
        self._name = name
        self._taken = taken
        self._jobs = jobs
        self._per_host = per_host or _NO_LIMIT
        self._hosts: Counter[str | None] = Counter()
        self._busy = 0
        self._first: dict[int, float] = {}
        self._spans: dict[int, float] = {}
        self._ends: dict[int, float] = {}

    def busy(self) -> int:
        """How many have a place; the others wait for one at their host."""
        return min(self._jobs, self._busy)

    def span(self, index: int, last: float) -> float:
        """Seconds from the start of the first attempt, where there were several; else those of the `last`."""
        return self._spans.pop(index, last)

    def ended(self, index: int) -> float | None:
        """When it ended, in seconds since the block of `attached` began; None where nobody saw it."""
        return self._ends.pop(index, None)

    @contextmanager
    def attached(self) -> Generator[None]:
        """Listen for as long as the block lasts."""
        self.began = asyncio.get_running_loop().time()
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
            self._ends[index] = now - self.began
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
