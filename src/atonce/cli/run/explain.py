"""The Python program with the library that does what `atonce run` does (`--explain`)."""

from __future__ import annotations

from collections.abc import Sequence

from atonce.cli import explaining
from atonce.cli.exits import Refusal
from atonce.cli.rows.source import Source
from atonce.cli.run.template import Part, Place, Template
from atonce.cli.shared import Shared

_OPS = {
    "": "{}",
    ".": "os.path.splitext({})[0]",
    "/": "os.path.basename({})",
    "//": 'os.path.dirname({}) or "."',
    "/.": "os.path.splitext(os.path.basename({}))[0]",
}


def program(command: Template, shared: Shared, source: Source, jobs: int, *, several: bool) -> str:
    """Its text, to save and run: it reads the same input, and prints what the commands write.

    `several` says that a row has several arguments.
    """
    rows, needed = explaining.rows(shared, source)
    is_numbered = any(
        isinstance(part, Place) and part.base == "#" for parts in command.words for part in parts
    )
    argv = _argv(command, several=several)
    limit = "" if shared.fixed_timeout is None else f", timeout={shared.fixed_timeout:g}"
    call = ["def call(pair):", "    number, row = pair"] if is_numbered else ["def call(row):"]
    call += [
        f"    done = subprocess.run({argv}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True{limit})",
        "    done.check_returncode()",
        "    return done.stdout",
    ]
    items = "enumerate(rows(), 1)" if is_numbered else "rows()"
    arguments = [items, "call", *explaining.options(shared, jobs, timeout=False), 'on="thread"']
    imports = {"subprocess", *needed} | {name for name in ("os", "shlex") if f"{name}." in argv}
    shown = ['print(outcome.value, end="")']
    return explaining.program(
        "stream", imports, [rows, call], arguments, shown, has_rate=shared.pace() is not None
    )


def _argv(command: Template, *, several: bool) -> str:
    """The words of a call as a Python expression."""
    if command.shell is not None:
        return f"[{command.shell!r}, '-c', {_text(command.words[0], several=several, quotes=True)}]"
    words = [
        "*row" if several and word == (Place(""),) else _text(word, several=several, quotes=False)
        for word in command.words
    ]
    return f"[{', '.join(words)}]"


def _text(parts: Sequence[Part], *, several: bool, quotes: bool) -> str:
    found = [
        repr(part) if isinstance(part, str) else _value(part, several=several, quotes=quotes)
        for part in parts
    ]
    return " + ".join(found) or "''"


def _value(place: Place, *, several: bool, quotes: bool) -> str:
    """What goes to a place as a Python expression."""
    if several and place.base == "":
        each = _OPS[place.op].format("one")
        return f'" ".join({f"shlex.quote({each})" if quotes and not place.raw else each} for one in row)'
    if place.base == "%":
        raise Refusal("--explain: {%} is the program's own, and the library has no such number")
    if place.base == "#":
        return "str(number)"
    base = place.base
    row = "row" if not base else f"row[{base!r}]"
    if base.lstrip("-").isdigit():
        at = int(base)
        row = f"row[{at - 1 if at > 0 else at}]"
    value = _OPS[place.op].format(row)
    if quotes and not place.raw:
        return f"shlex.quote({value})"
    return f"({value})" if " " in value else value
