"""`Target`: the function that `atonce map` calls: named on the command line, found, and checked before all else."""

from __future__ import annotations

import ast
import builtins
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache, partial
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any


class NoTarget(Exception):
    """There is no such function, as the message says."""


@dataclass(frozen=True, slots=True)
class Target:
    """`module:function`, `file.py:function`, or an expression of `x` (the item) and `i` (its place)."""

    name: str
    expression: bool = False

    @property
    def takes_pairs(self) -> bool:
        """Whether it is called with a row and its place."""
        return self.expression and _uses_place(self.name)

    def load(self) -> Callable[..., Any]:
        """Find the function, importing its module; an expression becomes a function of `x`, or of a pair (`x`, `i`)."""
        if self.expression:
            return _lambda(self.name)
        place, colon, path = self.name.rpartition(":")
        if not colon or not place or not path:
            raise NoTarget(
                f"a function is written module:function or file.py:function (or -e EXPR); got {self.name!r}"
            )
        return _found(_module(place), place, path)


def _found(module: ModuleType, place: str, path: str) -> Callable[..., Any]:
    found: Any = module
    for part in path.split("."):
        if not hasattr(found, part):
            raise NoTarget(_no_such(found, place, part))
        found = getattr(found, part)
    if not callable(found):
        raise NoTarget(f"{path} of {place} is no function but {type(found).__name__!r}")
    function: Callable[..., Any] = found
    return function


def _no_such(owner: Any, place: str, name: str) -> str:
    known = [one for one in vars(owner) if not one.startswith("_") and callable(getattr(owner, one, None))]
    near = get_close_matches(name, known, n=1)
    hint = f'. Did you mean "{near[0]}"?' if near else ""
    return f'{place} has no function "{name}"{hint}'


def _module(place: str) -> ModuleType:
    if place.endswith(".py") or os.sep in place:
        return _file(Path(place))
    _see(Path(), first=True)
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{place}.".startswith(f"{error.name}."):
            raise NoTarget(
                f"{place} cannot be imported: it needs {error.name}, which is not there"
            ) from error
        raise NoTarget(_no_module(place)) from None
    except Exception as error:
        raise NoTarget(f"{place} cannot be imported: {type(error).__name__}: {error}") from error


def _see(folder: Path, *, first: bool = False) -> None:
    """Let modules of a folder be imported; before all others (as `python -m` does) only where one of them is named."""
    path = str(folder.resolve())
    if path not in sys.path:
        sys.path.insert(0 if first else len(sys.path), path)


def _no_module(place: str) -> str:
    near = get_close_matches(place, [path.stem for path in Path().glob("*.py")], n=1)
    hint = f'. Did you mean "{near[0]}"?' if near else ""
    return f'there is no module "{place}"{hint}'


def _file(path: Path) -> ModuleType:
    """Import a file under the name that it would have as a script's neighbour, unless that is taken."""
    whole = path.resolve()
    if not whole.is_file():
        near = get_close_matches(path.name, [one.name for one in path.parent.glob("*.py")], n=1)
        hint = f'. Did you mean "{near[0]}"?' if near else ""
        raise NoTarget(f"there is no file {path}{hint}")
    loaded = sys.modules.get(path.stem)
    if loaded is not None and getattr(loaded, "__file__", None) == str(whole):
        return loaded
    name = path.stem if loaded is None else f"_atonce_{path.stem}"
    _see(whole.parent)
    spec = importlib.util.spec_from_file_location(name, whole)
    if spec is None or spec.loader is None:
        raise NoTarget(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise NoTarget(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def _parsed(expression: str) -> ast.expr:
    try:
        return ast.parse(expression.strip(), "<-e>", "eval").body
    except (SyntaxError, ValueError) as error:
        what = error.msg if isinstance(error, SyntaxError) else str(error)
        raise NoTarget(f"-e {expression!r} is no expression: {what}") from None


def _names_in(body: ast.expr) -> set[str]:
    return {node.id for node in ast.walk(body) if isinstance(node, ast.Name)}


@lru_cache(maxsize=8)
def _uses_place(expression: str) -> bool:
    return "i" in _names_in(_parsed(expression))


def _lambda(expression: str) -> Callable[..., Any]:
    """A function of `x`, or of a pair where `i` is used too; the modules that the expression names are imported."""
    body = _parsed(expression)
    parameters = ["x", "i"] if _uses_place(expression) else ["x"]
    arguments = ast.arguments([], [ast.arg(name) for name in parameters], None, [], [], None, [])
    whole = ast.fix_missing_locations(ast.Expression(ast.Lambda(arguments, body)))
    code = compile(whole, "<-e>", "eval")
    names = {name: _imported(name, expression) for name in sorted(set(_free(code)))}
    function: Callable[..., Any] = eval(code, names)
    return function if len(parameters) == 1 else partial(_of_pair, function)


def _of_pair(function: Callable[[Any, int], Any], pair: tuple[Any, int]) -> Any:
    return function(*pair)


def _free(code: CodeType) -> Iterator[str]:
    """The names that an expression takes from outside; attributes are told apart by how they are loaded."""
    import dis

    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME") and not hasattr(builtins, instruction.argval):
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _free(constant)


def _imported(name: str, expression: str) -> ModuleType:
    _see(Path())
    try:
        return importlib.import_module(name)
    except ImportError:
        raise NoTarget(
            f"-e {expression!r}: {name!r} is neither x (the item), i (its number), a builtin, nor a module"
        ) from None


def check_call(
    target: Target, function: Callable[..., Any], arguments: tuple[Any, ...], names: list[str]
) -> None:
    """Check that it can be called with these arguments; `names` are keywords."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C, without a signature
        return
    try:
        signature.bind(*arguments, **dict.fromkeys(names))
    except TypeError as error:
        how = f"with the columns {', '.join(names)}" if names else "with one item"
        raise NoTarget(f"{target.name} cannot be called {how}: {error}") from None
