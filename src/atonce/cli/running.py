"""`Run`: what all verbs do around their work: open the journal, key and pick the rows, show, and say what is next."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Callable
from typing import Any

from atonce._runtime.progress import Progress, View
from atonce._runtime.showing import choose
from atonce._runtime.terminal import Terminal, visible
from atonce.cli.exits import OK, Refusal
from atonce.cli.export import asked
from atonce.cli.export.exporter import Scene
from atonce.cli.following import Following
from atonce.cli.journal import record
from atonce.cli.journal.opening import Ask, Journal, open_journal
from atonce.cli.journal.spec import Spec
from atonce.cli.rows.block import Blocks
from atonce.cli.rows.keys import canonical
from atonce.cli.rows.picking import Picking
from atonce.cli.rows.source import STDIN, Source
from atonce.cli.shared import Shared
from atonce.cli.tally import Tally
from atonce.cli.work.shell import Plan, Verb, Work, perform
from atonce.cli.work.width import Width

#: Items that a dry run shows.
FIRST = 3


class Run:
    """The parts of one run that do not depend on the verb.

    `has_keys` says that records have keys although no journal is kept; `identity` is what tells rows apart;
    `whole_rows` that a result is a row by itself.
    """

    def __init__(
        self,
        shared: Shared,
        source: Source,
        spec: Spec,
        *,
        batch: int = 1,
        has_keys: bool = False,
        whole_rows: bool = False,
        identity: Callable[[Any], str] = canonical,
    ) -> None:
        self.shared = shared
        self.source = source
        self.spec = spec
        self.terminal: Terminal = Terminal.here(shared.color)
        self.tally: Tally = Tally()
        self._identity = identity
        self._has_keys = has_keys
        self._whole_rows = whole_rows
        self._ask = Ask(
            shared.output,
            overwrite=shared.overwrite,
            resume=shared.resume,
            retry_failed=shared.retry_failed,
            anyway=shared.resume_anyway,
        )
        self._halt = shared.halting()
        self._check_artefacts()
        if (
            self._halt is not None
            and self._halt.why == "done"
            and self._halt.percent
            and source.path == STDIN
        ):
            raise Refusal("--halt done=N% needs an input that can be counted: give a file with -i")
        self._picking = Picking(
            skip=shared.skip or 0,
            limit=shared.limit,
            shuf=shared.shuf,
            sample=shared.sample,
            batch=batch,
            key=shared.key,
        )
        self._journal: Journal | None = None
        self._passed = 0

    @property
    def keeps_order(self) -> bool:
        """Whether results are written in the order of the input; those of tables are."""
        return self.shared.keep_order or self._ask.table is not None

    @property
    def journal(self) -> Journal:
        """The output; opened when it is first asked for, after everything else has been checked."""
        if self._journal is None:
            self._journal = open_journal(self._ask, self.spec)
        return self._journal

    def blocks(self) -> Blocks:
        """The rows to work on."""
        journal = self.journal
        if not (journal.is_kept or self._has_keys):
            return self._picking.blocks(self.source)
        return self._picking.with_keys(self.source, journal.skipped, self._pass, self._identity)

    def _pass(self, count: int) -> None:
        self._passed += count

    def view(self, running: Callable[[], int], slowed: Callable[[], int] = lambda: 0) -> View:
        """What progress shows."""
        return View(self.spec.verb, self.tally, running, slowed, self.shared.output)

    def progress(self, view: View, *, mixed: bool = False) -> Progress:
        """The way to show it; `mixed` says that others write to standard error meanwhile."""
        output = self.journal.output
        on_screen = mixed or (output.name is None and output.is_tty)
        shared = self.shared
        return choose(shared.progress, view, self.terminal, quiet=shared.quiet, records_on_screen=on_screen)

    def perform(
        self,
        verb: Verb,
        progress: Progress,
        following: Following,
        *,
        width: Width | None = None,
        share: float | None = None,
        limit: Callable[[float], None] | None = None,
    ) -> int:
        """Do the work, and give the exit code; `width`, `share` and `limit` are those of `Plan`."""
        shared, journal = self.shared, self.journal
        head = None
        if journal.is_kept:
            head = record.header(os.urandom(4).hex(), self.spec, self.source.path, time.time())
        plan = Plan(
            head,
            shared.grace,
            shared.deadline,
            self._halt,
            shared.quiet,
            shared.progress == "json",
            self._whole_rows,
            self.source.path if self.source.format == "parquet" else None,
            width,
            share,
            limit,
            asked.opened(
                shared,
                Scene(self.spec, self.source.path, self.tally, verb.busy, verb.item),
                progress.say,
            ),
        )
        work = Work(plan, verb, self.source, journal, progress, self.tally, self._total)
        name = shared.output if journal.is_kept else None
        code = perform(work, self.terminal, lambda why: following.after(why, name, self.source.path))
        self._write_artefacts()
        return code

    def _check_artefacts(self) -> None:
        """See that a report and a trace can be written at the end, before anything starts, and no two files are one."""
        shared = self.shared
        asked.check(shared)
        if shared.report is None and shared.trace is None:
            return
        from atonce.cli.look import artefacts  # few runs have them

        if shared.output in (None, STDIN):
            raise Refusal("--report and --trace are made of the records: add -o OUT.jsonl")
        if shared.report is not None:
            artefacts.check(shared.report, artefacts.REPORTS)
        if shared.trace is not None:
            artefacts.check(shared.trace, artefacts.TRACES)

    def _write_artefacts(self) -> None:
        shared = self.shared
        if shared.output is None or (shared.report is None and shared.trace is None):
            return
        from atonce.cli.look import artefacts, journal  # few runs have them

        found = journal.read_report(shared.output, pictured=True)
        if shared.report is not None:
            artefacts.write_report(found, shared.report)
        if shared.trace is not None:
            artefacts.write_trace(found, shared.trace, shared.output)

    def _total(self) -> int | None:
        known = self._picking.total(self.source.total())
        skipped = self.journal.skipped
        return known if known is None or skipped is None else max(0, known - len(skipped))

    def dry(self, shown: Callable[[Any], str]) -> int:
        """Show what would be done: some items, and how many there are."""
        blocks = self._picking.blocks(self.source)
        rows = itertools.islice(
            ((place, row) for block in blocks for place, row in zip(block.places, block.rows, strict=True)),
            FIRST,
        )
        count = 0
        for place, row in rows:
            print(f"{place}\t{visible(shown(row))}")
            count += 1
        total = self._picking.total(self.source.total())
        known = f"{count}{' or more' if count == FIRST else ''}" if total is None else f"{total:,}"
        print(f"{known} items, {self.spec}: nothing was started")
        return OK


def shown_json(row: Any) -> str:
    """A row as a dry run shows it."""
    return row if isinstance(row, str) else json.dumps(row, ensure_ascii=False, default=str)
