"""The ETL example loads every row once, into a real SQLite and a real PostgreSQL, and keeps what it rejects."""

from __future__ import annotations

import asyncio
import json
import runpy
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import ROOT, environment
from tests.examples.postgres import INITDB, postgresql

ETL = ROOT / "examples" / "etl.py"
GOOD = 57


def loaded(*args: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-W", "error", str(ETL), *args]
    return subprocess.run(line, capture_output=True, text=True, env=environment(), timeout=100, check=False)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Modules in a CSV and in JSON lines: some good, one that is no Python, one that is missing, and a torn line."""
    paths = []
    for number in range(GOOD):
        paths.append(tmp_path / f"good{number}.py")
        paths[-1].write_text("def f(): ...\nclass C:\n    async def g(self): ...\n")
    paths += [tmp_path / 'bad, "quoted".py', tmp_path / "missing.py"]
    paths[-2].write_text("def def\n")
    table, lines = tmp_path / "rows.csv", tmp_path / "rows.jsonl"
    table.write_text("path,package\n" + "".join(f"{path},mine\n" for path in paths[:30]))
    rows = [json.dumps({"path": str(path), "package": "mine"}) + "\n" for path in paths[30:]]
    lines.write_text("".join(rows) + '{"path": "to')
    return [str(table), str(lines)]


def check(modules: list[tuple[Any, ...]], rejected: dict[str, str]) -> None:
    """What both databases must have."""
    assert len(modules) == len({path for path, *_ in modules}) == GOOD
    assert {tuple(facts) for _, *facts in modules} == {("mine", 3, 2, 1)}
    reasons = sorted(reason.partition(":")[0] for reason in rejected.values())
    assert reasons == ["FileNotFoundError", "JSONDecodeError", "SyntaxError"]
    assert rejected['{"path": "to'].startswith("JSONDecodeError: Unterminated string")


def test_every_row_is_in_sqlite_once_however_often_it_is_loaded(files: list[str], tmp_path: Path) -> None:
    to = str(tmp_path / "facts.db")
    for _ in range(2):
        done = loaded("--to", to, *files)
        assert done.returncode == 0, done.stderr
        assert f"{GOOD + 3} rows loaded\n{GOOD} modules with 171 lines" in done.stdout
    with closing(sqlite3.connect(to)) as database:
        modules = database.execute("SELECT * FROM modules").fetchall()
        check(modules, dict(database.execute("SELECT * FROM rejected")))


def test_a_database_that_another_one_writes_to_is_waited_for(files: list[str], tmp_path: Path) -> None:
    etl = runpy.run_path(str(ETL))
    store = etl["SQLite"](str(tmp_path / "facts.db"))
    tries, load = [], store.load
    with closing(sqlite3.connect(tmp_path / "facts.db", check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        lock = threading.Lock()

        def noted(batch: Any) -> Any:
            with lock:
                tries.append(batch)
                if len(tries) == 3:
                    other.rollback()
            return load(batch)

        store.load = noted
        assert asyncio.run(etl["run"]([Path(one) for one in files], store)) == GOOD + 3
    assert len(tries) >= 3


@pytest.mark.skipif(INITDB is None, reason="no PostgreSQL here: apt-get install postgresql")
@pytest.mark.timeout(200)
def test_every_row_is_in_postgresql_once_however_often_it_is_loaded(files: list[str]) -> None:
    import asyncpg

    async def what_is_there(address: str) -> tuple[list[tuple[Any, ...]], dict[str, str]]:
        database = await asyncpg.connect(address)
        try:
            modules = [tuple(row) for row in await database.fetch("SELECT * FROM modules")]
            return modules, dict(await database.fetch("SELECT * FROM rejected"))
        finally:
            await database.close()

    with postgresql() as address:
        for _ in range(2):
            done = loaded("--to", address, *files)
            assert done.returncode == 0, done.stderr
            assert done.stdout == f"{GOOD + 3} rows loaded\n"
        check(*asyncio.run(what_is_there(address)))


def test_without_files_it_loads_the_standard_library() -> None:
    done = loaded("--limit", "40")
    assert done.returncode == 0, done.stderr
    assert "41 rows loaded" in done.stdout
    assert "rejected:\n" in done.stdout
    assert "JSONDecodeError" in done.stdout
