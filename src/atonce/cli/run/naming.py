"""Names of the folders that `--results` makes: readable, harmless, and the same for the same row; pure."""

from __future__ import annotations

import re
from typing import Final

_OTHER: Final = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST: Final = 60


def folder_name(text: str, key: str) -> str:
    """The folder of an item with this key.

    >>> folder_name("../a b/c.txt", "3f2a"), folder_name("", "3f2a")
    ('a_b_c.txt-3f2a', 'item-3f2a')
    """
    readable = _OTHER.sub("_", text).strip("._-")[:_LONGEST]
    return f"{readable or 'item'}-{key}"
