"""`atonce run`: its command line."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, Final

import click

from atonce._runtime.terminal import without_credentials
from atonce.cli.exits import Refusal
from atonce.cli.following import Following
from atonce.cli.options import PLACES, VerbCommand, Written
from atonce.cli.rows import source
from atonce.cli.run import ending
from atonce.cli.run.arguments import split, with_tag_spelled_out
from atonce.cli.shared import (
    Shared,
    attempt_options,
    input_options,
    output_options,
    showing_options,
    stopping_options,
    width_options,
)

NO_ROW: Final = "no input is given: name items after :::, or a file with -i, or pipe them in"
EPILOG: Final = """\b
Places in CMD, as in GNU parallel:
  {}     the item                    {1} {2}  the first, the second argument
  {.}    without its extension       {name}   a column of a table
  {/}    without its folders         {#}      the number of the call, from 1
  {//}   its folder                  {%}      the number of the slot, 1 to -j
  {/.}   neither folders nor extension; also {1/.}, {name/.}; {:raw}, {name:raw} unquoted

\b
Several words run as they are, without a shell. One word with spaces runs in $SHELL -c,
and what is put in is quoted. Without any place the item comes last.
Without CMD each item is a shell line by itself.

\b
Examples:
  atonce run gzip -9 ::: *.log
  atonce run -j 150% -k --timeout 300% -- ffmpeg -i {} {.}.mp3 ::: *.wav
  atonce run 'gzip -t {} && echo {} fine' ::: *.gz
  atonce run -i hosts.csv -o up.jsonl --retries 2 -- ping -c1 {host}
  atonce run echo {1}-{2} ::: a b ::: 1 2          each with each; ::: a b :::+ 1 2 in pairs
  atonce run echo {1}-{2} ::: a b :::: numbers     the lines of a file; ::::+ numbers in pairs

\b
With -o FILE each command is a record: {"i","key","in","ok","out" or "err","s","try"}, where
out is {"exit","stdout","stderr"} (10 MB of each at most).
Exit: 0 all well, 1 some failed, 2 wrong usage, 3 --halt or --fail-fast, 74 cannot read
or write, 75 --deadline, 126 CMD not executable, 127 CMD not found, 129 SIGHUP, 130 Ctrl-C, 143 SIGTERM.
"""


class RunCommand(VerbCommand):
    """A command whose options end where the words of another begin."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse what is before the first word; `--tag` may stand alone."""
        takes_value = [
            name
            for param in self.params
            if isinstance(param, click.Option) and not param.is_flag
            for name in param.opts
        ]
        return super().parse_args(ctx, with_tag_spelled_out(args, takes_value))


@click.command(
    "run",
    cls=RunCommand,
    epilog=EPILOG,
    context_settings={"max_content_width": 100, "allow_interspersed_args": False},
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[--] CMD... [::: ARG...] [:::: FILE...]")
@input_options("the items")
@output_options("Write a record each to a file: .jsonl, or .csv .tsv .parquet (default: what CMD writes).")
@click.option("-n", "--batch", type=PLACES, metavar="N", default="1", help="N items a call.")
@width_options(None, "as many as CPUs")
@attempt_options(None, 0, "Further attempts at what failed.")
@click.option(
    "--term-seq",
    type=Written("signals", ending.read),
    metavar="SEQ",
    default="TERM,1s,KILL",
    show_default=True,
    help="How a command and all that it has started is ended.",
)
@click.option(
    "--stdin",
    type=click.Choice(["none", "line", "row"]),
    default="none",
    show_default=True,
    help="What CMD reads: nothing, the item as a line, or the row as JSON.",
)
@click.option("--group", is_flag=True, help="Show what a command wrote when it has ended (the default).")
@click.option("--line-buffer", is_flag=True, help="Show it line by line as it comes.")
@click.option("--ungroup", is_flag=True, help="Let commands write by themselves; their lines may mix.")
@click.option("--tag", metavar="[=TEXT]", help="Begin each line with the item and a tab, or with TEXT ({/}).")
@click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep what each command wrote in DIR/ITEM-KEY/stdout and stderr.",
)
@click.option("--explain", is_flag=True, help="Print the Python program with the library that does the same.")
@stopping_options
@showing_options
@click.pass_context
def run_command(ctx: click.Context, /, words: tuple[str, ...], **options: Any) -> int:
    """Run a program or a shell line for each line, row or argument, many at a time, with their output kept apart.

    What it starts ends with it: at its timeout, at the second Ctrl-C, and when atonce itself is killed, a command's
    whole process group is ended.
    """
    from atonce.cli.run.work import RunPlan, run_run

    shared = Shared.taken_from(options)
    command, items, sources = split(words, source.lines_of)
    if items is not None and shared.source is not None:
        raise Refusal("-i and ::: both give the items: leave one of them out")
    if sources > 1 and options["batch"] > 1:
        raise Refusal("--batch is for one source of items: several ::: are joined already")
    if not command and items is None and shared.source is None and not source.is_piped():
        raise Refusal("what is to be run? Give a command: atonce run CMD... ::: ARG...")
    plan = RunPlan(shared=shared, command=command, sources=sources, **options)
    if items is not None:
        rows = source.Source(items, None)
    else:
        rows = source.choose((), shared.source, NO_ROW, shared.reading())
    again = ["--", *(without_credentials(word) for word in words)]
    try:
        return run_run(plan, rows, Following(ctx, (), tail=shlex.join(again)))
    finally:
        rows.close()
