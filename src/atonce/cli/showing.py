"""Which of the ways to show progress is taken."""

from __future__ import annotations

from atonce.cli.progress import Heartbeat, JsonLines, Progress, Silent, View
from atonce.cli.terminal import Terminal


def choose(how: str, view: View, terminal: Terminal, *, quiet: bool, records_on_screen: bool) -> Progress:
    """The way to show progress: what is asked for, else what standard error can show.

    Records that go to the same screen would tear a bar, so that then there are lines.
    """
    if quiet:
        return Silent(mute=True)
    if how == "auto":
        is_for_bar = terminal.can_move and not terminal.in_ci and not records_on_screen
        how = "bar" if is_for_bar else "plain"
    if how == "bar":
        from atonce.cli.bar import Bar  # rich is slow to import, and a bar is all it is needed for

        return Bar(view, terminal)
    if how == "json":
        return JsonLines(view)
    return Heartbeat(view) if how == "plain" else Silent(mute=False)
