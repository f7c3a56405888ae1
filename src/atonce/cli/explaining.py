"""What `--explain` prints, as far as it is the same for all verbs: where the rows come from, and the options."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from atonce.cli.exits import Refusal
from atonce.cli.rows.source import Source
from atonce.cli.shared import Shared

_PROGRAM = """
if __name__ == "__main__":
    for outcome in blocking.{verb}(
        {arguments},
    ):
        if outcome.ok:
{shown}
        else:
            print(outcome.error, file=sys.stderr)
"""


def program(
    verb: str,
    imports: set[str],
    parts: Sequence[Sequence[str]],
    arguments: Sequence[str],
    shown: Sequence[str],
    *,
    has_rate: bool,
) -> str:
    """A whole program: `parts` are its functions, `arguments` the stream's, `shown` is what becomes of a value."""
    face = "from atonce import Rate, blocking" if has_rate else "from atonce import blocking"
    lines = [*(f"import {name}" for name in sorted(imports | {"sys"})), "", face]
    for part in parts:
        lines += ["", "", *part]
    body = _PROGRAM.format(
        verb=verb,
        arguments=",\n        ".join(arguments),
        shown="\n".join(f"            {line}" for line in shown),
    )
    return "\n".join([*lines, "", body.rstrip()])


def options(shared: Shared, jobs: int, *, timeout: bool = True) -> Iterator[str]:
    """The options of a stream that are those of the command line."""
    yield f"max_concurrency={jobs}"
    yield f"ordered={shared.keep_order}"
    if timeout and shared.fixed_timeout is not None:
        yield f"timeout={shared.fixed_timeout:g}"
    if shared.retries:
        yield f"retry={shared.retries + 1}"
    if (rate := shared.pace()) is not None:
        yield f"rate=Rate({rate.count}, per={rate.per:g})"


def rows(shared: Shared, source: Source) -> tuple[list[str], set[str]]:
    """A generator of the rows, and the modules that it needs."""
    given: list[Any] = source.arguments
    lines = ["def rows():"]
    if given:
        lines.append(f"    yield from {given!r}")
    if source.path is None:
        return lines, set()
    name = source.path
    if (
        source.format not in ("lines", "csv", "jsonl")
        or name.endswith(".gz")
        or shared.null
        or shared.delimiter
    ):
        raise Refusal("--explain reads lines, CSV and JSONL as they are: leave out --explain for this input")
    reader = {"csv": "csv.DictReader(file)", "jsonl": "map(json.loads, file)"}.get(source.format)
    each = [f"yield from {reader}"] if reader else ["for line in file:", '    yield line.rstrip("\\r\\n")']
    if name == "-":
        lines += ["    file = sys.stdin", *(f"    {line}" for line in each)]
    else:
        lines.append(f'    with open({name!r}, encoding="utf-8", newline="") as file:')
        lines += [f"        {line}" for line in each]
    return lines, {"csv": {"csv"}, "jsonl": {"json"}}.get(source.format, set())
