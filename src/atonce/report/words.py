"""A report in words that its renderers share."""

from __future__ import annotations

from typing import Final

from atonce.report.facts import Report

_WHY: Final = {
    "finished": "ran to its end",
    "halted": "stopped early, as asked",
    "succeeded": "stopped at a success, as asked",
    "deadline": "stopped by its deadline",
    "hangup": "stopped when its terminal was closed",
    "interrupted": "interrupted",
    "terminated": "terminated",
    "pipe": "its output was closed",
    "lost": "its input or output was lost",
    "cut off": "still running, or cut off: it has no end",
}


def why(word: str) -> str:
    """How a run ended."""
    return _WHY.get(word, word)


def courses(report: Report) -> str:
    """What was run, and when: of several runs the first and how many."""
    if not report.runs:
        return "records without a head"
    first = report.runs[0]
    parts = [f"atonce {first.cmd}" if first.cmd else "a run"]
    if first.does:
        parts[0] = " ".join([parts[0], *first.does])
    if first.input is not None:
        parts.append(f"from {first.input}")
    if first.started is not None:
        parts.append(f"started {first.started}")
    if len(report.runs) > 1:
        parts.append(f"{len(report.runs)} runs")
    return ", ".join(parts)
