"""What one run of one fault on one pool amounts to: a pure function from what was seen to a cell of the table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fault_cases import INNOCENTS, WORKERS, Fault

#: Seconds after its time limit within which a task must have ended, and within which Ctrl-C must end a program.
LATE, PROMPT = 1.0, 2.0
#: Items that may be pulled from an endless input ahead of the consumer.
AHEAD = 100
#: Types of error by which the pools say that a worker died; mpire says it with a RuntimeError.
CRASHES = ("WorkerLost", "BrokenProcessPool", "TerminatedWorkerError", "ProcessExpired")
MPIRE_SAYS = "died unexpectedly"
#: Words of the victims' own errors, and loky's: a death of the worker that is said to come from them is well told.
REASONS = ("this value refuses", "un-serialize")
#: The pools that are handed all calls as one, which then ends with its first error.
ALL_AS_ONE = ("joblib",)
#: The pools in which a call can be given a time limit.
LIMITED = ("atonce", "joblib", "mpire", "pebble")


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: `text` is short, and the rest is for the totals."""

    text: str
    passed: bool = False
    hangs: bool = False
    dead: bool = False
    lost: int = 0
    left: int = 0
    #: Missed for no other reason than that all calls of this pool are one, as it was made.
    by_design: bool = False


Figure = dict[str, Any]
Ending = dict[str, Any]


def cell(fault: Fault, figure: Figure) -> Cell:
    """What the table says of one run."""
    stages = figure["stages"]
    if "warm" not in stages or stages["warm"]["workers"] < WORKERS:
        return Cell("did not start")
    if fault.kind == "parent":
        return _left(figure["left"], "ok")
    if fault.kind == "ctrl-c":
        return _interrupted(figure)
    if fault.kind == "input":
        return _pulled(figure)
    return _task(fault, figure)


def _left(left: int, otherwise: str) -> Cell:
    return Cell(f"left {left}", left=left) if left else Cell(otherwise, passed=True)


def _interrupted(figure: Figure) -> Cell:
    if not figure["ended"]:
        return Cell("hangs", hangs=True)
    seconds = figure["seconds"]
    if figure["left"]:
        return Cell(f"gone in {seconds:.2f} s, left {figure['left']}", left=figure["left"])
    if seconds > PROMPT:
        return Cell(f"late, {seconds:.1f} s")
    return Cell(f"ok {seconds:.2f} s", passed=True)


def _pulled(figure: Figure) -> Cell:
    seen = figure["stages"].get("pulled")
    if seen is None:
        return Cell("hangs", hangs=True)
    if seen["endless"]:
        return Cell("never stops", hangs=True)
    passed = seen["items"] <= AHEAD
    return Cell(f"ok, {seen['items']}" if passed else f"{seen['items']:,} pulled", passed=passed)


def _task(fault: Fault, figure: Figure) -> Cell:
    stages = figure["stages"]
    victims = stages.get("victims", {}).get("endings", [None]) if fault.kind == "task" else []
    wrong = next(filter(None, (_wrong(fault, one) for one in victims)), "")
    if wrong == "hangs" and "victims" not in stages:
        return Cell("hangs", hangs=True)
    lost = stages.get("innocents", {}).get("lost", INNOCENTS)
    dead = not stages.get("next", {}).get("works", False)
    # One that took the next call is there, also where the pool gives each further call to another that is not.
    missing = 0 if dead else WORKERS - max(1, stages.get("workers", {}).get("count", 0))
    said = [_unlimited(fault, figure) or wrong]
    said += ["pool dead"] if dead else []
    said += [f"{lost} of {INNOCENTS} lost"] if lost else []
    said += [f"{missing} of {WORKERS} workers lost"] if missing else []
    said += _end(figure) if wrong != "hangs" else []
    said = [word for word in said if word]
    hangs = wrong == "hangs" or not figure["ended"]
    if not said:
        return Cell(" ".join(["ok", *_seconds(victims)]), passed=True)
    survived = not any(one and _crash(one) for one in victims)
    by_design = figure["peer"] in ALL_AS_ONE and survived and said == [f"{lost} of {INNOCENTS} lost"]
    left = figure["left"] if figure["ended"] else 0
    return Cell(", ".join(said), hangs=hangs, dead=dead, lost=lost, left=left, by_design=by_design)


def _seconds(victims: list[Ending | None]) -> list[str]:
    took = [one["seconds"] for one in victims if one]
    return [f"{max(took):.2f} s"] if took else []


def _unlimited(fault: Fault, figure: Figure) -> str:
    return "no time limit" if fault.limit is not None and figure["peer"] not in LIMITED else ""


def _end(figure: Figure) -> list[str]:
    if not figure["ended"]:
        return ["hangs at exit"]
    return [f"left {figure['left']}"] if figure["left"] else []


def _wrong(fault: Fault, ending: Ending | None) -> str:
    """What is wrong with a victim's ending; nothing, where it is right."""
    if ending is None:
        return "hangs"
    if not _right(fault, ending):
        return f"wrong error: {ending['type']}" if ending["type"] else "no error"
    if fault.limit is not None and ending["seconds"] > fault.limit + LATE:
        return f"late, {ending['seconds']:.1f} s"
    return ""


def _crash(ending: Ending) -> bool:
    return ending["type"] in CRASHES or MPIRE_SAYS in ending.get("text", "")


def _right(fault: Fault, ending: Ending) -> bool:
    kind, crash = ending["type"], _crash(ending)
    if kind is None:
        return fault.right == "spared"
    match fault.right:
        case "crash" | "spared":
            return crash
        case "timeout":
            return "Timeout" in kind
        case "own":
            return fault.expected in ending["kinds"]
        case "named":
            return fault.expected in ending["kinds"] or fault.expected in ending["text"]
        case _:
            told = any(words in ending["text"] for words in REASONS)
            return told or not (crash or "Timeout" in kind)
