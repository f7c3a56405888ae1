"""The command `atonce` and its verbs."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import Final

import click

#: The verbs: where the command is, and what it does in a few words; a verb is imported when it is called.
VERBS: Final = {
    "fetch": ("atonce.cli.fetch", "fetch", "Fetch URLs, many at a time, and record each answer or failure."),
    "map": ("atonce.cli.map.command", "map_command", "Call a Python function for each line or row."),
    "run": ("atonce.cli.run.command", "run_command", "Run a command for each line, row or argument."),
    "report": (
        "atonce.cli.look.report",
        "report",
        "Show what a run was, from its output; --html for a page.",
    ),
    "trace": ("atonce.cli.look.trace", "trace", "Write a run over time for Perfetto."),
    "doctor": ("atonce.cli.look.doctor", "doctor", "Show what this Python and this machine offer."),
    "completion": ("atonce.cli.look.completion", "completion", "Print the completion for bash, zsh or fish."),
}


class Verbs(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, in the order in which a reader meets them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one."""
        if cmd_name not in VERBS:
            return super().get_command(ctx, cmd_name)
        module, name, _ = VERBS[cmd_name]
        command: click.Command = getattr(import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a verb; a mistyped one is answered with the one that was meant."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            near = get_close_matches(args[0], VERBS, n=1)
            hint = f". Did you mean {near[0]!r}?" if near else f": there are {', '.join(VERBS)}"
            ctx.fail(f"there is no command {args[0]!r}{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the verbs without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help) for name, (_, _, help) in VERBS.items()])


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        click.echo(f"atonce {version('atonce')}")
    except PackageNotFoundError:
        click.echo("atonce (not installed: run from its source)")
    ctx.exit()


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
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
