"""The two faces are one: the same names, the same options, the same words."""

from __future__ import annotations

import inspect
import sys
from types import ModuleType
from typing import Any

import pytest

import atonce
import atonce.blocking

NAMES = sorted(set(atonce.__all__) | set(atonce.blocking.__all__))
VERBS = [name for name in NAMES if inspect.isfunction(getattr(atonce, name))]
WAITS = [name for name in VERBS if inspect.iscoroutinefunction(getattr(atonce, name))]
#: `capture` takes an awaitable where there is one, and a call where there is none.
SAME_CALL = [name for name in VERBS if name != "capture"]


def test_both_faces_have_the_same_names() -> None:
    assert sorted(atonce.__all__) == sorted(atonce.blocking.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_there_on_both_faces(name: str) -> None:
    assert getattr(atonce, name) is not None
    assert getattr(atonce.blocking, name) is not None


@pytest.mark.parametrize("face", [atonce, atonce.blocking])
def test_dir_shows_every_public_name(face: ModuleType) -> None:
    for name in face.__all__:
        getattr(face, name)
    assert set(face.__all__) <= set(dir(face))


@pytest.mark.parametrize("face", [atonce, atonce.blocking])
def test_a_name_that_is_not_there_is_an_attribute_error(face: ModuleType) -> None:
    with pytest.raises(AttributeError, match="no_such_verb"):
        face.no_such_verb  # noqa: B018  # asking is the test


@pytest.mark.parametrize("name", SAME_CALL)
def test_a_verb_has_the_same_parameters_on_both_faces(name: str) -> None:
    here, there = inspect.signature(getattr(atonce, name)), inspect.signature(getattr(atonce.blocking, name))
    assert list(here.parameters.values()) == list(there.parameters.values())


@pytest.mark.parametrize("name", SAME_CALL)
def test_a_verb_has_the_same_docstring_on_both_faces(name: str) -> None:
    assert getattr(atonce, name).__doc__ == getattr(atonce.blocking, name).__doc__


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_knows_its_name_on_both_faces(name: str) -> None:
    assert getattr(atonce, name).__name__ == getattr(atonce.blocking, name).__name__ == name


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_says_what_it_does(name: str) -> None:
    doc = getattr(atonce, name).__doc__
    assert doc
    assert doc.splitlines()[0].endswith((".", ":", ";"))


@pytest.mark.parametrize("name", VERBS)
def test_no_verb_of_the_blocking_face_is_a_coroutine_function(name: str) -> None:
    assert not inspect.iscoroutinefunction(getattr(atonce.blocking, name))


@pytest.mark.parametrize("name", NAMES)
def test_values_and_errors_are_the_same_objects_on_both_faces(name: str) -> None:
    here, there = getattr(atonce, name), getattr(atonce.blocking, name)
    if name not in VERBS and name not in ("scope", "Stream", "Agent", "Server", "Supervisor"):
        assert here is there


@pytest.mark.parametrize("name", ["scope", "Stream", "Agent", "Server", "Supervisor"])
def test_blocks_and_streams_have_the_same_public_methods(name: str) -> None:
    def methods(cls: Any) -> set[str]:
        return {one for one in dir(cls) if not one.startswith("_")}

    here, there = methods(getattr(atonce, name)), methods(getattr(atonce.blocking, name))
    if name == "Stream":
        assert here - {"aclose"} == there - {"close"}
    assert ("close" in there) == (name == "Stream")


@pytest.mark.parametrize("name", ["values", "succeeded", "failed", "statistics"])
def test_the_methods_of_streams_have_the_same_parameters(name: str) -> None:
    here, there = getattr(atonce.Stream, name), getattr(atonce.blocking.Stream, name)
    assert list(inspect.signature(here).parameters) == list(inspect.signature(there).parameters)


def test_scopes_take_the_same_options() -> None:
    assert inspect.signature(atonce.scope).parameters == inspect.signature(atonce.blocking.scope).parameters


def test_importing_the_core_does_not_import_what_is_optional() -> None:
    import subprocess

    program = "import atonce, atonce.blocking, sys; print(sorted({'aiohttp', 'click', 'rich', 'httpx'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.strip() == "[]"


def test_importing_the_blocking_face_starts_no_thread() -> None:
    import subprocess

    program = "import atonce.blocking, threading; print(threading.active_count())"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.strip() == "1"
