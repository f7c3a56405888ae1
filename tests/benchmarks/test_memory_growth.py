"""Tasks leave no memory behind, neither here nor in workers: the slope over many, in a fresh interpreter.

Full size: `python benchmarks/memory_growth.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from memory_growth import PROC, measured

LEAST = 16
"""Bytes of the smallest Python object: whatever is kept for each task takes as much."""


@pytest.mark.skipif(not Path(PROC / "self/statm").exists(), reason="resident memory is read from /proc")
@pytest.mark.parametrize(
    ("way", "items"),
    [
        ("stream on thread", 15_000),
        ("stream on process", 15_000),
        ("spawn on thread", 6_000),
        ("spawn on process", 3_000),
    ],
)
def test_a_task_leaves_nothing_behind(way: str, items: int) -> None:
    here, there = measured(way, items, rounds=15)
    assert here < LEAST
    assert there < LEAST
