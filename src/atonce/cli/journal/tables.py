"""A table (CSV, TSV, Parquet or plain text) from the journal beside it: the newest record of each item, in order."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from atonce.cli.exits import INPUT_OUTPUT, Refusal
from atonce.cli.journal.reading import parsed, whole_lines
from atonce.cli.rows.text import opened, pieces, reason

#: The column that says why a row has no result; it is there when one has none.
ERROR: Final = "error"
RESULT: Final = "out"
ITEM: Final = "in"


def make_table(journal: str, table: str, *, whole_rows: bool, like: str | None = None) -> None:
    """Write `table` from `journal`, whole or not at all.

    `whole_rows` says that results are rows by themselves; else they are put beside what they are of. `like` is a
    Parquet file whose columns keep their types.
    """
    part = f"{table}.part"
    try:
        with closing(opened(journal)) as file:
            rows = _Rows(file, journal, whole_rows=whole_rows)
            _WRITERS[Path(table).suffix.lower()](rows, part, like)
        os.replace(part, table)
    except OSError as error:
        raise Refusal(f"cannot write {table}: {reason(error)}", INPUT_OUTPUT) from None
    finally:
        Path(part).unlink(missing_ok=True)


class _Rows:
    """The records of a journal as rows, as often as they are asked for; in memory are their places alone."""

    def __init__(self, file: io.FileIO, name: str, *, whole_rows: bool) -> None:
        self._file = file
        self._name = name
        self._whole = whole_rows
        self.columns: list[str] = []
        self._places = self._found()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self._row(record) for record in self.records())

    def records(self) -> Iterator[dict[str, Any]]:
        """The records, in the order of the input."""
        for _, at, size in self._places:
            yield parsed(os.pread(self._file.fileno(), size, at))

    def _found(self) -> list[tuple[int, int, int]]:
        """Where the newest record of each item stands, and which columns there are."""
        newest: dict[str, tuple[int, int, int]] = {}
        columns: dict[str, None] = {}
        has_failed = False
        for line, end in whole_lines(pieces(self._file.fileno(), self._name)):
            try:
                record = parsed(line)
            except ValueError:  # torn by an end of the system, and written again since
                continue
            if "key" not in record:
                continue
            newest[record["key"]] = (record["i"], end - len(line) - 1, len(line))
            columns.update(dict.fromkeys(self._row(record, mark=False)))
            has_failed = has_failed or not record["ok"]
        columns.pop(ERROR, None)
        self.columns = [*columns, ERROR] if has_failed else [*columns]
        return sorted(newest.values(), key=itemgetter(0))

    def _row(self, record: dict[str, Any], *, mark: bool = True) -> dict[str, Any]:
        item = record[ITEM]
        row = item if isinstance(item, dict) else {ITEM: item}
        if not record["ok"]:
            err = record["err"]
            kept = {name: value for name, value in row.items() if not mark or name in self.columns}
            return kept if not mark else {**kept, ERROR: f"{err['type']}: {err['msg']}"}
        out = record[RESULT]
        if isinstance(out, dict):
            return out if self._whole else row | out
        return row | {RESULT: out}


def _text(value: Any) -> str:
    """A value in a field: a string as it is, nothing for None, else JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _write_delimited(rows: _Rows, path: str, delimiter: str) -> None:
    with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        if rows.columns:
            writer.writerow(rows.columns)
        writer.writerows([_text(row.get(name)) for name in rows.columns] for row in rows)


def _write_csv(rows: _Rows, path: str, like: str | None) -> None:
    _write_delimited(rows, path, ",")


def _write_tsv(rows: _Rows, path: str, like: str | None) -> None:
    _write_delimited(rows, path, "\t")


def _write_text(rows: _Rows, path: str, like: str | None) -> None:
    with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.writelines(f"{_line(record[RESULT])}\n" for record in rows.records() if record["ok"])


def _line(out: Any) -> str:
    return out if isinstance(out, str) else json.dumps(out, ensure_ascii=False, separators=(",", ":"))


def _write_parquet(rows: _Rows, path: str, like: str | None) -> None:
    """The table is in memory as a whole while it is written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {} if like is None else {field.name: field.type for field in pq.read_schema(like)}
    whole = list(rows)
    columns = {}
    for name in rows.columns:
        values = [row.get(name) for row in whole]
        columns[name] = _array(pa, values, types.get(name))
    pq.write_table(pa.table(columns), path)


def check_parquet() -> None:
    """See that Parquet can be written, before anything starts."""
    try:
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise Refusal("Parquet needs pyarrow: pip install 'atonce[parquet]'") from None
    assert pyarrow.parquet is not None


def _array(pa: Any, values: list[Any], wanted: Any) -> Any:
    """Values as a column: of the type that it had, or of the one that fits; of texts when nothing else does."""
    builds: tuple[Callable[[], Any], ...] = (
        lambda: pa.array(values, wanted),
        lambda: pa.array(values).cast(wanted),
        lambda: pa.array(values),
    )
    for build in builds:
        try:
            return build()
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, TypeError):
            continue
    return pa.array([None if value is None else _text(value) for value in values])


_WRITERS: Final = {".csv": _write_csv, ".tsv": _write_tsv, ".parquet": _write_parquet, ".txt": _write_text}
