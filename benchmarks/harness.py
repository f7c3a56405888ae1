"""Contenders measured side by side in one process: interleaved rounds, medians, and ratios to what atonce took."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import platform
import statistics
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

#: Name of the contender that all ratios are about, unless a section names another.
SUBJECT = "atonce"
PEERS = (
    "streamable",
    "aiometer",
    "aiostream",
    "anyio",
    "aiohttp",
    "joblib",
    "loky",
    "mpire",
    "pebble",
    "pykka",
)


class Absent(Exception):
    """A contender that is not installed here; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do the job: `run(items)` does it for so many items and gives the amount it took."""

    name: str
    run: Callable[[int], float]
    note: str = ""
    #: Fewer items than the others, for one that is slow or takes much memory; amounts are compared per item.
    items: int | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """What the project asks for: the subject takes at most `ratio` of what `peer` takes."""

    peer: str
    ratio: float


@dataclass(slots=True)
class Row:
    """What one contender took per item, a value a round."""

    name: str
    note: str
    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The middle of its rounds."""
        return statistics.median(self.values)


@dataclass(slots=True)
class Section:
    """One comparison: a question, its contenders' values, and the targets that it decides."""

    title: str
    unit: str
    items: int
    rounds: int
    subject: str
    targets: list[Target]
    #: What the project asks of the subject's own median, where it is no ratio.
    ceiling: float | None = None
    rows: list[Row] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def row(self, name: str) -> Row | None:
        """The contender of that name, where it ran."""
        return next((row for row in self.rows if row.name == name), None)

    def ratio(self, peer: Row) -> tuple[float, float, float] | None:
        """Subject over peer: the ratio of the medians, and the lowest and highest ratio within one round."""
        own = self.row(self.subject)
        if own is None or peer is own or not peer.median:
            return None
        paired = [mine / theirs for mine, theirs in zip(own.values, peer.values, strict=True) if theirs]
        return own.median / peer.median, min(paired), max(paired)


@dataclass(frozen=True, slots=True)
class Options:
    """How much to run, from the command line."""

    rounds: int
    items: int | None
    quick: bool
    json: Path | None
    flags: frozenset[str]

    def count(self, items: int) -> int:
        """So many items, unless the command line says otherwise; a tenth in a quick run."""
        if self.items is not None:
            return self.items
        return max(1, items // 10) if self.quick else items


def options(doc: str | None, **flags: str) -> Options:
    """Read the command line; `flags` are the script's own switches with their help."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--rounds", type=int, help="rounds of each comparison (default 7, quick 3)")
    parser.add_argument("--items", type=int, help="items a round (default: each comparison's own)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the items, 3 rounds")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    for name, text in flags.items():
        parser.add_argument(f"--{name}", action="store_true", help=text)
    given = parser.parse_args()
    rounds = given.rounds or (3 if given.quick else 7)
    chosen = frozenset(name for name in flags if getattr(given, name))
    return Options(rounds, given.items, given.quick, given.json, chosen)


async def _timed(body: Callable[[int], Awaitable[int]], items: int) -> float:
    started = perf_counter()
    done = await body(items)
    seconds = perf_counter() - started
    return _checked(done, items, seconds)


def _checked(done: int, items: int, seconds: float) -> float:
    if done != items:
        raise RuntimeError(f"{done} results for {items} items: this contender does not do the job")
    return seconds * 1e6


def on_loop(body: Callable[[int], Awaitable[int]]) -> Callable[[int], float]:
    """Time an async contender inside a fresh event loop, whose start and end do not count; microseconds."""
    return lambda items: asyncio.run(_timed(body, items))


def in_thread(body: Callable[[int], int]) -> Callable[[int], float]:
    """Time a blocking contender in the calling thread; microseconds."""

    def run(items: int) -> float:
        started = perf_counter()
        done = body(items)
        return _checked(done, items, perf_counter() - started)

    return run


def measure(
    title: str,
    contenders: Sequence[Contender],
    options: Options,
    *,
    items: int,
    targets: Sequence[Target] = (),
    unit: str = "us an item",
    subject: str = SUBJECT,
    ceiling: float | None = None,
    warmup: int = 1_000,
) -> Section:
    """Run all contenders in turn, round by round, each round beginning with another one, and print their table."""
    section = Section(title, unit, items, options.rounds, subject, list(targets), ceiling)
    present: list[tuple[Contender, Row]] = []
    for contender in contenders:
        try:
            contender.run(min(items, warmup))
        except (Absent, ImportError) as missing:
            section.skipped.append(f"{contender.name} ({missing})")
        else:
            present.append((contender, Row(contender.name, _note(contender, items))))
    section.rows = [row for _, row in present]
    for turn in range(options.rounds):
        first = turn % max(1, len(present))
        for contender, row in present[first:] + present[:first]:
            own = min(items, contender.items or items)
            gc.collect()
            row.values.append(contender.run(own) / own)
    print("\n".join(table(section)), flush=True)
    return section


def _note(contender: Contender, items: int) -> str:
    fewer = (
        contender.items is not None
        and contender.items < items
        and f"{contender.items:,}" not in contender.name
    )
    return ", ".join(filter(None, [contender.note, f"{contender.items:,} items" if fewer else ""]))


def table(section: Section) -> list[str]:
    """The section as lines of Markdown, the quickest first, with ratios, targets and pass or miss."""
    head = ["contender", section.unit, "spread", f"{section.subject} / it", "in each round", "target", ""]
    body = [_cells(section, row) for row in sorted(section.rows, key=lambda row: row.median)]
    widths = [max(len(line[column]) for line in (head, *body)) for column in range(len(head))]
    lines = [f"### {section.title}", "", f"{section.items:,} items, {section.rounds} interleaved rounds.", ""]
    for line in (head, ["-" * width for width in widths], *body):
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        lines.append(f"| {' | '.join(cells)} |")
    lines.append("")
    if section.skipped:
        lines += [f"Skipped, not installed here: {'; '.join(section.skipped)}.", ""]
    return lines


def _cells(section: Section, row: Row) -> list[str]:
    name = f"**{row.name}**" if row.name == section.subject else row.name
    label = f"{name} ({row.note})" if row.note else name
    cells = [label, _figure(row.median), f"{_figure(min(row.values))} to {_figure(max(row.values))}"]
    ratio = section.ratio(row)
    if ratio is None:
        own = row.name == section.subject
        return [*cells, "", "", *_verdict(row.median, section.ceiling if own else None)]
    target = next((target.ratio for target in section.targets if target.peer == row.name), None)
    return [*cells, f"{ratio[0]:.2f}", f"{ratio[1]:.2f} to {ratio[2]:.2f}", *_verdict(ratio[0], target)]


def _verdict(value: float, target: float | None) -> list[str]:
    if target is None:
        return ["", ""]
    return [f"<= {target:g}", "pass" if value <= target else "MISS"]


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def results(topic: str, sections: Sequence[Section]) -> dict[str, Any]:
    """One run of one topic as plain data, with where and on what it ran."""
    return {
        "topic": topic,
        "date": datetime.now(tz=UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "peers": {name: found for name in PEERS if (found := _version(name))},
        "sections": [asdict(section) for section in sections],
    }


def section_of(data: dict[str, Any]) -> Section:
    """Back from plain data."""
    rows = [Row(**row) for row in data["rows"]]
    targets = [Target(**target) for target in data["targets"]]
    return Section(**{**data, "rows": rows, "targets": targets})


def finish(topic: str, sections: Sequence[Section], options: Options) -> None:
    """Write the figures as JSON where that was asked for."""
    if options.json is not None:
        options.json.write_text(json.dumps(results(topic, sections), indent=1) + "\n", encoding="utf-8")


def announce(topic: str) -> None:
    """Say what runs, and on what; end at once where there is no atonce to measure."""
    if find_spec("atonce") is None:
        sys.exit(
            "atonce is not installed for this Python: python -m pip install -e . -r benchmarks/requirements.txt"
        )
    print(f"## {topic} on {platform.python_implementation()} {platform.python_version()}\n", flush=True)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
