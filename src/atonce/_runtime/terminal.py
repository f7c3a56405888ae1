"""Standard error as a place for progress and messages: what it can show, and how it is written to."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

_COLOURS: Final = {"green": "32", "red": "31", "yellow": "33", "dim": "2"}
Colour: TypeAlias = Literal["auto", "always", "never"]
#: Columns of what is not a terminal.
LOG_WIDTH: Final = 160
_USERINFO: Final = re.compile(r"//[^/?#]*@")
_DUMB: Final = ("dumb", "unknown")


@dataclass(frozen=True, slots=True)
class Signs:
    """The signs of a receipt, for terminals that have them and for those that do not."""

    good: str = "✓"
    bad: str = "✗"
    stopped: str = "■"
    arrow: str = "→"

    @classmethod
    def ascii(cls) -> Signs:
        """Plain words and letters."""
        return cls("ok:", "failed:", "stopped:", "->")


@dataclass(frozen=True, slots=True)
class Terminal:
    """What standard error can do."""

    is_tty: bool
    can_move: bool
    has_colour: bool
    is_unicode: bool
    in_ci: bool

    @classmethod
    def of(cls, environ: Mapping[str, str], is_tty: bool, encoding: str, colour: Colour = "auto") -> Terminal:
        """Judge by the environment; NO_COLOR and FORCE_COLOR count when they are not empty, and `colour` is auto."""
        dumb = environ.get("TERM", "") in _DUMB
        wanted = bool(environ.get("FORCE_COLOR")) or (is_tty and not dumb)
        if colour != "auto":
            wanted = colour == "always"
        elif environ.get("NO_COLOR"):
            wanted = False
        return cls(
            is_tty=is_tty,
            can_move=is_tty and not dumb,
            has_colour=wanted,
            is_unicode=encoding.lower().replace("-", "") in ("utf8", "utf8sig"),
            in_ci=bool(environ.get("CI")),
        )

    @classmethod
    def here(cls, colour: Colour = "auto") -> Terminal:
        """This process's standard error."""
        stream = sys.stderr
        if stream is None:
            return cls(False, False, False, False, False)
        return cls.of(os.environ, stream.isatty(), getattr(stream, "encoding", None) or "ascii", colour)

    @property
    def width(self) -> int:
        """Columns now; what is not a terminal gets lines as long as a log takes them."""
        if not self.is_tty:
            return LOG_WIDTH
        given = os.environ.get("COLUMNS", "")
        if given.isdigit() and int(given):
            return int(given)
        try:
            return os.get_terminal_size(sys.stderr.fileno()).columns or 80
        except (OSError, ValueError):
            return 80

    @property
    def signs(self) -> Signs:
        """The signs that it can show."""
        return Signs() if self.is_unicode else Signs.ascii()

    def paint(self, text: str, colour: str) -> str:
        """Give a text a colour, where that can be seen."""
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self.has_colour else text


def say(text: str) -> None:
    """Write one line to standard error; that nobody reads it is no reason to fail."""
    try:
        if sys.stderr is not None:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()
    except (OSError, ValueError):
        return


def visible(text: str) -> str:
    r"""A text with its control characters (and the like) written out, so that it can do nothing to a terminal.

    >>> visible("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def without_credentials(text: str) -> str:
    """A URL (or another text) without the user and the password that it may have.

    >>> without_credentials("https://ann:secret@example.com/")
    'https://example.com/'
    """
    return _USERINFO.sub("//", text, count=1) if "@" in text else text
