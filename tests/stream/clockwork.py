"""A loop with virtual time and a seeded schedule that also counts its turns and says when it is about to wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from atonce.testing import VirtualTimeLoop

T = TypeVar("T")


class Clockwork(VirtualTimeLoop):
    """What laws about time need to see: `turns`, a call before each wait, and what is left over."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(seed)
        self.turns = 0
        self.on_turn: Callable[[int], None] | None = None
        self.before_waiting: Callable[[], None] | None = None
        selector: Any = self._selector  # type: ignore[attr-defined]  # asyncio's own: where a loop waits
        wait = selector.select

        def select(timeout: float | None = None) -> Any:
            if self.before_waiting is not None and (timeout is None or timeout > 0):
                self.before_waiting()
            return wait(timeout)

        selector.select = select

    def _run_once(self) -> None:
        self.turns += 1
        if self.on_turn is not None:
            self.on_turn(self.turns)
        super()._run_once()

    def leftovers(self) -> list[str]:
        """Tasks, timers and calls that are still there, the current task apart."""
        tasks = asyncio.all_tasks(self) - {asyncio.current_task(self)}
        timers = [one for one in self._scheduled if not one.cancelled()]  # type: ignore[attr-defined]  # its timer heap
        calls = [one for one in self._ready if not one.cancelled()]  # type: ignore[attr-defined]  # its ready queue
        return [repr(one) for one in (*tasks, *timers, *calls)]


def run(main: Callable[[Clockwork], Coroutine[Any, Any, T]], seed: int | None = None) -> T:
    """Run `main(loop)` in virtual time under the schedule of `seed`."""
    with asyncio.Runner(loop_factory=lambda: Clockwork(seed)) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, Clockwork)
        return runner.run(main(loop))
