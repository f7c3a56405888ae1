"""Which exporters the options ask for; they are opened before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from atonce._runtime.terminal import visible
from atonce.cli.exits import INPUT_OUTPUT, Refusal
from atonce.cli.export.exporter import Exporter, Scene, close
from atonce.cli.shared import Shared


def opened(shared: Shared, scene: Scene, say: Callable[[str], None]) -> list[Exporter]:
    """Those that the options ask for; when one of them cannot be had, nothing is left of the others."""
    found: list[Exporter] = []
    try:
        for exporter in _made(shared, scene, say):
            found.append(exporter)  # noqa: PERF402  # those before a refusal are closed
    except Refusal:
        close(found, "lost")
        raise
    return found


def _made(shared: Shared, scene: Scene, say: Callable[[str], None]) -> Iterator[Exporter]:
    """Each is imported when it is asked for: few runs have one."""
    if shared.verbose:
        from atonce.cli.export.aloud import Aloud

        yield Aloud(scene, say, shared.retries + 1)
    if shared.otel:
        from atonce.cli.export.spans import Spans

        yield Spans(scene)
    if shared.metrics is not None:
        from atonce.cli.export.metrics import Metrics

        yield Metrics(shared.metrics, scene)
    if shared.log is not None:
        from atonce.cli.export.log import Log

        yield Log(shared.log, scene)


def check(shared: Shared) -> None:
    """See that no two files are one."""
    named: dict[str, str] = {}
    for option in ("output", "report", "trace", "log", "metrics"):
        path = getattr(shared, option)
        if path == "-" and option != "output":
            raise Refusal(f"--{option} writes a file: give it a name")
        if option in ("log", "metrics") and path is not None and Path(path).is_dir():
            raise Refusal(f"cannot write --{option} {visible(path)}: it is a folder", INPUT_OUTPUT)
        if path is not None and path in named:
            raise Refusal(f"--{named[path]} and --{option} both name {path}: give each a file of its own")
        if path is not None:
            named[path] = option
