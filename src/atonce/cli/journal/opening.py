"""`Journal`: the place for the records of a run, made new or gone on with, and what is there from earlier runs."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from atonce.cli.exits import USAGE, Refusal
from atonce.cli.journal.output import Output, already_there
from atonce.cli.journal.reading import Earlier, NoJournal, read
from atonce.cli.journal.spec import Spec, difference
from atonce.cli.journal.tables import check_parquet, make_table
from atonce.cli.rows.text import opened, pieces

#: Outputs that are made from a journal beside them.
TABLES: Final = (".csv", ".tsv", ".parquet", ".txt")
BESIDE: Final = ".atonce.jsonl"


@dataclass(frozen=True, slots=True)
class Ask:
    """Where the records go, and what to do with what is there."""

    path: str | None = None
    overwrite: bool = False
    resume: bool = False
    retry_failed: bool = False
    anyway: bool = False

    def __post_init__(self) -> None:
        if self.goes_on and self.overwrite:
            raise Refusal("--overwrite starts over, --resume and --retry-failed go on: give one of them")
        if self.goes_on and self.path in (None, "-"):
            raise Refusal("there is nothing to go on with on standard output: add -o FILE")

    @property
    def goes_on(self) -> bool:
        """Whether earlier records count."""
        return self.resume or self.retry_failed or self.anyway

    @property
    def table(self) -> str | None:
        """The output, where it is made from a journal beside it."""
        path = self.path
        is_table = path is not None and path.lower().endswith(TABLES) and not _is_special(path)
        return path if is_table else None


class Skipped:
    """The keys that a run leaves out: what is done, and unless they are to run again what failed."""

    def __init__(self, earlier: Earlier, retry_failed: bool) -> None:
        self._earlier = earlier
        self._retry = retry_failed

    def __contains__(self, key: Any) -> bool:
        return key in self._earlier.done or (not self._retry and key in self._earlier.failed)

    def __len__(self) -> int:
        return len(self._earlier.done) + (0 if self._retry else len(self._earlier.failed))


@dataclass(slots=True)
class Journal:
    """An open output; `earlier` and `skipped` are None for a new one, `table` is made from it at the end."""

    output: Output
    table: str | None = None
    earlier: Earlier | None = None
    skipped: Skipped | None = None

    @property
    def is_kept(self) -> bool:
        """Whether it has a head and an end: it is a file."""
        return self.output.name is not None

    @property
    def failed_before(self) -> int:
        """Failures of earlier runs that this one leaves as they are."""
        if self.earlier is None or self.skipped is None:
            return 0
        return len(self.skipped) - len(self.earlier.done)

    def make_table(self, *, whole_rows: bool, like: str | None) -> None:
        """Make the output from the journal beside it, where it is one of those."""
        if self.table is not None and self.output.name is not None:
            make_table(self.output.name, self.table, whole_rows=whole_rows, like=like)

    def resuming(self) -> str | None:
        """What is said of what is there."""
        if self.earlier is None:
            return None
        done, failed = len(self.earlier.done), len(self.earlier.failed)
        kept = "kept; --retry-failed runs them too" if self.failed_before else "to run again"
        return f"resuming {self.table or self.output.name}: {done:,} done, {failed:,} failed" + (
            f" ({kept})" if failed else ""
        )


def open_journal(ask: Ask, spec: Spec) -> Journal:
    """Open the output of a run; a `Refusal` where that would lose or mix something."""
    if ask.path is None or ask.path == "-":
        return Journal(Output(None))
    table = ask.table
    path = ask.path if table is None else table + BESIDE
    if table is not None and table.lower().endswith(".parquet"):
        check_parquet()
    if not ask.goes_on:
        if table is not None and not ask.overwrite and Path(table).exists():
            raise already_there(table)
        return Journal(Output(path, overwrite=ask.overwrite), table)
    if not _has_content(path):
        if table is not None and Path(table).exists():
            raise Refusal(f"{table} has no journal beside it ({path}): there is nothing to go on with", USAGE)
        return Journal(Output(path, at=0), table)
    earlier = earlier_in(path)
    if earlier.head is None:
        return Journal(Output(path, at=0), table)
    _check(earlier, spec, path, ask)
    return Journal(Output(path, at=earlier.size), table, earlier, Skipped(earlier, ask.retry_failed))


def earlier_in(path: str) -> Earlier:
    """Read a journal from a file."""
    with closing(opened(path)) as file:
        try:
            return read(_chunks(file.fileno(), path))
        except NoJournal as error:
            raise Refusal(f"{path} is no journal to go on with: {error}", USAGE) from None


def _chunks(descriptor: int, path: str) -> Iterator[bytes]:
    return pieces(descriptor, path)


def _check(earlier: Earlier, spec: Spec, path: str, ask: Ask) -> None:
    assert earlier.head is not None
    changed = difference(earlier.head, spec)
    if changed and not ask.anyway:
        lines = "".join(f"\n    {line}" for line in changed)
        raise Refusal(
            f"{path} was made by a different command:{lines}\n"
            "    Use the same command, another -o, or --resume-anyway.",
            USAGE,
        )


def _is_special(path: str) -> bool:
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def _has_content(path: str) -> bool:
    try:
        found = os.stat(path)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size > 0
