"""`atonce fetch`: many URLs in parallel, a record each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import click

from atonce._runtime.terminal import visible, without_credentials
from atonce.cli.exits import OK, Refusal
from atonce.cli.following import Following
from atonce.cli.options import COUNT, PLACES, SIZE, VerbCommand, shown_value
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

NO_URL: Final = "no URL is given: name some, or a file of them with -i FILE, or pipe them in"
#: What is kept of a longer line; no URL is as long, so that such a line fails as an item of its own.
LONGEST: Final = 131_072
EPILOG: Final = """\b
Examples:
  atonce fetch https://example.com/ https://example.org/
  atonce fetch -i urls.txt -o pages.jsonl
  cut -f3 table.tsv | atonce fetch --body none -k | jq .out.status

\b
Each record is one line of JSON: {"i","key","in","ok","out" or "err","s","try"}.
Exit: 0 all well, 1 some failed, 2 wrong usage, 3 --halt or --fail-fast, 74 cannot read
or write, 75 --deadline, 129 SIGHUP, 130 Ctrl-C, 143 SIGTERM.
"""


@click.command("fetch", cls=VerbCommand, epilog=EPILOG, context_settings={"max_content_width": 100})
@click.argument("urls", nargs=-1, metavar="[URL]...")
@input_options("the URLs")
@click.option("--url-column", metavar="COLUMN", help="Where rows of a table have the URL.")
@click.option(
    "--url-template",
    metavar="URL",
    help="Make it of columns: 'https://api.example/{city}'; values are encoded.",
)
@output_options("Write the records to a file: .jsonl, or .csv .tsv .parquet (default: standard output).")
@width_options("50", "50")
@click.option(
    "--per-host",
    type=PLACES,
    metavar="N",
    default=6,
    show_default=True,
    help="Requests at a time to one host and port.",
)
@click.option(
    "--robots",
    is_flag=True,
    help="Obey robots.txt of each host, its Crawl-delay too.",
)
@attempt_options("30s", 2, "Further attempts where those may help.")
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
    "-X", "--request", "method", metavar="METHOD", help="GET, or POST with --data or --json; or another."
)
@click.option("--data", metavar="TEXT|@FILE", help="Send this with each request.")
@click.option("--json", "json_data", metavar="JSON|@FILE", help="Send this JSON with each request.")
@click.option(
    "--follow", type=COUNT, metavar="N", default=10, show_default=True, help="Redirects to follow at most."
)
@click.option("--user-agent", metavar="NAME", help="What we say we are.")
@click.option("--insecure", is_flag=True, help="Take any certificate.")
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
@click.option("--explain", is_flag=True, help="Print the Python program with the library that does the same.")
@stopping_options
@showing_options
@click.pass_context
def fetch(ctx: click.Context, /, urls: tuple[str, ...], **options: Any) -> int:
    """Fetch URLs, many at a time and never more than asked for, and record each answer or failure.

    URLs come from the arguments, a file, or a pipe. Empty lines and lines that start with # do not count.
    """
    from atonce.cli.fetch_work import FetchPlan, run_fetch
    from atonce.cli.sending import sent_of, with_agent

    shared = Shared.taken_from(options)
    headers = with_agent(list(headers_of(options.pop("headers"))), options.pop("user_agent"))
    sent = sent_of(options.pop("method"), headers, options.pop("data"), options.pop("json_data"))
    plan = FetchPlan(sent=sent, shared=shared, **options)
    items = source.choose(urls, shared.source, NO_URL, shared.reading(longest=LONGEST, trim=itemised))
    words = [without_credentials(url) for url in urls]
    try:
        if plan.explain:
            from atonce.cli.fetch_explain import program  # a run does without

            print(program(plan, items, 50 if shared.jobs is None else shared.jobs.count))
            return OK
        return run_fetch(plan, items, Following(ctx, words))
    finally:
        items.close()


def itemised(texts: Iterable[str]) -> list[str]:
    """The URLs among lines: blanks around them, empty lines, and lines that start with # do not count."""
    stripped = (text.strip() for text in texts)
    return [item for item in stripped if item and not item.startswith("#")]


def headers_of(written: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Header fields as they are written on the command line, or in a file that is named with an @."""
    for one in written:
        if one.startswith("@"):
            path = one[1:]
            if path in ("", source.STDIN):
                raise Refusal("headers are read from a file: -H @FILE")
            with closing(source.Source((), path, source.Reading("lines", trim=itemised))) as file:
                lines = [line for block in file.blocks() for line in block]
            yield from headers_of([line for line in lines if not line.startswith("@")])
            continue
        name, colon, value = one.partition(":")
        if not colon:
            raise Refusal(f"a header is written 'Name: value'; got {shown_value('headers', visible(name))}")
        yield name.strip(), value.strip()
