"""The Python program with the library that does what `atonce map` does (`--explain`)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from atonce.cli import explaining
from atonce.cli.map.job import Job
from atonce.cli.rows.source import Source
from atonce.cli.shared import Shared

_SHOWN = (
    "value = outcome.value",
    "print(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))",
)


def program(job: Job, shared: Shared, source: Source, executor: str, jobs: int) -> str:
    """Its text, to save and run: it reads the same input and prints the same results."""
    rows, needed = explaining.rows(shared, source)
    pairs = job.target.takes_pairs
    call = ["def call(pair):", "    i, row = pair"] if pairs else ["def call(row):"]
    call.append(f"    return {_call(job)}")
    if executor == "async":
        call = [call[0].replace("def", "async def"), *call[1:-1], call[-1].replace("return", "return await")]
    arguments = ["enumerate(rows())" if pairs else "rows()", "call", *explaining.options(shared, jobs)]
    if executor != "async":
        arguments.append(f'on="{"thread" if executor == "inline" else executor}"')
    imports = {"json", *needed, *_modules(job)}
    return explaining.program(
        "stream", imports, [rows, call], arguments, _SHOWN, has_rate=shared.pace() is not None
    )


def _modules(job: Job) -> Iterator[str]:
    if job.target.expression:
        yield from (name for name in getattr(job.target.load(), "__globals__", {}) if name != "__builtins__")
    else:
        yield _module(job.target.name)


def _module(name: str) -> str:
    place = name.rpartition(":")[0]
    return re.sub(r"[\\/]", ".", place.removeprefix("./").removesuffix(".py"))


def _call(job: Job) -> str:
    argument = "**row" if job.kwargs else f"row[{job.arg!r}]" if job.arg is not None else "row"
    if job.target.expression:
        return f"(lambda x: {job.target.name})({argument})"
    return f"{_module(job.target.name)}.{job.target.name.rpartition(':')[2]}({argument})"
