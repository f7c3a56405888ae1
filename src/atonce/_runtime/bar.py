"""Bars in a terminal, drawn with rich, which is imported for nothing else."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from atonce._runtime.progress import Counts, View, eta_of, last_beat, speed
from atonce._runtime.terminal import Terminal, visible


class Board:
    """Where the bars of a process stand, one under another; each is drawn by its own thread, all of them at once.

    That the terminal is gone is no reason to fail.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._bars: list[Bar] = []
        self._live: Live | None = None

    def add(self, bar: Bar) -> None:
        """Draw one more."""
        with self._lock, suppress(OSError):
            self._bars.append(bar)
            if self._live is None:
                self._live = self._started(bar)
            self._live.refresh()

    def remove(self, bar: Bar, last: str | None) -> None:
        """Draw one less, and leave a line where it was; the last takes the place with it."""
        with self._lock, suppress(OSError):
            if bar not in self._bars:
                return
            self._bars.remove(bar)
            live = self._live
            assert live is not None
            if last is not None:
                live.console.print(Text(last), soft_wrap=True)
            if self._bars:
                live.refresh()
            else:
                self._live = None
                live.stop()

    def refresh(self) -> None:
        """Draw them as they are now."""
        with self._lock, suppress(OSError):
            if self._live is not None:
                self._live.refresh()

    def say(self, text: str) -> None:
        """A line above them, which stays."""
        with self._lock, suppress(OSError):
            if self._live is not None:
                self._live.console.print(Text(text))

    def _started(self, bar: Bar) -> Live:
        """What is printed to the same terminal goes above the bars, unless a receipt's owner takes care of that."""
        terminal = bar.terminal
        console = Console(
            file=sys.stderr, force_terminal=True, no_color=not terminal.has_colour, highlight=False
        )
        live = Live(
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=not bar.has_receipt and sys.stdout is not None and sys.stdout.isatty(),
            redirect_stderr=not bar.has_receipt,
            get_renderable=lambda: Group(*(one.drawn(console.width) for one in self._bars)),
        )
        live.start()
        return live


BOARD = Board()


class Bar:
    """Two lines that are drawn anew ten times a second, by the caller: no thread of its own."""

    interval: float = 0.1

    def __init__(self, view: View, terminal: Terminal, *, has_receipt: bool = True) -> None:
        self.terminal = terminal
        self.has_receipt = has_receipt
        self._view = view
        self._elapsed = 0.0
        self._dot = " · " if terminal.is_unicode else " | "

    def start(self) -> None:
        """Draw the empty bar."""
        self._view.pace.mark(0.0, 0)
        BOARD.add(self)

    def tick(self, elapsed: float) -> None:
        """Draw it as it is now."""
        self._elapsed = elapsed
        self._view.pace.mark(elapsed, self._view.tally.done)
        BOARD.refresh()

    def say(self, text: str) -> None:
        """A line above the bar, which stays."""
        BOARD.say(text)

    def stop(self, elapsed: float, why: str) -> None:
        """Take the bar away: the receipt follows, or one line stays."""
        BOARD.remove(self, None if self.has_receipt else visible(last_beat(self._view, elapsed, why)))

    def drawn(self, room: int) -> Group:
        """The two lines, in so many columns."""
        view, tally = self._view, self._view.tally
        total = tally.total
        bar = ProgressBar(
            total=None if total is None else max(1, total),
            completed=tally.done,
            width=max(8, min(40, room - 44)),
            pulse=total is None,
            complete_style="cyan",
            finished_style="green",
            pulse_style="cyan",
            animation_time=self._elapsed,
        )
        numbers = f"{of_total(tally)}  {speed(view.pace.rate())}{eta_of(view)}"
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_row(Text(visible(view.verb), style="bold"), bar, Text(numbers, no_wrap=True))
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


def of_total(tally: Counts) -> str:
    """How many are done, of how many, in percent."""
    if tally.total is None:
        return f"{tally.done:,}"
    share = 100 if tally.total == 0 else 100 * tally.done // tally.total
    return f"{tally.done:,}/{tally.total:,}  {share}%"
