"""`Following`: the commands that go on from a run, to paste."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import click

from atonce._runtime.terminal import visible
from atonce.cli.options import written_again
from atonce.cli.rows.source import STDIN

#: Options that say how to go on, and are said anew.
GOING_ON: Final = ("resume", "retry_failed", "resume_anyway", "overwrite")


@dataclass(slots=True)
class Following:
    """The command that goes on from a run, as its command line was: `words` before the options, `tail` behind them."""

    ctx: click.Context
    words: Sequence[str]
    without: Collection[str] = ()
    tail: str = ""

    def after(self, why: str, output: str | None, source: str | None) -> list[tuple[str, str]]:
        """What to paste next: what does the rest, where the input can be had again, and what shows a run that ended.

        Nothing where no file has the records.
        """
        if output is None:
            return []
        report = [] if why != "finished" else [("", report_of(output))]
        if source == STDIN:
            return [("next", command) for _, command in report]
        again = written_again(self.ctx, self.words, without=(*GOING_ON, *self.without))
        tail = self.tail and f" {visible(self.tail)}"
        if why == "finished":
            return [("next", f"{again} --retry-failed{tail}"), *report]
        return [("go on", f"{again} --resume{tail}")]


def report_of(output: str) -> str:
    """The command that makes a page of a journal.

    >>> report_of("my pages.jsonl")
    "atonce report 'my pages.jsonl' --html"
    """
    name = f"./{output}" if output.startswith("-") else output
    return visible(f"atonce report {shlex.quote(name)} --html")
