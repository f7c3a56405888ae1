"""The command `atonce` and its verbs."""

from __future__ import annotations

import click

from atonce.cli.fetch import fetch


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        click.echo(f"atonce {version('atonce')}")
    except PackageNotFoundError:
        click.echo("atonce (not installed: run from its source)")
    ctx.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version and exit.",
)
def program() -> None:
    """Do many things at once, never more than asked for: bounded, with timeouts, retries and an honest report."""


program.add_command(fetch)
