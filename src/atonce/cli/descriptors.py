"""How many connections this process may have open at a time."""

from __future__ import annotations

#: Descriptors that the program needs beside its connections.
OTHERS = 64


def room_for(connections: int) -> int:
    """Raise the soft limit where that is allowed, and give how many of `connections` there is room for."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OTHERS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    except (OSError, ValueError):
        raised = soft
    return max(1, min(connections, raised - OTHERS))
