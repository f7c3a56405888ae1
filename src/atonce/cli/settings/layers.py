"""Settings as layers, the strongest first, and what holds of them; pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, TypeAlias

from atonce.cli.exits import Refusal

VERBS: Final = ("fetch", "map", "run")
_FETCH: Final = ("fetch",)
#: What can be set, and for which verbs: how a run goes, and nothing of what it reads, writes, calls or gives.
SETTABLE: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("jobs", "rate", "delay"), VERBS),
    **dict.fromkeys(("timeout", "retries", "retry-on", "retry-delay", "retry-max-time"), VERBS),
    **dict.fromkeys(("deadline", "fail-fast", "max-errors", "grace"), VERBS),
    **dict.fromkeys(("progress", "quiet", "verbose", "color", "otel"), VERBS),
    **dict.fromkeys(("per-host", "max-bytes", "robots"), _FETCH),
    "executor": ("map",),
}
#: Of each of these only those of one place hold: of the strongest.
RIVALS: Final = (
    frozenset({"rate", "delay"}),
    frozenset({"halt", "fail-fast", "max-errors"}),
    frozenset({"quiet", "verbose"}),
    frozenset({"quiet", "progress"}),
)
#: Who gives one of these wants further attempts: a setting that there are none does not hold.
OF_RETRIES: Final = frozenset({"retry-on", "retry-max-time"})
#: How a flag, or a number of further attempts, is off; what is off excludes nothing.
_OFF: Final = ("0", "f", "false", "n", "no", "off")
PROFILES: Final = "profile"
_LARGEST: Final = 2**63
PREFIX: Final = "ATONCE_"
Value: TypeAlias = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Setting:
    """A value, and where it was found, as a person finds it again."""

    value: Value
    where: str

    @property
    def is_off(self) -> bool:
        """Whether it says that something is not to be."""
        return str(self.value).strip().lower() in _OFF


#: The settings of one place, by the long names of options.
Layer: TypeAlias = Mapping[str, Setting]


def chosen(given: Collection[str], layers: Iterable[Layer]) -> dict[str, Setting]:
    """What holds beside the options that are `given`: of each name the strongest, and of rivals too."""
    found: dict[str, Setting] = {}
    for layer in layers:
        settled = {*given, *(name for name, setting in found.items() if not setting.is_off)}
        for name, setting in layer.items():
            is_taken = name in given or name in found or not settled.isdisjoint(rivals_of(name))
            if not (is_taken or _is_outdone(name, setting, given)):
                found[name] = setting
    return found


def rivals_of(name: str) -> set[str]:
    """What cannot hold together with a setting."""
    return {one for group in RIVALS if name in group for one in group} - {name}


def _is_outdone(name: str, setting: Setting, given: Collection[str]) -> bool:
    return name == "retries" and setting.is_off and not OF_RETRIES.isdisjoint(given)


def of_environment(environ: Mapping[str, str], verb: str) -> Layer:
    """`ATONCE_JOBS=8` and the like; one that is empty is not there."""
    return {
        name: Setting(environ[variable], variable)
        for name, variable in variables(verb)
        if environ.get(variable)
    }


def variables(verb: str) -> Iterator[tuple[str, str]]:
    """What can be set for a verb, and the variable that does it."""
    for name, verbs in SETTABLE.items():
        if verb in verbs:
            yield name, PREFIX + name.upper().replace("-", "_")


def of_table(table: Mapping[str, Any], title: str, verb: str, profile: str | None) -> list[Layer]:
    """The layers of a file for a verb: its profile's, then its own, of both the verb's own table first.

    `title` is how a message names the table. All of it is checked, for other verbs and profiles too.
    """
    plain = _layers(table, title, verb, is_profile=False)
    profiles = {
        name: _layers(inner, f"{title} {PROFILES}.{name}", verb, is_profile=True)
        for name, inner in _tables(table.get(PROFILES, {}), f"{title} {PROFILES}")
    }
    return [*(() if profile is None else profiles.get(profile, ())), *plain]


def profiles_of(table: Mapping[str, Any]) -> list[str]:
    """The names of the profiles that a file has, whose table has been checked."""
    return list(table.get(PROFILES, {}))


def no_profile(name: str, known: Collection[str]) -> Refusal:
    """Why a profile cannot be had."""
    near = get_close_matches(name, known, n=1)
    there = f"there are {', '.join(known)}" if known else "no file has one"
    return Refusal(
        f"there is no profile {name!r}" + (f". Did you mean {near[0]!r}?" if near else f": {there}")
    )


def _layers(table: Mapping[str, Any], title: str, verb: str, *, is_profile: bool) -> list[Layer]:
    shared = {
        name: _setting(name, value, title)
        for name, value in table.items()
        if name not in VERBS and (is_profile or name != PROFILES)
    }
    of_verbs: dict[str, Layer] = {}
    for name, inner in _tables({one: table[one] for one in VERBS if one in table}, title):
        where = f"{title} {name}"
        of_verbs[name] = {key: _setting(key, value, where, name) for key, value in inner.items()}
    kept = {name: setting for name, setting in shared.items() if verb in SETTABLE[name]}
    return [of_verbs.get(verb, {}), kept]


def _tables(table: Any, title: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not isinstance(table, Mapping):
        raise Refusal(f"{title} is a table of settings, not {_shown(table)}")
    for name, inner in table.items():
        if not isinstance(inner, Mapping):
            raise Refusal(f"{title}: {name} is a table of settings, not {_shown(inner)}")
        yield name, inner


def _setting(name: str, value: Any, where: str, verb: str | None = None) -> Setting:
    """One setting; a name that is none, or a value of a kind that none has, is a mistake."""
    if name not in SETTABLE:
        near = get_close_matches(name, SETTABLE, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(SETTABLE)}"
        raise Refusal(f"{where}: {name} is nothing that can be set: {hint}")
    if verb is not None and verb not in SETTABLE[name]:
        raise Refusal(f"{where}: {name} is for {' and '.join(SETTABLE[name])} alone")
    if not isinstance(value, (str, int, float)):
        raise Refusal(f"{where}: {name} is a text, a number, true or false, not {_shown(value)}")
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise Refusal(f"{where}: {name} is a larger number than TOML has")
    if name == "jobs" and isinstance(value, str) and value.startswith("@"):
        raise Refusal(f"{where}: jobs is no file here: give -j @FILE on the command line")
    return Setting(value, f"{where}: {name}")


def _shown(value: object) -> str:
    """A value as a message has it; it may be anything that a file can say."""
    try:
        text = repr(value)
    except ValueError:  # Python does not write out the largest numbers
        return "what it has"
    return text if len(text) <= 60 else f"{text[:60]}..."
