"""The tasks that were spawned on one loop, and the handles on them."""

from __future__ import annotations

import asyncio
from typing import Any

from atonce._backends import wire
from atonce._backends.contract import Receiver
from atonce._backends.process_feed import HEAVY, Feeder
from atonce._backends.process_handle import Handle
from atonce._backends.process_values import error_of, value_of
from atonce._model.errors import NotSerializable


class TaskFeeder(Feeder):
    """The tasks that were spawned on one loop: each call by itself, first come, first served."""

    def submit(self, frame: Any, to: Receiver) -> Job:
        """Queue one call."""
        job = Job(self, frame, to)
        self.back.append(job)
        self.serve()
        return job

    def key(self, entry: Any) -> Any:
        return entry

    def call_name(self, entry: Any) -> str:
        return str(getattr(entry._to, "name", ""))

    def encode(self, entries: list[Any], frames: list[Any]) -> tuple[list[Any], bool]:
        heavy = False
        for job in entries:
            frame = job.frame
            frames.append(frame)
            heavy = heavy or type(frame) is not bytes or len(frame) > HEAVY
        return entries, heavy

    def introduce(self, worker: Handle) -> list[Any]:
        known, worker.knows = worker.knows, None
        return [] if known is None else [wire.FORGOTTEN]

    def settle(self, entry: Any, reply: tuple[Any, ...]) -> None:
        job: Job = entry
        kind, began, _, data, buffers = reply
        to = job.ended()
        to.began = began
        if kind == wire.VALUE:
            try:
                value = value_of(data, buffers)
            except NotSerializable as error:
                to.raised(error)
            else:
                to.returned(value)
        else:
            to.raised(error_of(kind, data))

    def fail(self, entry: Any, error: BaseException) -> None:
        entry.ended().raised(error)


class Job:
    """One spawned call, and the handle on it; its frame is kept until it ends, since it may have to be sent again."""

    __slots__ = ("_feeder", "_kill", "_to", "frame")

    def __init__(self, feeder: TaskFeeder, frame: Any, to: Receiver) -> None:
        self._feeder: TaskFeeder = feeder
        self._to: Receiver | None = to
        self._kill: asyncio.TimerHandle | None = None
        self.frame: Any = frame

    def ended(self) -> Receiver:
        """It ended: let go of everything, and give who is to be told."""
        to, self._to = self._to, None
        assert to is not None
        self.frame = b""
        if self._kill is not None:
            self._kill.cancel()
        self._feeder.stopped.discard(self)
        self._feeder.deaths.pop(self, None)
        return to

    def cancel(self) -> None:
        """Take it out of the queue, or kill the worker that it runs in; its end is told when it is over."""
        feeder = self._feeder
        worker = self._worker()
        if worker is not None and not worker.dying:
            feeder.station.drain(worker)
        if self._to is not None and self not in feeder.stopped and feeder.end(self._worker(), self):
            feeder.fail(self, asyncio.CancelledError())

    def ask(self, grace: float) -> None:
        """As `cancel`, after `grace` seconds where the call has ever looked whether it should end."""
        worker = self._worker()
        if worker is not None and worker.outstanding[0] is self and worker.looks():
            worker.ask()
            self._kill = self._feeder.station.loop.call_later(grace, self.cancel)
        else:
            self.cancel()

    def _worker(self) -> Handle | None:
        feeder = self._feeder
        return next((one for one in (*feeder.workers, *feeder.dying) if self in one.outstanding), None)

    def look(self) -> float | None:
        """When it began, if it has."""
        worker = self._worker()
        return worker.counts_from() if worker is not None and worker.outstanding[0] is self else None
