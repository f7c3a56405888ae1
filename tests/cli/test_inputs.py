"""Items are read lazily, whatever the bytes look like, and in bounded memory."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.cli.exits import INPUT_OUTPUT, USAGE, Refusal
from atonce.cli.fetch import LONGEST, itemised
from atonce.cli.rows import source
from atonce.cli.rows.text import line_blocks

URLS = source.Reading(longest=LONGEST, trim=itemised)


def lines(chunks: Iterator[bytes]) -> Iterator[str]:
    return itertools.chain.from_iterable(line_blocks(chunks, longest=LONGEST))


def all_of(items: source.Source) -> list[str]:
    return [row for block in items.blocks() for row in block]


def read(path: Path) -> list[str]:
    with closing(source.Source((), str(path), URLS)) as items:
        total, found = items.total(), all_of(items)
    assert total == len(found)
    return found


def cut(data: bytes, places: list[int]) -> Iterator[bytes]:
    marks = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return (data[start:end] for start, end in itertools.pairwise(marks) if end > start)


@given(st.binary(max_size=200), st.lists(st.integers(min_value=0, max_value=200), max_size=8))
def test_lines_are_the_same_wherever_the_chunks_are_cut(data: bytes, places: list[int]) -> None:
    assert list(lines(cut(data, places))) == list(lines(iter([data] if data else [])))


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\n\r\ufeff", exclude_categories=["Cs"]), max_size=20),
        max_size=8,
    )
)
def test_lines_come_out_as_they_were_written(written: list[str]) -> None:
    text = "".join(f"{line}\n" for line in written)
    assert list(lines(iter([text.encode()]))) == written


@pytest.mark.parametrize(
    "data",
    [
        b"a\nb\n",
        b"a\nb",
        b"a\r\nb\r\n",
        b"\xef\xbb\xbfa\nb",
        "a\nb\n".encode("utf-16"),
        "\ufeffa\r\nb".encode("utf-16-be"),
    ],
)
def test_line_ends_and_marks_of_all_systems_are_no_part_of_an_item(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "urls.txt"
    path.write_bytes(data)
    assert read(path) == ["a", "b"]


def test_empty_lines_and_comments_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "urls.txt"
    path.write_text("# mine\n\n  http://a/#top \n\t\n#http://b/\nhttp://c/")
    assert read(path) == ["http://a/#top", "http://c/"]


def test_bytes_that_are_no_utf8_are_items_too_and_stay_apart(tmp_path: Path) -> None:
    path = tmp_path / "urls.txt"
    path.write_bytes(b"http://a/\xff\nhttp://a/\xfe\n")
    first, second = read(path)
    assert first != second


def test_of_an_endless_line_only_a_part_is_kept() -> None:
    chunks = itertools.chain(itertools.repeat(b"x" * 10_000, 1_000), [b"\nhttp://a/\n"])
    long, short = lines(chunks)
    assert len(long) == LONGEST
    assert short == "http://a/"


def test_input_is_not_read_ahead_of_need() -> None:
    asked = []

    def chunks() -> Iterator[bytes]:
        for number in itertools.count():
            asked.append(number)
            yield b"line\n"

    found = lines(chunks())
    assert list(itertools.islice(found, 3)) == ["line"] * 3
    assert len(asked) <= 4


def test_arguments_come_before_the_file(tmp_path: Path) -> None:
    path = tmp_path / "urls.txt"
    path.write_text("b\n")
    with closing(source.choose(["a"], str(path), "missing", URLS)) as items:
        assert items.total() == 2
        assert all_of(items) == ["a", "b"]


@pytest.mark.parametrize("name", ["missing.txt", "", "\0"])
def test_a_missing_file_is_said_before_anything_starts(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refusal, match="cannot read") as refused:
        source.Source((), str(tmp_path / name))
    assert refused.value.code == INPUT_OUTPUT


def test_a_pipe_has_no_total_and_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)
    try:
        os.write(writer, b"a\nb\n")
        with closing(source.Source((), str(path))) as items:
            assert items.total() is None
            assert next(items.blocks()) == ["a", "b"]
    finally:
        os.close(writer)


def test_standard_input_is_named_once_at_most(tmp_path: Path) -> None:
    path = tmp_path / "urls.txt"
    path.touch()
    with pytest.raises(Refusal, match="give one of the two") as refused:
        source.choose(["-"], str(path), "missing")
    assert refused.value.code == USAGE
    assert source.choose(["-", "a"], None, "missing").path == "-"
