"""Keys: items are named by their content, so that a row keeps its name when others come, go or move."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

_DIGEST: Final = 8
#: A digest is in the part that its first 12 bits say.
_PARTS: Final = 4_096


def canonical(row: Any) -> str:
    """The text that stands for a row: a line is itself, what has parts is JSON in one fixed way.

    >>> canonical("a line"), canonical({"b": 1, "a": 2})
    ('a line', '{"a":2,"b":1}')
    """
    if isinstance(row, str):
        return row
    return json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


class KeySet:
    """A set of keys in little memory: about 8 bytes each."""

    __slots__ = ("_count", "_parts", "_repeated")

    def __init__(self) -> None:
        self._parts: list[bytearray] = [bytearray() for _ in range(_PARTS)]
        self._repeated: set[str] = set()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: str) -> bool:
        if len(key) != 2 * _DIGEST:
            return key in self._repeated
        digest = bytes.fromhex(key)
        return _place(self._parts[digest[0] << 4 | digest[1] >> 4], digest[1:]) >= 0

    def add(self, key: str) -> None:
        """Put a key in; safe to repeat."""
        if len(key) == 2 * _DIGEST:
            self.put(bytes.fromhex(key))
        elif key not in self._repeated:
            self._repeated.add(key)
            self._count += 1

    def discard(self, key: str) -> None:
        """Take a key out, if it is there."""
        if key not in self:
            return
        self._count -= 1
        if len(key) != 2 * _DIGEST:
            self._repeated.discard(key)
            return
        digest = bytes.fromhex(key)
        part = self._parts[digest[0] << 4 | digest[1] >> 4]
        at = _place(part, digest[1:])
        del part[at : at + _DIGEST - 1]

    def put(self, digest: bytes) -> bool:
        """Put the key of a digest in; False when it is there."""
        part, tail = self._parts[digest[0] << 4 | digest[1] >> 4], digest[1:]
        if part.find(tail) >= 0 and _place(part, tail) >= 0:
            return False
        part += tail
        self._count += 1
        return True


def _place(part: bytearray, tail: bytes) -> int:
    """Where `tail` stands among entries of its size; -1 when it does not."""
    width = len(tail)
    at = part.find(tail)
    while at >= 0 and at % width:
        at = part.find(tail, at + 1)
    return at


class Keys:
    """Gives each item of a run its key: a hash of its content, and its number among equal ones ("a41f09c2e1b04d77-2").

    The numbers follow the order of the input. It remembers all items, as `KeySet` does.
    """

    def __init__(self) -> None:
        from hashlib import sha256  # slow to import, and for those who need keys alone

        self._hash = sha256
        self._seen = KeySet()
        self._repeated: dict[bytes, int] = {}

    def of(self, item: str) -> str:
        """The key of the next item."""
        digest = self._hash(item.encode("utf-8", "surrogatepass")).digest()[:_DIGEST]
        if self._seen.put(digest):
            return digest.hex()
        count = self._repeated[digest] = self._repeated.get(digest, 1) + 1
        return f"{digest.hex()}-{count}"

    def of_all(self, items: Sequence[str]) -> list[str]:
        """The keys of the next items."""
        return list(map(self.of, items))
