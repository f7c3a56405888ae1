"""Standard error is judged by what it is, and nothing from outside can act on it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce._runtime.terminal import Terminal, visible, without_credentials


@pytest.mark.parametrize(
    ("environ", "is_tty", "colour"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm"}, False, False),
        ({"TERM": "dumb"}, True, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
    ],
)
def test_colour_is_for_those_who_see_it_and_want_it(
    environ: dict[str, str], is_tty: bool, colour: bool
) -> None:
    terminal = Terminal.of(environ, is_tty, "utf-8")
    assert terminal.has_colour is colour
    assert (terminal.paint("x", "red") != "x") is colour


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_signs_are_words_where_the_encoding_has_none(encoding: str) -> None:
    assert Terminal.of({}, True, encoding).signs.good == "ok:"
    assert Terminal.of({}, True, "UTF-8").signs.good == "✓"


@given(st.text(st.characters(), max_size=60))
def test_any_text_is_made_harmless_for_a_terminal(text: str) -> None:
    assert visible(text).isprintable()
    assert visible(visible(text)) == visible(text)


def test_what_is_printable_stays_as_it_is() -> None:
    assert visible("https://münchen.example/ü?q=日本") == "https://münchen.example/ü?q=日本"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://ann:secret@example.com/a@b", "https://example.com/a@b"),
        ("https://example.com/?mail=a@b", "https://example.com/?mail=a@b"),
        ("//ann@example.com", "//example.com"),
        ("https://a:b@c@example.com/", "https://example.com/"),
        ("mailto:a@b", "mailto:a@b"),
    ],
)
def test_user_and_password_are_taken_out_of_a_url(url: str, shown: str) -> None:
    assert without_credentials(url) == shown
