"""How the program can end: one small table of exit codes, the same for all verbs."""

from __future__ import annotations

from typing import Final

OK: Final = 0
SOME_FAILED: Final = 1
USAGE: Final = 2
HALTED: Final = 3
BUG: Final = 70
INPUT_OUTPUT: Final = 74
DEADLINE: Final = 75
HUNG_UP: Final = 129
INTERRUPTED: Final = 130
PIPE: Final = 141
TERMINATED: Final = 143

#: Why a run ended, as the last line of a journal says it, and the exit code of those ends that are not by themselves.
OF_ENDS: Final = {
    "halted": HALTED,
    "succeeded": OK,
    "deadline": DEADLINE,
    "hangup": HUNG_UP,
    "interrupted": INTERRUPTED,
    "terminated": TERMINATED,
    "pipe": PIPE,
}


class Refusal(Exception):
    """The program cannot do what it was asked; the message is a sentence for the user, without a traceback."""

    def __init__(self, message: str, code: int = USAGE) -> None:
        super().__init__(message)
        self.code = code


def code_of(why: str, failed: int) -> int:
    """The exit code of a run that ended because of `why`, with so many failed items."""
    if why in OF_ENDS:
        return OF_ENDS[why]
    return SOME_FAILED if failed else OK
