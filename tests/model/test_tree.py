"""The two pictures of a tree show every node once, whatever its names are."""

from __future__ import annotations

import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce._model.tree import Node, Tree, printable, shown_age

ODD = [
    '"]',
    "\n",
    "-->",
    "a;b",
    "end",
    "`x`",
    "#35;",
    "<script>",
    "%%{init}%%",
    "\u2028",
    "\x1b[31m",
    "\ud800",
    "é漢",
    "- one",
    "1. one",
]
texts = st.text(max_size=12) | st.sampled_from(ODD)
leaves = st.builds(
    Node,
    kind=st.sampled_from(["task", "stream", "scope"]),
    name=texts,
    state=texts,
    age=st.none() | st.floats(0, 1e9),
    restarts=st.integers(0, 3),
    detail=texts,
    site=texts,
)


def _above(below: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    return st.builds(
        Node, kind=st.just("supervisor"), name=texts, children=st.lists(below, max_size=4).map(tuple)
    )


trees = st.recursive(leaves, _above, max_leaves=30).map(Tree)

LINE = re.compile(r"((?:│  |   )*)(?:├─ |└─ )(.+)")
BOX = re.compile(r'    n(\d+)\["([A-Za-z0-9 ._\-:/(),\'=#;]*)"\]')
ARROW = re.compile(r"    n(\d+) --> n(\d+)")


@given(trees)
def test_text_has_one_line_a_node_under_its_parent(tree: Tree) -> None:
    lines = str(tree).split("\n")
    assert lines == str(tree).splitlines(), "no name breaks a line"
    expected = [(depth, node.label) for depth, node in _depths(tree.root)]
    found = [(0, lines[0])]
    for line in lines[1:]:
        match = LINE.fullmatch(line)
        assert match, line
        found.append((len(match[1]) // 3 + 1, match[2]))
    assert found == expected
    assert all(line.isprintable() for line in lines)


@given(trees)
def test_mermaid_has_one_box_a_node_and_one_arrow_to_each_but_the_first(tree: Tree) -> None:
    first, *lines = tree.mermaid().split("\n")
    assert first == "flowchart LR"
    labels: dict[int, str] = {}
    parents: dict[int, int] = {}
    for line in lines:
        if match := BOX.fullmatch(line):
            assert int(match[1]) not in labels
            labels[int(match[1])] = re.sub(r"#(\d+);", lambda code: chr(int(code[1])), match[2])
        else:
            match = ARROW.fullmatch(line)
            assert match, line
            parents[int(match[2])] = int(match[1])
    assert [labels[number] for number in sorted(labels)] == [node.label for node in tree.walk()]
    assert set(parents) == set(labels) - {0}
    depths = [0]
    for number in range(1, len(labels)):
        assert parents[number] < number
        depths.append(depths[parents[number]] + 1)
    assert depths == [depth for depth, _ in _depths(tree.root)]


def _depths(node: Node, depth: int = 0) -> list[tuple[int, Node]]:
    return [(depth, node), *(pair for child in node.children for pair in _depths(child, depth + 1))]


def test_text_looks_like_this() -> None:
    tree = Tree(
        Node(
            "process",
            "1",
            children=(
                Node(
                    "supervisor",
                    "feeds",
                    "running",
                    720.0,
                    2,
                    "one_for_one",
                    children=(Node("child", "a", "backing off"),),
                ),
                Node("task", "load\nall", "running", 0.24, site="spawned at app.py:7 in main"),
            ),
        )
    )
    assert str(tree) == (
        "process 1\n"
        "├─ supervisor feeds  running 12m  2 restarts  one_for_one\n"
        "│  └─ child a  backing off\n"
        "└─ task load\\nall  running 0.2s  spawned at app.py:7 in main"
    )
    assert '    n3["task load#92;nall  running 0.2s  spawned at app.py:7 in main"]' in tree.mermaid()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0s"),
        (9.96, "10.0s"),
        (10, "10s"),
        (119.9, "119s"),
        (120, "2m"),
        (7_199, "119m"),
        (7_200, "2h"),
        (172_800, "2d"),
    ],
)
def test_an_age_has_the_unit_that_says_most(seconds: float, text: str) -> None:
    assert shown_age(seconds) == text


def test_one_restart_is_no_restarts() -> None:
    assert Node("child", "a", restarts=1).label == "child a  1 restart"
    assert Node("task", "", age=3.0).label == "task  3.0s"


def test_a_very_deep_tree_is_drawn() -> None:
    node = Node("task", "0")
    for depth in range(1, 5_000):
        node = Node("task", str(depth), children=(node,))
    tree = Tree(node)
    assert str(tree).count("\n") == 4_999
    assert tree.mermaid().count("-->") == 4_999
    assert sum(1 for _ in tree.walk()) == 5_000


def test_it_is_a_value() -> None:
    tree = Tree(Node("process", "1", children=(Node("task", "a"), Node("task", "b"), Node("task", "a"))))
    assert tree == pickle.loads(pickle.dumps(tree))
    assert [node.name for node in tree.find("a")] == ["a", "a"]
    with pytest.raises(AttributeError):
        tree.root.name = "other"  # type: ignore[misc]  # frozen, that is the test


def test_what_has_no_picture_is_escaped() -> None:
    assert printable("é漢 ok") == "é漢 ok"
    assert printable("a\tb\x1b\ud800") == "a\\tb\\x1b\\ud800"
