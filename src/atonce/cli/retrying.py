"""`--retry-on`: which failures are worth a further attempt; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from atonce.cli.tally import Failure

#: Kinds of failures, as records have them, and `transient`: what may pass by itself.
KINDS: Final = ("transient", "timeout", "connect", "dns", "lost", "http", "exit", "signal", "exception")
_TRANSIENT: Final = ("connect", "timeout", "lost")
_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_STATUS: Final = re.compile(r"[1-5](?:[0-9]{2}|xx)")
_CODE: Final = re.compile(r"(exit|signal):([0-9]{1,3})")
_NAME: Final = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Z_]\w*")


@dataclass(frozen=True, slots=True)
class RetryOn:
    """Words of which one has to fit: a kind, a status (`429`, `5xx`), `exit:75`, `signal:9`, an exception's name."""

    words: tuple[str, ...]

    def wants(self, failure: Failure, error: BaseException | None = None) -> bool:
        """Whether it is tried again; names are those of the exception's class and of all above it."""
        names = {failure.type}
        if error is not None:
            names.update(one.__name__ for one in type(error).__mro__)
        return any(_fits(word, failure, names) for word in self.words)


def _fits(word: str, failure: Failure, names: set[str]) -> bool:
    status = failure.fields.get("status")
    if word == "transient":
        return failure.kind in _TRANSIENT or status in _STATUSES
    if word in KINDS:
        return failure.kind == word or (word == "timeout" and "TimeoutError" in names)
    if _STATUS.fullmatch(word):
        return isinstance(status, int) and (f"{status}" == word or f"{status // 100}xx" == word)
    if match := _CODE.fullmatch(word):
        return failure.fields.get(match[1]) == int(match[2])
    return word.rpartition(".")[2] in names


def read(text: str) -> RetryOn:
    """Read a list with commas; ValueError with the word that is none.

    >>> read("429,5xx, timeout,exit:75,ConnectionError").words
    ('429', '5xx', 'timeout', 'exit:75', 'ConnectionError')
    """
    words = tuple(word.strip() for word in text.split(","))
    for word in words:
        if not (word in KINDS or any(form.fullmatch(word) for form in (_STATUS, _CODE, _NAME))):
            raise ValueError(_unknown(word))
    return RetryOn(words)


def _unknown(word: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word.lower(), KINDS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(KINDS)}"
    return f"{word!r} is nothing to retry on: {hint} (or 429, 5xx, exit:75, signal:9, ValueError)"
