"""The pytest plugin: the fixture `nothing_left` and the marker `atonce_virtual`; pytest finds it by itself."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine, Generator, Iterator
from typing import Any

import pytest

from atonce.testing.nothing_left import PATIENCE, assert_nothing_left, message
from atonce.testing.virtual_time import run_virtual

MARKER = "atonce_virtual"
_MARKER_LINE = (
    f"{MARKER}(seed=None, seeds=None): run this `async def` test in virtual time; with a seed, ready tasks run in "
    "shuffled order, the same for the same seed; `seeds=20` makes 20 tests of it, with the seeds 0 to 19"
)
_seed_key: pytest.StashKey[int | None] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the command line and of the ini file."""
    group = parser.getgroup("atonce")
    group.addoption(
        "--atonce-seed",
        type=int,
        default=None,
        metavar="N",
        help=f"run every test that is marked {MARKER} with this seed, whatever its marker says",
    )
    parser.addini(
        "atonce_nothing_left",
        "fail every test that leaves a task, thread, process, file or socket behind",
        type="bool",
        default=False,
    )
    parser.addini(
        "atonce_patience",
        "seconds that threads, processes and files get to be gone before nothing_left fails a test",
        default=str(PATIENCE),
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, and give every test the fixture where that is wanted."""
    config.addinivalue_line("markers", _MARKER_LINE)
    if config.getini("atonce_nothing_left"):
        config.pluginmanager.register(EveryTest(), "atonce-every-test")


# -- nothing is left ----------------------------------------------------------------------------------------------


@pytest.fixture
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the test if a task, a thread, a process, a file or a socket outlives it and its later fixtures."""
    before = _begin(request.config)
    failed_before = request.session.testsfailed
    yield
    if (
        request.session.testsfailed == failed_before
    ):  # a traceback may keep things, and one failure says enough
        _check(before)


def _begin(config: pytest.Config) -> assert_nothing_left:
    return assert_nothing_left(patience=float(config.getini("atonce_patience")))


def _check(before: assert_nothing_left) -> None:
    try:
        left = before.left()
    finally:
        before.close()
    _fail_for(left)


def _fail_for(left: list[str]) -> None:
    if left:
        pytest.fail(message(left), pytrace=False)


class EveryTest:
    """With `atonce_nothing_left = true` every test has the fixture; else nobody pays for that."""

    @pytest.fixture(autouse=True)
    def _atonce_nothing_left(self, nothing_left: None) -> None:
        return


# -- virtual time -------------------------------------------------------------------------------------------------


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test a seed."""
    marker = metafunc.definition.get_closest_marker(MARKER)
    seeds = marker.kwargs.get("seeds") if marker is not None else None
    if seeds is not None and metafunc.config.getoption("atonce_seed") is None:
        metafunc.fixturenames.append("_atonce_seed")
        metafunc.parametrize("_atonce_seed", range(seeds), ids=lambda seed: f"seed={seed}", indirect=True)


@pytest.fixture
def _atonce_seed(request: pytest.FixtureRequest) -> int:
    """The seed of this one of the tests that a marker with `seeds` makes."""
    seed: int = request.param
    return seed


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Give pytest a plain function in place of a marked `async def` test, before another plugin takes it."""
    marker = pyfuncitem.get_closest_marker(MARKER)
    if marker is not None:
        _make_plain(pyfuncitem, _seed_of(pyfuncitem, marker))
    return (yield)


def _make_plain(item: pytest.Function, seed: int | None) -> None:
    """Put a plain function in place of the test; under `@given`, one for each example."""
    item.stash[_seed_key] = seed
    given = getattr(item.obj, "hypothesis", None)
    test = item.obj if given is None else given.inner_test
    if given is None and type(item).__module__.startswith("pytest_asyncio"):
        test = getattr(
            test, "__wrapped__", test
        )  # in its auto mode it has made a plain function of it already
    if not inspect.iscoroutinefunction(test):
        pytest.fail(
            f"@pytest.mark.{MARKER} is for `async def` tests; use run_virtual(main) in a plain one",
            pytrace=False,
        )
    plain = _plain(item, test, seed)
    if given is None:
        item.obj = plain
    else:
        given.inner_test = plain


def _seed_of(item: pytest.Function, marker: pytest.Mark) -> int | None:
    """The seed that the command line, the test's own parameter or its marker says."""
    unknown = set(marker.kwargs) - {"seed", "seeds"}
    if marker.args or unknown:
        raise pytest.UsageError(
            f"write @pytest.mark.{MARKER}, {MARKER}(seed=3) or {MARKER}(seeds=20); got {marker}"
        )
    given: int | None = item.config.getoption("atonce_seed")
    if given is not None:
        return given
    callspec = getattr(item, "callspec", None)
    seed: int | None = marker.kwargs.get("seed")
    return seed if callspec is None else callspec.params.get("_atonce_seed", seed)


def _plain(
    item: pytest.Function, test: Callable[..., Coroutine[Any, Any, None]], seed: int | None
) -> Callable[..., None]:
    checks = "nothing_left" in item.fixturenames

    @functools.wraps(test)
    def plain(*args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        left: list[str] = []

        async def main() -> None:
            before = _begin(item.config) if checks else None
            await asyncio.create_task(test(*args, **kwargs), name=item.name)  # what it owns ends with it
            if before is not None:  # its tasks would end with the loop, so they are looked for before that
                left.extend(await before.left_by_now())

        run_virtual(main, seed=seed)
        _fail_for(left)

    return plain


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say the seed of a test that failed, and how to run it again."""
    report = yield
    seed = item.stash.get(_seed_key, None)
    if report.when == "call" and report.failed and seed is not None:
        option = "" if f"[seed={seed}" in item.nodeid else f"--atonce-seed={seed} "
        again = f"the same order again: pytest {option}'{item.nodeid}'"
        report.sections.append(("atonce", f"virtual time with seed {seed}; {again}"))
    return report
