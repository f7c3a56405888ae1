"""A bar in a terminal, drawn with rich, which is imported for nothing else."""

from __future__ import annotations

import sys

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from atonce.cli.progress import View, eta_of
from atonce.cli.tally import Tally
from atonce.cli.terminal import Terminal


class Bar:
    """Two lines that are drawn anew ten times a second, by the caller: no thread of its own."""

    interval: float = 0.1

    def __init__(self, view: View, terminal: Terminal) -> None:
        self._view = view
        self._elapsed = 0.0
        self._dot = " · " if terminal.is_unicode else " | "
        self._console = Console(
            file=sys.stderr, force_terminal=True, no_color=not terminal.has_colour, highlight=False
        )
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            get_renderable=self._drawn,
        )

    def start(self) -> None:
        """Draw the empty bar."""
        self._view.pace.mark(0.0, 0)
        self._live.start(refresh=True)

    def tick(self, elapsed: float) -> None:
        """Draw it as it is now."""
        self._elapsed = elapsed
        self._view.pace.mark(elapsed, self._view.tally.done)
        self._live.refresh()

    def say(self, text: str) -> None:
        """A line above the bar, which stays."""
        self._console.print(Text(text))

    def stop(self, elapsed: float, why: str) -> None:
        """Take the bar away: the receipt follows."""
        self._live.stop()

    def _drawn(self) -> Group:
        view, tally = self._view, self._view.tally
        total = tally.total
        width = max(8, min(40, self._console.width - 44))
        bar = ProgressBar(
            total=None if total is None else max(1, total),
            completed=tally.done,
            width=width,
            pulse=total is None,
            complete_style="cyan",
            finished_style="green",
            pulse_style="cyan",
            animation_time=self._elapsed,
        )
        numbers = f"{of_total(tally)}  {view.pace.rate():,.0f}/s{eta_of(view)}"
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_row(Text(view.verb, style="bold"), bar, Text(numbers, no_wrap=True))
        return Group(
            grid,
            Text("      " + self._dot.join(self._counts()), style="dim", no_wrap=True, overflow="ellipsis"),
        )

    def _counts(self) -> list[str]:
        view, tally = self._view, self._view.tally
        counts = [f"{view.running()} running"]
        if slowed := view.slowed():
            counts.append(f"{slowed} host{'s' if slowed > 1 else ''} slowed down (429)")
        counts.append(f"{tally.failed:,} failed")
        if tally.retries:
            counts.append(f"{tally.retries:,} retried")
        return counts


def of_total(tally: Tally) -> str:
    """How many are done, of how many, in percent."""
    if tally.total is None:
        return f"{tally.done:,}"
    share = 100 if tally.total == 0 else 100 * tally.done // tally.total
    return f"{tally.done:,}/{tally.total:,}  {share}%"
