"""Exceptions of every kind that may have to travel, as Hypothesis strategies, and whether two of them are the same."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.contract.faults import Base, Keyword, Odd


@dataclass(frozen=True)
class Frozen(Exception):
    """Takes no attributes once it was made."""

    code: int
    text: str


class Group(ExceptionGroup):
    """A group with something of its own."""

    def __new__(cls, message: str, members: Sequence[Exception], code: int = 0) -> Any:
        made = super().__new__(cls, message, members)
        made.code = code
        return made

    def derive(self, members: Sequence[Exception]) -> Any:
        return Group(self.message, members, self.code)


class Slotted(Exception):
    """Keeps what it has in slots and in arguments."""

    __slots__ = ("_first",)

    def __init__(self, first: str, *rest: int) -> None:
        super().__init__(first, *rest)

    @property
    def first(self) -> Any:
        return self.args[0]


class Defined(OSError):
    """A subclass of what has arguments of a certain form."""

    def __init__(self, text: str) -> None:
        super().__init__(2, text, "file.txt")
        self.text = text


TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
NUMBER = st.integers(-9, 9)

MAKERS: list[Callable[[str, int], BaseException]] = [
    ValueError,
    lambda text, n: ValueError(),
    lambda text, n: KeyError(n),
    lambda text, n: OSError(n, text, "file.txt"),
    lambda text, n: OSError(2, text, "from.txt", None, "to.txt"),
    lambda text, n: Defined(text),
    lambda text, n: ConnectionResetError(104, text),
    lambda text, n: UnicodeDecodeError("utf-8", b"\xff", 0, 1, text),
    lambda text, n: SystemExit(n),
    lambda text, n: StopIteration(n),
    lambda text, n: StopAsyncIteration(text),
    lambda text, n: ImportError(text, name="module", path="path"),
    lambda text, n: NameError(text),
    lambda text, n: SyntaxError(text, ("file.py", 1, 2, "line")),
    lambda text, n: KeyboardInterrupt(text),
    lambda text, n: json.JSONDecodeError(text, "document", 3),
    lambda text, n: subprocess.CalledProcessError(n, ["command"], text, text),
    lambda text, n: subprocess.TimeoutExpired(["command"], 1.5),
    lambda text, n: Odd(n, n + 1),
    lambda text, n: Keyword(code=n),
    lambda text, n: Base(text),
    lambda text, n: Frozen(n, text),
    Slotted,
]


def _decorated(error: BaseException, notes: list[str], attributes: dict[str, Any]) -> BaseException:
    if not isinstance(error, Frozen):
        for note in notes:
            error.add_note(note)
        if not isinstance(error, json.JSONDecodeError):  # its own way of being pickled leaves them out
            vars(error).update(attributes)
    return error


def _chained(error: BaseException, behind: BaseException, how: str) -> BaseException:
    if how == "cause":
        object.__setattr__(error, "__cause__", behind)
    else:
        object.__setattr__(error, "__context__", behind)
        object.__setattr__(error, "__suppress_context__", how == "hidden")
    return error


def _group(text: str, members: list[BaseException], n: int) -> BaseException:
    if n and all(isinstance(one, Exception) for one in members):
        return Group(text, members, n)  # type: ignore[arg-type]  # they are
    return BaseExceptionGroup(text, members)


ALONE = st.builds(
    _decorated,
    st.builds(lambda make, text, n: make(text, n), st.sampled_from(MAKERS), TEXT, NUMBER),
    st.lists(TEXT, max_size=2),
    st.dictionaries(
        st.sampled_from(["extra", "payload"]), st.one_of(NUMBER, TEXT, st.lists(NUMBER)), max_size=2
    ),
)
ERRORS: st.SearchStrategy[BaseException] = st.recursive(
    ALONE,
    lambda inner: st.one_of(
        st.builds(_chained, ALONE, inner, st.sampled_from(["cause", "context", "hidden"])),
        st.builds(_group, TEXT, st.lists(inner, min_size=1, max_size=3), NUMBER),
    ),
    max_leaves=6,
)


def differences(got: Any, error: Any, path: str = "it") -> Iterator[str]:
    """In what `got` is not as `error`, with all that belongs to them."""
    if type(got) is not type(error):
        yield f"{path}: a {type(got)} and no {type(error)}"
        return
    if error is None:
        return
    if isinstance(error, BaseExceptionGroup):
        if (got.message, len(got.exceptions)) != (error.message, len(error.exceptions)):
            yield f"{path}: {got!r} and not {error!r}"
        for place, (one, other) in enumerate(zip(got.exceptions, error.exceptions, strict=False)):
            yield from differences(one, other, f"{path}.exceptions[{place}]")
    elif got.args != error.args:
        yield f"{path}: arguments {got.args} and not {error.args}"
    for name in (
        "errno",
        "strerror",
        "filename",
        "filename2",
        "name",
        "path",
        "value",
        "code",
        "reason",
        "lineno",
    ):
        if getattr(got, name, None) != getattr(error, name, None):
            yield f"{path}.{name}: {getattr(got, name, None)!r} and not {getattr(error, name, None)!r}"
    if vars(got) != vars(error):
        yield f"{path}: attributes {vars(got)} and not {vars(error)}"
    if got.__suppress_context__ != error.__suppress_context__:
        yield f"{path}: its context is {'' if got.__suppress_context__ else 'not '}hidden"
    yield from differences(got.__cause__, error.__cause__, f"{path}.__cause__")
    yield from differences(got.__context__, error.__context__, f"{path}.__context__")
