"""Notes on a user's exception (PEP 678): which task, which item, which attempt, spawned where."""

from __future__ import annotations

from atonce._model.checks import shown

_MOST = 8


def annotate(error: BaseException, note: str) -> None:
    """Add `note` once; an exception object that many tasks raise does not collect notes without end."""
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


def attempts_note(errors: list[str], attempts: int) -> str:
    """Say how the attempts before the last one went."""
    return f"atonce: {attempts} attempts; earlier ones: {'; '.join(errors)}"


def annotate_attempts(error: BaseException, earlier: list[str]) -> None:
    """Say on the last error how the attempts before it went, if there were any."""
    if earlier:
        annotate(error, attempts_note(earlier, len(earlier) + 1))


def short(error: BaseException) -> str:
    """An error on one line."""
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:
        text = f"{type(error).__name__}: <unprintable>"
    line = " ".join(text.split())
    return line if len(line) <= 100 else f"{line[:97]}..."
