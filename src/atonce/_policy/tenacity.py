"""What tenacity's stop, wait and retry objects are shown of an attempt, without importing tenacity."""

from __future__ import annotations

from atonce._model.checks import shown


class Attempt:
    """A failed attempt in the words of `tenacity.RetryCallState`, and as its `outcome`.

    Times are seconds since the first attempt began.
    """

    __slots__ = ("attempt_number", "error", "seconds_since_start", "upcoming_sleep")

    failed = True
    start_time = 0.0
    retry_object = fn = next_action = None
    args = ()

    def __init__(self, error: BaseException, number: int, elapsed: float) -> None:
        self.error = error
        self.attempt_number = number
        self.seconds_since_start = elapsed
        self.upcoming_sleep = 0.0

    @property
    def outcome(self) -> Attempt:
        """How it ended."""
        return self

    @property
    def outcome_timestamp(self) -> float:
        """When it ended."""
        return self.seconds_since_start

    def exception(self) -> BaseException:
        """The error that it ended with."""
        return self.error

    def __repr__(self) -> str:
        return f"<attempt {self.attempt_number}: {shown(self.error)}>"
