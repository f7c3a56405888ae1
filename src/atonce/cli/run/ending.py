"""`TermSeq`: the signals that end a command, and the time between them (`--term-seq`); pure."""

from __future__ import annotations

import signal
from typing import Final

from atonce._model import durations

#: Signals, each with the seconds that what runs has to end before the next.
TermSeq = tuple[tuple[int, float], ...]
#: Seconds in which what is killed is gone, unless the system itself hangs.
_LAST: Final = 5.0


def read(text: str) -> TermSeq:
    """Read signals and the times between them; KILL always comes last.

    >>> [(signal.Signals(one).name, span) for one, span in read("INT,200ms,TERM,5s,KILL")]
    [('SIGINT', 0.2), ('SIGTERM', 5.0), ('SIGKILL', 5.0)]
    """
    words = text.split(",")
    if len(words) % 2 == 0:
        raise ValueError(f"{text!r}: write signals and times in turn: TERM,5s,KILL")
    names = [_signal(word) for word in words[::2]]
    spans = [*map(durations.seconds, words[1::2]), _LAST]
    steps = list(zip(names, spans, strict=True))
    if names[-1] != signal.SIGKILL:
        steps.append((signal.SIGKILL, _LAST))
    return tuple(steps)


def _signal(word: str) -> int:
    name = word.strip().upper().removeprefix("SIG")
    if name.isdigit() and 0 < int(name) < signal.NSIG:
        return int(name)
    try:
        return signal.Signals[f"SIG{name}"]
    except KeyError:
        raise ValueError(f"{word!r} is no signal: write e.g. TERM,5s,KILL") from None


def said(code: int) -> str:
    """How a command ended, in words: its exit code, or the signal's name.

    >>> said(3), said(-9)
    ('exit 3', 'signal SIGKILL')
    """
    if code >= 0:
        return f"exit {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
