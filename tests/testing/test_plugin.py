"""The pytest plugin in a user's project, which is a run of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., pytest.RunResult]

HEAD = """
import asyncio, os, socket, subprocess, sys, threading, time
import pytest
import atonce
from atonce import blocking

kept = []
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> Run:
    """Run a project that has one file of tests, and no conftest; in this process where nothing is left in it."""

    def run(text: str, *options: str, ini: str = "", leaky: bool = False) -> pytest.RunResult:
        off = "-p no:randomly -p no:cacheprovider -p no:xdist"
        pytester.makeini(f"[pytest]\naddopts = {off} --strict-markers\natonce_patience = 0.2\n{ini}")
        pytester.makepyfile(test_it=HEAD + text)
        return pytester.runpytest_subprocess(*options) if leaky else pytester.runpytest_inprocess(*options)

    return run


LEAKS = {
    "task": (
        "kept.append(blocking.spawn(asyncio.sleep, 3600))",
        r"- task 'sleep' \(spawned at .*test_it.py:\d+ in ",
    ),
    "thread": (
        "threading.Thread(target=time.sleep, args=(5,), daemon=True, name='left').start()",
        r"- thread left still runs, started at .*test_it.py:\d+ in ",
    ),
    "process": (
        "kept.append(subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE))",
        r"- process \d+ \(.*\) is still \w+, started at .*test_it.py:\d+ in ",
    ),
    "file": (
        "kept.append(open(__file__))",
        r"- file descriptor \d+ is still open on .*test_it.py, opened at .*test_it.py:",
    ),
    "socket": (
        "kept.append(socket.create_server(('127.0.0.1', 0)))",
        r"- socket \d+ .*127.0.0.1.*, made at .*test_it.py:",
    ),
    "backend": (
        "kept.append(atonce.ProcessBackend(workers=1)); blocking.spawn(abs, 1, on=kept[-1]).result()",
        r"- <ProcessBackend of 1 workers, made at .*test_it.py:\d+ in .*> is not closed",
    ),
}


def test_a_leak_of_each_kind_fails_the_test_that_left_it_and_is_named(project: Run) -> None:
    tests = [f"def test_{kind}(nothing_left):\n    {line}\n" for kind, (line, _) in LEAKS.items()]
    result = project("\n".join(tests), leaky=True)
    result.assert_outcomes(passed=len(LEAKS), errors=len(LEAKS))
    shown = result.stdout.str()
    for kind, (_, pattern) in LEAKS.items():
        after = shown.partition(f"ERROR at teardown of test_{kind} ")[2]
        first = r"_+\n\d left behind:\n(- file descriptor \d+ is still open on pipe:.*\n)?"
        assert re.match(first + pattern, after), f"{kind}: {after[:400]}"


CLEAN = """
def test_clean({fixture}):
    assert blocking.spawn(sum, [1, 2]).result() == 3
    assert blocking.spawn(abs, -1, on="process").result() == 1
    assert blocking.parallel_map(range(3), abs) == [0, 1, 2]
    with open(__file__), socket.socket():
        pass

@pytest.mark.atonce_virtual
async def test_clean_in_virtual_time({fixture}):
    atonce.spawn(asyncio.sleep, 3600)  # its owner is this test, and ends it
    assert await atonce.parallel_map(range(3), asyncio.sleep) == [None] * 3
"""


def test_a_clean_test_passes(project: Run) -> None:
    project(CLEAN.format(fixture="nothing_left")).assert_outcomes(passed=2)


def test_the_ini_option_checks_every_test_but_one_that_failed(project: Run) -> None:
    tests = """
def test_clean():
    pass

def test_leaks():
    kept.append(open(__file__))

def test_fails():
    kept.append(open(__file__))
    assert not 'its own'
"""
    result = project(tests, ini="atonce_nothing_left = true", leaky=True)
    result.assert_outcomes(passed=2, failed=1, errors=1)
    result.stdout.fnmatch_lines(["ERROR test_it.py::test_leaks *"])


VIRTUAL = """
@pytest.mark.atonce_virtual
async def test_an_hour():
    began = time.monotonic()
    await asyncio.sleep(3600)
    assert time.monotonic() - began < 60
    assert asyncio.get_running_loop().time() == 3600

class TestClass:
    @pytest.mark.atonce_virtual
    async def test_with_fixtures_and_parameters(self, tmp_path):
        await asyncio.sleep(3600)
        assert tmp_path.exists()

@pytest.mark.atonce_virtual
@pytest.mark.parametrize("hours", [1, 2])
async def test_parameters(hours):
    await asyncio.sleep(3600 * hours)

@pytest.mark.atonce_virtual
async def test_leaves_a_task(nothing_left):
    kept.append(asyncio.create_task(asyncio.sleep(3600), name="left"))

@pytest.mark.atonce_virtual
async def test_never_ends():
    await asyncio.Event().wait()
"""


def test_async_tests_run_in_virtual_time(project: Run) -> None:
    result = project(VIRTUAL)
    result.assert_outcomes(passed=4, failed=2)
    result.stdout.fnmatch_lines(["1 left behind:", "- asyncio task 'left' still runs in sleep"])
    result.stdout.fnmatch_lines(["*SleepsForever*"])


ORDER = """
@pytest.mark.atonce_virtual({how})
async def test_order():
    seen = []
    async def take(n):
        await asyncio.sleep(0)
        seen.append(n)
    await atonce.parallel_map(range(10), take)
    print("ORDER", seen)
    {end}
"""


def orders(result: pytest.RunResult) -> list[str]:
    """The orders that the tests of a run printed."""
    return [line for line in result.outlines if line.startswith("ORDER")]


def test_the_same_seed_gives_the_same_order_and_a_failure_says_the_seed(project: Run) -> None:
    [plain] = orders(project(ORDER.format(how="", end=""), "-s", "-q"))
    first, second = (project(ORDER.format(how="seed=3", end="assert not seen")) for _ in range(2))
    assert orders(first) == orders(second) != [plain]
    first.assert_outcomes(failed=1)
    first.stdout.fnmatch_lines(
        ["virtual time with seed 3; the same order again: pytest --atonce-seed=3 'test_it.py::test_order'"]
    )
    other = project(ORDER.format(how="seed=5", end=""), "-s", "-q", "--atonce-seed=3")
    assert [line.lstrip(".") for line in orders(other)] == orders(first)


def test_seeds_make_one_test_each(project: Run) -> None:
    result = project(ORDER.format(how="seeds=4", end="assert seen[0] == 0 or seen[0] % 2"), "-v", "-rA")
    assert [f"seed={number}" in result.stdout.str() for number in (0, 3, 4)] == [True, True, False]
    assert len({*orders(result)}) > 1, "other seeds, other orders"
    once = project(ORDER.format(how="seeds=4", end="assert not seen"), "--atonce-seed=2")
    once.assert_outcomes(failed=1)
    again = project(ORDER.format(how="seeds=4", end="assert not seen"), "test_it.py::test_order[seed=2]")
    assert orders(again) == orders(once)
    again.stdout.fnmatch_lines(["*same order again: pytest 'test_it.py::test_order[[]seed=2[]]'"])


def test_under_hypothesis_each_example_has_its_own_loop(project: Run) -> None:
    text = """
from hypothesis import given, settings, strategies

@pytest.mark.atonce_virtual
@settings(max_examples=5, database=None)
@given(strategies.integers(1, 100))
async def test_hours(hours):
    assert asyncio.get_running_loop().time() == 0
    await asyncio.sleep(3600 * hours)
"""
    project(text).assert_outcomes(passed=1)


#: What pytest-asyncio does to every `async def` test in its auto mode.
AUTO = """
import asyncio, functools, inspect
import pytest

class Coroutine(pytest.Function):
    def runtest(self):
        test = self.obj
        self.obj = functools.wraps(test)(lambda **arguments: asyncio.run(test(**arguments)))
        super().runtest()

Coroutine.__module__ = "pytest_asyncio.plugin"

@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(collector, name, obj):
    items = yield
    return [Coroutine.from_parent(collector, name=one.name, callobj=one.obj, callspec=getattr(one, "callspec", None))
            if inspect.iscoroutinefunction(getattr(one, "obj", None)) else one for one in items or ()]
"""


@pytest.mark.parametrize("other", ["pytest-asyncio", "anyio"])
def test_a_marked_test_is_ours_where_another_plugin_takes_all_async_tests(
    project: Run, pytester: pytest.Pytester, other: str
) -> None:
    if other == "pytest-asyncio":
        pytester.makeconftest(AUTO)
    text = """
@pytest.mark.atonce_virtual
async def test_ours(tmp_path):
    await asyncio.sleep(3600)
    assert asyncio.get_running_loop().time() == 3600

async def test_theirs():
    await asyncio.sleep(0)
    assert not hasattr(asyncio.get_running_loop(), "atonce_virtual_time")
"""
    project(text, ini="anyio_mode = auto" if other == "anyio" else "").assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("marker", "kind", "says"),
    [
        ("atonce_virtual", "def", "is for `async def` tests; use run_virtual(main)"),
        ("atonce_virtual(3)", "async def", "atonce_virtual(seed=3)"),
        ("atonce_virtual(sed=3)", "async def", "atonce_virtual(seed=3)"),
    ],
)
def test_a_marker_that_is_wrong_says_what_is_right(project: Run, marker: str, kind: str, says: str) -> None:
    result = project(f"@pytest.mark.{marker}\n{kind} test_it():\n    pass\n")
    assert result.ret
    assert says in result.stdout.str() + result.stderr.str()


def test_the_marker_and_the_options_are_documented(project: Run) -> None:
    shown = project("", "--help").stdout.str() + project("", "--markers").stdout.str()
    assert all(
        name in shown for name in ("--atonce-seed", "atonce_nothing_left", "@pytest.mark.atonce_virtual(seed")
    )


def test_atonce_itself_knows_nothing_of_pytest() -> None:
    code = "import sys, atonce.blocking, atonce.testing; assert 'pytest' not in sys.modules"
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(Path("src").resolve())}
    )
