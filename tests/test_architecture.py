"""The laws of the house hold for src/atonce, and each law can be broken."""

from __future__ import annotations

import gc
import textwrap
from collections.abc import Callable

import pytest

from tests import architecture as law
from tests.architecture import ROOT, Module

ROOMS = law.load()
OUTSIDE = {
    path.as_posix(): Module(path.relative_to(ROOT).as_posix(), path.stem, path.read_text(encoding="utf-8"))
    for folder in ("tests", "examples", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
}
MARKDOWN = ROOT / "ARCHITECTURE.md"

LAWS = [
    law.unknown_rooms,
    law.import_cycles,
    law.concrete_backends,
    law.impure_policies,
    law.vague_names,
    law.long_files,
    law.long_functions,
    law.deep_functions,
    law.waivers_without_reason,
    law.unfinished_work,
]


@pytest.fixture(scope="module", autouse=True)
def _parsed() -> None:
    """All is parsed once, and not gone through again by the collection after each test."""
    for module in (*ROOMS.values(), *OUTSIDE.values()):
        _ = module.tree
    gc.freeze()


def assert_none(findings: list[str]) -> None:
    """Fail with one finding a line."""
    if findings:
        pytest.fail("\n".join(findings), pytrace=False)


# -- the house ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_src_keeps_the_law_against(law: Callable[[dict[str, Module]], list[str]]) -> None:
    assert ROOMS
    assert_none(law(ROOMS))


def test_imports_go_down_or_along_an_edge_that_architecture_md_names() -> None:
    allowed = law.allowed_edges(MARKDOWN.read_text(encoding="utf-8"))
    assert_none(law.wrong_imports(ROOMS, allowed))


def test_every_edge_that_architecture_md_names_is_in_the_code() -> None:
    allowed = law.allowed_edges(MARKDOWN.read_text(encoding="utf-8"))
    assert_none(law.stale_edges(ROOMS, allowed))


def test_the_face_has_few_public_names() -> None:
    assert_none(law.too_many_names(ROOMS["__init__"]))


@pytest.mark.parametrize(
    "law", [law.waivers_without_reason, law.unfinished_work], ids=lambda law: law.__name__
)
def test_code_beside_src_keeps_the_law_against(law: Callable[[dict[str, Module]], list[str]]) -> None:
    assert_none(law(OUTSIDE))


# -- each law can be broken ---------------------------------------------------------------------------------------


def house(**files: str) -> dict[str, Module]:
    """A made-up package: `_verbs__race="import x"` is src/atonce/_verbs/race.py; `__init__` is the face."""
    rooms = {}
    for key, text in files.items():
        room = key if key.startswith("__") else key[0] + key[1:].replace("__", "/")
        name = f"{room}/__init__.py" if room in {"_model", "_verbs", "http"} else f"{room}.py"
        rooms[room] = Module(name, room, textwrap.dedent(text))
    return rooms


@pytest.mark.parametrize(
    "statement",
    [
        "from atonce._verbs.task import Task",
        "from atonce._verbs import task",
        "import atonce._verbs.task as task",
        "from .._verbs import task",
        "from .._verbs.task import Task",
        "def later():\n    from atonce._verbs import task",
        "if TYPE_CHECKING:\n    from atonce._verbs.task import Task",
        "importlib.import_module('atonce._verbs.task')",
    ],
)
def test_an_import_from_a_higher_floor_is_found_however_it_is_written(statement: str) -> None:
    rooms = house(_verbs__task="", _model__call=f"\n{statement}\n")
    [finding] = law.wrong_imports(rooms, set())
    assert finding.startswith("_model/call.py:")
    assert "_verbs/task from a higher floor" in finding


def test_an_import_from_a_lower_floor_or_from_elsewhere_is_allowed() -> None:
    text = "import asyncio\nfrom atonce._model.call import Call\nfrom .._model import call\nimport atoncely"
    assert law.wrong_imports(house(_model__call="", _verbs__task=text), set()) == []


def test_a_same_floor_import_needs_its_edge_and_the_message_shows_it() -> None:
    rooms = house(_verbs__task="", _verbs__race="from .task import Task")
    [finding] = law.wrong_imports(rooms, set())
    assert finding.startswith("_verbs/race.py:1: ")
    assert "`_verbs/race -> _verbs/task`" in finding
    assert law.wrong_imports(rooms, {("_verbs/race", "_verbs/task")}) == []
    assert law.wrong_imports(rooms, {("_verbs/task", "_verbs/race")}) != []


def test_rooms_of_the_top_floor_and_package_files_need_edges_too() -> None:
    rooms = house(
        http="", _verbs__task="", cli__main="import atonce.http", _verbs="from atonce._verbs.task import Task"
    )
    assert law.same_floor_edges(rooms) == {("cli/main", "http"), ("_verbs", "_verbs/task")}
    assert len(law.wrong_imports(rooms, set())) == 2


@pytest.mark.parametrize("statement", ["import atonce", "from atonce import spawn", "from .. import spawn"])
def test_nobody_inside_may_import_the_face(statement: str) -> None:
    [finding] = law.wrong_imports(house(__init__="", cli__main=statement), set())
    assert finding.startswith("cli/main.py:1: imports atonce itself")


def test_the_face_may_import_what_it_shows() -> None:
    rooms = house(
        __init__="from ._verbs.task import Task\nfrom atonce._model import call",
        _verbs__task="",
        _model__call="",
    )
    assert law.wrong_imports(rooms, set()) == []


def test_a_room_that_the_house_does_not_know_is_found() -> None:
    [finding] = law.unknown_rooms(house(_model__call="", _attic__box=""))
    assert "'_attic/box'" in finding


def test_circles_are_found_through_functions_and_typing_imports() -> None:
    rooms = house(
        _verbs__one="from ._nothing import x\nfrom .two import x",
        _verbs__two="if TYPE_CHECKING:\n    from .three import x",
        _verbs__three="def f():\n    from .one import x",
    )
    [finding] = law.import_cycles(rooms)
    assert finding.startswith("_verbs/one.py:2: ")
    assert "_verbs/one -> _verbs/two -> _verbs/three -> _verbs/one" in finding


def test_a_diamond_is_no_circle() -> None:
    rooms = house(
        _verbs__a="from . import b, c", _verbs__b="from . import d", _verbs__c="from . import d", _verbs__d=""
    )
    assert law.import_cycles(rooms) == []


def test_a_verb_may_know_the_contract_and_the_chooser_and_no_backend() -> None:
    rooms = house(
        _backends__contract="",
        _backends__choose="",
        _backends__loop="",
        _verbs__task="from .._backends import contract, choose\nfrom .._backends.loop import LoopBackend",
    )
    [finding] = law.concrete_backends(rooms)
    assert finding.startswith("_verbs/task.py:2: ")


@pytest.mark.parametrize("name", ["asyncio", "threading", "time", "random", "contextvars"])
def test_a_policy_that_imports_time_or_dice_or_concurrency_is_found(name: str) -> None:
    rooms = house(_policy__window=f"def f():\n    from {name} import x", _runtime__clock=f"import {name}")
    [finding] = law.impure_policies(rooms)
    assert finding.startswith("_policy/window.py:2: ")


@pytest.mark.parametrize(
    "room", ["_verbs__utils", "_core__task", "_model__base", "http__helpers", "_runtime___misc"]
)
def test_a_vague_name_is_found(room: str) -> None:
    assert law.vague_names(house(**{room: ""}))
    assert not law.vague_names(house(_model__baseline=""))


def test_a_file_may_have_400_lines() -> None:
    assert law.long_files(house(_model__call="x = 1\n" * 400)) == []
    assert law.long_files(house(_model__call="x = 1\n" * 401))


def test_a_function_may_have_45_lines_besides_its_docstring() -> None:
    body = '    """One.\n\n    Two.\n    """\n' + "    x = 1\n" * 44
    assert law.long_functions(house(_model__call=f"def f():\n{body}")) == []
    [finding] = law.long_functions(house(_model__call=f"class A:\n  async def f():\n{body}    x = 1\n"))
    assert finding.startswith("_model/call.py:2: f has 46 lines")


def test_blocks_may_stand_three_deep() -> None:
    three = """
        def f():
            for x in y:
                with x:
                    if x:
                        pass
                    elif y:
                        z = [a for a in b if c]
                    else:
                        def g():
                            while True:
                                pass
    """
    assert law.deep_functions(house(_model__call=three)) == []


@pytest.mark.parametrize(
    "innermost",
    [
        "if x:\n    pass",
        "try:\n    x\nfinally:\n    y",
        "match x:\n    case 1:\n        pass",
        "async with x:\n    pass",
    ],
)
def test_blocks_may_not_stand_four_deep(innermost: str) -> None:
    text = "async def f():\n for x in y:\n  while x:\n   if a:\n    pass\n   else:\n" + textwrap.indent(
        innermost, "    "
    )
    [finding] = law.deep_functions(house(_model__call=text))
    assert "f is nested 4 deep" in finding
    assert finding.startswith("_model/call.py:7: ")


WAIVERS = [
    "# type: ignore",
    "# type: ignore[arg-type]",
    "# noqa",
    "# noqa: B036, S110",
    "# ruff: noqa: E501",
    "# pragma: no cover",
    "# pyright: ignore[reportAny]",
    "# type: ignore[x]  # pyright: ignore[y]",
    "# mypy: ignore-errors",
]


@pytest.mark.parametrize("waiver", WAIVERS)
def test_a_waiver_needs_a_reason(waiver: str) -> None:
    [finding] = law.waivers_without_reason(house(_model__call=f"x = 1\ny = 2  {waiver}\n"))
    assert finding.startswith("_model/call.py:2: ")
    assert law.waivers_without_reason(house(_model__call=f"y = 2  {waiver}  # the stub is wrong\n")) == []


def test_words_that_only_look_like_waivers_are_left_alone() -> None:
    assert law.waivers_without_reason(house(_model__call="x = '# noqa'  # a string\n")) == []


@pytest.mark.parametrize("word", ["TODO", "FIXME"])
def test_unfinished_work_is_found_in_comments(word: str) -> None:
    assert law.unfinished_work(house(_model__call=f"x = 1  # {word}: more\n"))
    assert law.unfinished_work(house(_model__call=f"x = '{word}'\n")) == []


def test_the_face_shows_at_most_60_names() -> None:
    names = [f"name{n}" for n in range(61)]
    assert law.too_many_names(house(__init__=f"__all__ = {names[:60]}")["__init__"]) == []
    assert law.too_many_names(house(__init__=f"__all__ = {names}")["__init__"])
    assert law.too_many_names(house(__init__="x = 1")["__init__"])


def test_without_a_list_the_face_shows_what_it_imports_by_its_own_name() -> None:
    text = "from a import b as b, C as scope, d, e as _e\nfrom f import g"
    assert law.public_names(house(__init__=text)["__init__"]) == ["b", "scope"]


def test_edges_are_read_from_one_fenced_block() -> None:
    text = "# House\n```\na -> b\n```\n```edges\n_verbs/race -> _verbs/task\n\n_verbs/x -> _verbs/y\n```\n"
    assert law.allowed_edges(text) == {("_verbs/race", "_verbs/task"), ("_verbs/x", "_verbs/y")}
    with pytest.raises(ValueError, match="one fenced block"):
        law.allowed_edges("# House\n")
    with pytest.raises(ValueError, match="is written"):
        law.allowed_edges("```edges\n_verbs/race imports _verbs/task\n```\n")


def test_an_edge_that_the_code_no_longer_has_is_found() -> None:
    rooms = house(_verbs__task="", _verbs__race="from .task import Task")
    [finding] = law.stale_edges(rooms, {("_verbs/race", "_verbs/task"), ("_verbs/race", "_verbs/gone")})
    assert "_verbs/race -> _verbs/gone" in finding
