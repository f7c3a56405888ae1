"""What the tour shows: progress while it runs, then a receipt, then a report."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeGuard

from rich.console import Console
from rich.table import Table

from atonce import Ok, Outcome, Response, Stream, spawn
from atonce._model.durations import bytes_shown
from atonce._runtime.progress import View
from atonce._runtime.showing import choose
from atonce._runtime.terminal import Terminal, say, visible, without_credentials
from atonce.cli import receipt
from atonce.cli.failure import described, host_of
from atonce.cli.tally import Tally

if TYPE_CHECKING:
    from stdlib_tour import Module


class Show:
    """Counts outcomes as they pass by and shows how far they are."""

    def __init__(self, verb: str, what: str, total: int) -> None:
        self._terminal = Terminal.here()
        self._tally = Tally(total)
        self._view = View(verb, self._tally)
        self._progress = choose("auto", self._view, self._terminal, quiet=False, records_on_screen=False)
        self._began = time.monotonic()
        self._elapsed = 0.0
        say(f"{verb}: {what}")

    async def good(self, answers: Stream[Response]) -> AsyncIterator[Response]:
        """Pass the good answers on; count these and the failures."""
        self._view.running = lambda: answers.statistics().running
        self._progress.start()
        ticking = spawn(self._tick)
        try:
            async with answers:
                async for answer in answers:
                    if self._counted(answer):
                        yield answer.value
        finally:
            ticking.stop()
            self._elapsed = time.monotonic() - self._began
            self._progress.stop(self._elapsed, "finished")

    def _counted(self, answer: Outcome[Response]) -> TypeGuard[Ok[Response]]:
        """Count one outcome; True when it is a good one."""
        url = visible(without_credentials(str(answer.input)))
        if answer.ok:
            self._tally.well(url, answer.elapsed, answer.attempts)
        else:
            failure = described(answer.error, host_of(url), timeout=None, max_bytes=None)
            advice = "" if failure.advice.startswith("--") else failure.advice  # options of the program
            self._tally.badly(url, replace(failure, advice=advice), answer.attempts)
        return answer.ok

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._progress.interval)
            self._progress.tick(time.monotonic() - self._began)

    def receipt(self) -> None:
        """Say how it went: counts, times, and failures by their cause."""
        terminal = self._terminal
        ending = receipt.Ending(self._elapsed)
        for line in receipt.lines(self._tally, ending, terminal.signs, terminal.paint, terminal.width):
            say(line)


def library_report(modules: list[Module]) -> None:
    """What there is in the modules of a library."""
    console = Console(highlight=False)
    lines, classes = sum(module.lines for module in modules), sum(module.classes for module in modules)
    functions, coroutines = (
        sum(getattr(module, name) for module in modules) for name in ("functions", "coroutines")
    )
    console.print()
    console.print(
        f"[bold]{len(modules):,}[/] modules   [bold]{lines:,}[/] lines   [bold]{classes:,}[/] classes   "
        f"[bold]{functions:,}[/] functions, [bold]{coroutines:,}[/] async"
    )
    console.print()
    longest = sorted(modules, key=lambda module: (-module.lines, module.name))[:8]
    imported = Counter(name for module in modules for name in module.imports).most_common()
    often = sorted(imported, key=lambda pair: (-pair[1], pair[0]))[:8]
    left = _ranking("longest modules", "lines", [(module.name, module.lines) for module in longest])
    right = _ranking("most imported", "modules", often)
    _side_by_side(console, left, right)


def url_report(pages: list[Response]) -> None:
    """What came back from a list of URLs."""
    console = Console(highlight=False)
    console.print()
    console.print(f"[bold]{bytes_shown(sum(len(page.body) for page in pages))}[/] in {len(pages):,} pages")
    console.print()
    kinds = Counter(f"{page.status} {_type_of(page)}" for page in pages).most_common(8)
    largest = sorted(pages, key=lambda page: -len(page.body))[:8]
    left = _ranking("status and type", "pages", kinds)
    right = _ranking("largest", "bytes", [(receipt.cut(page.url, 40), len(page.body)) for page in largest])
    _side_by_side(console, left, right)


def _type_of(page: Response) -> str:
    return visible(page.headers.get("content-type", "no type").partition(";")[0].strip())


def _ranking(title: str, unit: str, rows: Iterable[tuple[str, int]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), title_justify="left")
    table.add_column(title, header_style="bold")
    table.add_column(unit, justify="right", header_style="dim")
    for name, count in rows:
        table.add_row(name, f"{count:,}")
    return table


def _side_by_side(console: Console, left: Table, right: Table) -> None:
    both = Table.grid(padding=(0, 4, 0, 0))
    both.add_row(left, right)
    console.print(both)
