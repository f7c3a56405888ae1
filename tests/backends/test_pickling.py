"""Pickles: values and exceptions arrive as they were, and what cannot travel is named."""

from __future__ import annotations

import datetime
import pickle
import threading
from collections import OrderedDict
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from json import JSONDecodeError
from typing import Any
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import atonce
from atonce import Failed, NotSerializable, Ok, ProcessBackend, RemoteError, spawn, stream
from atonce._backends import pickling
from atonce._backends.pickling import CannotTravel
from tests.backends.errors import ERRORS, differences
from tests.backends.work import Buffered
from tests.contract.faults import NoLoad, NoReduce, Unprintable, Unreducible

# -- values -------------------------------------------------------------------------------------------------------

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.complex_numbers(allow_nan=False),
    st.text(max_size=20),
    st.binary(max_size=20),
    st.builds(bytearray, st.binary(max_size=20)),
    st.sampled_from([range(3), Ellipsis, int, len, str.upper, Decimal("1.5"), Fraction(1, 3), UUID(int=5)]),
    st.sampled_from([datetime.date(2024, 2, 29), datetime.timedelta(1, 2, 3), b"__main__", "__main__"]),
)
HASHED = st.one_of(st.integers(), st.text(max_size=5), st.none(), st.binary(max_size=5))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(HASHED, inner, max_size=4),
        st.builds(OrderedDict, st.dictionaries(HASHED, inner, max_size=3)),
        st.sets(HASHED, max_size=4),
        st.frozensets(HASHED, max_size=4),
    ),
    max_leaves=12,
)


def joined(data: bytes | list[bytes]) -> bytes:
    return data if isinstance(data, bytes) else b"".join(data)


class NamesNothing(pickle.Unpickler):
    """Loads what needs no name."""

    def find_class(self, module: str, name: str) -> Any:
        raise AssertionError(f"{module}.{name} was looked up")


@pytest.mark.parametrize("dump", [pickling.dump, pickling.dump_large])
@given(value=VALUES)
def test_a_value_arrives_as_it_was(dump: Callable[..., Any], value: Any) -> None:
    buffers: list[Any] = []
    data = dump(value, buffers)
    assert pickling.load(joined(data), buffers) == value
    if pickling.loads_anywhere(data):
        import io

        assert NamesNothing(io.BytesIO(joined(data))).load() == value


@pytest.mark.parametrize("dump", [pickling.dump, pickling.dump_large])
@given(pieces=st.lists(st.binary(max_size=50), max_size=5), value=VALUES)
def test_memory_travels_beside_the_pickle(dump: Callable[..., Any], pieces: list[bytes], value: Any) -> None:
    buffers: list[Any] = []
    data = joined(dump([value, [Buffered(bytearray(one)) for one in pieces], lambda: value], buffers))
    assert [bytes(one) for one in buffers] == pieces
    got, carriers, give = pickling.load(data, [bytearray(one) for one in buffers])
    assert (got, give()) == (value, value)
    assert [bytes(one.data) for one in carriers] == pieces


# -- what cannot travel -------------------------------------------------------------------------------------------


class Box:
    """Something with an attribute."""

    def __init__(self, inside: Any) -> None:
        self.inside = inside


def closing(inner: Any) -> Callable[[], Any]:
    return lambda: inner


#: How to put something into something, and how a reader finds it there.
WRAPPERS: list[tuple[Callable[[Any], Any], str]] = [
    (lambda inside: [0, inside, 1], "[1]"),
    (lambda inside: (inside, "more"), "[0]"),
    (lambda inside: {"other": 1, "key": inside}, "['key']"),
    (lambda inside: {7: inside}, "[7]"),
    (Box, ".inside"),
    (closing, ".closure['inner']"),
]
PATHS = st.lists(st.sampled_from(WRAPPERS), max_size=4)


@given(PATHS, st.sampled_from([threading.Lock(), (n for n in ()), Unreducible()]))
def test_what_cannot_travel_is_named_by_its_path_and_type(path: list[Any], bad: Any) -> None:
    value = bad
    for wrap, _ in path:
        value = wrap(value)
    place = "".join(step for _, step in reversed(path)).lstrip(".")
    expected = f"{place} is a {type(bad).__name__}" if path else f"a {type(bad).__name__}"
    for dump in (pickling.dump, pickling.dump_whole, lambda given: pickling.dump_large(given, [])):
        with pytest.raises(CannotTravel) as caught:
            dump(value)
        assert str(caught.value).startswith(f"{expected}: ")


async def test_an_argument_that_cannot_travel_is_refused_in_the_call_and_starts_nothing() -> None:
    with ProcessBackend(workers=1) as processes:
        with pytest.raises(NotSerializable, match=r"argument 2 of max .*\['held'\] is a lock.*on='thread'"):
            spawn(max, 1, {"held": threading.Lock()}, on=processes)
        with pytest.raises(NotSerializable, match=r"the function of .*closure\['inner'\] is a lock"):
            spawn(closing(threading.Lock()), on=processes)
        assert processes.statistics().made == 0


async def test_an_item_that_cannot_travel_is_its_own_failure_and_is_named() -> None:
    items = [1, [2, threading.Lock()], 3]
    with ProcessBackend(workers=1) as processes:
        got = [one async for one in stream(items, str, on=processes)]
    assert [got[0], got[2]] == [Ok("1"), Ok("3")]
    assert isinstance(got[1], Failed)
    assert isinstance(got[1].error, NotSerializable)
    assert "[1] is a lock" in str(got[1].error)


# -- exceptions ---------------------------------------------------------------------------------------------------


@given(ERRORS)
def test_an_exception_arrives_as_it_was_with_causes_notes_attributes_and_members(
    error: BaseException,
) -> None:
    name, message, text, got = pickling.load_error(pickling.dump_error(error))
    assert not list(differences(got, error))
    assert name.endswith(type(error).__qualname__)
    assert message == pickling.message_of(error)
    assert type(error).__name__ in text


@given(ERRORS, ERRORS)
def test_an_exception_whose_cause_cannot_travel_arrives_without_it(
    error: BaseException, cause: BaseException
) -> None:
    assume(not isinstance(error, JSONDecodeError))  # its own way of being pickled leaves attributes out
    error.__dict__["held"] = threading.Lock()
    error.__dict__["kept"] = 3
    object.__setattr__(error, "__cause__", NoReduce(cause))
    _, _, text, got = pickling.load_error(pickling.dump_error(error))
    assert type(got) is type(error)
    assert got.kept == 3  # type: ignore[union-attr]  # it was put there
    assert not hasattr(got, "held")
    assert "NoReduce" in text


@pytest.mark.parametrize("make", [NoReduce, NoLoad, Unprintable])
def test_an_exception_with_ways_of_its_own_that_fail_is_made_again_without_them(
    make: type[Exception],
) -> None:
    name, message, _, got = pickling.load_error(pickling.dump_error(make("text")))
    assert type(got) is make
    assert got.args == ("text",)
    assert name == f"tests.contract.faults.{make.__name__}"
    assert message == ("<unprintable Unprintable>" if make is Unprintable else "text")


async def test_an_exception_whose_class_cannot_be_had_here_is_told_as_a_remote_error() -> None:
    def fail() -> None:
        import sys
        import types

        there = types.ModuleType("atonce_there")
        sys.modules["atonce_there"] = there
        exec("class Gone(Exception): pass", vars(there))
        raise there.Gone("the message")

    with ProcessBackend(workers=1) as processes:
        outcome = await atonce.capture(spawn(fail, on=processes))
    assert isinstance(outcome, Failed)
    error = outcome.error
    assert isinstance(error, RemoteError)
    assert (error.type_name, error.message) == ("atonce_there.Gone", "the message")
    assert "in fail" in error.traceback_text
