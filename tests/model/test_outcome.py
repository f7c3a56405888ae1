"""An outcome is a frozen value: comparable, picklable, matchable, and raised as often as asked."""

from __future__ import annotations

import copy
import pickle
import traceback
import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce import Failed, Ok, Outcome, TaskTimeout
from atonce._model.outcome import make_failed, make_ok

SLOTS = ("index", "input", "attempts", "elapsed", "fallback")
ERROR = ValueError("no")
makers = st.sampled_from([Ok, Failed])


def both(**metadata: Any) -> list[Outcome[int]]:
    return [Ok(3, **metadata), Failed(ERROR, **metadata)]


@pytest.mark.parametrize("outcome", both(), ids=["Ok", "Failed"])
@pytest.mark.parametrize("name", ["value", "error", "ok", "unheard_of", *SLOTS])
def test_an_outcome_is_frozen(outcome: Any, name: str) -> None:
    with pytest.raises(AttributeError, match="frozen"):
        setattr(outcome, name, 1)
    with pytest.raises(AttributeError, match="frozen"):
        delattr(outcome, name)


@pytest.mark.parametrize("outcome", both(), ids=["Ok", "Failed"])
def test_an_outcome_has_slots_and_no_dict(outcome: Any) -> None:
    assert not hasattr(outcome, "__dict__")


@pytest.mark.parametrize("outcome", [make_ok(3, 7, "seven", 2, 0.5), make_failed(ERROR, 7, "seven", 2, 0.5)])
def test_an_outcome_made_by_position_is_one_like_any_other(outcome: Any) -> None:
    assert type(outcome) is (Ok if outcome.ok else Failed)
    assert outcome == (Ok(3) if outcome.ok else Failed(ERROR))
    assert (outcome.index, outcome.input, outcome.attempts, outcome.elapsed, outcome.fallback) == (
        *(7, "seven", 2, 0.5),
        False,
    )
    with pytest.raises(AttributeError, match="frozen"):
        outcome.index = 1


def test_ok_tells_one_kind_from_the_other() -> None:
    assert Ok(3).ok is True
    assert Failed(ERROR).ok is False


@given(
    st.integers(),
    st.integers(),
    st.fixed_dictionaries(
        {}, optional={"index": st.integers(0), "attempts": st.integers(1), "elapsed": st.floats(0, 9)}
    ),
)
def test_equality_and_hash_look_at_the_value_alone(one: int, other: int, metadata: dict[str, Any]) -> None:
    assert (Ok(one, **metadata) == Ok(other)) == (one == other)
    assert hash(Ok(one, **metadata)) == hash(Ok(one))
    assert Failed(ERROR, **metadata) == Failed(ERROR)
    assert hash(Failed(ERROR, **metadata)) == hash(Failed(ERROR))


def test_ok_is_not_equal_to_failed_nor_to_its_value() -> None:
    assert Ok(ERROR) != Failed(ERROR)
    assert Ok(3) != 3
    assert Failed(ERROR) != ERROR


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("ok", [True, False])
def test_pickling_keeps_the_value_and_what_is_told_about_it(ok: bool, protocol: int) -> None:
    metadata: dict[str, Any] = {"index": 7, "input": ["seven"], "attempts": 2, "elapsed": 0.5}
    outcome: Any = Ok({"a": 1}, **metadata, fallback=True) if ok else Failed(ERROR, **metadata)
    back = pickle.loads(pickle.dumps(outcome, protocol))
    assert type(back) is type(outcome)
    assert back == outcome if ok else (type(back.error), back.error.args) == (ValueError, ("no",))
    assert [getattr(back, name) for name in SLOTS] == [getattr(outcome, name) for name in SLOTS]


def test_a_copy_is_equal() -> None:
    assert copy.copy(Ok([1], index=2)) == copy.deepcopy(Ok([1], index=2)) == Ok([1])
    assert copy.copy(Ok([1], index=2)).index == 2


@pytest.mark.parametrize(("outcome", "expected"), [(Ok(3), 3), (Failed(ERROR), ERROR)], ids=["Ok", "Failed"])
def test_match_takes_it_apart(outcome: Outcome[int], expected: object) -> None:
    match outcome:
        case Ok(value):
            assert value == expected
        case Failed(error):
            assert error is expected


def test_unwrap_gives_the_value_or_raises_the_error_itself() -> None:
    assert Ok(3).unwrap() == 3
    with pytest.raises(ValueError, match="no") as caught:
        Failed(ERROR).unwrap()
    assert caught.value is ERROR


def test_unwrap_or_gives_the_default_for_a_failure_alone() -> None:
    assert Ok(3).unwrap_or(0) == 3
    assert Failed(ERROR).unwrap_or(0) == 0


def raised_somewhere() -> ValueError:
    try:
        raise ValueError("deep")
    except ValueError as error:
        return error


def test_the_traceback_does_not_grow_however_often_it_is_unwrapped() -> None:
    outcome = Failed(raised_somewhere())
    lengths = set()
    for _ in range(50):
        try:
            outcome.unwrap()
        except ValueError as error:
            lengths.add(len(traceback.extract_tb(error.__traceback__)))
    assert len(lengths) == 1


def test_the_traceback_still_shows_where_the_task_raised() -> None:
    with pytest.raises(ValueError, match="deep") as caught:
        Failed(raised_somewhere()).unwrap()
    assert "raised_somewhere" in [entry.name for entry in traceback.extract_tb(caught.value.__traceback__)]


def test_unwrap_leaves_no_reference_to_the_outcome_in_the_traceback() -> None:
    """A traceback that refers to its own frames' locals keeps everything in them alive until the next collection."""

    class Big:
        """Something that can be looked at from outside."""

    big = Big()
    seen = weakref.ref(big)
    outcome = Failed(ValueError("no"), input=big)
    try:
        outcome.unwrap()
    except ValueError as error:
        kept = error
    del outcome, big
    assert seen() is None
    assert kept.args == ("no",)


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration])
def test_a_stop_iteration_is_held_as_it_is_and_raised_as_a_runtime_error_from_it(
    kind: type[Exception],
) -> None:
    outcome = Failed(kind("end"))
    assert type(outcome.error) is kind
    for _ in range(2):
        with pytest.raises(RuntimeError, match=kind.__name__) as caught:
            outcome.unwrap()
        assert caught.value.__cause__ is outcome.error


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_any_base_exception_can_be_held_and_raised(error: BaseException) -> None:
    with pytest.raises(type(error)):
        Failed(error).unwrap()


class Unprintable(Exception):
    """Its repr raises, as broken ones do."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def test_the_repr_says_what_it_holds_and_never_raises_for_an_error() -> None:
    assert repr(Ok("x")) == "Ok('x')"
    assert repr(Failed(ERROR)) == "Failed(ValueError('no'))"
    assert repr(Failed(Unprintable())) == "Failed(<unprintable Unprintable>)"


def test_a_timeout_is_caught_as_pythons_own() -> None:
    with pytest.raises(TimeoutError):
        Failed(TaskTimeout("late", timeout=1.0)).unwrap()


def test_a_fallback_marks_an_ok_and_never_a_failure() -> None:
    assert Ok(1, fallback=True).fallback
    assert not Ok(1).fallback
    assert not Failed(ERROR).fallback


def test_a_fallback_knows_the_error_in_whose_place_it_stands_and_nothing_else_has_one() -> None:
    assert Ok(1, fallback=True, error=ERROR).error is ERROR
    assert Ok(1, fallback=True, error=ERROR).fallback
    assert Ok(1, fallback=True).error is None
    assert Ok(1).error is None
    with pytest.raises(ValueError, match="fallback=True, error=error"):
        Ok(1, error=ERROR)


def test_a_pickled_fallback_is_still_marked_whatever_its_error_was() -> None:
    copied = pickle.loads(pickle.dumps(Ok(1, fallback=True, error=Exception(lambda: None))))
    assert (copied, copied.fallback, copied.error) == (Ok(1), True, None)
