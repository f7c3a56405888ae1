"""The program that has the fault, started by faults.py: `python fault_probe.py FAULT PEER REPORT`.

It writes what it has seen so far to REPORT, one JSON object a line, so that a program that hangs has said where.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fault_cases import BY_KEY, INNOCENTS, VICTIMS, WORKERS, Fault, echo, innocent, whoami
from fault_peers import Job, Peer, peers

#: Seconds for the victims and the innocents after they were handed over; the same where there is a time limit.
PATIENCE, WITH_LIMIT = 6.5, 8.5
#: Seconds for the call after them, for a lost worker to come back, and for one look at who is there.
NEXT, BACK, LOOK = 1.5, 1.5, 0.5
TICK = 0.002
#: So many items pulled without a result, and the input is taken for one that would be pulled for ever.
ENDLESS = 20_000
Ending = dict[str, Any]


class Report:
    """What was seen, in a file that survives this program."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def say(self, stage: str, **seen: Any) -> None:
        """Add a line."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"stage": stage, **seen}) + "\n")


def ending(peer: Peer, handle: Any, started: float) -> Ending:
    """How a call ended that is done, or is given up now."""
    try:
        peer.value(handle, 0)
    except BaseException as error:
        return failure(error, started)
    return {"type": None, "seconds": round(time.monotonic() - started, 3)}


def failure(error: BaseException, started: float) -> Ending:
    """An error as plain data, with the types that it is and what stands behind it."""
    behind: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(behind) < 5:
        behind.append(f"{type(cause).__name__}: {_text(cause)}")
        cause = cause.__cause__
    return {
        "type": type(error).__name__,
        "kinds": [kind.__name__ for kind in type(error).__mro__],
        "text": _shortened("\n".join(behind)),
        "seconds": round(time.monotonic() - started, 3),
    }


def _shortened(text: str) -> str:
    """Its ends, where an error says what happened; between them are tracebacks."""
    return text if len(text) < 600 else f"{text[:350]} ... {text[-200:]}"


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as worse:
        return f"<unprintable: {type(worse).__name__}>"


def settle(peer: Peer, jobs: Sequence[Job], patience: float) -> list[Ending | None]:
    """Hand over all calls and wait for them; None for one that has not ended when the patience has."""
    endings: list[Ending | None] = [None] * len(jobs)
    open_ones: dict[int, tuple[Any, float]] = {}
    handles = peer.submit_all(list(jobs))
    for index in range(len(jobs)):
        started = time.monotonic()
        try:
            open_ones[index] = next(handles), started
        except BaseException as error:
            endings[index] = failure(error, started)
    until = time.monotonic() + patience
    while open_ones and time.monotonic() < until:
        for index, (handle, started) in list(open_ones.items()):
            limit = None if peer.limits else jobs[index].limit
            if peer.done(handle) or (limit is not None and time.monotonic() - started >= limit):
                endings[index] = ending(peer, handle, started)
                del open_ones[index]
        time.sleep(TICK)
    return endings


def workers_now(peer: Peer, patience: float) -> set[int]:
    """The process ids of the workers that take calls, as soon as all of them have taken one."""
    found: set[int] = set()
    until = time.monotonic() + patience
    while len(found) < WORKERS and (left := until - time.monotonic()) > 0:
        found |= set(whoami_twice(peer, min(LOOK, left) if found else left))
    return found


def whoami_twice(peer: Peer, patience: float) -> Iterator[int]:
    """Ask each worker once, if each takes one of as many calls."""
    handles = list(peer.submit_all([Job(whoami, (0.1,))] * WORKERS))
    until = time.monotonic() + patience
    for handle in handles:
        while not peer.done(handle) and time.monotonic() < until:
            time.sleep(TICK)
        if peer.done(handle):
            yield peer.value(handle, 0)


def next_call(peer: Peer, report: Report) -> None:
    """What the pool is good for after the fault."""
    [after] = settle(peer, [Job(echo, (1,))], NEXT)
    works = after is not None and after["type"] is None
    report.say("next", works=works, ending=after)
    if works:
        try:
            report.say("workers", count=len(workers_now(peer, BACK)))
        except BaseException as error:
            report.say("workers", count=0, ending=failure(error, time.monotonic()))


def say_innocents(report: Report, endings: Sequence[Ending | None]) -> None:
    """How many innocent tasks have no value, and how that came."""
    errors = Counter(one["type"] if one else "never came" for one in endings if not one or one["type"])
    report.say("innocents", lost=sum(errors.values()), errors=errors)


def task_fault(peer: Peer, fault: Fault, report: Report) -> None:
    """The victims in the middle of innocent tasks."""
    fn, args = VICTIMS[fault.key]
    half = INNOCENTS // 2 + 1
    jobs = [Job(innocent, (number,)) for number in range(INNOCENTS)]
    jobs[half:half] = [Job(fn, args(), fault.limit) for _ in range(fault.victims)]
    endings = settle(peer, jobs, WITH_LIMIT if fault.limit else PATIENCE)
    report.say("victims", endings=endings[half : half + fault.victims])
    say_innocents(report, endings[:half] + endings[half + fault.victims :])
    next_call(peer, report)


def idle_fault(peer: Peer, report: Report, pids: set[int]) -> None:
    """A worker that dies while it has nothing to do, and half a second later innocent tasks."""
    os.kill(min(pids), signal.SIGKILL)
    time.sleep(0.5)
    say_innocents(report, settle(peer, [Job(innocent, (number,)) for number in range(INNOCENTS)], PATIENCE))
    next_call(peer, report)


def program_fault(peer: Peer, fault: Fault, report: Report) -> None:
    """A program that is killed or interrupted from outside, when it says that it is ready."""
    if not fault.busy:
        report.say("ready")
        time.sleep(60)
        return
    threading.Timer(0.5, report.say, ("ready",)).start()
    peer.work(10 * WORKERS)


def input_fault(peer: Peer, fault: Fault, report: Report) -> None:
    """An input without end: what is pulled of it before the first result, and while nobody asks for the second."""
    pulled, over = 0, False

    def count() -> Iterator[int]:
        nonlocal pulled
        while not over and pulled < ENDLESS:
            pulled += 1
            yield pulled
        if not over:
            report.say("pulled", items=pulled, endless=True)
            time.sleep(60)

    results = peer.pull(count())
    next(results)
    if fault.busy:
        time.sleep(0.5)
    report.say("pulled", items=pulled, endless=False)
    over = True
    for _ in results:
        continue


def main() -> None:
    """Run one fault on one pool, and end as a program ends."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    key, title, path = sys.argv[1:]
    fault, peer, report = BY_KEY[key], peers()[title], Report(Path(path))
    with peer.open() as peer.pool:
        pids = workers_now(peer, 5.0)
        report.say("warm", workers=len(pids))
        if fault.kind == "task":
            task_fault(peer, fault, report)
        elif fault.kind == "idle":
            idle_fault(peer, report, pids)
        elif fault.kind == "input":
            input_fault(peer, fault, report)
        else:
            program_fault(peer, fault, report)
        report.say("closing")
    report.say("closed")


if __name__ == "__main__":
    main()
