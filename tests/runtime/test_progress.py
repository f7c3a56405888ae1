"""Progress is shown where it can be seen, in the form that fits, and seldom in a log."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce._policy.pace import FIRST_BEAT, LATE_BEAT, next_beat
from atonce._runtime import progress, showing
from atonce._runtime.terminal import Terminal
from atonce.cli.tally import Failure, Tally

SCREEN = Terminal(is_tty=True, can_move=True, has_colour=True, is_unicode=True, in_ci=False)
PIPE = Terminal(is_tty=False, can_move=False, has_colour=False, is_unicode=True, in_ci=False)


def a_view(done: int = 2_010, total: int | None = 10_000) -> progress.View:
    tally = Tally(total)
    for _ in range(done - 7):
        tally.well("x", 0.1, 1)
    for _ in range(7):
        tally.badly("x", Failure("http", "E", "m", "HTTP 404"), 3)
    return progress.View("fetch", tally, lambda: 50, output="pages.jsonl")


def chosen(how: str, terminal: Terminal, *, quiet: bool = False, records_on_screen: bool = False) -> str:
    found = showing.choose(how, a_view(), terminal, quiet=quiet, records_on_screen=records_on_screen)
    return type(found).__name__


def test_a_terminal_gets_a_bar_and_all_else_gets_lines() -> None:
    assert chosen("auto", SCREEN) == "Bar"
    assert chosen("auto", PIPE) == "Heartbeat"
    assert chosen("auto", Terminal.of({"TERM": "dumb"}, True, "utf-8")) == "Heartbeat"
    assert chosen("auto", Terminal.of({"CI": "true"}, True, "utf-8")) == "Heartbeat"


def test_records_that_go_to_the_screen_leave_no_place_for_a_bar() -> None:
    assert chosen("auto", SCREEN, records_on_screen=True) == "Heartbeat"


@pytest.mark.parametrize(
    ("how", "kind"), [("bar", "Bar"), ("plain", "Heartbeat"), ("json", "JsonLines"), ("none", "Silent")]
)
def test_what_is_asked_for_is_given(how: str, kind: str) -> None:
    assert chosen(how, PIPE) == kind
    assert chosen(how, PIPE, quiet=True) == "Silent"


def test_a_heartbeat_says_all_on_one_line() -> None:
    view = a_view()
    view.pace.mark(0.0, 0)
    view.pace.mark(5.0, 2_010)
    assert progress.beat(view) == (
        "fetch   2,010/10,000   20%  402/s  eta 20s   running 50  failed 7  retried 14"
    )
    assert progress.last_beat(view, 5.0, "finished") == (
        "fetch   2,010/10,000   20%  402/s  in 5s  ok 2,003  failed 7  -> pages.jsonl"
    )


def test_without_a_total_no_share_and_no_eta_are_made_up() -> None:
    view = a_view(total=None)
    view.pace.mark(0.0, 0)
    view.pace.mark(5.0, 2_010)
    assert progress.beat(view) == "fetch  2,010  402/s   running 50  failed 7  retried 14"


def beats_until(end: float, step: float = 0.5) -> list[float]:
    due, found, now = FIRST_BEAT, [], 0.0
    while now < end:
        now += step
        if now >= due:
            found.append(now)
            due = next_beat(now)
    return found


def test_lines_come_after_5_seconds_and_then_ever_more_seldom() -> None:
    found = beats_until(900.0)
    assert found[:7] == [5, 15, 25, 35, 45, 55, 65]
    assert found[7:10] == [95, 125, 155]
    assert found[-2:] == [785, 845]


@given(st.floats(min_value=5.0, max_value=1e6))
def test_the_next_line_is_always_ahead_and_never_far(elapsed: float) -> None:
    assert 0.0 < next_beat(elapsed) - elapsed <= LATE_BEAT


def test_a_short_run_shows_no_lines(capsys: pytest.CaptureFixture[str]) -> None:
    beating = progress.Heartbeat(a_view(), wall=lambda: 0.0)
    beating.start()
    beating.tick(4.0)
    beating.stop(4.5, "finished")
    assert capsys.readouterr().err == ""


def test_a_long_run_shows_lines_with_the_time_and_a_last_one(capsys: pytest.CaptureFixture[str]) -> None:
    beating = progress.Heartbeat(a_view(), wall=lambda: 0.0)
    beating.start()
    beating.tick(5.0)
    beating.stop(6.0, "interrupted")
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("1970-01-01T00:00:00Z fetch ")
    assert " in 6s  interrupted  ok 2,003 " in last


def test_json_lines_are_objects_from_the_first_to_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    shown = progress.JsonLines(a_view())
    shown.start()
    shown.say("stopping")
    shown.stop(1.0, "finished")
    first, message, last = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["done"], first["total"], first["running"], first["failed"]) == (2_010, 10_000, 50, 7)
    assert message["message"] == "stopping"
    assert last["why"] == "finished"


@pytest.mark.parametrize("make", [progress.Heartbeat, lambda view: progress.Silent(mute=True)])
def test_a_run_of_nothing_can_be_shown(make: Callable[[progress.View], progress.Progress]) -> None:
    shown = make(progress.View("fetch", Tally(0)))
    shown.start()
    shown.tick(5.0)
    shown.stop(5.0, "finished")
