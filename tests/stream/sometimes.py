"""What a suite of random runs must have reached at least once; without this it rots silently."""

from __future__ import annotations

from collections import Counter


class Sometimes:
    """Counts how often each of `labels` was reached, and fails for those that never were."""

    def __init__(self, *labels: str) -> None:
        self.labels = frozenset(labels)
        self.seen: Counter[str] = Counter()

    def reached(self, label: str, when: object = True) -> None:
        """Count `label`, if `when` is true."""
        assert label in self.labels, f"{label!r} is not among the labels"
        if when:
            self.seen[label] += 1

    def check(self) -> None:
        """Fail unless every label was reached."""
        never = sorted(self.labels - set(self.seen))
        assert not never, f"never reached over all runs: {never}; reached: {dict(self.seen)}"
