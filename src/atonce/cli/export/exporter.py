"""`Exporter`: one way of telling others what a run does, while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from atonce._runtime import telemetry
from atonce.cli.exits import Refusal
from atonce.cli.journal.spec import Spec
from atonce.cli.tally import Tally


@dataclass(frozen=True, slots=True)
class Scene:
    """What an exporter may look at; `item` gives what is known of an item on its way by its number in the stream."""

    spec: Spec
    source: str | None
    tally: Tally
    busy: Callable[[], int]
    item: Callable[[int], Mapping[str, Any]]

    def is_item(self, event: str, metadata: Mapping[str, Any]) -> bool:
        """Whether an event is of an item, and not of a task that the program has for itself."""
        return event.startswith("task.") and metadata.get("name") == self.spec.verb and "index" in metadata


class Exporter(Protocol):
    """One way of telling others."""

    #: The events that it wants, as `telemetry.attach` takes them.
    events: tuple[str, ...]

    def event(self, event: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        """Something has happened."""
        ...

    def tick(self) -> None:
        """Some time has passed."""
        ...

    def close(self, why: str) -> None:
        """The run is over; `Refusal` where not everything could be told."""
        ...


@contextmanager
def attached(exporters: Sequence[Exporter]) -> Generator[None]:
    """Let them hear of events for as long as the block lasts."""
    names = [f"atonce.cli.export.{number}" for number in range(len(exporters))]
    try:
        for name, exporter in zip(names, exporters, strict=True):
            if exporter.events:
                telemetry.attach(name, exporter.events, exporter.event)
        yield
    finally:
        for name in names:
            telemetry.detach(name)


def close(exporters: Sequence[Exporter], why: str) -> Refusal | None:
    """Close all of them; gives the first complaint."""
    lost = None
    for exporter in exporters:
        try:
            exporter.close(why)
        except Refusal as error:
            lost = lost or error
    return lost
