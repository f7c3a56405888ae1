"""How settings reach a command: as the defaults of options that are not given."""

from __future__ import annotations

import os
from collections.abc import Collection

import click

from atonce._runtime.terminal import visible
from atonce.cli.exits import Refusal
from atonce.cli.settings import files
from atonce.cli.settings.layers import SETTABLE, Setting, chosen


def take(ctx: click.Context, given: Collection[str], profile: str | None) -> None:
    """Let what is set hold for the options of this command that are not `given` (by the names of parameters)."""
    verb = ctx.info_name or ""
    names = {name.replace("_", "-") for name in given}
    layers = files.of_verb(files.read(os.environ), os.environ, verb, profile)
    params = {param.name: param for param in ctx.command.params}
    ctx.default_map = {
        param.name: _checked(ctx, param, setting)
        for name, setting in chosen(names, layers).items()
        if (param := params.get(name.replace("-", "_"))) is not None and param.name is not None
    }


def _checked(ctx: click.Context, param: click.Parameter, setting: Setting) -> str | bool:
    """A value as its option can read it; a mistake names the place where it stands."""
    value, is_flag = setting.value, isinstance(param, click.Option) and param.is_flag
    if isinstance(value, bool) is not is_flag and not (is_flag and isinstance(value, str)):
        wanted = "true or false" if is_flag else "a text or a number"
        raise Refusal(f"{setting.where} is {wanted}, not {str(value).lower()}")
    written = value if isinstance(value, bool) else str(value)
    try:
        param.type_cast_value(ctx, written)
    except click.BadParameter as error:
        raise Refusal(f"{setting.where}: {visible(error.message)}") from None
    return written


def was_set(name: str) -> bool:
    """Whether an option of the command that runs has its value from a setting, not from its command line."""
    assert name.replace("_", "-") in SETTABLE
    ctx = click.get_current_context(silent=True)
    return ctx is not None and ctx.get_parameter_source(name) is click.core.ParameterSource.DEFAULT_MAP
