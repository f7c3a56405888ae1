"""Notes on a user's exception (PEP 678): which task, which item, which attempt, spawned where."""

from __future__ import annotations

import contextlib
from collections import deque

from atonce._model.checks import shown

_MOST = 8


def annotate(error: BaseException, note: str) -> None:
    """Add `note` once; an exception object that many tasks raise does not collect notes without end."""
    with contextlib.suppress(Exception):  # an exception that takes no notes is still the one to be raised
        notes = getattr(error, "__notes__", ())
        if note not in notes and len(notes) < _MOST:
            error.add_note(note)


def as_raised(error: BaseException) -> BaseException:
    """The exception that the user's code raised: Python turns a `StopIteration` in a coroutine into `RuntimeError`."""
    if type(error) is RuntimeError and isinstance(error.__cause__, (StopIteration, StopAsyncIteration)):
        return error.__cause__ if str(error).startswith("coroutine raised") else error
    return error


def item_note(name: str, index: int, item: object, attempt: int, of: int) -> str:
    """Say which item of a stream failed."""
    tries = f", attempt {attempt} of {of}" if of > 1 else ""
    return f"atonce: item {index} of {name}{tries}, input {shown(item)}"


class Earlier:
    """The failed attempts before the last one: how many, and what the latest of them were."""

    __slots__ = ("_latest", "count")

    def __init__(self) -> None:
        self.count = 0
        self._latest: deque[str] = deque(maxlen=_MOST)

    def add(self, error: BaseException) -> None:
        """One more attempt failed, and will be followed by another."""
        self.count += 1
        self._latest.append(short(error))

    def tell(self, error: BaseException) -> None:
        """Note on the last error how the attempts before it went, if there were any."""
        if self.count:
            left_out = "..., " if self.count > len(self._latest) else ""
            told = "; ".join(self._latest)
            annotate(error, f"atonce: {self.count + 1} attempts; earlier ones: {left_out}{told}")


def short(error: BaseException) -> str:
    """An error on one line."""
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:
        text = f"{type(error).__name__}: <unprintable>"
    line = " ".join(text.split())
    return line if len(line) <= 100 else f"{line[:97]}..."
