"""The label that a recorded failure is counted under, in the words of a receipt."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from typing import Any, Final

from atonce.cli.failure import LABELS

_LONGEST: Final = 60
_WAITED: Final = re.compile(r"(?:no (?:answer|result) in|ended after) (\S+)")


def label_of(err: Mapping[str, Any]) -> str:
    """What failures of this kind are called; few different ones, whatever the messages say.

    >>> label_of({"kind": "http", "type": "HttpStatusError", "msg": "Not Found", "status": 404})
    'HTTP 404'
    >>> label_of({"kind": "timeout", "type": "TaskTimeout", "msg": "no answer in 5s"})
    'timeout after 5s'
    >>> label_of({"kind": "exception", "type": "ValueError", "msg": "not a number: '7x'"})
    'ValueError'
    """
    kind, type_, message = (_text(err.get(name)) for name in ("kind", "type", "msg"))
    why = LABELS.get(_text(err.get("why")))
    if why is not None:
        return why
    match kind:
        case "http" if isinstance(err.get("status"), int):
            return f"HTTP {err['status']}"
        case "timeout":
            waited = _WAITED.fullmatch(message)
            return f"timeout after {waited[1]}" if waited else "timeout"
        case "exit" | "signal":
            return f"{kind} {_number(kind, err.get(kind))}".rstrip()
        case "dns" | "connect":
            return f"{kind}: {_without_parts(message)}" if message else kind
        case "cancelled":
            return "cancelled while running"
        case "lost":
            return "lost: the worker died"
        case "rejected":
            return _without_parts(message) or kind
        case _:
            return (type_ or kind or "unknown")[:_LONGEST]


def _number(kind: str, value: Any) -> str:
    """An exit code, or the name of a signal."""
    if type(value) is not int:
        return ""
    try:
        return signal.Signals(value).name if kind == "signal" else f"{value}"
    except ValueError:
        return f"{value}"


def _without_parts(message: str) -> str:
    """A message without what is of one item alone: quoted parts, addresses, numbers."""
    plain = re.sub(r"(['\"]).*?\1", "...", message)
    plain = re.sub(r"\S*(?:://|\w\.\w)\S*", "...", plain)
    return re.sub(r"\d+", "N", plain)[:_LONGEST]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
