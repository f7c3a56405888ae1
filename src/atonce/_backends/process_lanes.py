"""Lanes for processes: one run of a stream, whose items go to several workers, each in its own pipe."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from atonce._backends import pickling, wire
from atonce._backends.contract import Desk
from atonce._backends.process_feed import HEAVY, Feeder, Workers
from atonce._backends.process_handle import Handle
from atonce._backends.process_values import check_reply, error_of, function_frame, item_frame, value_of
from atonce._model.call import fn_name
from atonce._model.errors import NotSerializable, TaskStopped

_NUMBERS = frozenset({int, float, bool, complex, type(None)})
_TEXTS = frozenset({str, bytes})
_SHORT = 1_000

#: The (worker, index) of an item that runs.
Key = tuple[Handle | None, int]


class ProcessLanes(Feeder):
    """Serves one run of a stream. An entry is the (index, item) that the desk gave; it is pickled when it is sent."""

    def __init__(self, station: Workers, bound: int, desk: Desk, over: Callable[[], None]) -> None:
        super().__init__(station, bound)
        self.desk = desk
        self.fresh: Callable[[], Any] = desk.take  # not a method around it: this is the path of every item
        self._over = over
        self._scheduled = False
        self._large = False
        self._function: Any = function_frame(desk.fn, desk.is_async, desk.context)

    # -- giving and hearing -------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Give out what there is at the end of this turn, once however often it is called."""
        if not self._scheduled and not self.stopping:
            self._scheduled = True
            self.station.loop.call_soon(self._awake)

    def _awake(self) -> None:
        self._scheduled = False
        self.serve()

    def key(self, entry: Any) -> Any:
        return entry[0]

    def call_name(self, entry: Any) -> str:
        return f"{fn_name(self.desk.fn)}[{entry[0]}]"

    def introduce(self, worker: Handle) -> list[Any]:
        if worker.knows is self:
            return []
        worker.knows = self
        return [self._function]

    def encode(self, entries: list[Any], frames: list[Any]) -> tuple[list[Any], bool]:
        """Short texts and numbers travel together in one pickle, anything else in one of its own."""
        if self.desk.timeout is not None and entries:
            self.desk.arm(self.desk.clock())
        items = [item for _, item in entries]
        if all(type(one) in _NUMBERS or (type(one) in _TEXTS and len(one) < _SHORT) for one in items):
            if items:
                frames.append(wire.frame(wire.ITEMS, pickling.dump_list(items), []))
            return entries, False
        sent: list[Any] = []
        heavy = False
        for entry in entries:
            try:
                frame = item_frame(entry[1], self._large)
            except NotSerializable as error:
                self.fail(entry, error)
            else:
                sent.append(entry)
                frames.append(frame)
                self._large = type(frame) is not bytes
                heavy = heavy or self._large or len(frame) > HEAVY
        return sent, heavy

    def told(self, worker: Handle, replies: list[tuple[Any, ...]]) -> None:
        """The common answer is told here, all others by `settle`: this is the path of every item."""
        take, returned, loads = worker.outstanding.popleft, self.desk.returned, pickling.loads
        for reply in replies:
            kind, began, ended, data, buffers = reply
            if kind != wire.VALUE or not began <= ended:
                check_reply(kind, began, ended)
            worker.runs += 1
            if kind != wire.VALUE or buffers or self.stopped or self.stopping:
                self.settle(take(), reply)
                continue
            try:
                value = loads(data)
            except BaseException:
                self.settle(take(), reply)
            else:
                index, item = take()
                returned(index, item, value, began, ended)

    def settle(self, entry: Any, reply: tuple[Any, ...]) -> None:
        index, item = entry
        if self.stopping or (self.stopped and index in self.stopped):
            return
        kind, began, ended, data, buffers = reply
        if kind == wire.VALUE:
            try:
                value = pickling.loads(data, buffers=buffers)
            except BaseException:
                self.desk.raised(index, item, _unloadable(data, buffers), began, ended)
            else:
                self.desk.returned(index, item, value, began, ended)
        else:
            self.desk.raised(index, item, _named(error_of(kind, data)), began, ended)

    def fail(self, entry: Any, error: BaseException) -> None:
        index, item = entry
        if not self.stopping and index not in self.stopped:
            now = self.desk.clock()
            self.desk.raised(index, item, _named(error), now, now)

    # -- lanes --------------------------------------------------------------------------------------------------

    def running(self) -> list[tuple[float, Any]]:
        """What has begun; what waits in a worker has not."""
        return [
            (began, (worker, worker.outstanding[0][0]))
            for worker in self.workers
            if (began := worker.counts_from()) is not None
        ]

    def still(self, began: float, key: Any) -> bool:
        worker, index = key
        return not worker.dying and worker.counts_from() == began and worker.outstanding[0][0] == index

    def find(self, index: int) -> Any:
        for worker in self.workers:
            if any(entry[0] == index for entry in worker.outstanding):
                return worker, index
        return (None, index) if any(entry[0] == index for entry in self.back) else None

    def expire(self, key: Any) -> None:
        """End an item: its place is free at once, and its worker is killed and replaced."""
        worker: Handle | None
        worker, index = key
        began = None
        if worker is not None and not worker.dying:
            began = worker.counts_from()
            self.station.drain(worker)
        entry = self._entry(worker, index)
        if entry is None or index in self.stopped or self.stopping:
            return  # its result was there, or its end is near
        now = self.desk.clock()
        self.end(worker, entry)
        self.desk.raised(index, entry[1], self.desk.timed_out(index, abandoned=False), began or now, now)
        self.wake()

    def _entry(self, worker: Handle | None, index: int) -> Any:
        places = (*self.back, *(worker.outstanding if worker is not None else ()))
        return next((entry for entry in places if entry[0] == index), None)

    def stop(self) -> None:
        self.stopping = True
        for worker in tuple(self.workers):
            self.take_back(worker)
            if worker.outstanding:
                self.kill(worker)
            else:
                self.leave(worker)
        self.back.clear()
        self._function = None
        self.station.forget(self)
        if self.is_over():
            self.station.loop.call_soon(self._over)

    def over(self) -> None:
        if self.stopping and self.is_over():
            self._over()

    def is_over(self) -> bool:
        return not self.workers and not self.dying

    def abandon(self) -> int:
        left = len(self.dying)
        self.dying.clear()
        return left


def _unloadable(data: Any, buffers: Any) -> BaseException:
    try:
        value_of(data, buffers)
    except NotSerializable as error:
        return error
    return NotSerializable("the result could not be loaded the first time")


def _named(error: BaseException) -> BaseException:
    return TaskStopped("the item was cancelled") if isinstance(error, asyncio.CancelledError) else error
