"""What is called: whether it is asynchronous, whether it takes the arguments, and how it is named."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from unittest.mock import AsyncMock

import pytest

from atonce._model.call import check_call, fn_name, is_async


async def coroutine(n: int) -> int:
    return n


def plain(n: int) -> int:
    return n


def _id(fn: object) -> str:
    return repr(fn).partition(" at 0x")[0]


class Plain:
    """Callable; its method may be either kind."""

    def __call__(self, n: int) -> int:
        return n

    def method(self, n: int) -> int:
        return n

    async def amethod(self, n: int) -> int:
        return n

    @staticmethod
    async def astatic(n: int) -> int:
        return n

    @classmethod
    async def aclass(cls, n: int) -> int:
        return n


class Async:
    """Callable, and its call is a coroutine."""

    async def __call__(self, n: int) -> int:
        return n


@pytest.mark.parametrize(
    "fn",
    [
        coroutine,
        functools.partial(coroutine, 1),
        functools.partial(functools.partial(coroutine), 1),
        Plain().amethod,
        Plain.astatic,
        Plain.aclass,
        Async(),
        functools.partial(Async(), 1),
        pytest.param(AsyncMock(), id="an AsyncMock"),
    ],
    ids=_id,
)
def test_a_call_that_gives_a_coroutine_is_async(fn: Callable[..., Any]) -> None:
    assert is_async(fn)


@pytest.mark.parametrize(
    "fn",
    [
        plain,
        functools.partial(plain, 1),
        Plain(),
        Plain().method,
        Plain,
        Async,
        len,
        int,
        lambda n: [coroutine(n)][0],
    ],
    ids=_id,
)
def test_any_other_call_is_not(fn: Callable[..., Any]) -> None:
    assert not is_async(fn)


@pytest.mark.parametrize("args", [(), (1, 2)])
@pytest.mark.parametrize("fn", [plain, coroutine, Plain(), functools.partial(plain)], ids=_id)
def test_a_call_that_cannot_be_made_is_refused_before_it_is_made(fn: Any, args: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="cannot be called with"):
        check_call("fn", fn, args)


@pytest.mark.parametrize("fn", [plain, int, print, dict, max, functools.partial(plain)], ids=_id)
def test_a_call_that_can_be_made_or_cannot_be_known_passes(fn: Any) -> None:
    assert check_call("fn", fn, (1,)) is fn


class _LyingSignature:
    """A proxy whose signature cannot be read."""

    @property
    def __signature__(self) -> Any:
        raise ValueError("no signature")

    def __call__(self, *args: Any) -> None: ...


def test_a_signature_that_cannot_be_read_is_no_reason_to_refuse() -> None:
    fn = _LyingSignature()
    assert check_call("fn", fn, (1, 2, 3)) is fn


@pytest.mark.parametrize(
    ("fn", "name"),
    [
        (plain, "plain"),
        (functools.partial(functools.partial(plain), 1), "plain"),
        (Plain().method, "Plain.method"),
        (Plain(), "Plain"),
        (len, "len"),
    ],
)
def test_a_function_is_named_as_its_author_did(fn: Any, name: str) -> None:
    assert fn_name(fn) == name
