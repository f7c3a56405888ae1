"""Values that leave a server are the receiver's own: a copy, unless nobody could ever change them."""

from __future__ import annotations

from copy import deepcopy
from types import BuiltinFunctionType, EllipsisType, FunctionType, NoneType
from typing import Any

_FIXED = frozenset(
    {
        int,
        float,
        complex,
        bool,
        str,
        bytes,
        range,
        type,
        NoneType,
        EllipsisType,
        FunctionType,
        BuiltinFunctionType,
    }
)


def handed_out(value: Any) -> Any:
    """Give `value` itself when it cannot change (numbers, text, bytes, None, tuples of them), else a deep copy.

    Raises whatever `copy.deepcopy` raises for something that cannot be copied.
    """
    kind = type(value)
    if kind in _FIXED:
        return value
    if (kind is tuple or kind is frozenset) and all(type(one) in _FIXED for one in value):
        return value
    return deepcopy(value)
