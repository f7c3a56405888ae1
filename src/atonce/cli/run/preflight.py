"""Whether a command can be started at all, found out before the first item."""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import Final

from atonce.cli.exits import Refusal

NOT_FOUND: Final = 127
NOT_EXECUTABLE: Final = 126


def on_path(name: str, mode: int = os.X_OK) -> str | None:
    """Where the shell would find a program (`mode`: os.F_OK for a file that cannot be run); None: nowhere."""
    folders = [""] if "/" in name else os.environ.get("PATH", os.defpath).split(os.pathsep)
    for folder in folders:
        found = os.path.join(folder, name)
        if os.path.isfile(found) and os.access(found, mode):
            return found
    return None


def path_of(program: str, items: int | None) -> str:
    """Where a program is; a `Refusal` with a shell's code when it is not there or cannot be run."""
    count = "" if items is None else f" ({items:,} {'item' if items == 1 else 'items'} not started)"
    found = on_path(program)
    if found is not None:
        return found
    if os.path.isdir(program):
        raise Refusal(f'"{program}" is a folder{count}', NOT_EXECUTABLE)
    there = on_path(program, os.F_OK)
    if there is not None:
        raise Refusal(f'"{there}" cannot be executed{count}: chmod +x {there}', NOT_EXECUTABLE)
    if "/" in program:
        raise Refusal(f'"{program}" is not there{count}', NOT_FOUND)
    near = get_close_matches(program, _programs(), n=1, cutoff=0.7)
    hint = f'. Did you mean "{near[0]}"?' if near else ""
    raise Refusal(f'"{program}" is not on PATH{count}{hint}', NOT_FOUND)


def _programs() -> list[str]:
    found: set[str] = set()
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        try:
            found.update(os.listdir(folder or "."))
        except OSError:
            continue
    return sorted(found)
