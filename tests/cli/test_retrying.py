"""`--retry-on`: what it reads, what it wants tried again, and that every verb tries that and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce._model.options import Budget, Retry
from atonce._policy.backoff import again
from atonce.cli.retrying import KINDS, read
from atonce.cli.tally import Failure
from tests.cli.command import Run, items

STATUSES = st.integers(100, 599)


def http(status: int) -> Failure:
    return Failure("http", "HttpStatusError", "m", "l", fields={"status": status})


@given(STATUSES, STATUSES)
def test_statuses_are_wanted_alone_or_by_the_hundred(wanted: int, found: int) -> None:
    assert read(f"{wanted}").wants(http(found)) == (wanted == found)
    assert read(f"{wanted // 100}xx").wants(http(found)) == (wanted // 100 == found // 100)
    assert read("http").wants(http(found))
    assert not read("timeout,connect,ValueError").wants(http(found))


@given(st.integers(0, 255), st.integers(0, 255))
def test_exit_codes_and_signals_are_wanted_by_number(wanted: int, found: int) -> None:
    failure = Failure("exit", "CommandFailed", "m", "l", fields={"exit": found})
    assert read(f"exit:{wanted}").wants(failure) == (wanted == found)
    assert read("exit").wants(failure)
    assert not read(f"signal:{found}").wants(failure)


def test_exceptions_are_wanted_by_their_class_and_those_above_it() -> None:
    error = ConnectionResetError("gone")
    failure = Failure("exception", "ConnectionResetError", "m", "l")
    for word in ("ConnectionResetError", "ConnectionError", "builtins.OSError", "exception"):
        assert read(word).wants(failure, error)
    assert not read("ValueError,lost").wants(failure, error)
    assert read("timeout").wants(Failure("exception", "TimeoutError", "m", "l"), TimeoutError())


@given(st.sampled_from(["connect", "timeout", "lost", "dns", "exit", "signal", "exception"]))
def test_what_may_pass_by_itself_is_transient(kind: str) -> None:
    wants = read("transient").wants
    assert wants(Failure(kind, "E", "m", "l")) == (kind in ("connect", "timeout", "lost"))  # type: ignore[arg-type]  # one of them
    assert wants(http(503))
    assert not wants(http(404))


@given(st.lists(st.sampled_from([*KINDS, "429", "5xx", "exit:75", "signal:9", "ValueError"]), min_size=1))
def test_a_list_is_read_as_it_is_written(words: list[str]) -> None:
    assert read(", ".join(words)).words == tuple(words)


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        (["--retries", "2", "--retry-on", "timeuot"], "did you mean timeout?"),
        (["--retries", "2", "--retry-on", "429,,5xx"], "'' is nothing to retry on"),
        (["--retries", "2", "--retry-on", "exit:75:1"], "is nothing to retry on"),
        (["--retry-on", "timeout"], "add --retries N"),
        (["--retry-max-time", "5s"], "add --retries N"),
        (["--retries", "2", "--retry-max-time", "soon"], "'soon' is no duration"),
    ],
)
def test_a_mistake_is_said_before_anything_starts(run: Run, given_: list[str], said: str) -> None:
    for verb in (["map", "-e", "x"], ["run", "true"]):
        ran = run(*verb[:1], *given_, *verb[1:], ":::", "a")
        assert (ran.code, said in ran.err, ran.out) == (2, True, b"")


@pytest.mark.parametrize("executor", ["process", "thread", "async"])
def test_a_function_is_tried_again_at_what_is_wanted_alone(run: Run, executor: str) -> None:
    Path("odd.py").write_text(
        "def f(x):\n    with open('tries-' + x, 'a') as file:\n        file.write('.')\n"
        "    raise ValueError(x) if x == 'a' else KeyError(x)\n"
        "async def g(x):\n    f(x)\n"
    )
    name = "odd:g" if executor == "async" else "odd:f"
    more = ["--retries", "2", "--retry-delay", "1ms", "--retry-on", "ValueError,timeout"]
    assert run("map", name, *more, "--executor", executor, ":::", "a", "b").code == 1
    assert (Path("tries-a").read_text(), Path("tries-b").read_text()) == ("...", ".")


def test_a_command_is_tried_again_at_what_is_wanted_alone(run: Run) -> None:
    more = ["--retries", "2", "--retry-delay", "1ms", "--retry-on", "exit:75"]
    assert run("run", *more, "echo >> tries-{}; exit {}", ":::", "75", "3").code == 1
    assert [len(Path(f"tries-{code}").read_text()) for code in (75, 3)] == [3, 1]


def test_a_url_is_tried_again_at_what_is_wanted_alone(run: Run, site: str) -> None:
    more = ["--retries", "2", "--retry-delay", "1ms", "--retry-on", "404", "-o", "out.jsonl"]
    assert run("fetch", *(f"{site}/status/{status}" for status in (404, 503)), *more).code == 1
    tries = {row["in"].rpartition("/")[2]: row["try"] for row in items(Path("out.jsonl"))}
    assert tries == {"404": 3, "503": 1}


@given(st.integers(1, 9), st.floats(0, 100), st.integers(1, 9), st.floats(0, 100), st.floats(0, 100))
def test_a_budget_has_a_number_and_a_time_in_which_attempts_begin(
    most: int, seconds: float, number: int, elapsed: float, wait: float
) -> None:
    retry = Retry(Budget(most, seconds), wait, max_delay=200.0, jitter=None)
    found = again(replace(retry, max_delay=wait or 1.0), ValueError(), number, 0.0, lambda: 0.0, elapsed)
    assert found == (wait if number < most and elapsed + wait <= seconds else None)
    assert retry.most == most


BUDGET = """
import os, pathlib, time

def tried(x):
    path = pathlib.Path("tries-" + x)
    with path.open("a") as file:
        file.write(".")
    return path.stat().st_size

def f(x):
    number = tried(x)
    if x == "slow" and number == 2:
        time.sleep(0.7)
        return number
    if x == "dies":
        os._exit(3)
    raise ValueError(x)

async def g(x):
    return f(x)
"""


@pytest.mark.parametrize("executor", ["process", "thread", "async", "run"])
def test_no_attempt_begins_after_the_budget_and_what_runs_is_not_cut(run: Run, executor: str) -> None:
    Path("odd.py").write_text(BUDGET)
    shell = "n=$(cat {}.n 2>/dev/null); echo .$n > {}.n; test {} = slow -a .$n = .. && sleep 0.7"
    first = {"run": ["run", shell], "async": ["map", "odd:g"]}.get(executor, ["map", "odd:f"])
    more = [] if executor in ("run", "async") else ["--executor", executor]
    names = ["never", "slow", *(["dies"] if executor == "process" else [])]
    ran = run(
        *first[:1],
        *["--retries", "20", "--retry-delay", "50ms", "--retry-max-time", "600ms", "-o", "out.jsonl"],
        *[*more, *first[1:], ":::", *names],
    )
    assert ran.code == 1
    found = {row["in"]: row for row in items(Path("out.jsonl"))}
    assert found.keys() == set(names)
    assert (found["slow"]["ok"], found["slow"]["try"]) == (True, 2)
    for name in names:
        assert 2 <= found[name]["try"] < 21
        assert found[name]["ok"] == (name == "slow")


def test_a_url_is_asked_again_within_the_budget_alone(run: Run, site: str) -> None:
    options = ["--retries", "20", "--retry-delay", "50ms", "--retry-max-time", "600ms"]
    ran = run("fetch", f"{site}/status/503", *options, "-o", "out.jsonl")
    assert ran.code == 1
    assert 2 <= items(Path("out.jsonl"))[0]["try"] < 21
