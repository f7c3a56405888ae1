"""Which of the ways to show progress is taken."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any, Final

from atonce._runtime.progress import Heartbeat, JsonLines, Progress, Silent, View
from atonce._runtime.terminal import Terminal, say

#: What can be asked for, on the command line and in `ATONCE_PROGRESS`.
WAYS: Final = ("auto", "bar", "plain", "json", "none")


def choose(
    how: str,
    view: View,
    terminal: Terminal,
    *,
    quiet: bool = False,
    records_on_screen: bool = False,
    has_receipt: bool = True,
) -> Progress:
    """The way to show progress: what is asked for, else what standard error can show.

    Records that go to the same screen would tear a bar, so that then there are lines. What has no receipt closes
    with a line that stays.
    """
    if quiet:
        return Silent(mute=True)
    if how == "auto" and not has_receipt and in_notebook():
        from atonce._runtime.notebook import Notebook  # nobody else needs it

        return Notebook(view)
    if how == "auto":
        is_for_bar = terminal.can_move and not terminal.in_ci and not records_on_screen
        how = "bar" if is_for_bar else "plain"
    if how == "bar":
        return _bar(view, terminal, has_receipt)
    if how == "json":
        return JsonLines(view)
    return Heartbeat(view) if how == "plain" else Silent(mute=False)


def in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel; asks only whom somebody else has imported."""
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return hasattr(shell, "kernel")


def _bar(view: View, terminal: Terminal, has_receipt: bool) -> Progress:
    """A bar; lines where rich, which draws it, is not installed. It is slow to import, and needed for nothing else."""
    try:
        from atonce._runtime.bar import Bar
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("rich"):
            raise
        _tell_of_rich()
        return Heartbeat(view)
    return Bar(view, terminal, has_receipt=has_receipt)


@cache
def _tell_of_rich() -> None:
    """Said once."""
    say(
        "atonce: a bar is drawn by rich, which is not installed: pip install 'atonce[cli]' (lines come instead)"
    )
