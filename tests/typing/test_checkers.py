"""mypy and basedpyright agree with what this folder says about the faces, and refuse wrong calls."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
HERE = Path(__file__).parent
FACES = ("async_face.py", "blocking_face.py")

#: What a type checker must refuse; each line is a statement of its own.
WRONG_ASYNC = """
await atonce.spawn(later)
await atonce.spawn(later, "text")
await atonce.spawn(two, 1)
await atonce.spawn(later(1))
await atonce.spawn(later, 1, on="threads")
await atonce.spawn(later, 1, timeout="5")
await atonce.await_one(3)
await atonce.await_many(task)
await atonce.poll_many([task], on_timeout="kill")
await atonce.shutdown(task, grace=None)
atonce.ignore(3)
atonce.stream(["text"], later)
atonce.stream([1], later, max_concurency=3)
atonce.stream([1], later, timeout="5")
atonce.stream(1, later)
await atonce.parallel_map([1], later, rate=5)
await atonce.race([later])
await atonce.race([number], until="first")
await atonce.retry_with_backoff(later)
await atonce.retry_with_backoff(later, 1, jitter="some")
await atonce.retry_with_backoff(later, 1, retry_on=ValueError("instance"))
await atonce.aggregate([number])
await atonce.with_fallback(number)
await atonce.async_pipeline(1, later)
await atonce.process_batch([1], sum, each="yes")
await atonce.fetch("http://a/", timeout="5")
await atonce.parallel_fetch(["http://a/"], per_hosts=2)
atonce.Retry(attempts="3")
atonce.Rate("3")
atonce.scope().__enter__()
iter(atonce.stream([1], later))
await atonce.stream([1], later)
await atonce.Supervisor().spawn(later)
await atonce.Supervisor().spawn_nolink(later, "text")
atonce.Supervisor().start_child(later)
atonce.Supervisor().start_child(later, 1, restart="always")
atonce.Supervisor().start_child(3)
atonce.Supervisor().stream(["text"], later)
await atonce.Supervisor().terminate_child("name")
atonce.Supervisor(strategy="all_for_one")
atonce.Supervisor(children=[later])
atonce.Child(later)
atonce.Supervisor().__enter__()
""".strip().splitlines()

WRONG_BLOCKING = """
print(blocking.spawn(now))
print(blocking.spawn(now, "text"))
blocking.await_one(3)
blocking.await_many([task], timeout="5")
blocking.poll_many([task], on_timeout="kill")
blocking.stream(["text"], now)
blocking.stream([1], now, max_concurency=3)
blocking.parallel_map([1], now, rate=5)
blocking.race([later])
blocking.retry_with_backoff(now)
blocking.capture(blocking.await_one)
blocking.process_batch([1], sum, each="yes")
blocking.fetch_stream(["http://a/"], per_hosts=2)
blocking.scope().__aenter__()
aiter(blocking.stream([1], later))
print(blocking.Supervisor().spawn(now))
blocking.Supervisor().start_child(later, 1, restart="always")
blocking.Supervisor().terminate_child("name")
blocking.Supervisor().__aenter__()
""".strip().splitlines()

PROGRAM = """
from __future__ import annotations
import atonce
from atonce import blocking
from tests.typing.async_face import later, now, number, two
async def async_face(task: atonce.Task[str]) -> None:
{async_lines}
def blocking_face(task: blocking.Task[str]) -> None:
{blocking_lines}
""".lstrip()

CHECKERS = {
    "mypy": ["mypy", "--strict", "--hide-error-context", "--no-pretty"],
    "basedpyright": ["basedpyright", "--level", "error"],
}


def check(checker: str, *paths: Path) -> str:
    """Run a checker with the project's own settings; gives what it says."""
    if importlib.util.find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed")
    name, *flags = CHECKERS[checker]
    done = subprocess.run(
        [sys.executable, "-m", name, *flags, *map(str, paths)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.timeout(300)
@pytest.mark.parametrize("checker", CHECKERS)
def test_the_checker_infers_what_the_faces_promise(checker: str) -> None:
    said = check(checker, *(HERE / name for name in FACES))
    assert "error:" not in said, said
    assert re.search(r"no issues found|0 errors", said), said


@pytest.mark.timeout(300)
@pytest.mark.parametrize("checker", CHECKERS)
def test_the_checker_refuses_every_wrong_call(checker: str, tmp_path: Path) -> None:
    program = PROGRAM.format(
        async_lines="\n".join(f"    {line}" for line in WRONG_ASYNC),
        blocking_lines="\n".join(f"    {line}" for line in WRONG_BLOCKING),
    )
    path = tmp_path / "wrong_calls.py"
    path.write_text(program, encoding="utf-8")
    said = check(checker, path)
    refused = {int(number) for number in re.findall(r"wrong_calls\.py:(\d+)(?::\d+)?(?: -|:) error", said)}
    taken = [
        line.strip()
        for number, line in enumerate(program.splitlines(), start=1)
        if line.startswith("    ") and number not in refused
    ]
    assert taken == []


@pytest.mark.parametrize("name", FACES)
def test_every_verb_of_a_face_has_its_type_asserted(name: str) -> None:
    import atonce

    tree = ast.parse((HERE / name).read_text(encoding="utf-8"))
    face = name.partition("_")[0].replace("async", "atonce")
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == face
    }
    verbs = {one for one in atonce.__all__ if one.islower() and one != "telemetry"}
    if face == "blocking":
        verbs -= {"source"}  # the same object on both faces
    assert verbs - used == set()


@pytest.mark.timeout(300)
def test_the_public_types_are_complete() -> None:
    if importlib.util.find_spec("basedpyright") is None:
        pytest.skip("basedpyright is not installed")
    program = [sys.executable, "-m", "basedpyright", "--verifytypes", "atonce", "--ignoreexternal"]
    done = subprocess.run(
        program,
        cwd=ROOT,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    if "No py.typed file found" in done.stdout:
        pytest.skip("atonce is not installed in this Python")
    assert "Type completeness score: 100%" in done.stdout, done.stdout[-3000:]
