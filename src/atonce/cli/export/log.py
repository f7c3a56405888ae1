"""`--log FILE`: all events of a run, one JSON object a line, as they come."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from atonce._runtime.terminal import visible, without_credentials
from atonce.cli.exits import INPUT_OUTPUT, Refusal
from atonce.cli.export.exporter import Scene
from atonce.cli.journal import record
from atonce.cli.rows.text import reason
from atonce.cli.tally import Failure

#: Characters of an error's message that a line has at most.
LONGEST: Final = 2_000


class Log:
    """Appends to a file; lines reach it when the run shows progress, and at its end."""

    events: tuple[str, ...] = ("*",)

    def __init__(self, path: str, scene: Scene) -> None:
        self._path = path
        self._scene = scene
        self._began = time.perf_counter()
        self._tries: Counter[int] = Counter()
        self._lost: OSError | None = None
        try:
            self._file = open(path, "ab")  # noqa: SIM115  # it is closed at the end of the run
        except OSError as error:
            raise self._refusal(error) from None
        spec = scene.spec
        head = {"cmd": spec.verb, "spec": spec.hash, "does": list(spec.does), "input": scene.source}
        self._write("run.start", {**head, "started": record.instant(time.time())})
        self.tick()
        if self._lost is not None:
            self._shut()
            raise self._refusal(self._lost)

    def event(self, event: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        """One line; a task that is no item of the run is the program's own, and is left out."""
        if event.startswith("task."):
            if self._scene.is_item(event, metadata):
                self._write(event, self._of_item(event, measurements, metadata))
            return
        self._write(event, _fields(measurements, metadata))

    def _of_item(
        self, event: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any]
    ) -> dict[str, Any]:
        index: int = metadata["index"]
        found = dict(self._scene.item(index))
        if event == "task.start":
            return found
        found["try"] = self._tries.pop(index, 0) + 1
        if event == "task.retry":
            self._tries[index] = found["try"]
        return {**found, **_fields(measurements, {"error": metadata.get("error")})}

    def tick(self) -> None:
        """Bring the lines to the file."""
        try:
            self._file.flush()
        except OSError as error:
            self._lost = self._lost or error

    def close(self, why: str) -> None:
        """The last line."""
        tally = self._scene.tally
        end = {"done": tally.done, "ok": tally.ok, "failed": tally.failed, "retries": tally.retries}
        self._write("run.stop", {"why": why, **end})
        self.tick()
        self._shut()
        if self._lost is not None:
            raise self._refusal(self._lost)

    def _shut(self) -> None:
        """Close the file, which may still have something to write."""
        try:
            self._file.close()
        except OSError as error:
            self._lost = self._lost or error

    def _write(self, event: str, fields: Mapping[str, Any]) -> None:
        if self._lost is not None:
            return
        row = {"t": round(time.perf_counter() - self._began, 6), "event": event, **fields}
        try:
            self._file.write(_encoded(row))
        except OSError as error:
            self._lost = error

    def _refusal(self, error: OSError) -> Refusal:
        return Refusal(f"cannot write --log {visible(self._path)}: {reason(error)}", INPUT_OUTPUT)


def _fields(measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What an event says, in the words of records: `s` seconds, `err`."""
    found = {name: value for name, value in metadata.items() if name != "error" and value is not None}
    found.pop("index", None)
    for name, value in measurements.items():
        if name == "elapsed":
            found["s"] = round(value, 6)
        elif name != "time":
            found[name] = value
    if (error := metadata.get("error")) is not None:
        is_known = isinstance(error, Failure)
        found["err"] = error.record() if is_known else {"type": type(error).__name__, "msg": _message(error)}
    return found


def _message(error: object) -> str:
    return without_credentials(" ".join(str(error).split()))[:LONGEST]


def _encoded(row: Mapping[str, Any]) -> bytes:
    try:
        return record.encode(row)
    except ValueError:  # a number that JSON has no word for
        return record.encode({name: str(value) for name, value in row.items()})
