"""What importing atonce costs over importing asyncio, in fresh interpreters."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from harness import Contender, Target, announce, finish, measure, options

#: The module and the packages that it needs, timed after asyncio is there.
PROGRAM = """
import time, asyncio
began = time.perf_counter()
import {module}
print((time.perf_counter() - began) * 1e3)
"""
ASYNCIO = """
import time
began = time.perf_counter()
import asyncio
print((time.perf_counter() - began) * 1e3)
"""


def fresh(program: str) -> Callable[[int], float]:
    """A contender's `run`: milliseconds, from a fresh interpreter."""

    def run(items: int) -> float:
        found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
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
    modules = ["atonce", "atonce.blocking", "anyio", "streamable", "aiometer", "aiostream", "concurrent.futures.thread"]
    contenders = [Contender(module, fresh(PROGRAM.format(module=module)), "over asyncio") for module in modules]
    contenders.append(Contender("asyncio itself", fresh(ASYNCIO)))
    section = measure(
        "Import, after asyncio",
        contenders,
        given,
        items=1,
        unit="ms",
        limit=30.0,
    )
    finish("import_time", [section], given)


if __name__ == "__main__":
    main()
