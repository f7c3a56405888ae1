"""`Job`: what is to be done with each row, as it travels to workers; and the doing, which loads the function once."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import json
import pathlib
import traceback
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from time import perf_counter
from typing import Any, Final

from atonce.cli.journal import record
from atonce.cli.map.target import Target
from atonce.cli.tally import Failure

_LONGEST: Final = 2_000


class NotAsAsked(Exception):
    """A row or a result that cannot be taken as the options say."""


@dataclass(frozen=True, slots=True)
class Job:
    """`arg` is the column to pass, `kwargs` passes the row as keywords; else the row is passed.

    `into` is the column for the result, `merge` joins a result that is a dictionary to the row, `fields` are the
    columns that are kept. `records` says that results go into a journal. `init` is called once before all.
    `origin` is when the run began, on the clock that all processes of a machine share.
    """

    target: Target
    arg: str | None = None
    kwargs: bool = False
    into: str | None = None
    merge: bool = False
    fields: tuple[str, ...] | None = None
    records: bool = False
    init: Target | None = None
    origin: float | None = None

    @property
    def makes_rows(self) -> bool:
        """Whether results are rows again."""
        return self.into is not None or self.merge


@lru_cache(maxsize=4)
def loaded(job: Job) -> Callable[[Any], Any]:
    """The function of a row (of a row and its place: `job.target.takes_pairs`).

    It is loaded once in a process, and `init` is called before that.
    """
    if job.init is not None:
        job.init.load()()
    return caller(job, job.target.load())


def caller(job: Job, function: Callable[..., Any]) -> Callable[[Any], Any]:
    """How a row is passed to the function."""
    if job.arg is not None:
        return partial(_with_column_of_pair if job.target.takes_pairs else _with_column, function, job.arg)
    return partial(_with_keywords, function) if job.kwargs else function


def _with_column(function: Callable[..., Any], column: str, row: Any) -> Any:
    return function(value_of(row, column))


def _with_column_of_pair(function: Callable[..., Any], column: str, pair: tuple[Any, int]) -> Any:
    return function((value_of(pair[0], column), pair[1]))


def _with_keywords(function: Callable[..., Any], row: Any) -> Any:
    if not isinstance(row, dict):
        raise NotAsAsked("--kwargs needs rows with columns; this one has none")
    return function(**row)


def value_of(row: Any, column: str) -> Any:
    """The value of a column, or of the columns in a list of rows."""
    if isinstance(row, list):
        return [value_of(one, column) for one in row]
    try:
        return row[column]
    except (KeyError, TypeError, IndexError):
        raise NotAsAsked(f"the row has no column {column!r}") from None


def shaped(job: Job, row: Any, value: Any) -> Any:
    """The result as it is written: itself, or the row with it."""
    if not job.makes_rows and job.fields is None:
        return value
    kept = dict(row) if isinstance(row, dict) else {"in": row}
    if job.fields is not None:
        kept = {name: value_of(row, name) for name in job.fields}
    if job.into is not None:
        kept[job.into] = value
    elif isinstance(value, dict):
        kept |= value
    elif job.merge:
        raise NotAsAsked(f"--merge needs a dictionary; the function gave {type(value).__name__}")
    else:
        kept["out"] = value
    return kept


def bare(value: Any) -> str:
    """A result as a line of output: a string as it is, else JSON."""
    return value if isinstance(value, str) else dumped(value)


def _plain(value: Any) -> Any:
    """What a few types without JSON of their own are in it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (pathlib.PurePath, uuid.UUID, decimal.Decimal)):
        return str(value)
    if type(value).__module__ == "numpy" and (plain := getattr(value, "tolist", None)) is not None:
        return plain()
    raise TypeError(f"a result of type {type(value).__name__} cannot be written as JSON: return what can")


#: A value as JSON; ValueError or TypeError for what that cannot say.
dumped: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain
).encode


def good_line(job: Job, place: int, key: str | None, row: Any, value: Any, span: float, attempts: int) -> str:
    """What is written of a result, without its line end."""
    value = shaped(job, row, value)
    if not job.records:
        return bare(value)
    out = dumped(value)
    return record.good_text(place, key, row, out, span, attempts, since(job))


def since(job: Job) -> float | None:
    """Seconds since the run began; None where nobody said when that was."""
    return None if job.origin is None else max(0.0, perf_counter() - job.origin)


def failure_of(error: BaseException) -> Failure:
    """Why a call failed, in words that travel."""
    name = type(error).__name__
    message = " ".join(str(error).split())[:_LONGEST] or name
    if isinstance(error, NotAsAsked):
        return Failure("rejected", name, message, message)
    fields: dict[str, int | str] = {}
    where = place_of(error)
    if where is not None:
        fields["at"] = where
    return Failure(
        "exception", name, message, name, f"{message} ({where})" if where else message, None, fields
    )


def place_of(error: BaseException) -> str | None:
    """File and line where an exception was raised, as far as it is the user's code."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [one for one in frames if "/atonce/cli/map/" not in one.filename.replace("\\", "/")]
    if not own or own[-1].filename == "<-e>":
        return None
    mine = [one for one in own if "site-packages" not in one.filename and "/lib/python" not in one.filename]
    frame = (mine or own)[-1]
    return f"{pathlib.PurePath(frame.filename).name}:{frame.lineno}"
