"""Who wins a race, and when it is over."""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

from atonce._model.outcome import Failed, Ok, Outcome

T = TypeVar("T")
Until = Literal["first_ok", "first_done"]


class Race(Generic[T]):
    """The referee: `contenders` in all, `until` the first `Ok` or the first end of any kind."""

    __slots__ = ("_failed", "contenders", "until", "winner")

    def __init__(self, contenders: int, until: Until) -> None:
        self.contenders = contenders
        self.until = until
        self.winner: Outcome[T] | None = None
        self._failed: dict[int, Failed] = {}

    def ended(self, index: int, outcome: Outcome[T]) -> None:
        """Contender `index` ended; what comes after the decision changes nothing."""
        if self.winner is not None:
            return
        if isinstance(outcome, Ok) or self.until == "first_done":
            self.winner = outcome
        else:
            self._failed[index] = outcome

    def is_over(self) -> bool:
        """Whether there is a winner, or all have failed."""
        return self.winner is not None or len(self._failed) == self.contenders

    def errors(self) -> list[BaseException]:
        """The errors of those that failed, in the order in which they were given."""
        return [self._failed[index].error for index in sorted(self._failed)]
