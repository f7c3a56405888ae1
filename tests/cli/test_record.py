"""Records are one line of valid JSON each, whatever is in them, and keys follow content."""

from __future__ import annotations

import json
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.cli.journal import record
from atonce.cli.journal.spec import spec_of
from atonce.cli.rows.keys import Keys

ANY_TEXT = st.text(st.characters(), max_size=40)


def keys_of(items: list[str]) -> list[str]:
    keys = Keys()
    return [keys.of(item) for item in items]


@given(ANY_TEXT, st.dictionaries(ANY_TEXT, ANY_TEXT | st.integers() | st.none(), max_size=3))
def test_any_record_is_one_line_of_json_that_reads_back(item: str, out: dict[str, object]) -> None:
    row = record.ok_row(3, "k", item, out, 0.25, 1)
    line = record.encode(row)
    assert line.count(b"\n") == 1
    assert json.loads(line.decode("utf-8")) == row


@given(ANY_TEXT)
def test_a_record_can_do_nothing_to_a_terminal(item: str) -> None:
    text = record.encode({"in": item}).decode("utf-8")[:-1]
    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", text)
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_cannot_say_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        record.encode({"out": value})


@given(st.lists(ANY_TEXT, max_size=8), st.randoms())
def test_an_item_keeps_its_key_when_the_input_is_shuffled(items: list[str], dice: random.Random) -> None:
    shuffled = items.copy()
    dice.shuffle(shuffled)
    assert sorted(keys_of(items)) == sorted(keys_of(shuffled))


@given(st.lists(st.sampled_from("abc"), max_size=12))
def test_no_two_items_of_a_run_have_the_same_key(items: list[str]) -> None:
    found = keys_of(items)
    assert len(set(found)) == len(items)
    assert found[:1] == keys_of(items[:1])


def test_the_number_of_a_repeated_item_is_in_its_key() -> None:
    first, other, second, third = keys_of(["a", "b", "a", "a"])
    assert (second, third) == (f"{first}-2", f"{first}-3")
    assert other != first


def test_the_head_and_the_end_are_told_apart_from_rows() -> None:
    head = record.header("7f3a", spec_of("fetch", ["x"]), "urls.txt", 0.0)
    end = record.end(3, 2, 1, "finished", 1.5)
    assert head["does"] == ["x"]
    assert head["started"] == "1970-01-01T00:00:00.000Z"
    assert end["end"] == "1970-01-01T00:00:01.500Z"
    assert [one["atonce"] for one in (head, end)] == [1, 1]
