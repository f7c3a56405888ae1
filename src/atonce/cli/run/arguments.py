"""What stands behind `:::` and its like on the command line, and the items that it comes to; pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, Final

#: What is behind a mark: items or names of files that have them, joined with each of the others or side by side.
_MARKS: Final = {":::": (False, False), ":::+": (False, True), "::::": (True, False), "::::+": (True, True)}


def split(
    words: Sequence[str], lines_of: Callable[[str], Sequence[str]]
) -> tuple[list[str], list[Any] | None, int]:
    """A command line as the words of the command, the items behind it (None without a mark), and how many sources.

    The items of one source are strings, those of several are lists: each with each after `:::`, side by side after
    `:::+` (as many as the shortest has). Each word behind `::::` and `::::+` is a file, whose lines are a source.

    >>> split(["cp", ":::", "a", "b", ":::", "x", "y", ":::+", "1", "2"], list)[1]
    [['a', 'x', '1'], ['a', 'y', '2'], ['b', 'x', '1'], ['b', 'y', '2']]
    >>> split(["gzip", "-t", "::::", "names"], {"names": ["a.gz", "b.gz"]}.__getitem__)
    (['gzip', '-t'], ['a.gz', 'b.gz'], 1)
    >>> split(["gzip", "-t"], list)
    (['gzip', '-t'], None, 1)
    """
    marks = [at for at, word in enumerate(words) if word in _MARKS]
    if not marks:
        return list(words), None, 1
    groups: list[list[Sequence[str]]] = []
    for at, end in zip(marks, [*marks[1:], len(words)], strict=True):
        are_files, is_linked = _MARKS[words[at]]
        behind = words[at + 1 : end]
        for source in [lines_of(name) for name in behind] if are_files else [behind]:
            if is_linked and groups:
                groups[-1].append(source)
            else:
                groups.append([source])
    command = list(words[: marks[0]])
    count = sum(map(len, groups))
    if count == 1:
        return command, list(groups[0][0]), 1
    linked = [list(zip(*group, strict=False)) for group in groups]
    return command, [[one for part in parts for one in part] for parts in product(*linked)], count


def with_tag_spelled_out(args: Sequence[str], takes_value: Sequence[str]) -> list[str]:
    """The program's own options with a bare `--tag` as `--tag={}`; `takes_value` are the options that have a value.

    >>> with_tag_spelled_out(["-j", "4", "--tag", "echo", "--tag"], ["-j"])
    ['-j', '4', '--tag={}', 'echo', '--tag']
    """
    found = list(args)
    at = 0
    while at < len(found) and found[at].startswith("-") and found[at] not in ("-", "--"):
        word = found[at]
        if word == "--tag":
            found[at] = "--tag={}"
        elif word.startswith("--"):
            at += word in takes_value
        else:
            at += _ends_in_name(word, takes_value)
        at += 1
    return found


def _ends_in_name(word: str, takes_value: Sequence[str]) -> bool:
    """Whether the value of the last short option in a word (`-kj`) is the next word."""
    for at, letter in enumerate(word[1:], 2):
        if f"-{letter}" in takes_value:
            return at == len(word)
    return False
