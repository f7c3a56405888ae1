"""Every numeric option of every public callable, on both faces: what is refused, when, and in which words."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.arguments.table import (
    GIVEN,
    INF,
    LARGEST,
    NAN,
    OTHERS,
    RULES,
    Rule,
    callables,
    is_error,
    legal,
    numeric,
    options,
    public,
    rule_of,
    shown,
    wrong,
)

import atonce
import atonce.blocking

FACES = {"atonce": atonce, "blocking": atonce.blocking}
NEVER_SENT = "http://127.0.0.1:9/"


class Witness:
    """User code that must not run."""

    def __init__(self) -> None:
        self.calls = 0

    async def work(self, *args: Any) -> None:
        """Count the call."""
        self.calls += 1

    def items(self) -> Any:
        """Count the first item that is pulled."""
        self.calls += 1
        yield 1


def base(name: str, face: Any, witness: Witness) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call that is right, but for the one option that a test adds."""
    work = witness.work
    if name in ("await_one", "poll", "shutdown"):
        return (face.completed(1),), {}
    if name in ("await_many", "poll_many"):
        return ([face.completed(1)],), {}
    return {
        "Agent": ((work,), {}),
        "Child": ((work,), {}),
        "Idle": ((), {"seconds": 1.0}),
        "LoopBackend": ((), {}),
        "Rate": ((), {"count": 1}),
        "Retry": ((), {}),
        "Task.result": ((), {}),
        "ProcessBackend": ((), {}),
        "Recorder": ((), {}),
        "Supervisor": ((), {}),
        "ThreadBackend": ((), {}),
        "aggregate": (({"a": work},), {}),
        "async_pipeline": ((1, [work]), {}),
        "fetch": ((NEVER_SENT,), {}),
        "fetch_stream": (([NEVER_SENT],), {}),
        "parallel_fetch": (([NEVER_SENT],), {}),
        "parallel_map": ((witness.items(), work), {}),
        "process_batch": ((witness.items(), work), {}),
        "race": (([work],), {}),
        "retry_with_backoff": ((work,), {}),
        "scope": ((), {}),
        "source": ((work,), {}),
        "spawn": ((work,), {}),
        "stream": ((witness.items(), work), {}),
        "tree": ((), {}),
        "whereis": ((), {}),
        "with_fallback": (([work],), {}),
    }[name]


#: These check at the call; the others are `async` and check at the latest at their await.
AT_THE_CALL = {
    "Agent",
    "Child",
    "Idle",
    "LoopBackend",
    "Rate",
    "Retry",
    "Task.result",
    "ProcessBackend",
    "Recorder",
    "Supervisor",
    "ThreadBackend",
    "fetch_stream",
    "scope",
    "source",
    "spawn",
    "stream",
    "tree",
}


def call(face: Any, name: str, witness: Witness, /, **given: Any) -> Any:
    """Make the call, and await it where it must be awaited."""
    args, kwargs = base(name, face, witness)
    thing = face.completed(1).result if name == "Task.result" else getattr(face, name)
    made = thing(*args, **{**kwargs, **given})
    if inspect.iscoroutine(made) and name not in AT_THE_CALL:
        return _awaited(made)
    return made


async def _awaited(made: Any) -> Any:
    return await made


def attempt(face: Any, name: str, witness: Witness, /, **given: Any) -> Any:
    """Make the call on its own kind of thread, and give what it gave or raise what it raised."""
    if face is atonce.blocking:
        return call(face, name, witness, **given)

    async def main() -> Any:
        made = call(face, name, witness, **given)
        result = await made if inspect.iscoroutine(made) else made
        if isinstance(result, atonce.Task):
            await result
        return result

    return asyncio.run(main())


ROWS = [(face, name, option, rule) for face in FACES for name, option, rule in numeric(FACES[face])]
ROW = pytest.mark.parametrize(
    ("face", "name", "option", "rule"),
    ROWS,
    ids=[f"{face}-{name}-{option}" for face, name, option, _ in ROWS],
)


# -- nothing escapes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("face", FACES)
def test_every_option_of_every_public_callable_is_in_the_table(face: str) -> None:
    unknown = [
        f"{name}({option}=)"
        for name, thing in callables(FACES[face])
        for option in options(name, thing)
        if option not in OTHERS and rule_of(name, option) is None
    ]
    assert unknown == [], "give these a row in tests/arguments/table.py"


@pytest.mark.parametrize("face", FACES)
def test_an_option_whose_default_is_a_number_is_tested_as_a_number(face: str) -> None:
    for name, thing in callables(FACES[face]):
        for parameter in inspect.signature(thing).parameters.values():
            if isinstance(parameter.default, (int, float)) and not isinstance(parameter.default, bool):
                assert parameter.name in RULES, f"{name}({parameter.name}={parameter.default})"


def test_no_row_of_the_table_is_without_an_option() -> None:
    seen = {
        option
        for face in FACES.values()
        for name, thing in callables(face)
        for option in options(name, thing)
    }
    assert set(RULES) - seen == set()


@pytest.mark.parametrize("face", FACES)
def test_every_public_name_is_called_by_users_or_given_to_them(face: str) -> None:
    given = {name for name, thing in public(FACES[face]) if name in GIVEN or is_error(thing)}
    called = {name.partition(".")[0] for name, _ in callables(FACES[face])}
    assert given | called == set(FACES[face].__all__)


def test_the_table_is_as_wide_as_the_contract() -> None:
    assert len(ROWS) >= 2 * 40


# -- what is refused ----------------------------------------------------------------------------------------------


@ROW
def test_wrong_values_are_refused_before_any_of_the_users_code(
    face: str, name: str, option: str, rule: Rule
) -> None:
    for value in wrong(rule):
        witness = Witness()
        try:
            attempt(FACES[face], name, witness, **{option: value})
        except (ValueError, TypeError) as error:
            assert not isinstance(error, UnicodeError)
        else:
            pytest.fail(f"{name}({option}={shown(value)}) was taken")
        assert witness.calls == 0, shown(value)


@ROW
def test_the_message_names_the_option_and_shows_a_corrected_form(
    face: str, name: str, option: str, rule: Rule
) -> None:
    for value in wrong(rule):
        with pytest.raises((ValueError, TypeError)) as caught:
            attempt(FACES[face], name, Witness(), **{option: value})
        text = str(caught.value)
        assert text.startswith(f"{option} is "), f"{shown(value)}: {text}"
        corrected = "is written '10/s'" in text or f"{option}=" in text
        assert corrected, f"{shown(value)}: {text}"
        assert len(text) < 250, text


@ROW
def test_a_corrected_form_with_none_is_shown_only_where_none_is_legal(
    face: str, name: str, option: str, rule: Rule
) -> None:
    if rule.kind == "rate":
        return
    with pytest.raises((ValueError, TypeError)) as caught:
        attempt(FACES[face], name, Witness(), **{option: INF})
    assert (f"{option}=None" in str(caught.value)) == (rule.none and rule.kind == "seconds")


@pytest.mark.parametrize("name", sorted(AT_THE_CALL - {"LoopBackend", "Task.result"}))
async def test_what_is_no_coroutine_refuses_at_the_call(name: str) -> None:
    rows = [(option, rule) for one, option, rule in numeric(atonce) if one == name]
    assert rows
    for option, rule in rows:
        value = "5" if rule.kind != "rate" else 5
        args, kwargs = base(name, atonce, Witness())
        with pytest.raises((ValueError, TypeError), match=option):
            getattr(atonce, name)(*args, **{**kwargs, option: value})


# -- what is taken ------------------------------------------------------------------------------------------------

SENDS = {"fetch", "parallel_fetch", "fetch_stream"}  # a legal call of these would send a request


@ROW
def test_legal_values_are_taken_those_at_the_edges_too(face: str, name: str, option: str, rule: Rule) -> None:
    if name in SENDS:
        return
    for value in legal(rule):
        with contextlib.suppress(atonce.TaskTimeout):  # the shortest limits are taken, and then obeyed
            attempt(FACES[face], name, Witness(), **{option: value})


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("await_one", "timeout"),
        ("await_many", "timeout"),
        ("poll", "timeout"),
        ("poll_many", "timeout"),
        ("Task.result", "timeout"),
        ("shutdown", "grace"),
        ("scope", "grace"),
        ("Retry", "base_delay"),
        ("retry_with_backoff", "base_delay"),
        ("race", "hedge"),
    ],
)
@pytest.mark.parametrize("face", FACES)
def test_zero_is_legal_where_the_contract_says_so(face: str, name: str, option: str) -> None:
    attempt(FACES[face], name, Witness(), **{option: 0})


def test_zero_is_legal_nowhere_else_but_for_redirects() -> None:
    zeros = {(name, option) for _, name, option, rule in ROWS if rule.zero}
    assert zeros == {
        ("await_one", "timeout"),
        ("await_many", "timeout"),
        ("poll", "timeout"),
        ("poll_many", "timeout"),
        ("Task.result", "timeout"),
        ("shutdown", "grace"),
        ("scope", "grace"),
        ("Retry", "base_delay"),
        ("retry_with_backoff", "base_delay"),
        ("race", "hedge"),
        ("Idle", "seconds"),
        ("Child", "grace"),
        ("Supervisor", "drain"),
        ("Supervisor", "max_children"),
        ("Supervisor", "max_restarts"),
        ("fetch", "follow"),
        ("fetch_stream", "follow"),
        ("parallel_fetch", "follow"),
    }


# -- the words ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (timedelta(minutes=2), r"pass timeout=120\.0 instead of a timedelta"),
        (Decimal("2.5"), r"pass timeout=2\.5 instead of a Decimal"),
        ("5", r"a number of seconds, e\.g\. timeout=1\.5; got '5'"),
        (True, r"a number of seconds, e\.g\. timeout=1\.5; got True"),
        (0, r"a number of seconds above 0, e\.g\. timeout=1\.5; got 0"),
        (-1, r"a number of seconds above 0, e\.g\. timeout=1\.5; got -1"),
        (NAN, r"a number of seconds above 0, e\.g\. timeout=1\.5; got nan"),
        (INF, r"at most 10\*\*9 seconds; got inf; for no limit pass timeout=None"),
        (10**10, r"at most 10\*\*9 seconds; got 10000000000; for no limit pass timeout=None"),
    ],
)
async def test_the_words_about_a_duration(value: Any, words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        atonce.spawn(Witness().work, timeout=value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("4", r"a whole number, e\.g\. max_concurrency=4; got '4'"),
        (2.5, r"a whole number, e\.g\. max_concurrency=4; got 2\.5"),
        (True, r"a whole number, e\.g\. max_concurrency=4; got True"),
        (0, r"a whole number from 1, e\.g\. max_concurrency=4; got 0"),
        (-3, r"a whole number from 1, e\.g\. max_concurrency=4; got -3"),
        (LARGEST + 1, r"at most 10\*\*9, e\.g\. max_concurrency=4; got 1000000001"),
    ],
)
def test_the_words_about_a_count(value: Any, words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        atonce.stream([1], Witness().work, max_concurrency=value)


def test_a_wait_says_that_zero_is_legal() -> None:
    with pytest.raises(ValueError, match="a number of seconds 0 or more"):
        asyncio.run(atonce.await_many([], timeout=-1))


@pytest.mark.parametrize("value", [-1, "x", NAN])
def test_wrong_types_are_type_errors_and_wrong_numbers_value_errors(value: Any) -> None:
    expected: type[Exception] = TypeError if isinstance(value, str) else ValueError
    with pytest.raises(expected):
        atonce.Retry(deadline=value)


# -- names and unknown options ------------------------------------------------------------------------------------

NAMED = [
    (face, name) for face in FACES for name, thing in callables(FACES[face]) if "name" in options(name, thing)
]


@pytest.mark.parametrize(("face", "name"), NAMED)
def test_a_name_that_would_break_a_log_line_is_refused(face: str, name: str) -> None:
    witness = Witness()
    for value in ("", "x" * 201, "line\nbreak", "\x1b[31m", "nul\0", 5, b"bytes", True, ["a"]):
        with pytest.raises((ValueError, TypeError), match="name is "):
            attempt(FACES[face], name, witness, name=value)
    assert witness.calls == 0


@pytest.mark.parametrize(("face", "name"), NAMED)
def test_printable_names_are_taken(face: str, name: str) -> None:
    for value in ("a", "x" * 200, "größer als 3 µs", "名前", None):
        attempt(FACES[face], name, Witness(), name=value)


KEYWORDS = [(face, name) for face in FACES for name, _, _ in numeric(FACES[face]) if name != "Task.result"]


@pytest.mark.parametrize(("face", "name"), sorted(set(KEYWORDS)))
def test_a_misspelt_option_is_refused_and_named(face: str, name: str) -> None:
    witness = Witness()
    with pytest.raises(TypeError, match="max_concurency"):
        attempt(FACES[face], name, witness, max_concurency=3)
    assert witness.calls == 0


OPTIONS_ARE_KEYWORDS: list[tuple[str, Callable[..., Any]]] = [
    (name, thing)
    for name, thing in callables(atonce)
    if name
    in {
        "aggregate",
        "async_pipeline",
        "fetch",
        "parallel_map",
        "process_batch",
        "race",
        "scope",
        "stream",
        "with_fallback",
    }
]


@pytest.mark.parametrize(("name", "thing"), OPTIONS_ARE_KEYWORDS)
def test_options_are_keyword_only(name: str, thing: Callable[..., Any]) -> None:
    for parameter in inspect.signature(thing).parameters.values():
        if parameter.default is not parameter.empty:
            assert parameter.kind is parameter.KEYWORD_ONLY, parameter.name
