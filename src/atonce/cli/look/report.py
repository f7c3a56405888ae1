"""`atonce report`: what a run was, from its journal."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from atonce._runtime.terminal import Colour, Terminal, say, visible
from atonce.cli.look.artefacts import write_text
from atonce.cli.look.journal import read_report
from atonce.report import text
from atonce.report.facts import Report
from atonce.report.page import page


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("file")
@click.argument("page_name", required=False, metavar="[PAGE]")
@click.option(
    "--html", "html", is_flag=True, help="Write one page that needs no network to PAGE, or beside FILE."
)
@click.option("--md", "form", flag_value="md", help="As Markdown.")
@click.option("--json", "form", flag_value="json", help="As JSON.")
@click.option("--errors", is_flag=True, help="What failed, by cause, with an example of each.")
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    envvar="ATONCE_COLOR",
    show_envvar=True,
    help="Colours; auto: in a terminal, unless NO_COLOR is set.",
)
@click.option("--slowest", type=click.IntRange(1, 10_000), metavar="N", help="The N items that took longest.")
def report(
    file: str,
    page_name: str | None,
    html: bool,
    form: str | None,
    errors: bool,
    slowest: int | None,
    color: Colour,
) -> int:
    """Show what a run was: counts, times, errors by cause, hosts; FILE is the output of a run, or - for standard input.

    It may be of a run that goes on, was stopped, or died: what is whole is counted.
    """
    if page_name is not None and not html:
        raise click.UsageError(
            f"{page_name!r} is one file too many: --html before it says where the page goes"
        )
    if html and (form is not None or errors):
        raise click.UsageError("--html writes a page, the others to standard output: give one of them")
    found_report = read_report(file, slowest=slowest or 20, pictured=html)
    if html:
        _write_page(found_report, page_name or _beside(file))
        return 0
    for line in _lines(found_report, form, errors=errors, slowest=slowest, colour=color):
        sys.stdout.write(f"{line}\n")
    return 0


def _lines(
    found_report: Report, form: str | None, *, errors: bool, slowest: int | None, colour: Colour
) -> list[str]:
    if form == "json":
        return [_json(found_report, errors=errors, slowest=slowest)]
    if form == "md":
        return list(text.markdown(found_report))
    terminal = Terminal.of(os.environ, _is_tty(), _encoding(), colour)
    width = terminal.width if terminal.is_tty else 160
    if not errors and slowest is None:
        return list(text.receipt(found_report, terminal.signs, terminal.paint, width))
    parts: list[str] = []
    if errors:
        parts += text.errors(found_report, width)
    if slowest is not None:
        parts += text.slowest(found_report, width)
    return parts


def _json(found_report: Report, *, errors: bool, slowest: int | None) -> str:
    whole = found_report.as_json()
    wanted = [name for name, is_wanted in (("errors", errors), ("slowest", slowest is not None)) if is_wanted]
    return json.dumps({name: whole[name] for name in wanted} if wanted else whole, indent=2)


def _beside(file: str) -> str:
    """Where the page goes: the journal's name with another end, here for standard input."""
    if file == "-":
        return "report.html"
    path = Path(file)
    return str(path.with_suffix(".html") if path.suffix == ".jsonl" else Path(f"{file}.html"))


def _write_page(found_report: Report, target: str) -> None:
    write_text(target, page(found_report))
    say(f"→ {visible(target)}" if Terminal.here().is_unicode else f"-> {visible(target)}")


def _is_tty() -> bool:
    return sys.stdout.isatty()


def _encoding() -> str:
    return sys.stdout.encoding or "ascii"
