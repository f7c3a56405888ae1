"""Rows are what was written, in every format, wherever the bytes are cut; and the right ones are picked."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.cli.exits import INPUT_OUTPUT, USAGE, Refusal
from atonce.cli.rows import block, tables
from atonce.cli.rows.keys import Keys, KeySet, canonical
from atonce.cli.rows.picking import Picking
from atonce.cli.rows.source import Source
from atonce.cli.rows.text import line_blocks, unpacked

PLACES = st.lists(st.integers(min_value=0, max_value=400), max_size=6)
FIELD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), max_size=8)


def cut(data: bytes, places: list[int]) -> Iterator[bytes]:
    marks = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return (data[start:end] for start, end in itertools.pairwise(marks) if end > start)


def flat(blocks: Iterator[list[Any]]) -> list[Any]:
    return [row for rows in blocks for row in rows]


def rows_of(path: Path) -> list[Any]:
    with closing(Source((), str(path))) as source:
        total, found = source.total(), flat(source.blocks())
    assert total == len(found)
    return found


# -- formats ------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(FIELD, FIELD), max_size=6), PLACES)
def test_csv_reads_back_wherever_it_is_cut(rows: list[tuple[str, str]], places: list[int]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([("a", "b"), *rows])
    found = flat(tables.delimited(cut(text.getvalue().encode(), places), ",", "x.csv"))
    assert found == [{"a": a, "b": b} for a, b in rows]


@given(st.lists(st.dictionaries(FIELD, FIELD | st.integers() | st.none(), max_size=3), max_size=6), PLACES)
def test_json_lines_read_back_wherever_they_are_cut(rows: list[dict[str, Any]], places: list[int]) -> None:
    data = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    assert flat(tables.json_lines(cut(data, places), "x.jsonl")) == rows


@given(st.binary(max_size=300), PLACES, PLACES)
def test_gzip_unpacks_wherever_it_is_cut_and_in_several_members(
    data: bytes, places: list[int], joints: list[int]
) -> None:
    packed = b"".join(gzip.compress(part) for part in cut(data, joints))
    assert b"".join(unpacked(cut(packed, places), "x.gz")) == data


def test_gzip_that_is_broken_off_is_said() -> None:
    with pytest.raises(Refusal, match="broken off"):
        list(unpacked(iter([gzip.compress(b"x" * 100)[:-9]]), "x.gz"))


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), max_size=9)),
    PLACES,
)
def test_nul_ends_lines_that_have_line_ends(lines: list[str], places: list[int]) -> None:
    data = "".join(f"{line}\0" for line in lines).encode()
    assert flat(line_blocks(cut(data, places), "\0")) == lines


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", b"n,t\n1,x\n2,\n"),
        ("a.tsv", b"n\tt\r\n1\tx\r\n2\t\r\n"),
        ("a.CSV.gz", gzip.compress(b"n,t\n1,x\n\n2\n", mtime=0)),
        ("a.jsonl", b'{"n":"1","t":"x"}\n\n{"n":"2","t":""}'),
        ("a.json", b'[{"n":"1","t":"x"},{"n":"2","t":""}]'),
    ],
)
def test_a_name_tells_the_format(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    assert rows_of(tmp_path / name) == [{"n": "1", "t": "x"}, {"n": "2", "t": ""}]


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"n": [1, 2], "t": ["x", None]}), path)
    assert rows_of(path) == [{"n": 1, "t": "x"}, {"n": 2, "t": None}]
    with closing(Source((), str(path))) as source:
        assert source.columns() == ["n", "t"]


@pytest.mark.parametrize(
    ("name", "data", "code", "said"),
    [
        ("a.csv", b"a,b\n1,2,3\n", INPUT_OUTPUT, "line 2 has 3 fields, the head has 2"),
        ("a.csv", b"a,a\n1,2\n", USAGE, "two columns named 'a'"),
        ("a.jsonl", b"{}\nnope\n", INPUT_OUTPUT, "line 2 is no JSON"),
        ("a.json", b"[1,", INPUT_OUTPUT, "no JSON"),
        ("a.txt.gz", b"plain", INPUT_OUTPUT, "no gzip data"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_line(
    tmp_path: Path, name: str, data: bytes, code: int, said: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with closing(Source((), str(tmp_path / name))) as source, pytest.raises(Refusal, match=said) as refused:
        flat(source.blocks())
    assert refused.value.code == code


def test_the_rows_of_a_pipe_come_as_far_as_it_has_come() -> None:
    asked = 0

    def chunks() -> Iterator[bytes]:
        nonlocal asked
        for piece in (b"a,b\n1,2\n3", b",4\n", b"5,6\n"):
            asked += 1
            yield piece

    found = tables.delimited(chunks(), ",", "-")
    assert (next(found), asked) == ([{"a": "1", "b": "2"}], 1)
    assert (next(found), asked) == ([{"a": "3", "b": "4"}], 2)


# -- picking ------------------------------------------------------------------------------------------------------


def entries(blocks: block.Blocks) -> list[tuple[int, Any]]:
    return [entry for one in blocks for entry in zip(one.places, one.rows, strict=True)]


def source_of(lists: list[list[str]]) -> Any:
    class Lists:
        def blocks(self) -> Iterator[list[str]]:
            return (rows for rows in lists if rows)

    return Lists()


LISTS = st.lists(st.lists(st.text(max_size=2), max_size=5), max_size=5)


@given(LISTS, st.integers(0, 12), st.none() | st.integers(1, 12))
def test_skip_and_limit_are_a_slice(lists: list[list[str]], skip: int, limit: int | None) -> None:
    every = list(enumerate(itertools.chain.from_iterable(lists)))
    picking = Picking(skip=skip, limit=limit)
    assert entries(picking.blocks(source_of(lists))) == every[skip:][:limit]
    assert picking.total(len(every)) == len(every[skip:][:limit])


@given(LISTS)
def test_a_shuffled_input_has_the_same_rows_at_the_same_places(lists: list[list[str]]) -> None:
    every = list(enumerate(itertools.chain.from_iterable(lists)))
    assert sorted(entries(Picking(shuf=True).blocks(source_of(lists)))) == every


@given(LISTS, st.integers(1, 8))
def test_a_sample_has_so_many_rows_in_order(lists: list[list[str]], count: int) -> None:
    every = list(enumerate(itertools.chain.from_iterable(lists)))
    found = entries(Picking(sample=count).blocks(source_of(lists)))
    assert found == sorted(found, key=lambda entry: entry[0])
    assert set(found) <= set(every)
    assert len(found) == min(count, len(every))


@given(LISTS, st.integers(2, 5))
def test_batches_are_lists_of_neighbours(lists: list[list[str]], size: int) -> None:
    flat_rows = list(itertools.chain.from_iterable(lists))
    found = entries(Picking(batch=size).blocks(source_of(lists)))
    assert [row for _, rows in found for row in rows] == flat_rows
    assert [place for place, _ in found] == list(range(len(found)))
    assert all(len(rows) == size for _, rows in found[:-1])
    assert Picking(batch=size).total(len(flat_rows)) == len(found)


# -- keys ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(["a", "b", "c", "d"]) | FIELD, max_size=20), st.randoms())
def test_keys_do_not_change_when_rows_are_shuffled(rows: list[str], dice: random.Random) -> None:
    shuffled = rows.copy()
    dice.shuffle(shuffled)
    assert sorted(Keys().of_all(rows)) == sorted(Keys().of_all(shuffled))


@given(st.dictionaries(FIELD, FIELD | st.integers(), max_size=4), st.randoms())
def test_the_key_of_a_row_does_not_depend_on_the_order_of_its_columns(
    row: dict[str, Any], dice: random.Random
) -> None:
    names = list(row)
    dice.shuffle(names)
    assert canonical({name: row[name] for name in names}) == canonical(row)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.sampled_from(["", "-2"])), max_size=30))
def test_a_set_of_keys_is_a_set(steps: list[tuple[bool, int, str]]) -> None:
    found, model = KeySet(), set()
    for adds, number, repeat in steps:
        # All in one part, and so that one is inside of two neighbours when places are not minded.
        key = bytes([7, 7, *([number] * 5), 0 if number % 2 else number]).hex() + repeat
        if adds:
            found.add(key)
            model.add(key)
        else:
            found.discard(key)
            model.discard(key)
        assert len(found) == len(model)
        assert (key in found) == (key in model)
    assert all(key in found for key in model)
