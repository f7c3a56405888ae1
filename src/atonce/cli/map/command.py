"""`atonce map`: its command line."""

from __future__ import annotations

from typing import Any, Final

import click

from atonce.cli.exits import Refusal
from atonce.cli.following import Following
from atonce.cli.options import PLACES, VerbCommand
from atonce.cli.rows import source
from atonce.cli.shared import (
    Shared,
    attempt_options,
    input_options,
    output_options,
    showing_options,
    stopping_options,
    width_options,
)

EPILOG: Final = """\b
Examples:
  atonce map -e 'x.upper()' names.txt
  atonce map geo.py:locate cities.csv --arg name --into location -o out.csv
  atonce map shop:price -i items.jsonl -o prices.jsonl -j 8 --retries 3 --timeout 10s
  atonce map -e 'float(x) ** 0.5' ::: 4 9 16

\b
Without -o results go to standard output, a line each: strings as they are, all
else as JSON. A .jsonl has records: {"i","key","in","ok","out" or "err","s","try"}.
Exit: 0 all well, 1 some failed, 2 wrong usage, 3 --halt or --fail-fast, 74 cannot read
or write, 75 --deadline, 129 SIGHUP, 130 Ctrl-C, 143 SIGTERM.
"""
NO_ROW: Final = "no input is given: name a file, or items after :::, or pipe them in"
BETWEEN: Final = ":::"


@click.command("map", cls=VerbCommand, epilog=EPILOG, context_settings={"max_content_width": 100})
@click.argument("words", nargs=-1, metavar="FUNC [INPUT] [::: ITEM...]")
@click.option(
    "-e",
    "--expression",
    metavar="EXPR",
    help="An expression of x (the item) and i (its number) in place of FUNC.",
)
@click.option("--arg", metavar="COLUMN", help="Pass the value of a column, not the row.")
@click.option("--kwargs", is_flag=True, help="Pass the row's columns as keyword arguments.")
@click.option("--into", metavar="COLUMN", help="Keep the row, with the result in this column.")
@click.option(
    "--merge", is_flag=True, help="Keep the row, with the columns of the dictionary that comes back."
)
@click.option("--fields", metavar="A,B", help="Of the row, keep these columns.")
@click.option(
    "-n", "--batch", type=PLACES, metavar="N", default="1", help="Pass lists of N items, one list a call."
)
@click.option(
    "--init", metavar="FUNC", help="Call this once in each worker before all else: load the model here."
)
@click.option(
    "--executor",
    type=click.Choice(["auto", "async", "process", "thread", "inline"]),
    default="auto",
    show_default=True,
    help="Where it runs; auto: async def on the event loop, def in processes.",
)
@input_options("the rows")
@output_options("Write to a file: .jsonl (records), .csv .tsv .parquet .txt (default: standard output).")
@width_options(None, "as many as CPUs; 50 for async def")
@attempt_options(None, 0, "Further attempts at what failed.")
@stopping_options
@click.option("--explain", is_flag=True, help="Print the Python program with the library that does the same.")
@showing_options
@click.pass_context
def map_command(ctx: click.Context, /, words: tuple[str, ...], **options: Any) -> int:
    """Call a Python function for each line or row, many at a time, and write what it gives.

    FUNC is module:function or file.py:function. Its argument is the line as a string, or the row of a table as a
    dictionary.
    """
    from atonce.cli.map.work import MapPlan, run_map

    shared = Shared.taken_from(options)
    expression = options.pop("expression")
    given = list(words)
    items: list[str] = []
    if BETWEEN in given:
        cut = given.index(BETWEEN)
        given, items = given[:cut], given[cut + 1 :]
    if expression is None and not given:
        raise Refusal("what is to be called? Give module:function or file.py:function, or -e EXPR")
    name = expression if expression is not None else given.pop(0)
    if len(given) > 1 or (given and shared.source is not None):
        raise Refusal(
            f"one input, please: {' and '.join(given)} are too many; items themselves come after :::"
        )
    if given:
        shared = shared.reading_from(given[0])
    plan = MapPlan(shared=shared, name=name, is_expression=expression is not None, **options)
    rows = source.choose(items, shared.source, NO_ROW, shared.reading())
    try:
        return run_map(plan, rows, Following(ctx, list(words)))
    finally:
        rows.close()
