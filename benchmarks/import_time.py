"""What importing atonce costs over importing asyncio, in fresh interpreters."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable

from harness import Contender, announce, finish, measure, options

#: What is imported, with all that it needs, timed after asyncio is there.
PROGRAM = """
import time, asyncio
began = time.perf_counter()
{statement}
print((time.perf_counter() - began) * 1e3)
"""
ASYNCIO = """
import time
began = time.perf_counter()
import asyncio
print((time.perf_counter() - began) * 1e3)
"""


def environment(folder: str) -> dict[str, str]:
    """This environment, with compiled modules as an installed program has them, in a folder that goes away."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": folder}


def fresh(program: str, folder: str) -> Callable[[int], float]:
    """A contender's `run`: milliseconds, from a fresh interpreter."""

    def run(items: int) -> float:
        return sum(once() for _ in range(items))

    def once() -> float:
        command = [sys.executable, "-c", program]
        found = subprocess.run(command, capture_output=True, text=True, check=False, env=environment(folder))
        if "ModuleNotFoundError" in found.stderr:
            raise ImportError(found.stderr.strip().splitlines()[-1])
        if found.returncode:
            raise RuntimeError(found.stderr)
        return float(found.stdout)

    return run


def main() -> None:
    """Run all comparisons of this topic."""
    given = options(__doc__)
    announce("import_time")
    statements = {
        "atonce": "from atonce import spawn, stream",
        "atonce, nothing of it yet": "import atonce",
        **{
            name: f"import {name}"
            for name in ("atonce.blocking", "anyio", "streamable", "aiometer", "aiostream")
        },
    }
    with tempfile.TemporaryDirectory() as folder:
        contenders = [
            Contender(name, fresh(PROGRAM.format(statement=statement), folder), "over asyncio")
            for name, statement in statements.items()
        ]
        contenders.append(Contender("asyncio itself", fresh(ASYNCIO, folder)))
        items = 1 if given.quick else 3
        title = "Import after asyncio, compiled modules present"
        section = measure(title, contenders, given, items=items, unit="ms", ceiling=30.0, warmup=1)
    finish("import_time", [section], given)


if __name__ == "__main__":
    main()
