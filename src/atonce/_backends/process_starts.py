"""How many workers there may be, and whether they come up.

Where several in a row do not, calls end with the reason, and none is made for a while.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from signal import SIGKILL
from time import monotonic
from typing import TypeAlias

from atonce._backends.forkserver import NOT_STARTED, SIGNALLED
from atonce._backends.process_handle import Handle
from atonce._backends.process_values import error_of, lost

#: Makes the error of one call for which there is no worker.
Refusal: TypeAlias = Callable[[], BaseException]

#: The most workers that a backend makes by itself, whatever the bound of a stream.
MOST_WORKERS = 64
#: So many initializers in a row must fail.
FAILURES = 3
#: Seconds until it is tried again.
PAUSE = 1.0


class Starts:
    """The starts of one backend's workers; called with its lock held."""

    def __init__(self, initializes: bool) -> None:
        self._initializes = initializes
        self._failures = 0
        self._until = 0.0
        self._why: Refusal | None = None

    def went_well(self) -> None:
        """A worker is up."""
        self._failures = 0

    def failed(self, worker: Handle, ending: tuple[int, int]) -> None:
        """A worker died before it was up, and no other one is; was it the initializer, and not somebody's signal?"""
        if worker.unready is None and not (self._initializes and ending != (SIGNALLED, SIGKILL)):
            return
        self._failures += 1
        if self._failures >= FAILURES:
            self._until = monotonic() + PAUSE
            self._why = (
                partial(lost, "that was to run this call", ending)
                if worker.unready is None
                else partial(error_of, *worker.unready)
            )

    def refusal(self) -> Refusal | None:
        """Why no worker is to be made now."""
        return self._why if self._failures >= FAILURES and monotonic() < self._until else None


def no_process(error: OSError) -> Refusal:
    """The refusal where the system has no further process, or no descriptors for one."""
    return partial(lost, "", (NOT_STARTED, error.errno or 0))
