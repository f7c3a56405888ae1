"""`atonce fetch`: many URLs in parallel, a record each."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import click

from atonce.cli import inputs
from atonce.cli.exits import Refusal
from atonce.cli.options import (
    COUNT,
    DURATION,
    DURATION_OR_NONE,
    JOBS,
    RATE,
    SIZE,
    VerbCommand,
    next_name,
    shown_value,
    written_again,
)
from atonce.cli.terminal import visible, without_credentials

EPILOG: Final = """\b
Examples:
  atonce fetch https://example.com/ https://example.org/
  atonce fetch -i urls.txt -o pages.jsonl
  cut -f3 table.tsv | atonce fetch --body none -k | jq .out.status

\b
Each record is one line of JSON: {"i","key","in","ok","out" or "err","s","try"}.
Exit: 0 all well, 1 some failed, 2 wrong usage, 3 --fail-fast, 74 cannot read or
write, 75 --deadline, 130 Ctrl-C, 143 SIGTERM.
"""


@click.command("fetch", cls=VerbCommand, epilog=EPILOG, context_settings={"max_content_width": 100})
@click.argument("urls", nargs=-1, metavar="[URL]...")
@click.option(
    "-i",
    "--input",
    "source",
    metavar="FILE",
    help="Take the URLs from a file, one a line; - is standard input.",
)
@click.option(
    "-o", "--output", metavar="FILE", help="Write the records to a new file (default: standard output)."
)
@click.option("--overwrite", is_flag=True, help="Replace the output if it is there.")
@click.option(
    "-j",
    "--jobs",
    type=JOBS,
    metavar="N",
    default=50,
    show_default=True,
    envvar="ATONCE_JOBS",
    help="Requests at a time.",
)
@click.option(
    "--per-host",
    type=JOBS,
    metavar="N",
    default=6,
    show_default=True,
    help="Requests at a time to one host and port.",
)
@click.option(
    "--rate", type=RATE, metavar="N/s|N/m|N/h", help="Requests that start in a time, evenly spread."
)
@click.option(
    "--timeout",
    type=DURATION_OR_NONE,
    default="30s",
    show_default=True,
    metavar="DUR",
    help="For each attempt, to the last byte; or none.",
)
@click.option(
    "--retries",
    type=COUNT,
    metavar="N",
    default=2,
    show_default=True,
    help="Further attempts where those may help.",
)
@click.option(
    "--deadline", type=DURATION, metavar="DUR", help="Stop the whole run then; what is left is not failed."
)
@click.option(
    "--max-bytes",
    type=SIZE,
    default="10M",
    show_default=True,
    metavar="SIZE",
    help="The largest body to take.",
)
@click.option(
    "--ok",
    default="2xx",
    show_default=True,
    metavar="LIST",
    help="Statuses that are no failure: 2xx,404 or any.",
)
@click.option(
    "-H",
    "--header",
    "headers",
    multiple=True,
    metavar="'NAME: VALUE'",
    help="A header to send; @FILE has one a line, and keeps secrets off the line.",
)
@click.option(
    "--body",
    type=click.Choice(["text", "json", "file", "none"]),
    default="text",
    show_default=True,
    help="How bodies are recorded; file puts them into --dir.",
)
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where --body file puts them (default: named after the output).",
)
@click.option("-k", "--keep-order", is_flag=True, help="Records in the order of the input.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first failure.")
@click.option(
    "--grace",
    type=DURATION,
    default="10s",
    show_default=True,
    metavar="DUR",
    help="What running requests get after the first Ctrl-C.",
)
@click.option(
    "--progress",
    type=click.Choice(["auto", "bar", "plain", "json", "none"]),
    default="auto",
    show_default=True,
    envvar="ATONCE_PROGRESS",
    help="On standard error: a bar in a terminal, else a line now and then.",
)
@click.option("-q", "--quiet", is_flag=True, help="Nothing but errors on standard error.")
@click.pass_context
def fetch(ctx: click.Context, /, urls: tuple[str, ...], source: str | None, **options: Any) -> int:
    """Fetch URLs, many at a time and never more than asked for, and record each answer or failure.

    URLs come from the arguments, a file, or a pipe. Empty lines and lines that start with # do not count.
    """
    from atonce.cli.fetch_work import FetchPlan, run_fetch

    plan = FetchPlan(headers=tuple(headers_of(options.pop("headers"))), **options)
    items = inputs.choose(urls, source)
    try:
        return run_fetch(plan, items, lambda why: next_steps(ctx, why, items.path, plan.output))
    finally:
        items.close()


def headers_of(written: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Header fields as they are written on the command line, or in a file that is named with an @."""
    for one in written:
        if one.startswith("@"):
            path = one[1:]
            if path in ("", inputs.STDIN):
                raise Refusal("headers are read from a file: -H @FILE")
            with closing(inputs.Input((), path)) as file:
                yield from headers_of([line for line in file if not line.startswith("@")])
            continue
        name, colon, value = one.partition(":")
        if not colon:
            raise Refusal(f"a header is written 'Name: value'; got {shown_value('headers', visible(name))}")
        yield name.strip(), value.strip()


def next_steps(ctx: click.Context, why: str, source: str | None, output: str | None) -> list[tuple[str, str]]:
    """The command that goes on from here: the failed ones into a file of their own, or all of it once more."""
    if output is None or output == inputs.STDIN or not Path(output).is_file():
        return []
    if why == "finished":
        again = written_again(ctx, ["-o", next_name(output)], without=("source", "output", "overwrite"))
        return [("again", f"jq -r 'select(.ok==false).in' {shlex.quote(visible(output))} | {again}")]
    if source == inputs.STDIN:
        return []
    urls = [without_credentials(url) for url in ctx.params["urls"]]
    return [("start over", written_again(ctx, [*urls, "--overwrite"], without=("overwrite",)))]
