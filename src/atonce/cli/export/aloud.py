"""`--verbose`: each failed attempt as a line on standard error, as it happens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from atonce._runtime.terminal import visible, without_credentials
from atonce.cli.export.exporter import Scene
from atonce.cli.rows.keys import canonical
from atonce.cli.tally import Failure

#: Characters of an item and of a message that a line has at most.
LONGEST: Final = 200


class Aloud:
    """Says what failed, in which attempt of `attempts`, and whether it is tried again."""

    events: tuple[str, ...] = ("task.retry", "task.exception", "row.retry", "row.exception")

    def __init__(self, scene: Scene, say: Callable[[str], None], attempts: int) -> None:
        self._scene = scene
        self._say = say
        self._attempts = attempts
        self._tries: Counter[int] = Counter()

    def event(self, event: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        """One line; of a batch its rows have events of their own."""
        again = event.endswith("retry")
        if event.startswith("row."):
            self._line(metadata["in"], metadata["error"], metadata["try"], again=again)
        elif self._scene.is_item(event, metadata):
            index: int = metadata["index"]
            attempt = self._tries.pop(index, 0) + 1
            if again:
                self._tries[index] = attempt
            item = self._scene.item(index)
            if "rows" not in item:
                self._line(item.get("in", index), metadata["error"], attempt, again=again)

    def _line(self, item: Any, error: BaseException | Failure, attempt: int, *, again: bool) -> None:
        shown = item if isinstance(item, str) else canonical(item)
        name, message = type(error).__name__, str(error)
        if isinstance(error, Failure):
            name, message = error.type, error.message
        text = f"{_cut(shown)}: {name}: {_cut(' '.join(message.split()))}"
        number = f"; attempt {attempt} of {self._attempts}" if self._attempts > 1 else ""
        self._say(visible(f"{text}{number}{', tried again' if again else ''}"))

    def tick(self) -> None:
        """Nothing: lines are said at once."""

    def close(self, why: str) -> None:
        """Nothing is left to say."""


def _cut(text: str) -> str:
    text = without_credentials(text)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
