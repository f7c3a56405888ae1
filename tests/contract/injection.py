"""Faults at named points between a worker and its parent: preloaded, it changes the worker, and no line of `src`.

A call carries its own fault, as a text in its arguments: `plan(point, fault)`. A worker that reads such a call meets
the fault at that point. Points outside of any call (`before_ready`) take the plan from the environment at the time
that the worker is hired.
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from atonce._backends import wire, worker
from tests.contract.ledger import Ledger

HEAD = wire.REPLY_HEAD.size

#: Points in the order in which a call meets them. `mid_write+n` is after n bytes of the reply, from its end if n < 0.
POINTS = (
    "after_recv",
    "before_begin",
    "after_begin",
    "after_run",
    "mid_write+1",
    f"mid_write+{HEAD - 1}",
    f"mid_write+{HEAD}",
    f"mid_write+{HEAD + 1}",
    "mid_write+-1",
    "after_write",
)
VARIABLE = "ATONCE_TEST_INJECTION"
_PLAN = re.compile(rb"<<inject ([\w+-]+) (\w+)>>")


def plan(point: str, fault: str) -> str:
    """The text by which a call carries its fault."""
    return f"<<inject {point} {fault}>>"


def _garbage(one: worker.Worker) -> None:
    """Bytes that are no reply, and then no end: the worker goes on."""
    os.write(one._replies, bytes(range(255, 155, -1)))


def _kind_unknown(one: worker.Worker) -> None:
    """A head that could be one, of a kind that is none."""
    os.write(one._replies, wire.REPLY_HEAD.pack(99, 0, 3, 0.0, 0.0) + b"abc")


def _reply_unasked(one: worker.Worker) -> None:
    """A well-formed reply to no call."""
    data = worker.dumps("nobody asked", 5)
    os.write(one._replies, wire.REPLY_HEAD.pack(wire.VALUE, 0, len(data), 0.0, 0.0) + data)


def _raise(one: worker.Worker) -> None:
    raise RuntimeError("in the worker's own code")


def _hang(one: worker.Worker) -> None:
    time.sleep(60)


FAULTS: dict[str, Callable[[worker.Worker], object]] = {
    "kill": lambda one: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda one: os.kill(os.getpid(), signal.SIGSTOP),
    "exit0": lambda one: os._exit(0),
    "exit7": lambda one: os._exit(7),
    "hang": _hang,
    "raises": _raise,
    "garbage": _garbage,
    "unknown": _kind_unknown,
    "closes": lambda one: os.close(one._replies),
}


class Injected(worker.Worker):
    """A worker that meets the fault that a call carries."""

    point = fault = ""

    def __init__(self, *fds: int) -> None:
        super().__init__(*fds)
        read = self._reader.frame

        def frame() -> Any:
            found = read()
            if self.point == "after_write":  # the call is behind us
                self.point = ""
            carried = _PLAN.search(bytes(found[1]))
            if carried is not None:
                self.point, self.fault = carried[1].decode(), carried[2].decode()
            self.meet("after_recv")
            return found

        self._reader.frame = frame  # type: ignore[method-assign]  # what the test is about
        fill = self._reader._fill

        def filled(whole: Any) -> Any:
            carried = _PLAN.search(self._reader._data)
            if carried is not None and carried[1] == b"mid_send":
                FAULTS[carried[2].decode()](self)
            return fill(whole)

        self._reader._fill = filled  # type: ignore[method-assign]  # what the test is about

    def meet(self, point: str) -> None:
        """Have the fault, if this is its point."""
        if self.point == point:
            self.point = ""
            FAULTS[self.fault](self)

    def _begin(self) -> float:
        self.meet("before_begin")
        began = super()._begin()
        self.meet("after_begin")
        return began

    def _reply(self, kind: int, data: bytes, buffers: list[Any], began: float, ended: float) -> None:
        self.meet("after_run")
        if self.point.startswith("mid_write"):
            frame = wire.REPLY_HEAD.pack(kind, len(buffers), len(data), began, ended) + data
            cut = int(self.point.removeprefix("mid_write+"))
            os.write(self._replies, frame[:cut])
            self.meet(self.point)
            os.write(self._replies, frame[cut:])
            return
        super()._reply(kind, data, buffers, began, ended)
        self.meet("after_write")

    def initialize(self, initializer: bytes | None) -> bool:
        carried = _PLAN.search(os.environ.pop(VARIABLE, "").encode())
        if carried is not None:
            FAULTS[carried[2].decode()](self)
        return super().initialize(initializer)


worker.Worker = Injected  # type: ignore[misc]  # what the test is about


def run(ledger: Ledger, item: Any) -> Any:
    """Count oneself."""
    ledger.write(item)
    time.sleep(0.002)
    return item


def idle_fault(fault: str) -> int:
    """Have a fault a moment after this call was answered; gives the process that will have it."""
    one = worker_of_this_process()
    threading.Timer(0.03, FAULTS[fault], (one,)).start()
    return os.getpid()


def worker_of_this_process() -> worker.Worker:
    """The one worker here, which every call finds as its token."""
    from atonce._runtime.token import token_var

    one: Any = token_var.get()
    assert isinstance(one, worker.Worker)
    return one
