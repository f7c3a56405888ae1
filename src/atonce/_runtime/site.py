"""Where in the user's code a task was spawned."""

from __future__ import annotations

import os
from contextvars import ContextVar
from functools import lru_cache
from types import CodeType, FrameType
from typing import TypeAlias

Site: TypeAlias = tuple[CodeType, int]

OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


#: Where a call through the private loop came from; set by the portal, which makes the call in another thread.
site_var: ContextVar[Site | None] = ContextVar("atonce_site", default=None)


def site_of(frame: FrameType) -> Site:
    """The innermost frame, from `frame` outwards, that is not atonce's own; unrendered, since few are ever shown."""
    code = frame.f_code
    if not code.co_filename.startswith(OURS):
        return code, frame.f_lasti
    called_from = site_var.get()
    if called_from is not None:
        return called_from
    outer: FrameType | None = frame
    while outer is not None and outer.f_code.co_filename.startswith(OURS):
        frame, outer = outer, outer.f_back
    found = outer or frame
    return found.f_code, found.f_lasti


@lru_cache(maxsize=256)
def shown_site(site: Site) -> str:
    """Say `file:line in function`."""
    code, offset = site
    line = code.co_firstlineno
    for start, end, number in code.co_lines():
        if start <= offset < end:
            line = number or line
            break
    return f"{code.co_filename}:{line} in {code.co_name}"
