"""The figures of all topics as one page of Markdown."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import SUBJECT, Row, Section, section_of, table

INTRO = """# Results

Written by `python benchmarks/run_all.py`; the raw figures of every round are in `results.json`. Do not edit by hand.

How to read it: the contenders of one table ran in one process, in turn, round by round, each round beginning with
another one, after a warm-up and with a garbage collection before each. The figure is the median of the rounds, the
spread is the lowest to the highest. **The ratio is what counts** (what atonce took over what the other took; below 1,
atonce takes less); the times are this machine's on that day. "In each round" is the lowest and the highest ratio
within one round. Elixir's times are taken inside a warm BEAM, with compiled code, on all its schedulers; the Python
contenders use one core. Notes say where a contender does less than the others, e.g. has no time limit for an item.
"""


def page(runs: list[dict[str, Any]]) -> str:
    """The whole of RESULTS.md."""
    found = [(run, [section_of(section) for section in run["sections"]]) for run in runs]
    lines = [INTRO, *machine(runs), "", "## Targets", "", *targets(found), "", "## Where others win", ""]
    lines += [*others_win(found), ""]
    for run, sections in found:
        lines += [f"## {run['topic']}, {run['python']}", ""]
        lines.append(
            f"{run['date']}, load average {run['load'][0]:.1f} before and {run['load'][1]:.1f} after."
        )
        lines.append("")
        for section in sections:
            lines += table(section)
    return "\n".join(lines).rstrip() + "\n"


def machine(runs: list[dict[str, Any]]) -> list[str]:
    """On what this ran."""
    peers: dict[str, str] = {}
    for run in runs:
        peers.update(run["peers"])
    pythons = sorted({run["python"] for run in runs})
    listed = ", ".join(f"{name} {version}" for name, version in sorted(peers.items()))
    return [
        f"- Machine: {processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        f"- Python: {', '.join(pythons)}",
        f"- Elixir: {elixir_version()}",
        f"- Peers: {listed}",
    ]


def processor() -> str:
    """The processor's name."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def elixir_version() -> str:
    """The Elixir of this machine, in one line."""
    if shutil.which("elixir") is None:
        return "not installed here, skipped"
    said = subprocess.run(["elixir", "--version"], capture_output=True, text=True, check=False).stdout
    lines = [line.partition(" [")[0] for line in said.splitlines() if line.startswith(("Erlang", "Elixir"))]
    return ", ".join(line.partition(" (")[0] for line in reversed(lines))


Found = list[tuple[dict[str, Any], list[Section]]]


def compared(found: Found) -> Iterator[tuple[dict[str, Any], Section, Row, float]]:
    """Every ratio of every table."""
    for run, sections in found:
        for section in sections:
            for row in section.rows:
                ratio = section.ratio(row)
                if ratio is not None:
                    yield run, section, row, ratio[0]


def targets(found: Found) -> list[str]:
    """What the project asks for, and whether it is so."""
    lines = ["| topic | comparison | against | ratio | target | |", "| --- | --- | --- | --- | --- | --- |"]
    for run, section, row, ratio in compared(found):
        for target in section.targets:
            if target.peer == row.name:
                verdict = "pass" if ratio <= target.ratio else "**MISS**"
                where = f"{run['topic']}, {run['python'].split()[-1]}"
                lines.append(
                    f"| {where} | {section.title} | {row.name} | {ratio:.2f} | <= {target.ratio:g} | {verdict} |"
                )
    for run, sections in found:
        for section in sections:
            own = section.row(section.subject)
            if section.ceiling is not None and own is not None:
                verdict = "pass" if own.median <= section.ceiling else "**MISS**"
                where = f"{run['topic']}, {run['python'].split()[-1]}"
                figure = f"{own.median:.3g} {section.unit}"
                lines.append(
                    f"| {where} | {section.title} | | {figure} | <= {section.ceiling:g} | {verdict} |"
                )
    return lines


def others_win(found: Found) -> list[str]:
    """Every table's contenders that take less than atonce; its own other forms are no others."""
    lines: dict[str, list[str]] = {}
    for run, section, row, ratio in compared(found):
        if ratio > 1 and not row.name.startswith(SUBJECT):
            note = f", {row.note}" if row.note else ""
            title = f"{section.title} ({run['topic']}, {run['python'].split()[-1]})"
            lines.setdefault(title, []).append(f"{row.name} (atonce takes {ratio:.2f} times as much{note})")
    return [f"- {title}: {'; '.join(rows)}" for title, rows in lines.items()] or ["Nowhere in this run."]
