"""What `atonce run` does once its options are read; imported for a real run alone."""

from __future__ import annotations

import itertools
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from atonce._model.durations import Share
from atonce._runtime.cpus import cpus
from atonce._runtime.terminal import without_credentials
from atonce.cli.descriptors import room_for
from atonce.cli.exits import OK, Refusal
from atonce.cli.following import Following
from atonce.cli.jobs import Jobs
from atonce.cli.journal.spec import Spec, spec_of
from atonce.cli.rows.source import Source
from atonce.cli.run.ending import TermSeq
from atonce.cli.run.preflight import path_of
from atonce.cli.run.runner import How, Mode
from atonce.cli.run.shell import shell_of
from atonce.cli.run.template import Known, Misfit, Template, Values, parts_of, template
from atonce.cli.run.verb import Commands, retry_of
from atonce.cli.running import Run
from atonce.cli.shared import Shared
from atonce.cli.tally import Tally
from atonce.cli.work.width import width_of

#: The most commands at a time for each CPU, where `-j auto` or a file says how many.
MOST_COMMANDS: Final = 32
#: So many have to end well before a share of their median is a limit.
ENOUGH: Final = 10
#: Seconds that a share of the median comes to at least: less is the system's own unevenness.
LEAST: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """The options of `atonce run`, as its command line reads them; `sources` are those behind `:::`."""

    shared: Shared
    command: Sequence[str]
    sources: int
    batch: int
    stdin: Literal["none", "line", "row"]
    group: bool
    line_buffer: bool
    ungroup: bool
    tag: str | None
    results: Path | None
    term_seq: TermSeq
    explain: bool

    @property
    def records(self) -> bool:
        """Whether records are written, and not what the commands write."""
        return self.shared.output not in (None, "-")

    def mode(self) -> Mode:
        """How the output of commands comes together."""
        asked: tuple[tuple[Mode, bool], ...] = (
            ("group", self.group),
            ("line-buffer", self.line_buffer),
            ("ungroup", self.ungroup),
        )
        found: list[Mode] = [mode for mode, is_asked in asked if is_asked]
        if len(found) > 1:
            raise Refusal("--group, --line-buffer and --ungroup exclude each other: give one of them")
        mode: Mode = found[0] if found else "group"
        if mode != "group":
            self._check_live(mode)
        if self.tag is not None and (mode == "ungroup" or self.records):
            what = "-o has records" if self.records else "--ungroup does not touch the output"
            raise Refusal(f"--tag marks lines that are shown, but {what}: leave one of them out")
        return mode

    def _check_live(self, mode: Mode) -> None:
        for name, given in (
            ("-o", self.records),
            ("-k", self.shared.keep_order),
            ("--results", self.results is not None),
        ):
            if given:
                raise Refusal(
                    f"{name} needs the whole output of a command, which --{mode} does not wait for:"
                    " leave one of them out"
                )

    def spec(self) -> Spec:
        """What decides about the results."""
        shaping = {
            "--stdin": None if self.stdin == "none" else self.stdin,
            "--batch": None if self.batch == 1 else self.batch,
            "--key": self.shared.key,
        }
        words = [without_credentials(word) for word in self.command]
        return spec_of("run", ["--", *words] if any(w.startswith("-") for w in words[:1]) else words, shaping)


def run_run(plan: RunPlan, source: Source, following: Following) -> int:
    """Run a command for all that `source` has, and give the exit code."""
    shared = plan.shared
    mode = plan.mode()
    known = _known(plan, source)
    try:
        command = template(plan.command, known, shell=shell_of(os.environ), appends=plan.stdin == "none")
        tag = None if plan.tag is None else tuple(parts_of(plan.tag, known))
    except Misfit as error:
        raise Refusal(str(error)) from None
    if plan.explain:
        return _explained(plan, command, source)
    path = None if command.program is None else path_of(command.program, source.total())
    run = Run(shared, source, plan.spec(), batch=plan.batch, has_keys=plan.results is not None)
    if shared.dry_run:
        return run.dry(_shown(command))
    wanted = shared.jobs or Jobs(cpus())
    width = width_of(wanted, _room(MOST_COMMANDS * cpus()))
    jobs = _room(wanted.count) if width is None else width.most
    how = How(command, path, plan.term_seq, _limit(shared, run.tally), mode, tag, plan.stdin, plan.results)
    verb = Commands(
        run.blocks(),
        how,
        run.journal.output,
        jobs=jobs,
        width=width,
        is_wanted=source.is_wanted,
        records=plan.records,
        is_fixed=shared.share is None,
        keep_order=run.keeps_order,
        retry=retry_of(shared),
        rate=shared.pace(),
    )
    progress = run.progress(run.view(verb.busy), mixed=not plan.records)
    if jobs < wanted.count:
        progress.say(f"at most {jobs} commands at a time: the system allows no more open files (ulimit -n)")
    return run.perform(verb, progress, following, width=width)


def _explained(plan: RunPlan, command: Template, source: Source) -> int:
    from atonce.cli.run import explain  # a run does without

    if plan.batch > 1:
        raise Refusal("--explain shows one item a call: leave out --batch")
    jobs = (plan.shared.jobs or Jobs(cpus())).count
    print(explain.program(command, plan.shared, source, jobs, several=plan.sources > 1))
    return OK


def _known(plan: RunPlan, source: Source) -> Known:
    arguments = max(plan.sources, plan.batch)
    if not source.has_columns:
        return Known(arguments)
    columns = source.columns()
    key = plan.shared.key
    if key is not None and columns is not None and key not in columns:
        raise Refusal(f"{source.path} has no column {key!r}: it has {', '.join(columns)}")
    return Known(arguments, columns)


def _shown(command: Template) -> Callable[[Any], str]:
    numbers = itertools.count(1)

    def shown(row: Any) -> str:
        try:
            argv = command.argv(Values(row, next(numbers), 1))
        except Misfit as error:
            raise Refusal(str(error)) from None
        return argv[2] if command.shell is not None else shlex.join(argv)

    return shown


def _room(jobs: int) -> int:
    """How many commands there are files for: three each while they run, two for each end that waits."""
    needed = 3 * jobs + 2 * max(2 * jobs, 16)
    found = room_for(needed)
    return jobs if found >= needed else max(1, min(jobs, (found - 32) // 7))


def _limit(shared: Shared, tally: Tally) -> Callable[[], float | None]:
    """The seconds that a command may take: fixed, or a share of the median of those that ended well."""
    timeout = shared.timeout
    if not isinstance(timeout, Share):
        return lambda: timeout
    share = timeout / 100
    times = tally.times
    return lambda: max(LEAST, share * times.quantile(0.5)) if times.count >= ENOUGH else None
