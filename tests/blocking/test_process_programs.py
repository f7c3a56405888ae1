"""Processes serve programs of any kind: scripts without a guard, `-c`, `-m`, standard input, terminals, test runs, notebooks."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from atonce import blocking

#: Blocks end with an empty line and have none inside, so that it can be typed in.
PROGRAM = """\
import asyncio, functools, os
from dataclasses import dataclass
from atonce import blocking as atonce
@dataclass
class Point:
    x: int
    def doubled(self):
        return Point(2 * self.x)

class Mine(Exception):
    pass

def fail(n):
    raise Mine(n)

def adding(k):
    def inner(n):
        return n + k
    return inner

async def later(n):
    await asyncio.sleep(0)
    return -n

def fails_as_mine(verb, *args):
    try:
        verb(*args, on="process")
    except Mine as error:
        return error.args
    return None

def forks(n):
    return os.getpid()

items = [1, 2, 3]
pmap = functools.partial(atonce.parallel_map, on="process")
seen = [pmap(items, lambda n: n * n) == [1, 4, 9]]
seen += [pmap(items, adding(10)) == [11, 12, 13]]
seen += [pmap([Point(1), Point(2)], Point.doubled) == [Point(2), Point(4)]]
seen += [type(pmap(items, Point)[0]) is Point]
seen += [pmap(items, later) == [-1, -2, -3]]
seen += [pmap(items, functools.partial(max, 2)) == [2, 2, 3]]
seen += [atonce.spawn(Point(4).doubled, on="process").result() == Point(8)]
seen += [fails_as_mine(atonce.parallel_map, items[:1], fail) == (1,)]
seen += [os.getpid() not in pmap(items, forks)]
seen += [sum(pmap(range(300), forks)) > 0]
print("all of", len(seen), all(seen), seen)
"""
SAYS = "all of 10 True"

Way = Callable[[Path], tuple[list[str], str | None]]


def a_script(folder: Path) -> tuple[list[str], str | None]:
    (folder / "program.py").write_text(PROGRAM)
    return ["program.py"], None


def a_package(folder: Path) -> tuple[list[str], str | None]:
    package = folder / "program"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "own.py").write_text("def tripled(n):\n    return 3 * n\n")
    own = "from program.own import tripled\n"
    (package / "__main__.py").write_text(own + PROGRAM + "assert pmap(items, tripled) == [3, 6, 9]\n")
    return ["-m", "program"], None


WAYS: dict[str, Way] = {
    "a script without a guard": a_script,
    "a package with -m": a_package,
    "code with -c": lambda _: (["-c", PROGRAM], None),
    "standard input": lambda _: (["-"], PROGRAM),
    "an interactive interpreter at a pipe": lambda _: (["-i"], PROGRAM),
}


@pytest.mark.parametrize("way", WAYS)
def test_processes_run_what_a_program_defines(way: str, tmp_path: Path) -> None:
    arguments, typed = WAYS[way](tmp_path)
    ended = subprocess.run(
        [sys.executable, *arguments],
        input=typed or "",
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=50,
        check=False,
    )
    assert ended.returncode == 0, ended
    assert ended.stdout.count("all of") == 1, ended
    assert SAYS in ended.stdout, ended
    assert "Traceback" not in ended.stderr
    assert "Error" not in ended.stderr


TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-q"])
"""


class Terminal:
    """An interactive interpreter that believes that somebody sits at it."""

    def __init__(self) -> None:
        self._master, slave = pty.openpty()
        self.running = subprocess.Popen(
            [sys.executable, "-c", TAKE_TERMINAL],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "TERM": "dumb", "PYTHON_BASIC_REPL": "1"},
        )
        os.close(slave)
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait_for(self, text: str, limit: float = 40.0) -> None:
        """Read on until the screen shows `text`, and forget what came before its end."""
        until = time.monotonic() + limit
        while text not in self.seen:
            ready, _, _ = select.select([self._master], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"the terminal never showed {text!r}: {self.seen!r}"
            with suppress(OSError):  # nobody is at the other end any more
                self.seen += os.read(self._master, 65_536).decode(errors="replace")
        self.seen = self.seen.partition(text)[2]

    def close(self) -> None:
        self.running.kill()
        self.running.wait()
        os.close(self._master)


def test_processes_run_what_is_typed_at_a_terminal_and_ctrl_c_gives_the_prompt_back() -> None:
    terminal = Terminal()
    try:
        terminal.wait_for(">>> ")
        for line in PROGRAM.splitlines():
            terminal.type(line + "\n")
        terminal.wait_for(SAYS)
        # In one write: the pieces of two workers' prints may lie between each other, when nothing buffers them.
        terminal.type(
            "import time; atonce.parallel_map([60, 60], lambda s: time.sleep(os.write(1, b'up 60\\n') and s), on='process')\n"
        )
        terminal.wait_for("up 60\r\n")
        terminal.type("\x03")
        began = time.monotonic()
        terminal.wait_for("KeyboardInterrupt")
        terminal.wait_for(">>> ")
        took = time.monotonic() - began
        terminal.type("print('and', pmap([1], lambda n: n + 41))\n")
        terminal.wait_for("and [42]")
        terminal.type("exit()\n")
        assert terminal.running.wait(20) == 0
        assert took < 2.0
    finally:
        terminal.close()


def test_processes_run_what_a_test_module_defines(tmp_path: Path) -> None:
    indented = "".join(f"    {line}\n" for line in PROGRAM.splitlines()[-13:-1])
    functions = "\n".join(PROGRAM.splitlines()[:-13])
    (tmp_path / "test_own.py").write_text(
        f"{functions}\ndef test_own():\n{indented}    assert all(seen), seen\n"
    )
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_own.py"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        cwd=tmp_path,
        timeout=50,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 passed" in ended.stdout


async def test_processes_serve_a_notebook_where_a_loop_runs_already() -> None:
    seen = [blocking.spawn(pow, 2, 5, on="process").result()]
    seen += blocking.parallel_map([1, 2], lambda n: n + seen[0], on="process")
    for outcome in blocking.stream([3], abs, on="process"):
        seen.append(outcome.unwrap())
    assert seen == [32, 33, 34, 3]
