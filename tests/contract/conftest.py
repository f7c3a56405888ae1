"""The backends that the suite runs over; one more is one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from atonce import LoopBackend, ProcessBackend, ThreadBackend
from atonce._backends.choose import backend_for
from atonce.testing import FakeBackend
from tests.contract.pools import Travelling
from tests.contract.work import Work, blocks

BACKENDS: dict[str, Callable[[], Any]] = {
    "loop": LoopBackend,
    "thread": ThreadBackend,
    "process": lambda: ProcessBackend(workers=8, preload=["tests.contract.work"]),
    "executor": lambda: ThreadPoolExecutor(16),
    "process executor": lambda: Travelling(4),
    "fake": FakeBackend,
}
#: What is slow to start, by its name in `BACKENDS`: one for all tests of a module.
LASTING: dict[str, Travelling] = {}


@contextmanager
def opened(name: str) -> Iterator[Any]:
    """A backend for one test, closed at its end where it can be; what lasts longer has no work of others left."""
    if name in LASTING:
        yield backend_for(LASTING[name], is_async=False)
        return
    made = BACKENDS[name]()
    if isinstance(made, Executor):
        with made:
            yield backend_for(made, is_async=False)
        return
    yield made
    close = getattr(made, "close", None)
    if close is not None:
        close()


@pytest.fixture(scope="module", autouse=True)
def _lasting(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    name = "process executor"
    if not any(item.path == request.path and name in item.name for item in request.session.items):
        yield
        return
    with Travelling(4) as LASTING[name]:
        LASTING[name].warm_up(tmp_path_factory.mktemp("pool"))
        yield
    del LASTING[name]


def _blocks(name: str, kind: str) -> bool:
    with opened(name) as made:
        return blocks(made, kind)


#: (backend, kind of function); a plain function on a backend that runs it on the loop blocks it, and cannot be ended.
PAIRS = [(name, kind) for name in BACKENDS for kind in ("plain", "async")]
BLOCKING = [pair for pair in PAIRS if _blocks(*pair)]
ENDABLE = [pair for pair in PAIRS if pair not in BLOCKING]


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
