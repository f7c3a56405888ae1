"""The number of items at a time follows what it is told, or what is worth it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.cli.jobs import MOST, Jobs, read, width
from atonce.cli.work.width import Climb, Width, width_of
from tests.cli.command import Run, items, started, wait_for


@given(st.integers(1, 500), st.integers(1, 64), st.integers(64, 1_000))
def test_a_climb_ends_within_ten_percent_of_the_best(limit: int, first: int, most: int) -> None:
    """Throughput grows with the width up to a limit."""
    climb = Climb(first, most)
    for _ in range(60):
        climb.told(10 * min(climb.width, limit), 1.0)
    assert climb.has_settled
    assert min(climb.width, limit) >= 0.9 * min(most, limit)


@given(st.lists(st.tuples(st.integers(0, 1_000), st.floats(0.0, 10.0)), max_size=40), st.integers(1, 50))
def test_a_climb_never_leaves_its_bounds(looks: list[tuple[int, float]], most: int) -> None:
    climb = Climb(1, most)
    for count, span in looks:
        climb.told(count, span)
        assert 1 <= climb.width <= most


@given(st.integers(0, 2_000), st.integers(1, 128))
def test_widths_are_read_and_at_least_one(number: int, cpus: int) -> None:
    assert width(f"+{number}", cpus) == cpus + number
    assert width(f"-{number}", cpus) == max(1, cpus - number)
    if number:
        assert width(str(number), cpus) == number
        assert width(f"{number}%", cpus) == max(1, cpus * number // 100)


@pytest.mark.parametrize("text", ["", "0", "+", "%", "-5%", "1.5", "auto5", str(MOST + 1), "@/no/such"])
def test_what_is_no_width_is_answered_with_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"write 8|from 1 to|cannot read"):
        read(text)


def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "jobs"
    path.write_text("4\n")
    found = width_of(read(f"@{path}"), most=10)
    assert found is not None
    assert (found.count, found.look(0, 1.0)) == (4, None)
    path.write_text("7 \n")
    assert (found.look(0, 2.0), found.count) == (f"-j @{path}: 7 at a time", 7)
    path.write_text("many")
    said = found.look(0, 3.0)
    assert said is not None
    assert said.endswith("it stays at 7")
    path.write_text("500")
    found.look(0, 4.0)
    assert found.count == 10
    assert width_of(read("4"), most=10) is None


def test_who_waits_for_room_is_woken_by_an_end_and_by_nobody_wanting_it() -> None:
    found, running = Width(Jobs(1, auto=True), 4), [1]
    thread = threading.Thread(target=found.wait, args=(lambda: running[0], lambda: True))
    thread.start()
    running[0] = 0
    found.ended()
    thread.join(5.0)
    assert not thread.is_alive()
    found.wait(lambda: 9, lambda: False)


# -- in a run -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [[], ["--executor", "thread"]], ids=["process", "thread"])
def test_a_run_follows_the_number_in_a_file(run: Run, how: list[str]) -> None:
    Path("gate.py").write_text(
        "import os, time\ndef f(x):\n    open('began-' + x, 'w').close()\n"
        "    while not os.path.exists('go'):\n        time.sleep(0.01)\n"
    )
    Path("jobs").write_text("1")
    Path("in.txt").write_text("".join(f"{number}\n" for number in range(6)))
    with started("map", "gate:f", "in.txt", "-j", "@jobs", *how, "-q") as child:
        wait_for(lambda: len(list(Path().glob("began-*"))) == 1, "the first")
        Path("jobs").write_text("3")
        wait_for(lambda: len(list(Path().glob("began-*"))) == 3, "three at a time")
        Path("go").touch()
        assert child.wait(timeout=20) == 0


def test_commands_follow_the_number_in_a_file(run: Run) -> None:
    Path("jobs").write_text("1")
    line = "touch began-{}; until test -e go; do sleep 0.01; done"
    with started("run", "-j", "@jobs", "-q", line, ":::", *"abcdef") as child:
        wait_for(lambda: len(list(Path().glob("began-*"))) == 1, "the first")
        Path("jobs").write_text("3")
        wait_for(lambda: len(list(Path().glob("began-*"))) == 3, "three at a time")
        Path("go").touch()
        assert child.wait(timeout=20) == 0


def test_commands_find_their_number_by_themselves(run: Run) -> None:
    ran = run(
        "run", "-j", "auto", "--rate", "20/s", "--progress", "none", "true", ":::", *map(str, range(70))
    )
    assert ran.code == 0
    assert "-j auto: " in ran.err


def test_auto_says_what_it_chose(run: Run) -> None:
    Path("nap.py").write_text("import time\ndef f(x):\n    time.sleep(0.02)\n")
    Path("in.txt").write_text("".join(f"{number}\n" for number in range(1_500)))
    ran = run("map", "nap:f", "in.txt", "-j", "auto", "--progress", "none")
    assert (ran.code, len(ran.lines)) == (0, 1_500)
    assert "-j auto: " in ran.err


@pytest.mark.parametrize("how", [[], ["--executor", "thread"]], ids=["process", "thread"])
def test_a_share_of_the_median_is_a_time_limit(run: Run, how: list[str]) -> None:
    Path("odd.py").write_text(
        "import time\nfrom atonce import cancelled\n"
        "def f(x):\n    time.sleep(0.02)\n    while x == '40' and not cancelled():\n        time.sleep(0.01)\n    return x\n"
    )
    Path("in.txt").write_text("".join(f"{number}\n" for number in range(80)))
    ran = run("map", "odd:f", "in.txt", "--timeout", "500%", *how)
    assert (ran.code, sorted(ran.lines, key=int)) == (1, [str(n) for n in range(80) if n != 40])
    assert "1  timeout" in ran.err


def test_a_share_of_the_median_is_a_time_limit_for_requests(run: Run, site: str) -> None:
    urls = [f"{site}/slow/0.05?{n}" for n in range(30)]
    ran = run("fetch", f"{site}/slow/20", *urls, "--timeout", "500%", "--retries", "0", "-o", "out.jsonl")
    assert (ran.code, "30 ok" in ran.err) == (1, True)
    assert "1  timeout  " in ran.err
    [failed] = [one for one in items(Path("out.jsonl")) if not one["ok"]]
    assert failed["in"].endswith("/slow/20")
    assert failed["s"] < 10.0
