"""The backends that the suite runs over; one more is one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from atonce import LoopBackend, ProcessBackend, ThreadBackend
from atonce.testing import FakeBackend
from tests.contract.work import Work, blocks

BACKENDS: dict[str, Callable[[], Any]] = {
    "loop": LoopBackend,
    "thread": ThreadBackend,
    "process": lambda: ProcessBackend(workers=8, preload=["tests.contract.work"]),
    "fake": FakeBackend,
}


#: (backend, kind of function); a plain function on a backend that runs it on the loop blocks it, and cannot be ended.
PAIRS = [(name, kind) for name in BACKENDS for kind in ("plain", "async")]
BLOCKING = [(name, kind) for name, kind in PAIRS if blocks(BACKENDS[name](), kind)]
ENDABLE = [pair for pair in PAIRS if pair not in BLOCKING]


@contextmanager
def opened(name: str) -> Iterator[Any]:
    """A backend of its own for each test, closed at its end where it can be."""
    made = BACKENDS[name]()
    yield made
    close = getattr(made, "close", None)
    if close is not None:
        close()


@contextmanager
def working(pair: tuple[str, str], folder: Path) -> Iterator[Work]:
    """Work on a backend of its own; whatever still waits in it at the end of the test goes on."""
    name, kind = pair
    with opened(name) as made:
        work = Work(made, folder, is_async=kind == "async")
        yield work
        work.let_go.set()


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Each backend."""
    with opened(request.param) as made:
        yield made


@pytest.fixture(params=PAIRS, ids="-".join)
def work(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Work]:
    """Each kind of function on each backend."""
    with working(request.param, tmp_path) as made:
        yield made


@pytest.fixture(params=ENDABLE, ids="-".join)
def endable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Work]:
    """The pairs in which a limit or a stop means something."""
    with working(request.param, tmp_path) as made:
        yield made


@pytest.fixture(params=BLOCKING, ids="-".join)
def blocking(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Work]:
    """The other pairs."""
    with working(request.param, tmp_path) as made:
        yield made
