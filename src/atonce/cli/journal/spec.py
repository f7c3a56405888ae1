"""`Spec`: what decides about the results of a run, told apart from another, and the difference shown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spec:
    """A verb and what shapes its results: `does` is that as words of a command line, without secrets."""

    verb: str
    does: tuple[str, ...]

    @property
    def hash(self) -> str:
        """The same for the same results, another one for others."""
        import hashlib  # slow to import, and for what keeps a journal alone

        text = json.dumps([self.verb, *self.does])
        return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"

    def __str__(self) -> str:
        return " ".join([self.verb, *self.does])


def spec_of(verb: str, first: Sequence[str] = (), options: Mapping[str, object] = {}) -> Spec:
    """Make one: `first` are the words after the verb; options that are None, False or empty do not count.

    >>> str(spec_of("map", ["geo:locate"], {"--arg": "name", "--kwargs": False}))
    'map geo:locate --arg name'
    """
    words = list(first)
    for name in sorted(options):
        value = options[name]
        values = value if isinstance(value, (list, tuple)) else [value]
        for one in values:
            if one is True:
                words.append(name)
            elif one is not None and one is not False:
                words += [name, str(one)]
    return Spec(verb, tuple(words))


def difference(old: Mapping[str, object], new: Spec) -> list[str]:
    """What is different between the head of a journal and a spec, in lines to show; nothing when it is the same.

    >>> difference({"spec": "sha256:0", "cmd": "map", "does": ["geo:locate"]}, spec_of("map", ["geo:find"]))
    ['- map geo:locate', '+ map geo:find']
    """
    if old.get("spec") == new.hash:
        return []
    return list(_shown(old, new))


def _shown(old: Mapping[str, object], new: Spec) -> Iterator[str]:
    does = old.get("does")
    words = [str(one) for one in does] if isinstance(does, list) else [str(old.get("spec"))]
    yield " ".join(["-", str(old.get("cmd")), *words])
    yield f"+ {new}"
