"""The files that have settings: where they are looked for, and what is read of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from atonce._runtime.terminal import visible
from atonce.cli.exits import INPUT_OUTPUT, Refusal
from atonce.cli.rows.text import reason
from atonce.cli.settings import layers
from atonce.cli.settings.layers import Layer

PROJECT: Final = "pyproject.toml"
#: A project's file without this has no settings, and need not be parsed.
_MENTION: Final = b"atonce"


@dataclass(frozen=True, slots=True)
class Found:
    """A file with settings, and how messages name its table."""

    path: Path
    title: str
    table: Mapping[str, Any]


def user_file(environ: Mapping[str, str]) -> Path | None:
    """Where the user's file is looked for: in `$XDG_CONFIG_HOME`, else in `~/.config`."""
    root = environ.get("XDG_CONFIG_HOME")
    if root:
        return Path(root) / "atonce" / "config.toml"
    home = environ.get("HOME")
    return Path(home) / ".config" / "atonce" / "config.toml" if home else None


def project_files(environ: Mapping[str, str]) -> Iterator[Path]:
    """Where the project's file is looked for: here and upwards, as far as the folder with `.git`, or home."""
    try:
        folder = Path.cwd()
    except OSError:  # it has been removed
        return
    home = environ.get("HOME")
    ends = home and Path(home).resolve()
    for place in (folder, *folder.parents):
        yield place / PROJECT
        if place == ends or _is_there(place / ".git"):
            return


def read(environ: Mapping[str, str]) -> list[Found]:
    """The files that are there, the stronger first: the nearest that has settings of the project, and the user's."""
    found: list[Found] = []
    for path in project_files(environ):
        table = _parsed(path, of_project=True)
        if table is not None:
            found.append(Found(path, f"{visible(str(path))} [tool.atonce]", table))
            break
    users = user_file(environ)
    if users is not None and (table := _parsed(users, of_project=False)) is not None:
        found.append(Found(users, visible(str(users)), table))
    return found


def of_verb(found: list[Found], environ: Mapping[str, str], verb: str, profile: str | None) -> list[Layer]:
    """All layers for a verb, the strongest first; `profile` is the one that the command line asks for."""
    profile = profile or environ.get(f"{layers.PREFIX}PROFILE") or None
    of_files = [layer for one in found for layer in layers.of_table(one.table, one.title, verb, profile)]
    known = [name for one in found for name in layers.profiles_of(one.table)]
    if profile is not None and profile not in known:
        raise layers.no_profile(profile, known)
    return [layers.of_environment(environ, verb), *of_files]


def _is_there(path: Path) -> bool:
    """Whether something is there; what is in a folder that we may not enter is not."""
    try:
        path.stat()
    except OSError:
        return False
    return True


def _parsed(path: Path, *, of_project: bool) -> Mapping[str, Any] | None:
    """The table with settings; None where there is none."""
    try:
        content = path.read_bytes()
    except OSError as error:
        if not _is_there(path):
            return None
        raise Refusal(f"cannot read {visible(str(path))}: {reason(error)}", INPUT_OUTPUT) from None
    if of_project and _MENTION not in content:
        return None
    whole = _whole(content, visible(str(path)))
    if not of_project:
        return whole
    tool = whole.get("tool")
    table = tool.get("atonce") if isinstance(tool, Mapping) else None
    if table is not None and not isinstance(table, Mapping):
        raise Refusal(
            f"{visible(str(path))}: tool.atonce is a table of settings: begin it with [tool.atonce]"
        )
    return table


def _whole(content: bytes, name: str) -> dict[str, Any]:
    """All that a file has."""
    import tomllib  # most runs have no file

    try:
        return tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Refusal(f"{name} is no TOML: it is not in UTF-8 (at line {line})") from None
    except RecursionError:
        raise Refusal(f"{name} is no TOML that can be read: it is nested too deeply") from None
    except ValueError as error:
        raise Refusal(f"{name} is no TOML: {error}") from None
