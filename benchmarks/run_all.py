"""Run every benchmark, each topic in a process of its own, and write RESULTS.md and results.json."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from report import page

HERE = Path(__file__).parent
RESULTS = HERE / "RESULTS.md"
FIGURES = HERE / "results.json"
TOPICS: dict[str, list[str]] = {
    "stream": ["--flat"],
    "spawn": [],
    "await_many": [],
    "server": [],
    "supervisor": [],
    "memory": [],
    "blocking": [],
    "threads": [],
    "processes": [],
    "import_time": [],
    "fetch": [],
    "program": [],
    "program_fetch": [],
}
#: What is worth a run on further Pythons too.
ELSEWHERE = ("stream", "spawn", "await_many", "memory")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("topics", nargs="*", help=f"only these, the others' figures stay: {' '.join(TOPICS)}")
    parser.add_argument(
        "--also", action="append", default=[], metavar="PYTHON", help="a further Python to run on"
    )
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--items", type=int)
    parser.add_argument("--quick", action="store_true", help="small and rough; prints, and writes no file")
    given = parser.parse_args()
    if unknown := set(given.topics) - TOPICS.keys():
        parser.error(f"no such topic: {', '.join(sorted(unknown))}; there are: {', '.join(TOPICS)}")
    return given


def run(python: str, topic: str, given: argparse.Namespace) -> dict[str, Any] | None:
    """Run one topic; its figures, or None where it failed."""
    command = [python, str(HERE / f"{topic}.py"), *TOPICS[topic]]
    for name in ("rounds", "items"):
        if getattr(given, name) is not None:
            command += [f"--{name}", str(getattr(given, name))]
    if given.quick:
        command.append("--quick")
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder) / "figures.json"
        code = subprocess.run([*command, "--json", str(figures)], check=False).returncode
        if code:
            print(f"{topic} failed on {python} (exit code {code})", file=sys.stderr)
            return None
        found: dict[str, Any] = json.loads(figures.read_text(encoding="utf-8"))
    return {**found, "load": [before, os.getloadavg()[0]]}


def merged(kept: list[dict[str, Any]], fresh: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The fresh runs and, for what did not run now, the kept ones; in the order of the topics."""
    by_key = {(one["topic"], one["python"]): one for one in [*kept, *fresh]}
    order = list(TOPICS)
    return [by_key[key] for key in sorted(by_key, key=lambda key: (order.index(key[0]), key[1]))]


def main() -> None:
    """Run what was asked for, and write the page."""
    given = arguments()
    topics = given.topics or list(TOPICS)
    jobs = [(sys.executable, topic) for topic in topics]
    jobs += [(python, topic) for python in given.also for topic in topics if topic in ELSEWHERE]
    outcomes = [run(python, topic, given) for python, topic in jobs]
    fresh = [outcome for outcome in outcomes if outcome is not None]
    if not given.quick:
        kept = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() and given.topics else []
        runs = merged(kept, fresh)
        FIGURES.write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")
        RESULTS.write_text(page(runs), encoding="utf-8")
        print(f"wrote {RESULTS}")
    if len(fresh) < len(jobs):
        sys.exit(1)


if __name__ == "__main__":
    main()
