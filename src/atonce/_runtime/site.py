"""Where in the user's code a task was spawned."""

from __future__ import annotations

import os
import sys
from types import CodeType
from typing import TypeAlias

Site: TypeAlias = tuple[CodeType, int]

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def spawn_site() -> Site:
    """Remember the innermost frame that is not atonce's, unrendered, since few are ever shown."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    return frame.f_code, frame.f_lasti


def shown_site(site: Site) -> str:
    """Say `file:line in function`."""
    code, offset = site
    line = code.co_firstlineno
    for start, end, number in code.co_lines():
        if start <= offset < end:
            line = number or line
            break
    return f"{code.co_filename}:{line} in {code.co_name}"
