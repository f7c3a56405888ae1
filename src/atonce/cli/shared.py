"""The options that all verbs share, in groups that a verb's command is decorated with, and what they come to."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias, TypeVar

import click

from atonce._model.durations import Share
from atonce._model.options import Budget, Rate, Retry
from atonce._runtime.terminal import Colour
from atonce.cli import options
from atonce.cli.exits import Refusal
from atonce.cli.jobs import Jobs
from atonce.cli.retrying import RetryOn
from atonce.cli.rows.source import FORMATS, Reading, Trim
from atonce.cli.settings.taking import was_set
from atonce.cli.work.halt import Halt

#: The longest pause between two attempts (a server's Retry-After may be longer).
MAX_DELAY: Final = 30.0
#: Whether an error is tried again.
Wanted: TypeAlias = Callable[[BaseException], bool]
C = TypeVar("C", bound=Callable[..., Any])
Group = Callable[[C], C]


def _group(*decorators: Callable[[Any], Any]) -> Callable[[C], C]:
    def decorate(command: C) -> C:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


def _option(*names: str, **settings: Any) -> Callable[[Any], Any]:
    return click.option(*names, **settings)


def _count(*names: str, help: str, least: int = 0) -> Callable[[Any], Any]:
    kind = options.PLACES if least else options.COUNT
    return click.option(*names, type=kind, metavar="N", help=help)


def input_options(what: str) -> Callable[[C], C]:
    """Where the items come from, and which of them; `what` they are."""
    return _group(
        _option(
            *["-i", "--input", "-a", "source"],
            metavar="FILE",
            help=f"Take {what} from a file; - is standard input.",
        ),
        _option(
            "--input-format",
            type=click.Choice(FORMATS),
            help="What the input is, where its name does not say it.",
        ),
        _option("-0", "--null", is_flag=True, help="Lines end with a NUL, as of find -print0."),
        _option(
            "-d", "--delimiter", metavar="TEXT", help=r"Lines end with this text; \n, \t and \0 are known."
        ),
        _option(
            "--key", metavar="COLUMN", help="What tells rows apart for --resume (default: the whole row)."
        ),
        _count("--skip", help="Leave out the first N."),
        _count("--limit", help="Take no more than N.", least=1),
        _option("--shuf", is_flag=True, help="In an order by chance; reads all of the input first."),
        _count("--sample", help="N of them by chance; reads all of the input first.", least=1),
    )


def output_options(what: str) -> Callable[[C], C]:
    """Where the results go, and how to go on with what is there; `what` can be written."""
    return _group(
        _option("-o", "--output", metavar="FILE", help=what),
        _option("-k", "--keep-order", is_flag=True, help="Results in the order of the input."),
        _option("--resume", is_flag=True, help="Go on with what the output has: do the rest."),
        _option("--retry-failed", is_flag=True, help="The same, and do again what failed."),
        _option("--resume-anyway", is_flag=True, help="Go on although the command has changed."),
        _option("--overwrite", is_flag=True, help="Replace the output if it is there."),
    )


def width_options(jobs: str | None, shown: str) -> Callable[[C], C]:
    """How many at a time and how fast; `jobs` is the default."""
    return _group(
        _option(
            *["-j", "--jobs", "-P"],
            type=options.JOBS,
            metavar="N",
            default=jobs,
            help=f"How many at a time: 8, +2, -1 (of the CPUs), 150%, auto, @FILE.  [default: {shown}]",
        ),
        _option("--rate", type=options.RATE, metavar="N/s|N/m|N/h", help="Starts in a time, evenly spread."),
        _option("--delay", type=options.DELAY, metavar="DUR", help="Time between two starts."),
    )


def attempt_options(
    timeout: str | None,
    retries: int,
    retries_help: str,
) -> Callable[[C], C]:
    """How long an attempt may take, and how many there are."""
    return _group(
        _option(
            "--timeout",
            type=options.DURATION_OR_SHARE,
            default=timeout,
            show_default=timeout is not None,
            metavar="DUR|N%",
            help="For each attempt; N% is of the median so far; or none.",
        ),
        _option(
            "--retries",
            type=options.COUNT,
            metavar="N",
            default=retries,
            show_default=True,
            help=retries_help,
        ),
        _option(
            "--retry-on",
            type=options.RETRY_ON,
            metavar="LIST",
            help="Only at these: 429,5xx,timeout,connect,exit:75,ValueError.  [default: all that may help]",
        ),
        _option(
            "--retry-delay",
            type=options.DURATION,
            metavar="DUR",
            default="500ms",
            show_default=True,
            help="The pause before the first further attempt; it doubles, up to 30s.",
        ),
        _option(
            "--retry-max-time",
            type=options.DURATION,
            metavar="DUR",
            help="No further attempt so long after the first began; one that runs is not cut.",
        ),
    )


stopping_options: Callable[[Any], Any] = _group(
    _option(
        "--deadline",
        type=options.DURATION,
        metavar="DUR",
        help="Stop the whole run then; what is left is not failed.",
    ),
    _option(
        "--halt",
        type=options.HALT,
        metavar="WHEN,WHY=N",
        help="Stop early: now|soon,fail|success|done=N or N%, as GNU parallel.",
    ),
    _option("--fail-fast", is_flag=True, help="--halt now,fail=1"),
    _count("--max-errors", help="--halt soon,fail=N", least=1),
    _option(
        "--grace",
        type=options.DURATION,
        default="10s",
        show_default=True,
        metavar="DUR",
        help="What running items get after the first Ctrl-C.",
    ),
)

showing_options: Callable[[Any], Any] = _group(
    _option(
        "--dry-run",
        is_flag=True,
        help="Check everything, show three items and how many there are, do nothing.",
    ),
    _option(
        "--progress",
        type=click.Choice(["auto", "bar", "plain", "json", "none"]),
        default="auto",
        show_default=True,
        help="On standard error: a bar in a terminal, else a line now and then.",
    ),
    _option("-q", "--quiet", is_flag=True, help="Nothing but errors on standard error."),
    _option("-v", "--verbose", is_flag=True, help="Say each failed attempt as it happens."),
    _option(
        "--color",
        type=click.Choice(["auto", "always", "never"]),
        default="auto",
        show_default=True,
        help="Colours on standard error; auto: in a terminal, unless NO_COLOR is set.",
    ),
    _option("--profile", metavar="NAME", expose_value=False, help="Take settings of this profile as well."),
    _option(
        "--report",
        metavar="FILE",
        help="At the end a report of the records: .html (one page), .md, .json or .txt.",
    ),
    _option("--trace", metavar="FILE", help="At the end the run over time, for Perfetto: .json or .json.gz."),
    _option("--log", metavar="FILE", help="Append all events, a JSON object a line."),
    _option("--metrics", metavar="FILE", help="What the run has come to, for Prometheus; kept up to date."),
    _option("--otel", is_flag=True, help="Spans and metrics for OpenTelemetry, whose SDK you bring."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What the shared options ask for, as click has read them (`jobs` is None where the verb's default holds)."""

    source: str | None
    input_format: str | None
    null: bool
    delimiter: str | None
    key: str | None
    skip: int | None
    limit: int | None
    shuf: bool
    sample: int | None
    output: str | None
    keep_order: bool
    resume: bool
    retry_failed: bool
    resume_anyway: bool
    overwrite: bool
    jobs: Jobs | None
    rate: Rate | None
    delay: Rate | None
    timeout: float | None
    retries: int
    retry_on: RetryOn | None
    retry_delay: float
    retry_max_time: float | None
    deadline: float | None
    halt: Halt | None
    fail_fast: bool
    max_errors: int | None
    grace: float
    dry_run: bool
    progress: str
    quiet: bool
    verbose: bool
    color: Colour
    report: str | None
    trace: str | None
    log: str | None
    metrics: str | None
    otel: bool

    @classmethod
    def taken_from(cls, values: dict[str, Any]) -> Shared:
        """Take the shared options out of all that click has read."""
        found = cls(**{name: values.pop(name) for name in cls.__dataclass_fields__})
        if not found.retries:
            for name in ("retry_on", "retry_max_time"):
                if getattr(found, name) is not None and not was_set(name):
                    option = "--" + name.replace("_", "-")
                    raise Refusal(f"{option} says what is tried again, and nothing is: add --retries N")
        if found.quiet and found.verbose:
            raise Refusal("--quiet says less and --verbose more: give one of them")
        return found

    @property
    def share(self) -> float | None:
        """The time limit as a multiple of the median; None where it is fixed, or there is none."""
        return self.timeout / 100 if isinstance(self.timeout, Share) else None

    @property
    def fixed_timeout(self) -> float | None:
        """The time limit in seconds; None where it follows the median, or there is none."""
        return None if isinstance(self.timeout, Share) else self.timeout

    def retry(self, wanted: Wanted | None) -> Retry:
        """How items are tried again, those whose errors are `wanted`."""
        most, longest = self.retries + 1, self.retry_max_time
        attempts = most if longest is None else Budget(most, longest)
        return Retry(attempts, self.retry_delay, MAX_DELAY, retry_on=Exception if wanted is None else wanted)

    def reading_from(self, path: str) -> Shared:
        """The same with another input."""
        return replace(self, source=path)

    def reading(self, *, longest: int | None = None, trim: Trim | None = None) -> Reading:
        """How the input is read."""
        if self.null and self.delimiter is not None:
            raise Refusal("--null and --delimiter both say what ends a line: give one of them")
        separator = "\0" if self.null else _unescaped(self.delimiter)
        if separator != "\n" and self.input_format not in (None, "lines"):
            raise Refusal("--null and --delimiter are for lines: leave out --input-format")
        format = "lines" if separator != "\n" else self.input_format
        return Reading(format, separator, longest, trim)

    def pace(self) -> Rate | None:
        """How starts are spaced."""
        if self.rate is not None and self.delay is not None:
            raise Refusal("--rate and --delay both space the starts: give one of them")
        return self.rate or self.delay

    def halting(self) -> Halt | None:
        """When a run stops because of how its items end."""
        given = [
            self.halt,
            Halt("now", "fail", 1) if self.fail_fast else None,
            None if self.max_errors is None else Halt("soon", "fail", self.max_errors),
        ]
        found = [one for one in given if one is not None]
        if len(found) > 1:
            raise Refusal("--halt, --fail-fast and --max-errors all say when to stop: give one of them")
        return found[0] if found else None


def _unescaped(text: str | None) -> str:
    if text is None:
        return "\n"
    try:
        found = codecs.decode(text, "unicode_escape") if "\\" in text else text
    except UnicodeDecodeError:
        found = text
    if not found:
        raise Refusal("--delimiter is at least one character")
    return found
