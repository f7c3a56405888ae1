"""What every test runs under: a leak check, a runner for `async def` tests, and seeds that are printed."""

from __future__ import annotations

import compileall
import functools
import gc
import importlib
import inspect
import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from atonce._runtime import telemetry
from atonce.testing import assert_nothing_left
from atonce.testing.nothing_left import message
from tests.leaks import Trouble, watching
from tests.running import exists, run

# The many Pythons that tests start find their modules compiled, as they are in an installation; they compile none,
# since those whose files are limited in size (`ulimit -f`) would leave broken ones.
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
if "PYTEST_XDIST_WORKER" not in os.environ:
    compileall.compile_dir(Path(__file__).parent.parent / "src", quiet=2)

PATIENCE = 5.0
"""Seconds that something may take to be gone, on a machine that others use too."""

hypothesis.settings.register_profile("local", deadline=None, print_blob=True)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
hypothesis.settings.register_profile(
    "nightly", deadline=None, max_examples=5_000, stateful_step_count=100, print_blob=True
)
#: For the second and third Python of a run: the same laws, a fifth of the examples.
hypothesis.settings.register_profile(
    "brief", hypothesis.settings.get_profile("ci" if os.environ.get("CI") else "local"), max_examples=20
)
PROFILE = os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "local")
hypothesis.settings.load_profile(PROFILE)


def pytest_report_header() -> str:
    """Say which Hypothesis profile runs; HYPOTHESIS_PROFILE=nightly asks for another."""
    return f"hypothesis profile: {PROFILE} ({'fixed examples' if hypothesis.settings.default.derandomize else 'seeded as below'})"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give Hypothesis the seed that pytest-randomly prints, so that `--randomly-seed=N` repeats the whole run."""
    if config.getoption("randomly_seed", None) == "default":
        config.option.randomly_seed = random.SystemRandom().getrandbits(32)
    if config.getoption("hypothesis_seed", None) is None:
        config.option.hypothesis_seed = config.getoption("randomly_seed", None)


# -- async tests --------------------------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """Give pytest a plain function in place of an `async def` test; under `@given`, one for each example."""
    if pyfuncitem.get_closest_marker("atonce_virtual"):
        return
    marker = pyfuncitem.get_closest_marker("virtual")
    how = {} if marker is None else {"virtual": True, **marker.kwargs}
    given = getattr(pyfuncitem.obj, "hypothesis", None)
    if given is not None and inspect.iscoroutinefunction(given.inner_test):
        given.inner_test = _plain(given.inner_test, how)
    elif inspect.iscoroutinefunction(pyfuncitem.obj):
        pyfuncitem.obj = _plain(pyfuncitem.obj, how)


def _plain(test: Callable[..., Any], how: dict[str, Any]) -> Callable[..., None]:
    @functools.wraps(test)
    def plain(*args: Any, **kwargs: Any) -> None:
        run(test(*args, **kwargs), **how)

    return plain


@pytest.fixture(scope="session")
def arun() -> Callable[..., Any]:
    """Run a coroutine from a plain test: `arun(main())`, in virtual time with `virtual=True` or `seed=7`."""
    return run


# -- nothing is left ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="session", autouse=True)
def _what_lasts() -> Iterator[None]:
    """Make what lasts as long as the interpreter before anything is counted."""
    if exists("atonce.blocking"):
        importlib.import_module("atonce.blocking").await_many([])
    gc.collect()
    yield
    gc.unfreeze()
    _fail_for_errors_in_garbage()


@pytest.fixture(scope="module", autouse=True)
def _what_came_before(_what_lasts: None) -> Iterator[None]:
    """Set aside what is there, so that the collection after each test looks at its module's objects alone."""
    gc.freeze()
    yield
    _fail_for_errors_in_garbage()


def _fail_for_errors_in_garbage() -> None:
    with watching() as seen:
        gc.collect()
    _fail_for(seen.reports)


def _close_default_processes() -> None:
    """The process backend of the interpreter lasts as long as that; in a test it lasts as long as the test."""
    module = sys.modules.get("atonce._backends.process")
    if module is not None and module._default is not None:
        module._default.close()
        module._default = None


@pytest.fixture(autouse=True)
def trouble(request: pytest.FixtureRequest) -> Iterator[Trouble]:
    """Fail a test that leaves something behind or causes an error that can only be reported."""
    failed_before = request.session.testsfailed
    handlers = telemetry.handlers
    before = assert_nothing_left()
    try:
        with watching() as seen:
            yield seen
            _close_default_processes()
            gc.collect()
            has_failed = request.session.testsfailed > failed_before  # its traceback may then keep files open
            left = before.left(PATIENCE / 10 if has_failed else PATIENCE)
    finally:
        before.close()
    forgotten = [
        f"a telemetry handler {id!r}"
        for id, _, _ in telemetry.handlers
        if id not in {one[0] for one in handlers}
    ]
    _fail_for(left + seen.reports + forgotten)


def _fail_for(problems: list[str]) -> None:
    if problems:
        pytest.fail(f"the test: {message(problems)}", pytrace=False)
