"""Reports and traces as files, made of a journal: by `atonce report`, `atonce trace`, and at the end of a run."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from atonce._runtime.terminal import LOG_WIDTH, Signs, visible
from atonce.cli.exits import INPUT_OUTPUT, Refusal
from atonce.cli.rows.text import reason
from atonce.report import text
from atonce.report.facts import Report
from atonce.report.page import page
from atonce.report.perfetto import perfetto

REPORTS: Final = (".html", ".md", ".json", ".txt")
TRACES: Final = (".json", ".json.gz", ".html")


def check(target: str, ends: tuple[str, ...]) -> None:
    """See that a file's name says what it is, and that its folder is there."""
    if not target.endswith(ends):
        raise Refusal(f"{visible(target)!r} does not say what to write: end it in {', '.join(ends)}")
    if not Path(target).parent.is_dir():
        raise Refusal(f"cannot write {visible(target)}: there is no such folder", INPUT_OUTPUT)


def write_report(found: Report, target: str) -> None:
    """Write a report: a page, Markdown, JSON or text, by the name's end."""
    if target.endswith(".html"):
        content = page(found)
    elif target.endswith(".md"):
        content = "".join(f"{line}\n" for line in text.markdown(found))
    elif target.endswith(".json"):
        content = json.dumps(found.as_json(), indent=2) + "\n"
    else:
        content = "".join(
            f"{line}\n" for line in text.receipt(found, Signs(), lambda text, colour: text, LOG_WIDTH)
        )
    write_text(target, content)


def write_text(target: str, content: str) -> None:
    """Write a file as a whole."""
    _whole(target, lambda part: Path(part).write_text(content, encoding="utf-8"))


def write_trace(found: Report, target: str, name: str) -> None:
    """Write a trace of the journal `name`."""
    if found.ended and not found.timed:
        raise Refusal(f'{name} has no instants: its records do not say when their items ended (no "t")')
    _whole(target, lambda part: _traced(found, part, target))


def _traced(found: Report, part: str, target: str) -> None:
    if target.endswith(".html"):
        Path(part).write_text(page(found), encoding="utf-8")
    elif target.endswith(".gz"):
        with gzip.open(part, "wt", encoding="ascii", compresslevel=6) as file:
            file.writelines(perfetto(found))
    else:
        with open(part, "w", encoding="ascii") as file:
            file.writelines(perfetto(found))


def _whole(target: str, write: Callable[[str], object]) -> None:
    """Write a file that is there whole or not at all."""
    part = f"{target}.part"
    try:
        write(part)
        os.replace(part, target)
    except OSError as error:
        raise Refusal(f"cannot write {visible(target)}: {reason(error)}", INPUT_OUTPUT) from None
    finally:
        with suppress(OSError):
            Path(part).unlink(missing_ok=True)
