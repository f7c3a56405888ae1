"""Finding the processes that a test has started, whoever their parent is."""

from __future__ import annotations

import psutil


def marked_with(mark: str) -> list[psutil.Process]:
    """The processes, whoever their parent is, that were started with `mark` in their environment."""
    found = psutil.process_iter(["environ"])
    return [one for one in found if (one.info["environ"] or {}).get("ATONCE_TEST_MARK") == mark]
