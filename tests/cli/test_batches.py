"""A batch tells what it has before a slow row ends, and each of its rows is begun at one place only."""

from __future__ import annotations

import itertools
import pickle
import random
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.cli.map.batch import Entry, Order, run_batch
from atonce.cli.map.board import SIZE, Board, Sheet
from atonce.cli.map.course import Course, Reply, counted
from atonce.cli.map.job import Job
from atonce.cli.map.sizing import MOST, Reorder, Sizing
from atonce.cli.map.target import Target
from atonce.cli.tally import bucket_of
from tests.cli.command import Run, items, started, wait_for


def order(expression: str, **more: object) -> Order:
    given_ = {"slice": 10.0, "until": None, "attempts": 1, "again": None, "board": None, "slots": 1, **more}
    return Order(Job(Target(expression, expression=True)), **given_)  # type: ignore[arg-type]  # as given


def batch(*rows: str, attempt: int = 1, slot: int = 0) -> Entry:
    return Entry(slot, range(len(rows)), rows, None, attempt)


# -- one batch ----------------------------------------------------------------------------------------------------


def test_failures_are_among_the_results_and_cost_no_other_row() -> None:
    reply = run_batch(order("1 // int(x)"), batch("1", "0", "x", "2"))
    assert (reply.done, reply.ok, reply.data) == (4, 2, b"1\n0\n")
    assert [(n, failure.type) for n, failure in reply.failures] == [
        (1, "ZeroDivisionError"),
        (2, "ValueError"),
    ]
    assert sum(reply.times.values()) == 2


def test_a_failure_that_is_to_be_tried_again_ends_the_batch() -> None:
    reply = run_batch(order("1 // int(x)", attempts=2), batch("1", "0", "2"))
    assert (reply.done, reply.data) == (1, b"1\n")
    assert reply.again is not None
    assert run_batch(order("1 // int(x)", attempts=2), batch("0", attempt=2)).again is None


@pytest.mark.parametrize(("until", "done"), [("fail", 3), ("success", 1), ("done", 1), (None, 4)])
def test_a_batch_ends_at_the_event_that_may_halt_the_run(until: str | None, done: int) -> None:
    assert run_batch(order("1 // int(x)", until=until), batch("1", "2", "0", "3")).done == done


def test_a_batch_ends_when_its_time_is_over_with_one_row_at_least() -> None:
    assert run_batch(order("x", slice=-1.0), batch("a", "b")).done == 1


@given(st.lists(st.floats(0.0, 100.0), min_size=1, max_size=40), st.sets(st.integers(0, 39)))
def test_times_are_counted_in_their_buckets(spans: list[float], failed: set[int]) -> None:
    stamps = [0.0]
    for span in spans:
        stamps.append(stamps[-1] + span)
    failed = {n for n in failed if n < len(spans)}
    exact = [b - a for a, b in itertools.pairwise(stamps)]
    times, (longest, number) = counted(stamps, failed)
    kept = [span for n, span in enumerate(exact) if n not in failed]
    assert sum(times.values()) == len(kept)
    if kept:
        assert longest == max(kept)
        assert exact[number] == longest
        low, high = min(map(bucket_of, kept)), max(map(bucket_of, kept))
        assert low <= min(times) <= max(times) <= high + 1


# -- the course ---------------------------------------------------------------------------------------------------


def test_what_is_given_away_and_what_is_told_at_the_end_is_each_row_once() -> None:
    """The rows are taken from one side while another thread takes the rest away, at any moment."""
    for _ in range(40):
        with closing(Board(1)) as board:
            sheet = board.sheet(0)
            assert sheet is not None
            sheet.clear()
            course = Course(list(range(3_000)), 0.0, 0.0, records=False)
            pause = random.random() * 0.0006
            thread = threading.Thread(
                target=lambda c=course, s=sheet, p=pause: (time.sleep(p), c.give_away(s))
            )
            thread.start()
            for row in course.rest:
                course.lines.append(str(row))
                course.stamps.append(course.stamps[-1] + 1e-6)
            reply = course.end()
            thread.join()
            replies = [*frames(sheet), reply]
            # What was told after the end counts as well: there is nothing that it could tell twice.
            lines = b"".join(one.data for one in replies).split()
            done = sum(one.done for one in replies)
            assert [int(line) for line in lines] == list(range(done))
            assert done + sum(one.released for one in replies) == 3_000
            del sheet


def frames(sheet: Sheet) -> list[Reply]:
    found, at = [], 0
    while at < sheet.end:
        frame, at = sheet.frame(at)
        found.append(pickle.loads(frame))
    return found


def test_what_does_not_fit_on_the_sheet_is_told_at_the_end() -> None:
    with closing(Board(1)) as board:
        sheet = board.sheet(0)
        assert sheet is not None
        sheet.clear()
        course = Course([1, 2], 0.0, 0.0, records=False)
        course.lines.append("x" * SIZE)
        course.stamps.append(1.0)
        next(course.rest)
        course.give_away(sheet)
        assert [(one.done, one.released) for one in frames(sheet)] == [(0, 1)]
        assert (course.end().done, course.end().done) == (1, 0)
        del sheet


@given(st.lists(st.binary(max_size=3_000), max_size=200))
def test_frames_read_back_as_far_as_there_is_room(pieces: list[bytes]) -> None:
    with closing(Board(2)) as board:
        sheet, other = board.sheet(0), board.sheet(1)
        assert sheet is not None
        assert other is not None
        sheet.clear()
        other.clear()
        kept = [piece for piece in pieces if sheet.write(piece)]
        found, at = [], 0
        while at < sheet.end:
            frame, at = sheet.frame(at)
            found.append(frame)
        assert found == kept
        assert (other.end, other.row(), sheet.row()) == (0, None, None)
        del sheet, other


# -- sizes and order ----------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 5_000), st.floats(0.0, 10.0)), max_size=20))
def test_a_batch_is_never_empty_nor_too_large(steps: list[tuple[int, float]]) -> None:
    sizing = Sizing(0.01)
    for count, elapsed in steps:
        sizing.told(count, elapsed)
        assert 1 <= sizing.size <= MOST


@given(st.integers(1_000, 1_000_000_000))
def test_sizes_settle_where_a_batch_takes_its_time(nanoseconds: int) -> None:
    sizing, span = Sizing(0.01), nanoseconds / 1e9
    for _ in range(20):
        sizing.told(sizing.size, sizing.size * span)
    assert sizing.size == MOST or sizing.size == 1 or 0.5 <= sizing.size * span / 0.01 <= 1.001


@given(st.lists(st.integers(1, 4), max_size=12), st.randoms())
def test_pieces_leave_in_order_and_none_is_lost(sizes: list[int], dice: random.Random) -> None:
    pieces, at = [], 0
    for size in sizes:
        pieces.append((at, size, f"{at},".encode()))
        at += size
    shuffled = pieces.copy()
    dice.shuffle(shuffled)
    reorder = Reorder()
    found = [reorder.give(*piece) for piece in shuffled]
    assert b"".join(found) == b"".join(data for _, _, data in pieces)
    assert (reorder.head, reorder.rest()) == (at, b"")


# -- with workers -------------------------------------------------------------------------------------------------


def test_quick_rows_do_not_wait_for_a_slow_one(run: Run) -> None:
    """They are in the same batch, before and behind it."""
    Path("slow.py").write_text(
        "import time\ndef f(x):\n    time.sleep(60.0 if x == '700' else 0.0)\n    return x\n"
    )
    Path("in.txt").write_text("".join(f"{number}\n" for number in range(2_000)))
    out = Path("out.jsonl")
    with started("map", "slow:f", "in.txt", "-o", str(out), "-j", "2") as child:
        wait_for(
            lambda: out.exists() and out.read_bytes().count(b'"ok":true') == 1_999, "all but the slow one"
        )
        child.kill()
        child.wait()
    assert sorted(row["i"] for row in items(out)) == [n for n in range(2_000) if n != 700]


def test_a_row_that_is_killed_takes_no_result_of_another_with_it(run: Run) -> None:
    """Each row leaves a trace when it is called: none is called twice."""
    Path("traced.py").write_text(
        "import os\ndef f(x):\n    os.close(os.open('trace-' + x, os.O_CREAT | os.O_EXCL))\n"
        "    while x == '150':\n        pass\n    return x\n"
    )
    Path("in.txt").write_text("".join(f"{number}\n" for number in range(400)))
    ran = run("map", "traced:f", "in.txt", "--timeout", "400ms", "-o", "out.jsonl")
    bad = [row for row in items(Path("out.jsonl")) if not row["ok"]]
    assert (ran.code, [(row["in"], row["err"]["kind"]) for row in bad]) == (1, [("150", "timeout")])
