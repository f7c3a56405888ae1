"""A report out of several sources, all asked at once: one that is late or broken is named in it and delays nothing.

    python examples/report.py                        # a report on this machine's Python, as text
    python examples/report.py report.html report.md  # as a page, and as Markdown

The sources are of every kind: a database and a file tree (plain functions: threads), statistics of source code (a CPU's
work: a process), a command, and two services over HTTP (`async def`: the loop), one of which never answers. Each has
its own time limit, and what stands in for it.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import html
import platform
import sqlite3
import statistics
import sys
import sysconfig
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from atonce import Failed, Ok, Outcome, aggregate, fetch, source

LIBRARY = Path(sysconfig.get_path("stdlib"))
#: What a source gives: a row of words for each line of its table.
Table = list[tuple[str, str]]


def releases(path: str) -> Table:
    """Out of a database."""
    with closing(sqlite3.connect(path)) as database:
        return [
            (version, day)
            for version, day in database.execute("SELECT version, day FROM releases ORDER BY day")
        ]


def largest(folder: Path, most: int = 3) -> Table:
    """Out of a file tree."""
    sizes = sorted(((path.stat().st_size, path.name) for path in folder.glob("*.py")), reverse=True)
    return [(name, f"{size:,} bytes") for size, name in sizes[:most]]


def complexity(folder: Path) -> Table:
    """Functions in the modules of a folder, and their lines; it takes a CPU for a while."""
    lengths = [
        node.end_lineno - node.lineno + 1
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno
    ]
    return [
        ("functions", f"{len(lengths):,}"),
        ("lines of a function, median", f"{statistics.median(lengths):g}"),
        ("lines of the longest", f"{max(lengths):,}"),
    ]


async def version(command: str) -> Table:
    """Out of a command; when its time is up, it is ended."""
    child = await asyncio.create_subprocess_exec(command, "-VV", stdout=asyncio.subprocess.PIPE)
    try:
        said, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return [("says", said.decode().partition("(")[0].strip())]


async def service(url: str) -> Table:
    """Out of a service that answers in JSON."""
    answer: dict[str, Any] = (await fetch(url, timeout=None, retry=None)).json()
    return [(name, str(value)) for name, value in answer.items()]


async def collect(database: str, folder: Path, services: str) -> dict[str, Outcome[Table]]:
    """Ask all of them at once; the report is ready when the last is, and no later than in 10 s."""
    none: Table = []
    sources = {
        "Releases": source(releases, database, timeout=5.0),
        "Largest modules": source(largest, folder, timeout=5.0),
        "Functions": source(complexity, folder, timeout=8.0, on="process"),
        "Interpreter": source(version, sys.executable, timeout=5.0),
        "Platform": source(service, f"{services}/platform", timeout=5.0, retry=2),
        "Weather": source(service, f"{services}/weather", timeout=0.3, fallback=none),
        "Downloads": source(service, f"{services}/downloads", timeout=2.0),
    }
    return await aggregate(sources, timeout=10.0)


def problem(outcome: Outcome[Table]) -> str | None:
    """What a reader must know of a part that is not as it should be."""
    match outcome:
        case Ok() if outcome.fallback:
            return f"left out: {type(outcome.error).__name__}"
        case Failed(error):
            return f"failed: {type(error).__name__}"
    return None


def as_markdown(parts: dict[str, Outcome[Table]]) -> str:
    """The report as Markdown."""
    lines = ["# A report on this Python"]
    for name, outcome in parts.items():
        lines += ["", f"## {name}", ""]
        lines += [f"*{problem(outcome)}*"] if problem(outcome) else []
        lines += [f"- {label}: **{value}**" for label, value in outcome.unwrap_or([])]
    return "\n".join(lines) + "\n"


def as_page(parts: dict[str, Outcome[Table]]) -> str:
    """The report as a page that needs nothing but itself."""
    lines = [
        "<!doctype html>",
        '<html lang="en"><meta charset="utf-8"><title>A report on this Python</title>',
    ]
    lines += ["<style>body{font:1em sans-serif;max-width:40em;margin:auto}td{padding-right:2em}</style>"]
    lines += ["<h1>A report on this Python</h1>"]
    for name, outcome in parts.items():
        rows = [map(html.escape, row) for row in outcome.unwrap_or([])]
        lines += [f"<h2>{html.escape(name)}</h2>"]
        lines += [f"<p><em>{html.escape(why)}</em></p>"] if (why := problem(outcome)) else []
        lines += ["<table>", *(f"<tr><td>{label}<td>{value}" for label, value in rows), "</table>"]
    return "\n".join(lines) + "\n"


@asynccontextmanager
async def some_services() -> AsyncIterator[str]:
    """Services on this machine: one that works, one that hangs, and no third."""
    from aiohttp import web

    async def answer(request: web.BaseRequest) -> web.Response:
        if request.path == "/platform":
            return web.json_response(
                {"system": platform.system(), "implementation": platform.python_implementation()}
            )
        if request.path == "/weather":
            await asyncio.sleep(3_600)
        return web.Response(status=404)

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def demonstrate(outputs: list[Path]) -> None:
    """Make the sources that a real report would find, collect, and write."""
    known = [("3.11", "2022-10-24"), ("3.12", "2023-10-02"), ("3.13", "2024-10-07"), ("3.14", "2025-10-07")]
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/releases.db"
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("CREATE TABLE releases (version, day)")
            database.executemany("INSERT INTO releases VALUES (?, ?)", known)
        async with some_services() as services:
            parts = await collect(path, LIBRARY, services)
    for output in outputs:
        text = as_page(parts) if output.suffix == ".html" else as_markdown(parts)
        output.write_text(text, encoding="utf-8")
        print(f"{output}: {len(text):,} characters")
    if not outputs:
        print(as_markdown(parts), end="")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("outputs", nargs="*", type=Path, help="files to write: .html, or Markdown")
    asyncio.run(demonstrate(parser.parse_args().outputs))


if __name__ == "__main__":
    main()
