"""The program from the shell, against what people write there: a multiprocessing script, GNU parallel, xargs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from harness import Absent, Contender, Options, Section, Target, announce, finish, measure, options

LINES = 1_000_000
#: One process an item is slow: a few are enough for a rate.
FEW = 300
#: What somebody writes who knows the standard library: chunks, two workers, results as they come.
SCRIPT = """
import multiprocessing, sys
sys.path.insert(0, {folder!r})
from small import small
if __name__ == "__main__":
    with open(sys.argv[1]) as lines, multiprocessing.Pool(2) as pool:
        for result in pool.imap(small, (line.rstrip("\\n") for line in lines), chunksize=1_000):
            sys.stdout.write(result + "\\n")
"""
SMALL = """
def small(x):
    return str(len(x.split()))
"""


class Shell:
    """A folder with the input and the scripts, and a way to time command lines in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "small.py").write_text(SMALL)
        (folder / "script.py").write_text(SCRIPT.format(folder=str(folder)))
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self._environment = {**kept, "PYTHONPYCACHEPREFIX": str(folder / "compiled"), "HOME": str(folder)}

    def lines(self, count: int) -> str:
        """A file of so many lines."""
        path = self.folder / f"{count}.txt"
        if not path.exists():
            path.write_text("".join(f"line number {number}\n" for number in range(count)))
        return str(path)

    def seconds(self, line: list[str], items: int) -> float:
        """Run a command line to its end; it has to give a line for each item."""
        if shutil.which(line[0]) is None:
            raise Absent(f"there is no {line[0]}")
        out = self.folder / "out"
        with out.open("wb") as file:
            began = perf_counter()
            done = subprocess.run(
                line, stdout=file, stderr=subprocess.PIPE, cwd=self.folder, env=self._environment, check=False
            )
            took = perf_counter() - began
        if done.returncode:
            raise RuntimeError(f"{line}: {done.stderr.decode()}")
        with out.open("rb") as file:
            found = sum(1 for _ in file)
        if found != items:
            raise RuntimeError(f"{line}: {found} lines for {items} items")
        return took

    def timed(self, line: Callable[[str], list[str]]) -> Callable[[int], float]:
        """A contender's `run`: microseconds, from the command line for an input."""
        return lambda items: self.seconds(line(self.lines(items)), items) * 1e6

    def silent(self, line: list[str]) -> Callable[[int], float]:
        """A contender's `run`: milliseconds of a command line whose output does not count, less a bare Python's."""

        def run(items: int) -> float:
            return sum(self._over(line) for _ in range(items))

        return run

    def _over(self, line: list[str]) -> float:
        return (self._wall(line) - self._wall([sys.executable, "-c", "pass"])) * 1e3

    def _wall(self, line: list[str]) -> float:
        began = perf_counter()
        subprocess.run(line, capture_output=True, cwd=self.folder, env=self._environment, check=True)
        return perf_counter() - began


def program(*words: str) -> list[str]:
    """The program's command line."""
    return [sys.executable, "-m", "atonce", *words]


def mapping(shell: Shell) -> list[Contender]:
    """A small function over many lines."""
    python = sys.executable
    return [
        Contender("atonce", shell.timed(lambda path: program("map", "small:small", path, "-q", "-j", "2"))),
        Contender(
            "atonce -k", shell.timed(lambda path: program("map", "small:small", path, "-q", "-j2", "-k"))
        ),
        Contender(
            "atonce -o journal",
            shell.timed(
                lambda path: [
                    *["bash", "-c", 'rm -f j.jsonl; "$@" && sed 1d j.jsonl | head -n -1', "bash"],
                    *program("map", "small:small", path, "-q", "-j2", "-o", "j.jsonl"),
                ]
            ),
            "a record with key and time for each",
        ),
        Contender(
            "multiprocessing script", shell.timed(lambda path: [python, "script.py", path]), "imap, chunks"
        ),
        Contender(
            "GNU parallel",
            shell.timed(lambda path: ["parallel", "--will-cite", "-j2", "-a", path, "echo"]),
            "one process an item",
            FEW,
        ),
        Contender(
            "xargs",
            shell.timed(lambda path: ["xargs", "-P2", "-n1", "-d", "\\n", "-a", path, "echo"]),
            "one process an item",
            FEW,
        ),
    ]


def sections(shell: Shell, given: Options) -> list[Section]:
    """All comparisons of this topic."""
    title = "map of a small function over lines, two workers, from start to end"
    targets = [Target("multiprocessing script", 1.5), Target("GNU parallel", 0.2)]
    lines = measure(title, mapping(shell), given, items=given.count(LINES), targets=targets, warmup=FEW)
    start = [
        Contender("atonce --help", shell.silent(program("--help"))),
        Contender("atonce map --help", shell.silent(program("map", "--help"))),
        Contender("atonce map, one item", shell.silent(program("map", "-q", "-e", "x", ":::", "a"))),
        Contender("import asyncio", shell.silent([sys.executable, "-c", "import asyncio"])),
    ]
    title = "Start of the program over `python -c pass`, compiled modules present"
    starts = measure(
        title, start, given, items=5, unit="ms", subject="atonce --help", ceiling=150.0, warmup=1
    )
    return [lines, starts]


def main() -> None:
    """Run all comparisons of this topic."""
    given = options(__doc__)
    announce("program")
    with tempfile.TemporaryDirectory() as folder:
        found = sections(Shell(Path(folder)), given)
    finish("program", found, given)


if __name__ == "__main__":
    main()
