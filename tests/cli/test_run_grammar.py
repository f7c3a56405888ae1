"""The grammar of `atonce run`: arguments behind `:::`, places in a command, quoting; all pure."""

from __future__ import annotations

import signal
import subprocess
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atonce._model import durations
from atonce.cli.run import ending
from atonce.cli.run.arguments import split, with_tag_spelled_out
from atonce.cli.run.naming import folder_name
from atonce.cli.run.screen import tagged
from atonce.cli.run.shell import quoted_places, shell_of
from atonce.cli.run.template import Known, Misfit, Values, template

ONE = Known()
WORDS = st.lists(st.text("ab {}.:/", max_size=6).filter(lambda one: one not in ("::::", ":::")), max_size=4)
#: Those of the sources of one command line, in turn.
MARKS = [":::", ":::+", ":::", ":::+"]
ARGUMENTS = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=20)


def no_file(name: str) -> list[str]:
    """Stands for files where there are none."""
    raise FileNotFoundError(name)


def argv(words: list[str], row: Any, known: Known = ONE, seq: int = 1, slot: int = 1) -> list[str]:
    return template(words, known, shell="/bin/sh").argv(Values(row, seq, slot))


@pytest.mark.parametrize(
    ("path", "answers"),
    [  # as GNU parallel 20221122 answers
        ("a/b.c.d", ["a/b.c", "b.c.d", "a", "b.c"]),
        ("plain", ["plain", "plain", ".", "plain"]),
        (".hid", ["", ".hid", ".", ""]),
        ("dir/.hid", ["dir/", ".hid", "dir", ""]),
        ("a.b/c", ["a.b/c", "c", "a.b", "c"]),
        ("foo.", ["foo", "foo.", ".", "foo"]),
        ("/abs", ["/abs", "abs", "/", "abs"]),
        ("x/", ["x/", "", ".", ""]),
        ("/", ["/", "", "/", ""]),
        ("", ["", "", ".", ""]),
        ("a//b.c", ["a//b", "b.c", "a", "b"]),
    ],
)
def test_parts_of_a_path_are_those_of_gnu_parallel(path: str, answers: list[str]) -> None:
    assert argv(["x", "{.}", "{/}", "{//}", "{/.}"], path)[1:] == answers
    assert argv(["x", "{1.}", "{1/}", "{1//}", "{1/.}"], path)[1:] == answers


@given(st.lists(WORDS, min_size=1, max_size=3), WORDS)
def test_sources_are_multiplied(sources: list[list[str]], command: list[str]) -> None:
    words = [*command, *(word for source in sources for word in [":::", *source])]
    rows = [list(row) for row in product(*sources)]
    expected = rows if len(sources) > 1 else [row[0] for row in rows]
    assert split(words, no_file) == (command, expected, len(sources))


@given(st.lists(WORDS, min_size=2, max_size=3))
def test_linked_sources_go_side_by_side_as_far_as_the_shortest(sources: list[list[str]]) -> None:
    words = [word for n, source in enumerate(sources) for word in [":::+" if n else ":::", *source]]
    assert split(words, no_file)[1] == [list(row) for row in zip(*sources, strict=False)]


@given(st.lists(st.tuples(st.booleans(), WORDS), min_size=1, max_size=4))
def test_lines_of_a_file_are_a_source_as_words_are(sources: list[tuple[bool, list[str]]]) -> None:
    def behind(mark: str, n: int, is_file: bool, source: list[str]) -> list[str]:
        return [f":{mark}", str(n)] if is_file else [mark, *source]

    plain = [[mark, *source] for mark, (_, source) in zip(MARKS, sources, strict=False)]
    mixed = [behind(mark, n, *one) for n, (mark, one) in enumerate(zip(MARKS, sources, strict=False))]
    files = {str(n): source for n, (_, source) in enumerate(sources)}
    assert split(sum(mixed, ["x"]), files.__getitem__) == split(sum(plain, ["x"]), no_file)


def test_each_of_several_files_is_a_source_by_itself() -> None:
    files = {"letters": ["a", "b"], "numbers": ["1", "2"]}
    pairs = [["a", "1"], ["a", "2"], ["b", "1"], ["b", "2"]]
    assert split(["x", "::::", "letters", "numbers"], files.__getitem__) == (["x"], pairs, 2)
    assert split(["x", "::::+", "letters", "numbers"], files.__getitem__)[1] == [["a", "1"], ["b", "2"]]


@given(ARGUMENTS)
def test_an_item_is_one_word_whatever_it_has_in_it(item: str) -> None:
    assert argv(["prog", "{}", "-o", "{}.bak"], item) == ["prog", item, "-o", f"{item}.bak"]
    assert argv(["prog", "-v"], item) == ["prog", "-v", item]


@settings(max_examples=30, deadline=None)
@given(st.lists(ARGUMENTS, min_size=1, max_size=3))
def test_a_shell_gives_back_what_was_quoted_for_it(items: list[str]) -> None:
    words = argv(["printf '%s\\0' {}"], items, Known(arguments=3))
    out = subprocess.run(words, capture_output=True, check=True).stdout
    assert out.decode() == "".join(f"{item}\0" for item in items)


def test_an_item_never_becomes_a_part_of_the_shells_program() -> None:
    evil = """$(touch x) `id` "; rm -rf '"""
    words = argv(['printf "%s\\n" {} "$(printf %s {})"'], evil)
    assert subprocess.run(words, capture_output=True, check=True).stdout.decode() == f"{evil}\n{evil}\n"
    assert argv(["echo {:raw}"], "$HOME")[-1] == "echo $HOME"


@pytest.mark.parametrize("line", ["echo '{}'", 'echo "a {}"', "echo `cat {}`", "x \"$(y '{}')\""])
def test_a_place_within_quotes_is_refused_since_it_would_be_quoted_twice(line: str) -> None:
    with pytest.raises(Misfit, match="stands within quotes"):
        template([line], Known(), shell="/bin/sh")


@pytest.mark.parametrize("line", ['echo "$(cat {})"', "(cat {})", "a 'b' {}", r"a \' {}", 'a "\'" {}'])
def test_a_place_outside_of_quotes_is_taken(line: str) -> None:
    assert argv([line], "x y")[-1] == line.replace("{}", "'x y'")


@given(st.text("a'\"\\`$() {}", max_size=30))
def test_quoting_is_known_for_every_character(line: str) -> None:
    assert len(quoted_places(line)) == len(line)


def test_numbers_slots_and_arguments() -> None:
    assert argv(["e", "{#}-{%}", "{2}{1}", "{-1}"], ["a", "b"], Known(2), 7, 3) == ["e", "7-3", "ba", "b"]
    assert argv(["e", "{}"], ["a", "b c"], Known(2)) == ["e", "a", "b c"]
    assert argv(["e", "x{}"], ["a", "b c"], Known(2)) == ["e", "xa b c"]
    with pytest.raises(Misfit, match="there is one argument for each call"):
        argv(["e", "{2}"], "a")


def test_columns_are_named_with_their_parts() -> None:
    row = {"file": "d/a b.txt", "n": 3, "none": None, "First name": "Ann"}
    known = Known(1, list(row))
    words = ["x", "{file}", "{file/.}", "{n}", "{none}", "{First name}", "{1}"]
    assert argv(words, row, known)[1:] == ["d/a b.txt", "a b", "3", "", "Ann", "d/a b.txt"]
    assert argv(["x {file} {file:raw}"], row, known)[-1] == "x 'd/a b.txt' d/a b.txt"
    with pytest.raises(Misfit, match=r"no column 'fiel': did you mean \{file\}"):
        argv(["x", "{fiel}"], row, known)
    assert argv(["awk '{print}' {file}"], row, known)[-1] == "awk '{print}' 'd/a b.txt'"


def test_braces_of_others_are_left_alone() -> None:
    words = ["awk", "{print $1}", "{a,b}", "{name}", "${x}", "{}"]
    assert argv(words, "f") == ["awk", "{print $1}", "{a,b}", "{name}", "${x}", "f"]


def test_without_a_command_each_item_is_a_line_for_the_shell() -> None:
    assert argv([], "echo a; echo b") == ["/bin/sh", "-c", "echo a; echo b"]


def test_a_bare_tag_is_the_item_and_belongs_to_us_only_before_the_command() -> None:
    values = ["-j", "--jobs", "-i"]
    assert with_tag_spelled_out(["--tag", "x"], values) == ["--tag={}", "x"]
    assert with_tag_spelled_out(["-kj", "4", "--tag", "x"], values) == ["-kj", "4", "--tag={}", "x"]
    assert with_tag_spelled_out(["-j4", "--jobs", "--tag", "x"], values) == ["-j4", "--jobs", "--tag", "x"]
    assert with_tag_spelled_out(["--", "--tag"], values) == ["--", "--tag"]


@given(st.lists(st.binary(max_size=5), max_size=6), st.data())
def test_each_line_is_tagged_however_the_bytes_are_cut(parts: list[bytes], data: st.DataObject) -> None:
    text = b"".join(parts).replace(b"\r", b"\n")
    cut = data.draw(st.integers(0, len(text)))
    found = b"".join(tagged([text[:cut], text[cut:]], b"T\t"))
    lines = text.split(b"\n")
    last = lines.pop()
    assert found == b"".join(b"T\t" + line + b"\n" for line in lines) + (b"T\t" + last if last else b"")


def test_the_signals_that_end_a_command() -> None:
    assert ending.read("TERM,5s,KILL") == ((signal.SIGTERM, 5.0), (signal.SIGKILL, ending.read("KILL")[0][1]))
    assert ending.read("int")[0][0] == signal.SIGINT
    assert ending.read("15,1s,9")[0] == (signal.SIGTERM, 1.0)
    for bad in ["TERM,5s", "", "NOPE", "TERM,x,KILL"]:
        with pytest.raises(ValueError, match=r"signal|duration|in turn"):
            ending.read(bad)


def test_a_share_of_the_median_is_above_all_of_it() -> None:
    assert isinstance(durations.seconds_or_share("250.5%"), durations.Share)
    assert not isinstance(durations.seconds_or_share("2s"), durations.Share)
    for bad in ["100%", "%", "-5%", "1e9%"]:
        with pytest.raises(ValueError, match="e.g. 300%"):
            durations.seconds_or_share(bad)


@given(st.text(max_size=200), st.text("0123456789abcdef-", min_size=1, max_size=20))
def test_names_of_folders_are_harmless(text: str, key: str) -> None:
    name = folder_name(text, key)
    assert name.endswith(f"-{key}")
    assert len(name) <= 90
    assert "/" not in name
    assert not name.startswith((".", "-"))
    assert name.isascii()


def test_only_a_shell_that_quotes_as_posix_does_is_asked() -> None:
    assert shell_of({"SHELL": "/usr/bin/zsh"}) == "/usr/bin/zsh"
    assert shell_of({"SHELL": "/bin/csh"}) == "/bin/sh"
