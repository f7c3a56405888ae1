"""Options of the command line: how their values are read, and how a command is written again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from atonce._model import durations
from atonce._model.options import Rate
from atonce._runtime.terminal import visible, without_credentials
from atonce.cli import jobs, retrying
from atonce.cli.settings import taking
from atonce.cli.work import halt

MOST: Final = 10**6
_SECRET: Final = re.compile(
    r"auth|cookie|token|secret|password|credential|session|signature|key|csrf|jwt", re.IGNORECASE
)
_RAW: Final = "atonce.raw"


if TYPE_CHECKING:
    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType  # generic for type checkers alone before click 8.4


class Written(ParamType):
    """A value with a written form of its own; a mistake in it is answered with its reader's sentence."""

    def __init__(self, name: str, read: Callable[[str], Any], none: str | None = None) -> None:
        self.name = name
        self._read = read
        self._none = none

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a text; the word `none` is None, where that is allowed."""
        if not isinstance(value, str):
            return value
        if value == self._none:
            return None
        try:
            return self._read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _rate(text: str) -> Rate:
    found = Rate.of(text if "/" in text else f"{text}/s")
    assert found is not None
    return found


def _delay(text: str) -> Rate:
    return Rate(1, per=durations.seconds(text))


def _whole(text: str, least: int) -> int:
    if not (text.isascii() and text.isdigit() and least <= int(text[:12]) <= MOST):
        raise ValueError(f"{visible(text)!r} is no whole number from {least} to {MOST}, e.g. {max(least, 4)}")
    return int(text)


DURATION: Final = Written("duration", durations.seconds)
DURATION_OR_SHARE: Final = Written("duration", durations.seconds_or_share, none="none")
RETRY_ON: Final = Written("list", retrying.read)
SIZE: Final = Written("size", durations.size)
RATE: Final = Written("rate", _rate)
DELAY: Final = Written("duration", _delay)
JOBS: Final = Written("jobs", jobs.read)
HALT: Final = Written("halt", halt.read)
PLACES: Final = Written("count", partial(_whole, least=1))
COUNT: Final = Written("count", partial(_whole, least=0))


class VerbCommand(click.Command):
    """A command that remembers how it was called, to say what to call next, and that takes settings."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as ever, keep what was given, and let settings hold for what was not."""
        ctx.meta[_RAW] = list(args)
        values, _, order = self.make_parser(ctx).parse_args(list(args))
        given = {param.name for param in order if param.name is not None}
        if not (ctx.resilient_parsing or any("--help" in param.opts for param in order)):
            taking.take(ctx, given, values.get("profile"))
        return super().parse_args(ctx, args)


def written_again(ctx: click.Context, first: Collection[str], without: Collection[str]) -> str:
    """The command of `ctx` for a shell, with `first` before its options and none of those `without`; no secrets."""
    words = ["atonce", ctx.info_name or "", *first]
    values, _, order = ctx.command.make_parser(ctx).parse_args(list(ctx.meta[_RAW]))
    for param in dict.fromkeys(order):
        if isinstance(param, click.Option) and param.name not in without:
            words.extend(_option(param, values[param.name]))
    return visible(shlex.join(words))


def _option(param: click.Option, value: Any) -> Iterator[str]:
    for one in value if isinstance(value, list) else [value]:
        yield param.opts[0]
        if not param.is_flag:
            yield shown_value(param.name or "", str(one))


def shown_value(name: str, value: str) -> str:
    """An option's value without the secret that a header may have."""
    if name != "headers" or value.startswith("@"):
        return without_credentials(value)
    field = value.partition(":")[0]
    return f"{field}: ***" if _SECRET.search(field) else value
