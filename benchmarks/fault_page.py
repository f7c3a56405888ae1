"""The table of faults as a page of Markdown, and its summary for the README: pure functions of the figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fault_cases import FAULTS, INNOCENTS, WORKERS
from fault_verdict import AHEAD, LATE, PROMPT, Cell, cell

BEGIN, END = "<!-- faults:begin -->", "<!-- faults:end -->"
Run = dict[str, Any]
Cells = dict[str, dict[str, Cell]]

INTRO = """# Faults

Written by `python benchmarks/faults.py` from `benchmarks/faults.json`, all of it from one run; do not edit by hand.
"""
LEGEND = f"""## How to read it

Each cell is a program of its own with a fresh pool of {WORKERS} workers, each of which has done a trivial task.
It hands over {INNOCENTS} innocent tasks of 20 ms one by one, with the victim in the middle (in "every worker hangs"
there are {WORKERS}), waits for all, hands over one more, asks whether both workers are there, closes the pool as its
manual says, and ends. After 12 s whatever is left is killed.

- **ok 0.12 s**: the victim ended rightly, so many seconds after it was handed over (some 0.1 s of them in the queue);
  no innocent task was lost, the next one worked, both workers were there, and the program left no process.
  Right is: for a death of the worker, an error that says so; for a time limit, a timeout within {LATE:g} s of it;
  for an exception, that exception; for one with an attribute that cannot be pickled, that one or an error that names
  it; for a value that does not travel, an error that says why, or any that is neither a worker's death nor a timeout.
  The result of 400 MB, and the task that closes file descriptors, may also succeed.
- **hangs**: the victim's outcome did not come in 6.5 s (8.5 s where it has a time limit), or the call that hands it
  over did not return. **hangs at exit**: all else was done, and the program did not end.
- **wrong error**: an error came, and said something else. **late**: a timeout, but later than that.
- **n of {INNOCENTS} lost**: so many innocent tasks gave no value.
- **pool dead**: the next task did not work within 1.5 s.
- **n of {WORKERS} workers lost**: the pool works on, and a worker did not come back within 1.5 s.
- **no time limit**: this pool has none for a task, and the caller gave up as with `result(timeout=2)`; the rest of
  the cell is what that leaves.
- **left n**: so many processes were there 2 s after the program's end.
- Program SIGKILLed: processes left 2 s later.
- Ctrl-C: SIGINT to the process group while {WORKERS} tasks of 30 s run and {9 * WORKERS} wait, inside the pool's
  `with` block where it has one; seconds until the program is gone, right within {PROMPT:g}.
- Endless input: numbers without end for the pool's lazy `map`; right is at most {AHEAD} items. **never stops**:
  20,000 were pulled by then.

As their manuals say: loky's executor is asked for anew at each use, which gives a fresh one where the last one broke.
joblib has no call for one task: all are one `Parallel(return_as="generator_unordered", batch_size=1)`, which by design
ends at its first error, and its `timeout=` ends all of it too. mpire's limit is `task_timeout=`, pebble's `timeout=`;
mpire's `imap` has `chunk_size=1`. After Ctrl-C pebble's `with` block waits for all that is queued; a program with
pebble 5.2.3 and no such block was gone at once. Pools that can choose run on a forkserver.

Some cells are races and differ from run to run. In three runs of 2026-11-25 the death of a worker cost mpire's callers
4 to 10 innocent tasks, and a hang in C left its pool dead or short of a worker; before the first result
`multiprocessing.Pool` had pulled 1,729, 45 and 690 items, and joblib 4,092, 6,140 and 8.
"""
AGAIN = """## Again

```console
$ python -m pip install -e . -r benchmarks/requirements.txt
$ python benchmarks/faults.py                                # all of it: some six minutes; writes both pages
$ python benchmarks/faults.py --fault sigkill --peer pebble  # one cell, with all that was seen; writes nothing
$ python benchmarks/faults.py --render                       # the pages again from the stored figures
```
"""


def cells_of(run: Run) -> Cells:
    """By fault, then by peer."""
    found: Cells = {}
    by_key = {(figure["fault"], figure["peer"]): figure for figure in run["figures"]}
    for fault in FAULTS:
        row = {peer: by_key[fault.key, peer] for peer in run["peers"] if (fault.key, peer) in by_key}
        found[fault.key] = {peer: cell(fault, figure) for peer, figure in row.items()}
    return found


def page(run: Run) -> str:
    """The whole of docs/faults.md."""
    lines = [INTRO, *_where(run), ""]
    lines += [*table(run), "", *_notes(run), LEGEND, AGAIN]
    return "\n".join(lines).rstrip() + "\n"


def _where(run: Run) -> Iterator[str]:
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    yield f"- Date: {run['date']}; the run took {run['minutes']:.0f} minutes, {run['at_once']} programs at a time"
    yield f"- Machine: {run['machine']}"
    yield f"- Python: {run['python']}"
    yield f"- Versions: {versions}"
    for title in run["skipped"]:
        yield f"- Skipped, not installed: {title}"


def table(run: Run) -> Iterator[str]:
    """One row a fault, one column a peer, and the totals."""
    cells, peers = cells_of(run), run["peers"]
    yield _row(["fault", *peers])
    yield _row(["---"] * (len(peers) + 1))
    for fault in FAULTS:
        row = cells[fault.key]
        yield _row([fault.title, *(row[peer].text if peer in row else "not run" for peer in peers)])
    totals = (f"**{_passed(cells, peer)} of {_count(cells, peer)}**" for peer in peers)
    yield _row(["**faults passed**", *totals])


def _notes(run: Run) -> Iterator[str]:
    cells = cells_of(run)
    for peer in run["peers"]:
        if number := sum(one.by_design for one in _column(cells, peer)):
            yield (
                f"{number} of {peer}'s misses are nothing but its design: no worker died, the victim's error was right "
                "and the next call worked; what was lost is the rest of the one call that all the tasks are.\n"
            )


def summary(run: Run) -> str:
    """What stands in the README between the markers: totals, and the worst that happened."""
    cells, day = cells_of(run), run["date"].split()[0]
    lines = [
        BEGIN,
        f"**When something breaks.** {len(FAULTS)} faults, from SIGKILL to an exception that cannot be loaded,",
        f"each in a program of its own with {WORKERS} workers and {INNOCENTS} innocent tasks; {day}, {run['python']}.",
        "Every cell, and what it means: [docs/faults.md](docs/faults.md).",
        "",
        _row(["pool", "faults passed", "hangs", "pool dead", "most innocents lost", "most processes left"]),
        _row(["---"] * 6),
    ]
    for peer in run["peers"]:
        column = _column(cells, peer)
        name = f"**{peer}**" if peer == run["peers"][0] else peer
        worst = [max((one.lost for one in column), default=0), max((one.left for one in column), default=0)]
        counts = [sum(one.hangs for one in column), sum(one.dead for one in column), *worst]
        passed = f"{_passed(cells, peer)} of {_count(cells, peer)}"
        lines.append(_row([name, passed, *(str(number) for number in counts)]))
    return "\n".join([*lines, *_design(cells, run["peers"]), END])


def _design(cells: Cells, peers: list[str]) -> Iterator[str]:
    for peer in peers:
        if number := sum(one.by_design for one in _column(cells, peer)):
            yield f"\n{number} of {peer}'s misses are its design: all tasks are one call, which the first error ends."


def with_summary(readme: str, run: Run) -> str:
    """The README with a fresh summary between its markers."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"README.md must have the lines {BEGIN} and {END}, in this order")
    return before + summary(run) + after


def failing(run: Run, peer: str) -> list[str]:
    """One peer's faults that it did not pass."""
    cells = cells_of(run)
    return [
        f"{fault.key}: {cells[fault.key][peer].text}" if peer in cells[fault.key] else f"{fault.key}: not run"
        for fault in FAULTS
        if peer not in cells[fault.key] or not cells[fault.key][peer].passed
    ]


def _row(texts: list[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _column(cells: Cells, peer: str) -> list[Cell]:
    return [row[peer] for row in cells.values() if peer in row]


def _passed(cells: Cells, peer: str) -> int:
    return sum(one.passed for one in _column(cells, peer))


def _count(cells: Cells, peer: str) -> int:
    return len(_column(cells, peer))
