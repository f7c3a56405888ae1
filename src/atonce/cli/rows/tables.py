"""Rows with columns: CSV, TSV, JSON lines, JSON and Parquet into dictionaries, as far as the input has come."""

from __future__ import annotations

import csv
import json
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from atonce.cli.exits import INPUT_OUTPUT, USAGE, Refusal
from atonce.cli.rows.text import line_blocks, reason, texts

Row = Any
#: Rows that are handed on at once where more are there.
MOST: Final = 1_000


def delimited(chunks: Iterator[bytes], delimiter: str, name: str) -> Iterator[list[Row]]:
    """CSV or TSV with a head line; a row with too many fields is refused, missing ones are empty."""
    lines: deque[str] = deque()
    reader = csv.reader(_pulled(lines, _ended_lines(texts(chunks))), delimiter=delimiter)
    try:
        columns = _columns(next(reader, None), name)
        found: list[Row] = []
        for fields in reader:
            if fields:
                found.append(_row(columns, fields, name, reader.line_num))
            if found and (not lines or len(found) >= MOST):
                yield found
                found = []
        if found:
            yield found
    except csv.Error as error:
        raise Refusal(f"cannot read {name}: line {reader.line_num}: {error}", INPUT_OUTPUT) from None


def _ended_lines(pieces: Iterator[str]) -> Iterator[list[str]]:
    """Lines with their ends: the end of a line within quotes belongs to the field."""
    pending = ""
    for piece in pieces:
        *lines, pending = (pending + piece).split("\n")
        if lines:
            yield [f"{line}\n" for line in lines]
    if pending:
        yield [pending]


def _pulled(lines: deque[str], blocks: Iterator[list[str]]) -> Iterator[str]:
    for block in blocks:
        lines.extend(block)
        while lines:
            yield lines.popleft()


def _columns(head: list[str] | None, name: str) -> list[str]:
    columns = head or []
    if twice := next((one for one in columns if columns.count(one) > 1), None):
        raise Refusal(f"{name} has two columns named {twice!r}: rename one", USAGE)
    return columns


def _row(columns: list[str], fields: list[str], name: str, line: int) -> dict[str, str]:
    if len(fields) > len(columns):
        raise Refusal(
            f"cannot read {name}: line {line} has {len(fields)} fields, the head has {len(columns)}",
            INPUT_OUTPUT,
        )
    row = dict.fromkeys(columns, "")
    row.update(zip(columns, fields, strict=False))
    return row


def json_lines(chunks: Iterator[bytes], name: str) -> Iterator[list[Row]]:
    """A value in each line; empty lines do not count."""
    number = 0
    for lines in line_blocks(chunks):
        found: list[Row] = []
        for line in lines:
            number += 1
            if line and not line.isspace():
                found.append(_value(line, name, number))
        if found:
            yield found


def _value(line: str, name: str, number: int) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Refusal(f"cannot read {name}: line {number} is no JSON: {error}", INPUT_OUTPUT) from None


def json_array(chunks: Iterator[bytes], name: str) -> Iterator[list[Row]]:
    """The values of one JSON array, which is in memory as a whole; any other value is the only row."""
    try:
        whole = json.loads("".join(texts(chunks)))
    except (ValueError, RecursionError) as error:
        raise Refusal(f"cannot read {name}: no JSON: {error}", INPUT_OUTPUT) from None
    yield from blocks_of(whole if isinstance(whole, list) else [whole])


def parquet(path: str) -> Iterator[list[Row]]:
    """The rows of a Parquet file, one group of rows after the other."""
    file = parquet_file(path)
    with file:
        for batch in file.iter_batches(batch_size=MOST):
            yield batch.to_pylist()


def parquet_file(path: str) -> Any:
    """An open Parquet file; a `Refusal` where pyarrow is not installed or the file is none."""
    try:
        import pyarrow.parquet as pq
    except ModuleNotFoundError:
        raise Refusal("Parquet needs pyarrow: pip install 'atonce[parquet]'", USAGE) from None
    try:
        return pq.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise Refusal(f"cannot read {path}: {reason(error)}", INPUT_OUTPUT) from None


def blocks_of(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Cut rows into lists of at most `MOST`."""
    rest = iter(rows)
    while found := list(islice(rest, MOST)):
        yield found
