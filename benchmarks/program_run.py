"""500 times `true` by `atonce run`, GNU parallel and xargs in turn: whoever else is on the machine is on all of them.

    python benchmarks/program_run.py [COUNT] [ROUNDS]

Prints the median wall time of each, and the medians of the ratios of each round. Compiled files are kept, as they are
in an installation.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

JOBS = "2"
ATONCE = [sys.executable, "-m", "atonce", "run", "-q", "-j", JOBS, "true"]
PEERS = {
    "atonce run": ATONCE,
    "xargs": ["xargs", "-P", JOBS, "-n1", "true"],
    "GNU parallel": ["parallel", "-j", JOBS, "true"],
}


def wall(command: list[str], lines: Path, env: dict[str, str]) -> float:
    """Seconds that a command takes for all lines."""
    with lines.open("rb") as file:
        began = time.perf_counter()
        subprocess.run(command, stdin=file, env=env, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    there = {name: command for name, command in PEERS.items() if shutil.which(command[0])}
    with tempfile.TemporaryDirectory() as folder:
        env["PYTHONPYCACHEPREFIX"] = str(Path(folder) / "compiled")
        lines = Path(folder) / "lines"
        lines.write_text("".join(f"{n}\n" for n in range(count)))
        one = Path(folder) / "one"
        one.write_text("1\n")
        wall(ATONCE, one, env)
        starts = [wall(ATONCE, one, env) for _ in range(rounds)]
        times = [{name: wall(command, lines, env) for name, command in there.items()} for _ in range(rounds)]
    print(f"{count} x true, -j{JOBS}, {rounds} rounds; atonce's own start with one item: {_ms(starts)}")
    for name in there:
        ratio = statistics.median(one["atonce run"] / one[name] for one in times)
        print(f"{name:<14}{_ms([one[name] for one in times])}   atonce run takes {ratio:.2f} of it")


def _ms(times: list[float]) -> str:
    return f"{statistics.median(times) * 1000:,.0f} ms"


if __name__ == "__main__":
    main()
