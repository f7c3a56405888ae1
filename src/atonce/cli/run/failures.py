"""Why a command failed, in the program's words."""

from __future__ import annotations

from atonce._model.durations import brief
from atonce._model.errors import TaskStopped
from atonce.cli.run.ending import said
from atonce.cli.run.runner import CommandFailed, CommandRefused, CommandTimeout
from atonce.cli.tally import Failure, cancelled

_LONGEST = 300


def described(error: BaseException, last: str, is_fixed: bool) -> Failure:
    """Make a failure of an error; `last` is the last line of what the command said, `is_fixed` its limit's nature."""
    name = type(error).__name__
    if isinstance(error, CommandTimeout):
        after = f"ended after {brief(error.limit)}"
        label = f"timeout after {brief(error.limit)}" if is_fixed else "timeout"
        return Failure("timeout", name, after, label, last[:_LONGEST] or "--timeout gives more time")
    if isinstance(error, CommandRefused):
        label = "not found" if error.code == 127 else "not started"
        fields: dict[str, int | str] = {"exit": error.code} if error.code else {}
        return Failure("rejected", name, str(error), label, str(error), fields=fields)
    if isinstance(error, CommandFailed):
        how = said(error.code)
        message = f"{how}: {last[:_LONGEST]}" if last else how
        if error.code < 0:
            return Failure("signal", name, message, how, last, fields={"signal": -error.code})
        return Failure("exit", name, message, how, last, fields={"exit": error.code})
    if isinstance(error, TaskStopped):
        return cancelled(None)
    return Failure("exception", name, str(error) or name, name, str(error))
