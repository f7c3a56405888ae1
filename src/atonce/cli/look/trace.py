"""`atonce trace`: a run over time, for Perfetto and Chrome, from its journal."""

from __future__ import annotations

import click

from atonce._runtime.terminal import say, visible
from atonce.cli.exits import OK
from atonce.cli.look.artefacts import TRACES, write_trace
from atonce.cli.look.journal import read_report


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("file")
@click.option(
    "-o", "--output", required=True, metavar="FILE", help="Where it goes: .json, .json.gz, or .html."
)
def trace(file: str, output: str) -> int:
    """Write a run over time: one slice for each item, on as many lanes as there were at one time, and counters.

    Open a .json or .json.gz in https://ui.perfetto.dev or chrome://tracing; a .html is the page of `atonce report`.
    """
    if not output.endswith(TRACES):
        raise click.UsageError(f"{output!r} does not say what to write: end it in {', '.join(TRACES)}")
    found = read_report(file, pictured=True)
    write_trace(found, output, file)
    say(f"{found.timed:,} items on {found.width:,} lanes -> {visible(output)}")
    return OK
