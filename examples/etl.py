"""Extract, transform, load: rows of CSV and JSON lines, worked on in processes, in batches into SQLite or PostgreSQL.

    python examples/etl.py                                       # this machine's standard library, into a new SQLite
    python examples/etl.py --to modules.db a.csv b.jsonl         # rows with `path` and `package`
    python examples/etl.py --to postgresql://me@localhost/facts  # needs asyncpg

Two streams, one feeding the other: rows are parsed in processes (one that hangs or kills its process costs itself
alone), and what they give is loaded in transactions, a batch each. The second takes from the first what it can load:
memory does not grow with the input. A row that cannot be used is not lost: it is in the table `rejected`, with its
reason. A batch whose transaction failed is loaded again; the keys of both tables see to it that nothing is there twice.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import csv
import json
import sqlite3
import sysconfig
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import atonce
from atonce import Failed, Ok, Outcome, Retry

BATCH = 100
TABLES = (
    """CREATE TABLE IF NOT EXISTS modules
       (path TEXT PRIMARY KEY, package TEXT, lines INTEGER, functions INTEGER, classes INTEGER)""",
    "CREATE TABLE IF NOT EXISTS rejected (source TEXT PRIMARY KEY, reason TEXT)",
)
#: Values of a row in `modules`, and of one in `rejected`.
Facts = tuple[str, str, int, int, int]
Rejected = tuple[str, str]
Batch = tuple[list[Facts], list[Rejected]]


def extract(files: Iterable[Path]) -> Iterator[dict[str, str] | str]:
    """Rows of CSV, and lines of JSON as they are: to read one of those may fail, and is work for `transform`."""
    for path in files:
        with path.open(newline="", encoding="utf-8") as file:
            yield from csv.DictReader(file) if path.suffix == ".csv" else (line.rstrip("\n") for line in file)


def transform(row: dict[str, str] | str) -> Facts:
    """Parse the module that a row names; in a process, since it takes a CPU."""
    fields = json.loads(row) if isinstance(row, str) else row
    source = Path(fields["path"]).read_bytes()
    nodes = [type(node) for node in ast.walk(ast.parse(source))]
    functions = nodes.count(ast.FunctionDef) + nodes.count(ast.AsyncFunctionDef)
    return fields["path"], fields["package"], source.count(b"\n"), functions, nodes.count(ast.ClassDef)


def source_of(row: dict[str, str] | str) -> str:
    """What tells a rejected row apart: its text, or its path."""
    return row if isinstance(row, str) else row["path"]


async def batches(outcomes: AsyncIterable[Outcome[Facts]], size: int) -> AsyncIterator[Batch]:
    """So many outcomes at a time, the good and the rejected apart."""
    good: list[Facts] = []
    rejected: list[Rejected] = []
    async for outcome in outcomes:
        match outcome:
            case Ok(facts):
                good.append(facts)
            case Failed(error):
                rejected.append((source_of(outcome.input), f"{type(error).__name__}: {error}"))
        if len(good) + len(rejected) == size:
            yield good, rejected
            good, rejected = [], []
    if good or rejected:
        yield good, rejected


class SQLite:
    """A file; its `load` is a plain function, so it runs in threads.

    Two transactions at once are one too many for SQLite: the second is refused, and tried again.
    """

    busy: tuple[type[Exception], ...] = (sqlite3.OperationalError,)

    def __init__(self, path: str) -> None:
        self._path = path
        with closing(sqlite3.connect(path)) as database:
            for table in TABLES:
                database.execute(table)

    def load(self, batch: Batch) -> int:
        good, rejected = batch
        with closing(sqlite3.connect(self._path, timeout=0.01)) as database, database:
            database.executemany("INSERT OR REPLACE INTO modules VALUES (?, ?, ?, ?, ?)", good)
            database.executemany("INSERT OR REPLACE INTO rejected VALUES (?, ?)", rejected)
        return len(good) + len(rejected)


class PostgreSQL:
    """A server, through a pool of connections; its `load` is an `async def`, so it runs on the loop."""

    def __init__(self, pool: Any) -> None:
        import asyncpg

        self._pool = pool
        self.busy: tuple[type[Exception], ...] = (asyncpg.PostgresConnectionError, OSError)

    async def load(self, batch: Batch) -> int:
        good, rejected = batch
        async with self._pool.acquire() as database, database.transaction():
            await database.executemany(
                "INSERT INTO modules VALUES ($1, $2, $3, $4, $5) ON CONFLICT (path) DO UPDATE"
                " SET (package, lines, functions, classes)"
                " = (EXCLUDED.package, EXCLUDED.lines, EXCLUDED.functions, EXCLUDED.classes)",
                good,
            )
            await database.executemany(
                "INSERT INTO rejected VALUES ($1, $2) ON CONFLICT (source) DO UPDATE SET reason = EXCLUDED.reason",
                rejected,
            )
        return len(good) + len(rejected)


async def run(files: Iterable[Path], store: SQLite | PostgreSQL) -> int:
    """Do all of it; gives how many rows came and were loaded, the rejected among them."""
    again = Retry(10, base_delay=0.02, retry_on=store.busy)
    loaded = 0
    async with atonce.stream(extract(files), transform, on="process", timeout=20.0) as facts:
        async for done in atonce.stream(
            batches(facts, BATCH), store.load, max_concurrency=2, timeout=30.0, retry=again
        ):
            loaded += done.unwrap()
    return loaded


def library(folder: Path, limit: int | None) -> list[Path]:
    """A CSV and a file of JSON lines that name the modules of this machine's standard library, and one torn line."""
    root = Path(sysconfig.get_path("stdlib"))
    paths = [path for path in sorted(root.rglob("*.py")) if not {"test", "site-packages"} & set(path.parts)]
    paths = [*sorted(root.glob("test/**/bad*.py")), *paths][:limit]
    rows = [{"path": str(path), "package": path.relative_to(root).parts[0]} for path in paths]
    table, lines = folder / "modules.csv", folder / "modules.jsonl"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["path", "package"])
        writer.writeheader()
        writer.writerows(rows[::2])
    torn = json.dumps(rows[0])[:30]
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows[1::2]) + torn, encoding="utf-8")
    return [table, lines]


async def fill(to: str, files: list[Path]) -> int:
    """Open what `to` names, and load the files' rows into it."""
    if not to.startswith(("postgresql:", "postgres:")):
        return await run(files, SQLite(to))
    import asyncpg

    async with asyncpg.create_pool(to, min_size=1, max_size=2) as pool:
        for table in TABLES:
            await pool.execute(table)
        return await run(files, PostgreSQL(pool))


def show(path: str) -> None:
    """What a SQLite has now."""
    with closing(sqlite3.connect(path)) as database:
        modules, lines = database.execute("SELECT count(*), sum(lines) FROM modules").fetchone()
        print(f"{modules:,} modules with {lines:,} lines; the largest packages:")
        largest = "SELECT package, sum(lines), sum(functions) FROM modules GROUP BY 1 ORDER BY 2 DESC LIMIT 3"
        for package, count, functions in database.execute(largest):
            print(f"  {package:<12}{count:>8,} lines {functions:>6,} functions")
        print("rejected:")
        for source, reason in database.execute("SELECT source, reason FROM rejected ORDER BY 2, 1"):
            print(f"  {source[-50:]:<50}  {reason[:60]}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, help="CSV (.csv) or JSON lines, with path and package")
    parser.add_argument("--to", help="a file for SQLite, or postgresql://...")
    parser.add_argument("--limit", type=int, help="no more modules of the standard library than that")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        to = given.to or str(Path(folder) / "modules.db")
        files = given.files or library(Path(folder), given.limit)
        print(f"{asyncio.run(fill(to, files)):,} rows loaded")
        if "://" not in to:
            show(to)


if __name__ == "__main__":
    main()
