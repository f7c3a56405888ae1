"""`Template`: a command with places for values, as GNU parallel writes them: `{} {.} {/} {#} {1} {name}`; pure."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from atonce.cli.rows.keys import canonical
from atonce.cli.run.shell import quoted_places

_PLACE: Final = re.compile(r"\{([^{}\n]*)\}")
_PARTS: Final = re.compile(r"(#|%|-?[0-9]{1,6}|[^\W\d][\w .-]*?|)(/\.|//|/|\.|)(:raw|)")
_EXTENSION: Final = re.compile(r"\.[^/.]*\Z")


class Misfit(Exception):
    """A template does not fit what it is used for; the message says how to write it."""


@dataclass(frozen=True, slots=True)
class Values:
    """What is put in: a row (a line, the arguments of one call, or a table's row), its number from 1, and the slot."""

    row: Any
    seq: int
    slot: int


@dataclass(frozen=True, slots=True)
class Place:
    """`{base op :raw}`: where a value goes, e.g. `{1/.}`."""

    base: str
    op: str = ""
    raw: bool = False

    @property
    def takes_input(self) -> bool:
        """Whether a part of the row goes here."""
        return self.base not in ("#", "%")

    def texts(self, values: Values) -> list[str]:
        """The values that go here."""
        if self.base == "#":
            return [str(values.seq)]
        if self.base == "%":
            return [str(values.slot)]
        return [_OPS[self.op](text) for text in _found(values.row, self.base)]


Part = str | Place


def without_extension(path: str) -> str:
    """A path without what follows its last dot.

    >>> without_extension("a.b/c.tar.gz"), without_extension("a.b/c")
    ('a.b/c.tar', 'a.b/c')
    """
    return _EXTENSION.sub("", path)


def _base_name(path: str) -> str:
    return path.rpartition("/")[2]


def _folder(path: str) -> str:
    stripped = path.rstrip("/") or path[:1]
    return posixpath.dirname(stripped) or "."


_OPS: Final[dict[str, Callable[[str], str]]] = {
    "": str,
    ".": without_extension,
    "/": _base_name,
    "//": _folder,
    "/.": lambda path: without_extension(_base_name(path)),
}


def text_of(value: Any) -> str:
    """A value of a row as an argument: a text as it is, nothing for null, else JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else canonical(value)


def _found(row: Any, base: str) -> list[str]:
    rows = row if isinstance(row, list) else [row]
    if not base:
        return [text_of(one) for one in rows]
    if base.lstrip("-").isdigit():
        parts = list(row.values()) if isinstance(row, dict) else rows
        at = int(base)
        at = at - 1 if at > 0 else len(parts) + at
        return [text_of(parts[at])] if 0 <= at < len(parts) else [""]
    try:
        return [text_of(one[base]) for one in rows]
    except (KeyError, TypeError):
        raise Misfit(f"there is a row without the column {base!r}: {canonical(row)[:80]}") from None


@dataclass(frozen=True, slots=True)
class Known:
    """What places may name: so many arguments a call, and the columns (None: not known; empty: there are none)."""

    arguments: int = 1
    columns: Sequence[str] | None = ()


def parts_of(text: str, known: Known, quoted: Sequence[bool] = ()) -> list[Part]:
    """Cut a text at its places; braces with anything else in them are themselves.

    `quoted` says for a shell's line which characters are within quotes: no place may be there.
    """
    found: list[Part] = []
    end = 0
    for match in _PLACE.finditer(text):
        is_quoted = bool(quoted) and quoted[match.start()]
        place = _place(match[1], known, is_quoted)
        if place is None:
            continue
        if is_quoted and not place.raw:
            raise Misfit(
                f"{match[0]} stands within quotes, and is quoted by itself: take the quotes away"
                f" (or write {match[0][:-1]}:raw}} for the bare text)"
            )
        found += [text[end : match.start()], place]
        end = match.end()
    found.append(text[end:])
    return [part for part in found if part != ""]


def _place(inner: str, known: Known, is_quoted: bool) -> Place | None:
    columns = known.columns
    bare = inner.removesuffix(":raw")
    if columns and bare in columns:
        return Place(bare, "", bare != inner)
    match = _PARTS.fullmatch(inner)
    if match is None:
        return None
    base, op, raw = match[1], match[2], bool(match[3])
    if base in ("#", "%"):
        return Place(base, "", raw) if not op else None
    if base and not base.lstrip("-").isdigit():
        return _named(base, op, raw, columns, is_quoted)
    if base and (base.startswith("0") or (columns == () and abs(int(base)) > known.arguments)):
        raise Misfit(f"{{{base}}}: there {_are(known.arguments)} for each call, counted from 1")
    return Place(base, op, raw)


def _are(count: int) -> str:
    return "is one argument" if count == 1 else f"are {count} arguments"


def _named(base: str, op: str, raw: bool, columns: Sequence[str] | None, is_quoted: bool) -> Place | None:
    if columns == ():
        return None
    if columns is None or base in columns:
        return Place(base, op, raw)
    if is_quoted:
        return None
    near = get_close_matches(base, columns, n=1)
    hint = f"did you mean {{{near[0]}}}?" if near else f"there are {', '.join(columns)}"
    raise Misfit(f"the input has no column {base!r}: {hint}")


@dataclass(frozen=True, slots=True)
class Template:
    """A command: words to run as they are, or (`shell`) one line for a shell, in which values are quoted."""

    words: tuple[tuple[Part, ...], ...]
    shell: str | None = None

    def argv(self, values: Values) -> list[str]:
        """The words of one call."""
        if self.shell is None:
            return [word for parts in self.words for word in _words(parts, values)]
        return [self.shell, "-c", "".join(_quoted(part, values) for part in self.words[0])]

    @property
    def program(self) -> str | None:
        """What is started, where that is the same for all."""
        if self.shell is not None:
            return self.shell
        word = self.words[0]
        return "".join(map(str, word)) if all(isinstance(part, str) for part in word) else None


def template(words: Sequence[str], known: Known, *, shell: str, appends: bool = True) -> Template:
    """Read the words of a command.

    One word with spaces is a line for `shell`, no word at all is the input itself as such a line. Where no place takes
    a part of the row, it comes last (`appends`).

    >>> template(["cp", "{}", "{.}.bak"], Known(), shell="/bin/sh").argv(Values("a b.c", 1, 1))
    ['cp', 'a b.c', 'a b.bak']
    >>> template(["wc -l {} | cat"], Known(), shell="/bin/sh").argv(Values("a b.c", 1, 1))
    ['/bin/sh', '-c', "wc -l 'a b.c' | cat"]
    """
    if not words:
        return Template(((Place("", "", raw=True),),), shell)
    is_line = len(words) == 1 and any(one.isspace() for one in words[0])
    found = [tuple(parts_of(word, known, quoted_places(word) if is_line else ())) for word in words]
    takes = any(isinstance(part, Place) and part.takes_input for parts in found for part in parts)
    if is_line:
        more: tuple[Part, ...] = () if takes or not appends else (" ", Place(""))
        return Template((found[0] + more,), shell)
    if not takes and appends:
        found.append((Place(""),))
    return Template(tuple(found))


def filled(parts: Sequence[Part], values: Values) -> str:
    """A text with its values, which are not quoted."""
    return "".join(part if isinstance(part, str) else " ".join(part.texts(values)) for part in parts)


def _words(parts: Sequence[Part], values: Values) -> Iterator[str]:
    """A place that is a word by itself is as many words as it has values."""
    if len(parts) == 1 and isinstance(parts[0], Place):
        yield from parts[0].texts(values)
    else:
        yield filled(parts, values)


def _quoted(part: Part, values: Values) -> str:
    if isinstance(part, str):
        return part
    texts = part.texts(values)
    return " ".join(texts) if part.raw or not part.takes_input else " ".join(map(shlex.quote, texts))
