"""Options are read strictly, and a command is written again without secrets."""

from __future__ import annotations

import shlex

import click
import pytest

from atonce.cli.fetch import fetch
from atonce.cli.options import COUNT, JOBS, RATE, shown_value, written_again


def again(*args: str, without: tuple[str, ...] = ()) -> list[str]:
    with fetch.make_context("fetch", list(args)) as ctx:
        return shlex.split(written_again(ctx, ["-o", "new"], without))


def test_a_command_is_written_again_as_it_was_given() -> None:
    given = ["-i", "my urls.txt", "--timeout", "1m30s", "-k", "--rate", "10/s"]
    assert again(*given) == ["atonce", "fetch", "-o", "new", *given]


def test_options_can_be_left_out() -> None:
    assert again("-i", "a", "-j", "3", "--overwrite", without=("source", "overwrite")) == [
        *["atonce", "fetch", "-o", "new"],
        *["-j", "3"],
    ]


def test_secrets_in_headers_are_not_written_again() -> None:
    found = again("-H", "Authorization: Bearer abc", "-H", "Accept: text/html", "-H", "x-api-key: k")
    assert found[4:] == ["-H", "Authorization: ***", "-H", "Accept: text/html", "-H", "x-api-key: ***"]


def test_a_file_of_headers_is_named_again() -> None:
    assert shown_value("headers", "@secrets.txt") == "@secrets.txt"


def test_a_command_with_strange_names_can_be_pasted() -> None:
    name = """it's a "file" $HOME.txt"""
    assert again("-i", name)[-1] == name


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (JOBS, "0"),
        (JOBS, "1.5"),
        (JOBS, "1e3"),
        (JOBS, "²"),
        (JOBS, "10000000"),
        (COUNT, "-1"),
        (RATE, "0/s"),
        (RATE, "fast"),
    ],
)
def test_a_bad_number_is_answered_with_a_good_one(kind: click.ParamType, text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"e\.g\. [0-9]|is written '10/s'|write 8, \+2|from 1 to"):
        kind.convert(text, None, None)


@pytest.mark.parametrize("text", ["10/s", "10", "600/min", "600/m"])
def test_a_rate_is_read(text: str) -> None:
    rate = RATE.convert(text, None, None)
    assert rate.count / rate.per == pytest.approx(10)
