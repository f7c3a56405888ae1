"""What runs in a process, as a frozen tree, and its two pictures: indented text, and Mermaid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

#: Characters that mean nothing in a Mermaid label between double quotes; all others are written by their number.
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ._-:/(),'=")
#: Seconds from which on an age is told in the next larger unit, with how many seconds that has.
_UNITS = ((172_800.0, 86_400.0, "d"), (7_200.0, 3_600.0, "h"), (120.0, 60.0, "m"))


@dataclass(frozen=True, slots=True)
class Node:
    """One thing that runs, and what it runs: a task, a stream, a supervisor, ...

    `age` is seconds since it began, None where nobody counts; `site` says where in the user's code it was spawned.
    """

    kind: str
    name: str
    state: str = ""
    age: float | None = None
    restarts: int = 0
    detail: str = ""
    site: str = ""
    children: tuple[Node, ...] = field(default=(), repr=False)

    @property
    def label(self) -> str:
        """What is told of it in one line, whatever its name contains."""
        restarts = "" if not self.restarts else f"{self.restarts} restart{'s' * (self.restarts > 1)}"
        state = self.state if self.age is None else f"{self.state} {shown_age(self.age)}".lstrip()
        parts = (f"{self.kind} {self.name}".rstrip(), state, restarts, self.detail, self.site)
        return "  ".join(printable(part) for part in parts if part)

    def walk(self) -> Iterator[Node]:
        """Itself and all below it, each before its children."""
        todo: list[Node] = [self]
        while todo:
            node = todo.pop()
            yield node
            todo.extend(reversed(node.children))


@dataclass(frozen=True, slots=True)
class Tree:
    """What `tree()` gives: `str()` of it is indented text, one line a node; `mermaid()` is a flowchart."""

    root: Node

    def walk(self) -> Iterator[Node]:
        """All nodes, each before its children."""
        return self.root.walk()

    def find(self, name: str) -> list[Node]:
        """The nodes of that name."""
        return [node for node in self.walk() if node.name == name]

    def __str__(self) -> str:
        lines = [self.root.label]
        todo = [(child, "", child is self.root.children[-1]) for child in reversed(self.root.children)]
        while todo:
            node, indent, is_last = todo.pop()
            lines.append(f"{indent}{'└─ ' if is_last else '├─ '}{node.label}")
            below = indent + ("   " if is_last else "│  ")
            last = len(node.children) - 1
            todo.extend((node.children[i], below, i == last) for i in range(last, -1, -1))
        return "\n".join(lines)

    def mermaid(self) -> str:
        """A flowchart in Mermaid's language, which GitHub and Jupyter draw; nothing in a name is taken for it."""
        lines = ["flowchart LR"]
        todo: list[tuple[Node, int | None]] = [(self.root, None)]
        number = 0
        while todo:
            node, parent = todo.pop()
            lines.append(f'    n{number}["{_escaped(node.label)}"]')
            if parent is not None:
                lines.append(f"    n{parent} --> n{number}")
            todo.extend((child, number) for child in reversed(node.children))
            number += 1
        return "\n".join(lines)


def shown_age(seconds: float) -> str:
    """Seconds in the largest unit of which there are two: `0.2s`, `90s`, `12m`, `3h`, `2d`."""
    for beginning, size, unit in _UNITS:
        if seconds >= beginning:
            return f"{int(seconds / size)}{unit}"
    return f"{seconds:.1f}s" if seconds < 10 else f"{int(seconds)}s"


def printable(text: str) -> str:
    """The text in one line that any terminal shows: what has no picture of its own is written as an escape."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _escaped(text: str) -> str:
    return "".join(one if one in _PLAIN else f"#{ord(one)};" for one in text)
