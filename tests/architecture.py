"""The laws of the house as functions from source text to a list of what breaks them.

`python tests/architecture.py` prints the same-floor edges that the code has now, for ARCHITECTURE.md.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = "atonce"

FLOORS = (
    ("_model",),
    ("_policy",),
    ("_runtime",),
    ("_backends",),
    ("_verbs",),
    ("http", "cli", "report", "testing", "blocking", "__init__", "__main__"),
)
IMPURE = frozenset({"asyncio", "threading", "time", "random", "contextvars"})
VAGUE = frozenset({"utils", "util", "helpers", "helper", "common", "base", "manager", "core", "misc"})
BACKENDS_FOR_VERBS = frozenset({"_backends/contract", "_backends/choose"})

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 45
MAX_NESTING = 3
MAX_PUBLIC_NAMES = 60

EDGE = re.compile(r"^(\S+) -> (\S+)$")
WAIVER = re.compile(
    r"(?:type|pyright|basedpyright):\s*ignore(?:\[[^\]]*\])?"
    r"|(?:ruff:\s*)?noqa(?::\s*[A-Z]+[0-9]+(?:[,\s]+[A-Z]+[0-9]+)*)?"
    r"|pragma:\s*no\s+(?:cover|branch)"
    r"|mypy:\s*[\w-]+|(?:based)?pyright:\s*\w+|fmt:\s*(?:off|skip)"
)
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")


@dataclass(frozen=True)
class Import:
    """One module that a file names, and the line on which it does."""

    name: str
    line: int


@dataclass(frozen=True)
class Module:
    """A source file: its path as messages show it, its room (`_verbs/race`; `http` for http/__init__.py), its text."""

    path: str
    room: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed text."""
        return ast.parse(self.text, self.path)

    @cached_property
    def package(self) -> list[str]:
        """The dotted package that a relative import starts from, in parts."""
        parts = [PACKAGE, *self.room.split("/")]
        return (
            parts[:1]
            if self.room == "__init__"
            else parts
            if self.path.endswith("__init__.py")
            else parts[:-1]
        )

    @cached_property
    def imports(self) -> list[Import]:
        """All that it imports, in functions and for typing only included."""
        return [one for node in ast.walk(self.tree) for one in _imports_of(node, self.package)]

    def at(self, line: int, message: str) -> str:
        """A finding as editors understand it."""
        return f"{self.path}:{line}: {message}"


def _imports_of(node: ast.AST, package: list[str]) -> Iterator[Import]:
    match node:
        case ast.Import(names=names):
            yield from (Import(alias.name, node.lineno) for alias in names)
        case ast.ImportFrom(module=module, names=names, level=level):
            origin = package[: len(package) - level + 1] if level else []
            dotted = ".".join([*origin, *([module] if module else [])])
            yield from (Import(f"{dotted}.{alias.name}", node.lineno) for alias in names)
        case ast.Call(
            func=ast.Name(id=name) | ast.Attribute(attr=name), args=[ast.Constant(value=str(text)), *_]
        ):
            if name in {"import_module", "__import__"}:
                yield Import(text, node.lineno)


def load(root: Path = ROOT / "src" / PACKAGE) -> dict[str, Module]:
    """Read all modules below `root`, by room."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        room = path.relative_to(root).with_suffix("").as_posix().removesuffix("/__init__")
        shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
        found[room] = Module(shown.as_posix(), room, path.read_text(encoding="utf-8"))
    return found


def floor_of(room: str) -> int | None:
    """The number of the floor, counted from below; None for a room that the house does not know."""
    first = room.split("/", maxsplit=1)[0]
    return next((number for number, rooms in enumerate(FLOORS) if first in rooms), None)


def room_of(name: str, rooms: dict[str, Module]) -> str | None:
    """The room that a dotted name leads to, `__init__` for the package's face; None for what is not ours."""
    parts = name.split(".")
    if parts[0] != PACKAGE:
        return None
    inside = parts[1:]
    while inside and "/".join(inside) not in rooms:
        inside.pop()
    return "/".join(inside) or "__init__"


def edges(rooms: dict[str, Module]) -> Iterator[tuple[Module, str, int]]:
    """Every import from one room to another: who, whom, on which line."""
    for module in rooms.values():
        for one in module.imports:
            target = room_of(one.name, rooms)
            if target is not None and target != module.room:
                yield module, target, one.line


def same_floor_edges(rooms: dict[str, Module]) -> set[tuple[str, str]]:
    """The imports between files of one floor, which ARCHITECTURE.md has to name."""
    return {
        (module.room, target)
        for module, target, _ in edges(rooms)
        if floor_of(module.room) == floor_of(target)
    } - {(room, "__init__") for room in rooms}


def allowed_edges(markdown: str) -> set[tuple[str, str]]:
    """The same-floor edges that a fenced block of ARCHITECTURE.md allows, one `_verbs/race -> _verbs/task` a line."""
    blocks = re.findall(r"^```edges\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL)
    if len(blocks) != 1:
        raise ValueError("ARCHITECTURE.md must have one fenced block ```edges with the same-floor edges")
    lines = [line.strip() for line in blocks[0].splitlines() if line.strip()]
    if wrong := [line for line in lines if not EDGE.match(line)]:
        raise ValueError(f"ARCHITECTURE.md: an edge is written `room/file -> room/file`; got {wrong}")
    return {(match[1], match[2]) for line in lines if (match := EDGE.match(line))}


# -- law 1 and 2: who may import whom -----------------------------------------------------------------------------


def wrong_imports(rooms: dict[str, Module], allowed: set[tuple[str, str]]) -> list[str]:
    """Imports that go up, sideways without being named, or to the package's face."""
    found = []
    for module, target, line in edges(rooms):
        here, there = floor_of(module.room), floor_of(target)
        if here is None or there is None:
            continue
        if target == "__init__":
            found.append(module.at(line, f"imports {PACKAGE} itself; import the room that has the name"))
        elif there > here:
            found.append(module.at(line, f"imports {target} from a higher floor; move what both need down"))
        elif there == here and (module.room, target) not in allowed:
            edge = f"{module.room} -> {target}"
            found.append(
                module.at(line, f"a same-floor import; avoid it, or add `{edge}` to ARCHITECTURE.md")
            )
    return found


def unknown_rooms(rooms: dict[str, Module]) -> list[str]:
    """Files that stand on no floor."""
    return [
        module.at(
            1,
            f"the house has no room {room!r}; move it to a floor, or add it to FLOORS in tests/architecture.py",
        )
        for room, module in rooms.items()
        if floor_of(room) is None
    ]


def stale_edges(rooms: dict[str, Module], allowed: set[tuple[str, str]]) -> list[str]:
    """Edges that ARCHITECTURE.md names and the code no longer has."""
    return [
        f"ARCHITECTURE.md: `{source} -> {target}` is no longer in the code; remove the line"
        for source, target in sorted(allowed - same_floor_edges(rooms))
    ]


def import_cycles(rooms: dict[str, Module]) -> list[str]:
    """Circles of imports, those inside functions and for typing only included; each once."""
    graph: dict[str, dict[str, str]] = {room: {} for room in rooms}
    for module, target, line in edges(rooms):
        if target in graph:
            graph[module.room].setdefault(target, module.at(line, ""))
    found: list[str] = []
    finished: set[str] = set()

    def visit(room: str, path: list[str]) -> None:
        if room in path:
            circle = [*path[path.index(room) :], room]
            found.append(f"{graph[circle[0]][circle[1]]}a circle of imports: {' -> '.join(circle)}; break it")
        elif room not in finished:
            for target in graph[room]:
                visit(target, [*path, room])
            finished.add(room)

    for room in graph:
        visit(room, [])
    return found


def concrete_backends(rooms: dict[str, Module]) -> list[str]:
    """Verbs that know more of the backends than their contract and the place that chooses one."""
    return [
        module.at(line, f"a verb imports {target}; verbs know _backends/contract and _backends/choose only")
        for module, target, line in edges(rooms)
        if module.room.startswith("_verbs")
        and target.startswith("_backends")
        and target not in BACKENDS_FOR_VERBS
    ]


# -- law 3 and 4: purity and names --------------------------------------------------------------------------------


def impure_policies(rooms: dict[str, Module]) -> list[str]:
    """Policies that import time, dice or concurrency."""
    return [
        module.at(one.line, f"_policy is pure: make what it needs of {one.name.split('.')[0]} an argument")
        for room, module in rooms.items()
        if room.startswith("_policy")
        for one in module.imports
        if one.name.split(".")[0] in IMPURE
    ]


def vague_names(rooms: dict[str, Module]) -> list[str]:
    """Files and folders whose name says nothing."""
    return [
        module.at(1, f"{part!r} says nothing; name the file after the one public thing in it")
        for room, module in rooms.items()
        for part in room.split("/")
        if part.strip("_").lower() in VAGUE
    ]


# -- law 5: budgets -----------------------------------------------------------------------------------------------


def long_files(rooms: dict[str, Module]) -> list[str]:
    """Files over the budget."""
    sizes = [(module, len(module.text.splitlines())) for module in rooms.values()]
    return [
        module.at(size, f"{size} lines, at most {MAX_FILE_LINES}; give one of its parts a room")
        for module, size in sizes
        if size > MAX_FILE_LINES
    ]


Function = ast.FunctionDef | ast.AsyncFunctionDef


def _functions(module: Module) -> Iterator[Function]:
    return (node for node in ast.walk(module.tree) if isinstance(node, Function))


def _length(function: Function) -> int:
    """Lines from `def` to the end, less those of the docstring."""
    whole = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function, clean=False) is None:
        return whole
    docstring = function.body[0]
    return whole - ((docstring.end_lineno or docstring.lineno) - docstring.lineno + 1)


def long_functions(rooms: dict[str, Module]) -> list[str]:
    """Functions over the budget, not counting docstrings."""
    return [
        module.at(
            function.lineno, f"{function.name} has {size} lines, at most {MAX_FUNCTION_LINES}; split it"
        )
        for module in rooms.values()
        for function in _functions(module)
        if (size := _length(function)) > MAX_FUNCTION_LINES
    ]


Block = (
    ast.If | ast.For | ast.AsyncFor | ast.While | ast.With | ast.AsyncWith | ast.Try | ast.TryStar | ast.Match
)


def _deepest(node: ast.AST, depth: int = 0) -> tuple[int, int]:
    """The greatest depth of blocks below a node, and a line that has it; an `elif` is as deep as its `if`."""
    deepest = (depth, getattr(node, "lineno", 1))
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function | ast.ClassDef):
            continue  # looked at by itself
        inner = depth + (isinstance(child, Block) and not _is_elif(node, child))
        deepest = max(deepest, _deepest(child, inner), key=lambda pair: pair[0])
    return deepest


def _is_elif(parent: ast.AST, child: ast.AST) -> bool:
    return (
        isinstance(parent, ast.If)
        and isinstance(child, ast.If)
        and parent.orelse == [child]
        and parent.col_offset == child.col_offset
    )


def deep_functions(rooms: dict[str, Module]) -> list[str]:
    """Functions whose blocks stand too deep in each other."""
    return [
        module.at(
            line, f"{function.name} is nested {depth} deep, at most {MAX_NESTING}; return early, or split it"
        )
        for module in rooms.values()
        for function in _functions(module)
        for depth, line in [_deepest(function)]
        if depth > MAX_NESTING
    ]


def _comments(module: Module) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def waivers_without_reason(rooms: dict[str, Module]) -> list[str]:
    """Comments that silence a tool and do not say why."""
    return [
        module.at(line, f"say why on the same line, as in `{comment.strip()}  # why`")
        for module in rooms.values()
        for line, comment in _comments(module)
        if WAIVER.search(comment) and not re.search(r"\w{2,}", WAIVER.sub("", comment))
    ]


def unfinished_work(rooms: dict[str, Module]) -> list[str]:
    """Comments that put work off."""
    return [
        module.at(line, "finish it, or file an issue; the code has no such notes")
        for module in rooms.values()
        for line, comment in _comments(module)
        if UNFINISHED.search(comment)
    ]


def public_names(face: Module) -> list[str]:
    """What the package's face shows: its `__all__`, else what it imports in the form `x as x`."""
    shown: list[str] = []
    for node in face.tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=ast.List() | ast.Tuple() as value):
                return [str(name) for name in ast.literal_eval(value)]
            case ast.ImportFrom(names=names):
                shown += [
                    alias.asname for alias in names if alias.asname and not alias.asname.startswith("_")
                ]
    return shown


def too_many_names(face: Module) -> list[str]:
    """Whether the face shows more names than one can learn."""
    count = len(public_names(face))
    if count == 0:
        return [face.at(1, "shows no name; write `__all__ = [...]` of plain strings")]
    if count > MAX_PUBLIC_NAMES:
        return [face.at(1, f"has {count} public names, at most {MAX_PUBLIC_NAMES}")]
    return []


if __name__ == "__main__":
    print("```edges")
    for source, target in sorted(same_floor_edges(load())):
        print(f"{source} -> {target}")
    print("```")
