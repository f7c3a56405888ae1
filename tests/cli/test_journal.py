"""A journal that is cut anywhere is gone on with as if nothing had happened; another command's is not touched."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.cli.exits import USAGE, Refusal
from atonce.cli.journal import record
from atonce.cli.journal.opening import Ask, Journal, open_journal
from atonce.cli.journal.output import Output
from atonce.cli.journal.reading import Earlier, NoJournal, read
from atonce.cli.journal.spec import difference, spec_of
from atonce.cli.rows.keys import Keys

SPEC = spec_of("map", ["geo:locate"], {"--arg": "name"})
HEAD = record.encode(record.header("7f3a", SPEC, "in.txt", 0.0))
#: How each of a few items ended, in the order of the journal; an item may be there several times.
ENDS = st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["ok", "failed", "cancelled"])), max_size=12)


def line(item: int, end: str) -> bytes:
    key = Keys().of(str(item))
    if end == "ok":
        return record.encode(record.ok_row(item, key, str(item), None, 0.0, 1))
    kind = "cancelled" if end == "cancelled" else "exception"
    return record.encode(
        record.failed_row(item, key, str(item), {"kind": kind, "type": "E", "msg": "\u2028"}, 0.0, 1)
    )


def model(ends: list[tuple[int, str]]) -> dict[int, str]:
    return dict(ends)


def state(earlier: Earlier) -> dict[int, str]:
    found = {}
    for item in range(10):
        key = Keys().of(str(item))
        assert not (key in earlier.done and key in earlier.failed)
        if key in earlier.done:
            found[item] = "ok"
        elif key in earlier.failed:
            found[item] = "failed"
    return found


@given(ENDS, st.lists(st.integers(0, 2_000), max_size=5), st.data())
def test_a_journal_cut_at_any_byte_has_what_was_whole(
    ends: list[tuple[int, str]], places: list[int], data: st.DataObject
) -> None:
    lines = [HEAD, *(line(*end) for end in ends)]
    whole = b"".join(lines)
    size = data.draw(st.integers(0, len(whole)))
    kept, count = 0, 0
    while count < len(lines) and kept + len(lines[count]) <= size:
        kept += len(lines[count])
        count += 1
    marks = sorted({0, size, *(place % (size + 1) for place in places)})
    found = read(whole[a:b] for a, b in itertools.pairwise(marks))
    assert found.size == kept
    expected = model(ends[: max(0, count - 1)])
    assert state(found) == {item: end for item, end in expected.items() if end != "cancelled"}
    assert (found.head is None) == (count == 0)


@given(ENDS, st.data())
def test_a_journal_that_was_cut_and_gone_on_with_is_like_an_unbroken_one(
    ends: list[tuple[int, str]], data: st.DataObject
) -> None:
    items = sorted({item for item, _ in ends})
    whole = b"".join([HEAD, *(line(item, "ok") for item in items)])
    size = data.draw(st.integers(0, len(whole)))
    earlier = read([whole[:size]])
    rest = [item for item in items if Keys().of(str(item)) not in earlier.done]
    again = whole[: earlier.size] + HEAD + b"".join(line(item, "ok") for item in rest)
    assert state(read([again])) == dict.fromkeys(items, "ok")
    assert again.count(b'"key"') == len(items)


@pytest.mark.parametrize("tail", [b"\0\0\0\n", b'{"i":1,"ke\n', b"\xff\n"])
def test_a_last_line_that_is_no_record_does_not_count(tail: bytes) -> None:
    found = read([HEAD, line(1, "ok"), tail])
    assert (found.size, len(found.done)) == (len(HEAD) + len(line(1, "ok")), 1)


@pytest.mark.parametrize(
    "data",
    [b"mine\n", b'{"a":1}\n', b"[]\n", HEAD + b"mine\n" + line(1, "ok"), HEAD + b'{"i":1}\n'],
)
def test_what_is_no_journal_is_refused(data: bytes) -> None:
    with pytest.raises(NoJournal):
        read([data])


def test_the_newest_record_of_an_item_counts() -> None:
    found = read([HEAD, line(1, "failed"), line(2, "ok"), HEAD, line(1, "ok"), line(2, "failed")])
    assert state(found) == {1: "ok", 2: "failed"}


# -- the spec -----------------------------------------------------------------------------------------------------

WORDS = st.lists(st.text(max_size=4), max_size=3)
OPTIONS = st.dictionaries(st.sampled_from(["--a", "--b"]), st.none() | st.booleans() | st.text(max_size=3))


@given(WORDS, OPTIONS)
def test_a_spec_does_not_depend_on_the_order_of_options(words: list[str], options: dict[str, Any]) -> None:
    spec = spec_of("map", words, options)
    assert spec == spec_of("map", words, dict(reversed(options.items())))
    head = json.loads(record.encode(record.header("x", spec, None, 0.0)))
    assert difference(head, spec) == []


@given(WORDS, WORDS)
def test_other_words_are_another_spec_and_the_difference_is_shown(one: list[str], other: list[str]) -> None:
    old, new = spec_of("map", one), spec_of("map", other)
    shown = difference(record.header("x", old, None, 0.0), new)
    assert bool(shown) == (one != other)
    assert [line[0] for line in shown] in ([], ["-", "+"])


# -- opening ------------------------------------------------------------------------------------------------------


def opened(path: Path, **ask: Any) -> Journal:
    return open_journal(Ask(str(path), **ask), SPEC)


def test_an_output_is_refused_kept_or_replaced_as_asked(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(HEAD + line(1, "ok") + line(2, "failed") + b'{"i":3,"ke')
    with pytest.raises(Refusal, match="--resume"):
        opened(path)
    journal = opened(path, resume=True)
    with closing(journal.output):
        assert path.read_bytes() == HEAD + line(1, "ok") + line(2, "failed")
        assert journal.failed_before == 1
        assert journal.resuming() == f"resuming {path}: 1 done, 1 failed (kept; --retry-failed runs them too)"
    journal = opened(path, retry_failed=True)
    with closing(journal.output):
        assert journal.failed_before == 0
        assert journal.skipped is not None
        assert [Keys().of(str(item)) in journal.skipped for item in (1, 2)] == [True, False]
    with closing(opened(path, overwrite=True).output):
        assert path.read_bytes() == b""


@pytest.mark.parametrize("content", [None, b"", b'{"atonce":1,"ru'])
def test_to_resume_what_is_not_there_is_to_begin(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "out.jsonl"
    if content is not None:
        path.write_bytes(content)
    journal = opened(path, resume=True)
    with closing(journal.output):
        assert (journal.earlier, path.read_bytes()) == (None, b"")


def test_another_commands_journal_is_refused_with_the_difference(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(HEAD + line(1, "ok"))
    other = spec_of("map", ["geo:locate"])
    with pytest.raises(Refusal, match="made by a different command") as refused:
        open_journal(Ask(str(path), resume=True), other)
    assert "- map geo:locate --arg name\n    + map geo:locate\n" in str(refused.value)
    assert refused.value.code == USAGE
    open_journal(Ask(str(path), anyway=True), other).output.close()


def test_what_is_no_journal_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("mine\n")
    with pytest.raises(Refusal, match="no journal"):
        opened(path, resume=True)
    assert path.read_text() == "mine\n"


def test_two_runs_do_not_write_one_journal(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with closing(opened(path).output), pytest.raises(Refusal, match="written by another run"):
        opened(path, resume=True)


def test_a_table_is_made_beside_its_journal(tmp_path: Path) -> None:
    table = tmp_path / "out.csv"
    journal = opened(table)
    with closing(journal.output):
        assert (journal.output.name, journal.table) == (f"{table}.atonce.jsonl", str(table))
        asyncio.run(journal.output.write(HEAD + line(2, "ok") + line(1, "failed")))
    journal.make_table(whole_rows=False, like=None)
    assert table.read_text().splitlines()[0] == "in,out,error"
    assert [row.split(",")[0] for row in table.read_text().split("\n")[1:-1]] == ["1", "2"]
    with pytest.raises(Refusal, match="is there already"):
        opened(table)


@pytest.mark.parametrize("ask", [{"resume": True, "overwrite": True}, {"path": "-", "resume": True}])
def test_what_contradicts_itself_is_refused(ask: dict[str, Any]) -> None:
    with pytest.raises(Refusal):
        Ask(**{"path": "x", **ask})


def test_a_full_disk_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room, real = 25, os.write

    def write(descriptor: int, data: Any) -> int:
        nonlocal room
        if not room:
            raise OSError(28, "No space left on device")
        count = real(descriptor, bytes(data[:room]))
        room -= count
        return count

    output = Output(str(tmp_path / "out.jsonl"))
    monkeypatch.setattr(os, "write", write)
    with closing(output), pytest.raises(Refusal, match="No space left"):
        asyncio.run(output.write(b"0123456789\n" * 4))
    assert (tmp_path / "out.jsonl").read_bytes() == b"0123456789\n" * 2
