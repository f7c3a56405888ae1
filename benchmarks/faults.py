"""Every fault on every pool, each in a program of its own: a table, faults.json, docs/faults.md, and a summary.

After 12 s a program is killed with all that it started. Linux only: what a program leaves behind is looked up in /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fault_cases import BY_KEY, FAULTS, Fault
from fault_page import failing, page, table, with_summary
from fault_peers import peers
from fault_verdict import cell

from report import processor

HERE = Path(__file__).parent
PROBE = HERE / "fault_probe.py"
FIGURES = HERE / "faults.json"
PAGE = HERE.parent / "docs" / "faults.md"
README = HERE.parent / "README.md"
#: Seconds that a program may take, and after its end what it started.
HARD, AFTER = 12.0, 2.0
TICK = 0.01
#: Programs that run at the same time: no more than there are cores, so that the figures are not distorted.
AT_ONCE = 2
MARK = "ATONCE_FAULT_RUN"
Figure = dict[str, Any]
Stages = dict[str, dict[str, Any]]


class Program:
    """One fault on one pool, with a session of its own and a mark in its environment by which all of it is found."""

    def __init__(self, fault: Fault, peer: str, folder: Path) -> None:
        self.fault, self.peer = fault, peer
        self.mark = uuid.uuid4().hex
        self.report, self.said = folder / "report.jsonl", folder / "stderr.txt"
        self.report.touch()
        with self.said.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, str(PROBE), fault.key, peer, str(self.report)],
                env={**os.environ, MARK: self.mark},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )
        self.started = time.monotonic()

    def stages(self) -> Stages:
        """What it has reported so far."""
        lines = self.report.read_text(encoding="utf-8").splitlines(keepends=True)
        seen = [json.loads(line) for line in lines if line.endswith("\n")]
        return {one.pop("stage"): one for one in seen}

    def alive(self) -> list[int]:
        """The processes that carry its mark, itself included; one that is dead and not yet reaped carries none."""
        found = []
        for folder in Path("/proc").iterdir():
            with suppress(OSError):
                if folder.name.isdigit() and self.mark.encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
        return found

    def ends_within(self, until: float, stage: str = "") -> bool:
        """Whether it ends before that time; with a stage, whether it comes to that one."""
        while time.monotonic() < until:
            if self.process.poll() is not None:
                return not stage or stage in self.stages()
            stages = self.stages()
            if stage and stage in stages:
                return True
            if stages.get("pulled", {}).get("endless"):
                return False
            time.sleep(TICK)
        return False

    def left(self, patience: float) -> int:
        """How many of its processes there are after that time; fewer seconds where all are gone sooner."""
        until = time.monotonic() + patience
        while (alive := self.alive()) and time.monotonic() < until:
            time.sleep(10 * TICK)
        return len(alive)

    def end(self) -> None:
        """Kill all of it."""
        while alive := self.alive():
            for pid in alive:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.poll()
            time.sleep(TICK)
        self.process.wait()


def measured(fault: Fault, peer: str) -> Figure:
    """Run one program, do to it what the fault asks for, and look at what it leaves."""
    with tempfile.TemporaryDirectory() as folder:
        program = Program(fault, peer, Path(folder))
        try:
            return observed(program)
        finally:
            program.end()


def observed(program: Program) -> Figure:
    """What one program did and left."""
    fault, hard = program.fault, program.started + HARD
    begun = program.started
    if fault.kind in ("parent", "ctrl-c"):
        if program.ends_within(hard, "ready"):
            begun = time.monotonic()
            if fault.kind == "parent":
                os.kill(program.process.pid, signal.SIGKILL)
            else:
                os.killpg(program.process.pid, signal.SIGINT)
        hard = begun + HARD
    ended = program.ends_within(hard)
    seconds = time.monotonic() - begun
    left = program.left(AFTER) if ended else len(program.alive())
    figure = {"fault": fault.key, "peer": program.peer, "stages": program.stages()}
    figure |= {"ended": ended, "seconds": round(seconds, 3), "left": left}
    if program.process.returncode not in (0, None):
        figure["exit"] = [program.process.returncode, program.said.read_text(errors="replace")[-300:]]
    return figure


def installed() -> Iterator[tuple[str, str | None]]:
    """The peers, each with its version; None for one that is not here."""
    for title, peer in peers().items():
        try:
            yield title, version(peer.distribution) if peer.distribution else platform.python_version()
        except PackageNotFoundError:
            yield title, None


def run(faults: list[Fault], titles: list[str], skipped: list[str]) -> dict[str, Any]:
    """All of it, with where and on what it ran."""
    started = time.monotonic()
    date = datetime.now(tz=UTC).strftime("%Y-%m-%d %H:%M UTC")
    jobs = [(fault, title) for fault in faults for title in titles]
    figures = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for (fault, title), figure in zip(jobs, pool.map(measured, *zip(*jobs, strict=True)), strict=True):
            print(f"{fault.key:20} {title:22} {cell(fault, figure).text}", flush=True)
            figures.append(figure)
    return {
        "date": date,
        "minutes": round((time.monotonic() - started) / 60, 1),
        "at_once": AT_ONCE,
        "machine": f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": {title: found for title, found in installed() if peers()[title].distribution and found},
        "peers": titles,
        "skipped": skipped,
        "figures": figures,
    }


def stored(found: dict[str, Any]) -> str:
    """A run as JSON, with one line for each figure."""
    head = json.dumps({**found, "figures": []}, indent=1).removesuffix("[]\n}")
    return head + "[\n" + ",\n".join(json.dumps(figure) for figure in found["figures"]) + "\n]}\n"


def write(found: dict[str, Any]) -> None:
    """The page and the README's summary."""
    PAGE.write_text(page(found), encoding="utf-8")
    README.write_text(with_summary(README.read_text(encoding="utf-8"), found), encoding="utf-8")
    print(f"wrote {PAGE} and the summary in {README}")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fault", action="append", choices=BY_KEY, metavar="FAULT", help="only this one")
    parser.add_argument("--peer", action="append", choices=peers(), metavar="PEER", help="only this one")
    parser.add_argument("--render", action="store_true", help="measure nothing, write the pages again")
    return parser.parse_args()


def main() -> None:
    """Run what was asked for; only a whole run is written down."""
    given = arguments()
    if given.render:
        write(json.loads(FIGURES.read_text(encoding="utf-8")))
        return
    here = dict(installed())
    skipped = [title for title, found in here.items() if found is None]
    for title in skipped:
        print(f"skipped, not installed here: {title}")
    titles = [title for title in given.peer or here if here[title] is not None]
    faults = [fault for fault in FAULTS if fault.key in (given.fault or BY_KEY)]
    found = run(faults, titles, skipped)
    if given.fault or given.peer:
        print(json.dumps(found["figures"], indent=1))
        return
    print("\n".join(["", *table(found), "", f"{found['minutes']} minutes"]))
    FIGURES.write_text(stored(found), encoding="utf-8")
    write(found)
    sys.exit("\n".join(["atonce failed:", *misses]) if (misses := failing(found, "atonce")) else 0)


if __name__ == "__main__":
    main()
