"""Where in a shell's command line a place is: outside of quotes, or within some; pure."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

#: Shells that read single quotes as POSIX says; others get /bin/sh.
POSIX_SHELLS: Final = ("sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "busybox", "yash")


def shell_of(environ: Mapping[str, str]) -> str:
    """The user's shell, where what is quoted for it stays what it was; else /bin/sh.

    >>> shell_of({"SHELL": "/bin/bash"}), shell_of({"SHELL": "/usr/bin/fish"}), shell_of({})
    ('/bin/bash', '/bin/sh', '/bin/sh')
    """
    shell = environ.get("SHELL", "")
    return shell if os.path.basename(shell) in POSIX_SHELLS else "/bin/sh"


def quoted_places(line: str) -> list[bool]:
    r"""For each character, whether it stands within quotes, or where quoting is not sure (backquotes).

    >>> [n for n, is_quoted in enumerate(quoted_places("a 'b' \"c\" \\'d")) if is_quoted]
    [3, 4, 7, 8]
    """
    open_things: list[str] = []
    found = []
    at = 0
    while at < len(line):
        top = open_things[-1] if open_things else ""
        found.append(top != "" and top in "'\"`")
        width = _step(line, at, top, open_things)
        found.extend([found[-1]] * (width - 1))
        at += width
    return found[: len(line)]


def _step(line: str, at: int, top: str, open_things: list[str]) -> int:
    """Take what begins at a place; how many characters that are."""
    one = line[at]
    if top == "'":
        if one == "'":
            open_things.pop()
        return 1
    if one == "\\":
        return 2
    if line.startswith("$(", at):
        open_things.append("(")
        return 2
    if one == top and top in ('"', "`"):
        open_things.pop()
    elif one in '"`' or (one == "'" and top != '"'):
        open_things.append(one)
    elif top != '"':
        _bracket(one, top, open_things)
    return 1


def _bracket(one: str, top: str, open_things: list[str]) -> None:
    if one == "(":
        open_things.append(one)
    elif one == ")" and top == "(":
        open_things.pop()
