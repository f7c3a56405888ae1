"""Large values on their way to a worker process and back."""

from __future__ import annotations

import os
import pickle
from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import atonce
from atonce._backends import pickling, wire

SIZES = (wire.LARGE - 1, wire.LARGE + 1, 300_000, 1_500_000)


class Parcel:
    """Something with a name to look up, around something large."""

    def __init__(self, load: bytes) -> None:
        self.load = load

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Parcel) and other.load == self.load

    __hash__ = None  # type: ignore[assignment]  # it is mutable


def same(item: Any) -> Any:
    """Give back what came."""
    return item


def grown(item: Any) -> Any:
    """Change in place what came; whoever sends something mutable finds something mutable."""
    item[0] = 7
    return item


def of_every_kind(size: int) -> list[Any]:
    data = os.urandom(size)
    return [
        data,
        data.hex()[:size],
        bytearray(data),
        ("name", data, {"more": data}),
        Parcel(data),
        [data] * 3,
    ]


@pytest.mark.parametrize("size", SIZES)
async def test_large_values_of_every_kind_arrive_whole_and_in_order(size: int) -> None:
    items = [*of_every_kind(size), 1, "small", b"small", *of_every_kind(size)]
    stream = atonce.stream(items, same, on="process", max_concurrency=2, timeout=60)
    assert [value async for value in stream.values()] == items


async def test_what_is_larger_than_the_memory_that_is_used_again_arrives_too() -> None:
    item = ("name", os.urandom(wire.KEPT + 1))
    assert await atonce.spawn(same, item, on="process") == item
    assert await atonce.parallel_map([item, Parcel(item[1])], same, on="process") == [item, Parcel(item[1])]


@pytest.mark.parametrize("size", [1_000, wire.LARGE + 8, wire.KEPT + 8])
async def test_memory_beside_the_pickle_can_be_written_to_there_and_here(size: int) -> None:
    numbers = array("B", bytes(size))
    sent = [pickle.PickleBuffer(numbers)] * 4
    values = await atonce.parallel_map(sent, grown, on="process", max_concurrency=2)
    for value in values:
        view = memoryview(value)
        assert (view[0], view[1], view.nbytes) == (7, 0, size)
        view[1] = 9
    assert numbers[0] == 0


async def test_a_value_stays_as_it_is_when_the_next_one_has_come() -> None:
    items = [bytes([number]) * 500_000 for number in range(20)]
    buffers = [pickle.PickleBuffer(item) for item in items]
    kept = await atonce.parallel_map(items, same, on="process", max_concurrency=1)
    kept_buffers = await atonce.parallel_map(buffers, same, on="process", max_concurrency=1)
    assert kept == items
    assert [bytes(one) for one in kept_buffers] == items


values = st.recursive(
    st.integers() | st.binary(max_size=40) | st.text(max_size=40) | st.binary(max_size=9).map(bytearray),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(values, st.booleans(), st.integers(0, 70_000))
def test_a_pickle_in_pieces_is_the_pickle_of_the_same_value(value: Any, packed: bool, extra: int) -> None:
    whole = (value, bytes(extra), "x" * extra) if packed else value
    buffers: list[Any] = []
    pieces = pickling.dump_large(whole, buffers)
    assert pickling.load(b"".join(pieces), buffers) == whole
    assert wire.size_of(pieces) == len(b"".join(pieces))


def test_large_bytes_are_in_the_pieces_themselves_and_not_as_a_copy() -> None:
    data = bytes(1_000_000)
    assert any(piece is data for piece in pickling.dump_large(data, []))
    assert any(piece is data for piece in pickling.dump_large(("name", data), []))


def test_what_lives_in_main_is_found_among_the_pieces() -> None:
    class Local:
        load = bytes(1_000_000)

    Local.__module__, Local.__qualname__ = "__main__", "Local"
    value = Local()
    value.own = bytes(1_000_000)  # type: ignore[attr-defined]  # any object has room for it
    assert type(pickling.load(b"".join(pickling.dump_large(value, [])))).__name__ == "Local"


def test_names_to_look_up_are_seen_among_pieces_and_payload_is_not_taken_for_them() -> None:
    noise = b"\x93" * 1_000_000
    assert pickling.loads_anywhere(pickling.dump_large(("name", noise), []))
    assert not pickling.loads_anywhere(pickling.dump_large((Parcel(b""), noise), []))


def test_no_memory_is_said_as_a_memory_error() -> None:
    with pytest.raises(MemoryError, match="no memory for"):
        wire.aligned(1 << 60)
