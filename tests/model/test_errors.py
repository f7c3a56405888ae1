"""Every error of atonce is an AtonceError, is what the contract says it also is, and travels with its attributes."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import pytest

import atonce
from atonce import (
    AtonceError,
    FetchError,
    HttpStatusError,
    MailboxFull,
    NotSerializable,
    RemoteError,
    RestartLimit,
    TaskStopped,
    TaskTimeout,
    TooManyChildren,
    WorkerLost,
)
from atonce._model import errors as errors_module
from atonce._model.errors import MisuseError

SAMPLES: list[tuple[AtonceError, dict[str, Any]]] = [
    (AtonceError("a"), {}),
    (MisuseError("a"), {}),
    (TaskTimeout("a", timeout=1.5, abandoned=True), {"timeout": 1.5, "abandoned": True}),
    (TaskStopped("a", abandoned=True), {"abandoned": True}),
    (WorkerLost("a", exitcode=3), {"exitcode": 3, "signal": None}),
    (WorkerLost("a", signal=9), {"exitcode": None, "signal": 9}),
    (NotSerializable("a"), {}),
    (
        RemoteError("m", type_name="x.Y", traceback_text="tb"),
        {"type_name": "x.Y", "message": "m", "traceback_text": "tb"},
    ),
    (TooManyChildren("a"), {}),
    (RestartLimit("a"), {}),
    (MailboxFull("a", limit=3), {"limit": 3}),
    (FetchError("a", kind="dns", url="http://x"), {"kind": "dns", "url": "http://x"}),
    (
        HttpStatusError("a", status=404, response=["r"], url="u"),
        {"status": 404, "response": ["r"], "url": "u", "kind": "status"},
    ),
]
samples = pytest.mark.parametrize(
    ("error", "attributes"),
    SAMPLES,
    ids=[f"{type(error).__name__}-{i}" for i, (error, _) in enumerate(SAMPLES)],
)


def test_every_error_of_the_module_is_in_the_table() -> None:
    defined = {
        one for one in vars(errors_module).values() if inspect.isclass(one) and issubclass(one, AtonceError)
    }
    assert {type(error) for error, _ in SAMPLES} == defined


@samples
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_pickles_with_its_attributes(
    error: AtonceError, attributes: dict[str, Any], protocol: int
) -> None:
    back = pickle.loads(pickle.dumps(error, protocol))
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert back.args == error.args
    assert {name: getattr(back, name) for name in attributes} == attributes


@samples
def test_an_error_can_be_copied(error: AtonceError, attributes: dict[str, Any]) -> None:
    back = copy.copy(error)
    assert (type(back), str(back)) == (type(error), str(error))
    assert {name: getattr(back, name) for name in attributes} == attributes


@samples
def test_notes_travel_with_an_error(error: AtonceError, attributes: dict[str, Any]) -> None:
    noted = copy.copy(error)
    noted.add_note("spawned here")
    assert pickle.loads(pickle.dumps(noted)).__notes__ == ["spawned here"]


@pytest.mark.parametrize(
    ("kind", "also"),
    [
        (TaskTimeout, TimeoutError),
        (NotSerializable, TypeError),
        (MisuseError, RuntimeError),
        (HttpStatusError, FetchError),
    ],
)
def test_an_error_is_also_what_python_calls_it(kind: type[Exception], also: type[Exception]) -> None:
    assert issubclass(kind, also)


def test_a_stopped_task_is_no_cancelled_error() -> None:
    import asyncio

    assert not issubclass(TaskStopped, asyncio.CancelledError)


@pytest.mark.parametrize(
    "name",
    [
        *("AtonceError", "TaskTimeout", "TaskStopped", "WorkerLost", "NotSerializable", "RemoteError"),
        *("TooManyChildren", "RestartLimit", "FetchError", "HttpStatusError"),
    ],
)
def test_the_errors_of_the_contract_are_on_the_face(name: str) -> None:
    assert issubclass(getattr(atonce, name), AtonceError)


def test_a_subclass_with_an_odd_init_travels_too() -> None:
    error = _Odd(1, why="because")
    back = pickle.loads(pickle.dumps(error))
    assert (back.number, back.why, back.args) == (1, "because", ("odd 1",))


class _Odd(AtonceError):
    """A user's own subclass, whose `__init__` takes what `args` does not hold."""

    def __init__(self, number: int, *, why: str) -> None:
        super().__init__(f"odd {number}")
        self.number = number
        self.why = why
