"""Progress in a notebook: one display that is changed in place."""

from __future__ import annotations

import html
import importlib
from typing import Any

from atonce._runtime.progress import View, beat, last_beat
from atonce._runtime.terminal import say, visible


class Notebook:
    """A bar and a line under the cell, as HTML and as text."""

    interval: float = 0.2

    def __init__(self, view: View) -> None:
        self._view = view
        self._handle: Any = None

    def start(self) -> None:
        """Show the empty bar."""
        self._view.pace.mark(0.0, 0)
        display: Any = importlib.import_module("IPython.display").display
        self._handle = display(self._drawn(beat(self._view)), raw=True, display_id=True)

    def tick(self, elapsed: float) -> None:
        """Show it as it is now."""
        self._view.pace.mark(elapsed, self._view.tally.done)
        self._draw(beat(self._view))

    def say(self, text: str) -> None:
        """A message of its own."""
        say(text)

    def stop(self, elapsed: float, why: str) -> None:
        """Show how it ended, which stays."""
        self._draw(last_beat(self._view, elapsed, why))

    def _draw(self, line: str) -> None:
        if self._handle is not None:
            self._handle.update(self._drawn(line), raw=True)

    def _drawn(self, line: str) -> dict[str, str]:
        text = visible(line)
        tally = self._view.tally
        known = "" if tally.total is None else f' max="{max(1, tally.total)}" value="{tally.done}"'
        return {
            "text/plain": text,
            "text/html": f"<div><progress{known}></progress> <code>{html.escape(text)}</code></div>",
        }
