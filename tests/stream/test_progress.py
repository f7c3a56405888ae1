"""`progress()` shows a run where it can be seen, changes nothing about it, and clears up however it ends."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from atonce import Retry, Stream, blocking, stream
from atonce._runtime import showing
from tests.cli.command import ROOT, Screen, shown_in_terminal
from tests.cli.screens import check, lines_of, screen_of

TWO_BARS = """
import pathlib, time
from atonce import blocking

def wait_for(name):
    while not pathlib.Path(name).exists():
        time.sleep(0.01)

def double(n):
    if n == 3:
        wait_for("go")
    return n + n

def half(n):
    if n == 2:
        raise ValueError("odd one out")
    return n // 2

doubled = blocking.stream(range(5), double, max_concurrency=1, on="thread").progress("double").values()
for outcome in blocking.stream(doubled, half, max_concurrency=1, on="thread").progress("half", total=5):
    print(outcome.index, "is here")
"""


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATONCE_PROGRESS", raising=False)
    showing._tell_of_rich.cache_clear()


async def nap(seconds: float) -> float:
    await asyncio.sleep(seconds)
    if seconds == 13.0:
        raise ValueError("thirteen")
    return seconds


async def taken(run: Stream[float], most: int = 10**9) -> list[int]:
    """The indices of so many outcomes at most; the stream is closed after them."""
    found: list[int] = []
    async with run as outcomes:
        async for outcome in outcomes:
            found.append(outcome.index)
            if len(found) == most:
                break
    return found


def after(shown: Screen, part: str) -> str:
    """What stands in a terminal after the frame in which `part` is first."""
    head, found, tail = shown.text.partition(part)
    assert found, shown.text
    return lines_of(screen_of(head + found + tail.partition("\r\x1b")[0]))


def test_bars_of_streams_that_run_at_once_stand_under_one_another_and_each_leaves_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two.py").write_text(TWO_BARS)
    shown = shown_in_terminal([sys.executable, "-W", "error", "two.py"], {"3/5": Path("go").touch})
    assert shown.code == 0
    midway = after(shown, "3/5").splitlines()
    assert [line.split()[0] for line in midway if "━" in line] == ["half", "double"]
    end = lines_of(screen_of(shown.text)).splitlines()
    assert [line for line in end if "here" in line] == [f"{n} is here" for n in range(5)]
    assert [line.split("  in ")[0].split()[:2] for line in end if " in " in line] == [
        ["double", "5/5"],
        ["half", "5/5"],
    ]
    assert "ok 4  failed 1" in end[-1]
    assert shown.text.rstrip().endswith("\x1b[?25h") or "\x1b[?25h" in shown.text.rpartition("\x1b[?25l")[2]


def test_the_guide_shows_what_is_seen(tmp_path: Path) -> None:
    page = ROOT / "docs" / "guide.md"
    section = page.read_text(encoding="utf-8").partition("## See how far it is\n")[2]
    (tmp_path / "squares.py").write_text(section.partition("```python\n")[2].partition("```")[0])
    shown = shown_in_terminal([sys.executable, "-W", "error", str(tmp_path / "squares.py")])
    midway = shown.text.split("\r\x1b")[4]
    assert "━" in midway, shown.text
    seen = f"{after(shown, midway)}\n\n... and at the end:\n\n{lines_of(screen_of(shown.text))}"
    check(page, "script", seen, r"\d+/200 +\d+%")


@pytest.mark.virtual
async def test_a_log_gets_lines_now_and_then_and_one_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    naps = [float(n % 20) for n in range(40)]
    await taken(stream(naps, nap, max_concurrency=4, retry=Retry(2, jitter=None)).progress("naps"))
    lines = [line.partition("Z ")[2] for line in capsys.readouterr().err.splitlines()]
    assert len(lines) == 9
    assert lines[0] == "naps   5/40   12%  1.0/s  eta 35s   running 4  failed 0"
    assert all("running 4" in line for line in lines[:5])
    assert lines[-1].startswith("naps  40/40  100%")
    assert lines[-1].endswith("ok 38  failed 2")
    assert "retried 2" in lines[-2]


@pytest.mark.virtual
async def test_a_short_run_writes_nothing_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    assert await taken(stream([1.0, 2.0], nap).progress()) == [0, 1]
    assert capsys.readouterr().err == ""


@pytest.mark.virtual
async def test_no_end_is_foretold_where_nobody_knows_how_many_items_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def naps() -> AsyncIterator[float]:
        for _ in range(9):
            yield 1.0

    await taken(stream(naps(), nap, max_concurrency=1).progress())
    await taken(stream(naps(), nap, max_concurrency=1).progress(total=9))
    unknown, _, known, _ = capsys.readouterr().err.splitlines()
    assert "eta" not in unknown
    assert "4/9   44%  48/min  eta 6s" in known


@pytest.mark.virtual
@pytest.mark.parametrize("end", ["break", "cancel", "failure"])
async def test_a_run_that_is_ended_early_says_so_and_leaves_no_timer(
    end: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = stream([6.0, 13.0, 20.0, 99.0], nap, max_concurrency=4).progress("naps")
    loop: Any = asyncio.get_running_loop()
    if end == "break":
        await taken(run, 2)
    elif end == "cancel":
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(taken(run), 15.0)
    else:
        with pytest.raises(ValueError, match="thirteen"):
            [_ async for _ in run.values()]
    assert capsys.readouterr().err.splitlines()[-1].split("  stopped  ")[1:] in (
        [f"ok 1  failed {n}"] for n in (0, 1)
    )
    assert not [timer for timer in loop._scheduled if not timer.cancelled()]


@pytest.mark.virtual
async def test_a_display_that_fails_is_given_up_and_the_run_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no such screen")

    monkeypatch.setattr("atonce._runtime.progress.Heartbeat.tick", broken)
    assert await taken(stream([6.0, 7.0], nap).progress()) == [0, 1]
    [record] = caplog.records
    assert "is not shown further" in record.getMessage()
    assert record.exc_info is not None
    assert "no such screen" in str(record.exc_info[1])


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, str]]]:
    """A kernel as far as it is asked: what was displayed, one after another in one place."""
    shown: list[dict[str, str]] = []

    def show(data: dict[str, str], *, raw: bool) -> None:
        assert raw
        shown.append(data)

    def display(data: dict[str, str], *, raw: bool, display_id: bool) -> Any:
        assert display_id
        show(data, raw=raw)
        return SimpleNamespace(update=show)

    ipython, displays = ModuleType("IPython"), ModuleType("IPython.display")
    vars(ipython)["get_ipython"] = lambda: SimpleNamespace(kernel=object())
    vars(displays)["display"] = display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", displays)
    return shown


@pytest.mark.virtual
async def test_a_notebook_gets_one_display_that_changes(
    notebook: list[dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    await taken(stream([1.0, 2.0, 13.0], nap).progress("a<b"))
    assert capsys.readouterr().err == ""
    assert 60 < len(notebook) < 75
    assert '<progress max="3" value="0">' in notebook[0]["text/html"]
    assert "a&lt;b" in notebook[0]["text/html"]
    assert notebook[-1]["text/plain"] == "a<b  3/3  100%  14/min  in 13s  ok 2  failed 1"


@pytest.mark.virtual
async def test_without_rich_lines_come_instead_of_a_bar_and_that_is_said_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ATONCE_PROGRESS", "bar")
    monkeypatch.delitem(sys.modules, "atonce._runtime.bar", raising=False)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    for _ in range(2):
        await taken(stream([6.0], nap).progress("naps"))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("atonce: a bar is drawn by rich, which is not installed: pip install")
    assert [line.split()[1] for line in lines[1:]] == ["naps"] * 4


@pytest.mark.virtual
async def test_it_is_the_same_stream_to_all_who_hold_it() -> None:
    plain = stream([1.0, 2.0, 3.0], nap, max_concurrency=1)
    seen = plain.progress()
    async for outcome in seen:
        if outcome.index == 1:
            assert plain.statistics() == seen.statistics()
            assert plain.statistics().delivered == 2
            plain.drain()
    assert plain.statistics().delivered == 0
    assert repr(seen) == repr(plain)


def test_the_environment_decides_for_scripts_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ATONCE_PROGRESS", "json")
    values = list(blocking.stream([2, 3], abs, on="thread").progress("signs").values())
    assert values == [2, 3]
    first, last = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["done"], first["total"]) == (0, 2)
    assert (last["done"], last["ok"], last["why"]) == (2, 2, "finished")


def test_what_is_wrong_is_said_at_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    run = stream([1.0], nap)
    with pytest.raises(ValueError, match="total is a whole number from 0"):
        run.progress(total=-1)
    with pytest.raises(TypeError, match="label is text"):
        run.progress(3)  # type: ignore[arg-type]  # what a user may get wrong
    monkeypatch.setenv("ATONCE_PROGRESS", "yes")
    with pytest.raises(ValueError, match="ATONCE_PROGRESS is one of auto, bar, plain, json, none; got 'yes'"):
        run.progress()
