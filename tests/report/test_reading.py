"""A journal as a report: counts, causes, quantiles, runs; whatever state the file is in."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce._runtime.terminal import Signs
from atonce.cli.journal.reading import NoJournal
from atonce.report.cause import label_of
from atonce.report.facts import STATES
from atonce.report.page import page
from atonce.report.perfetto import perfetto
from atonce.report.text import errors, markdown, receipt, slowest
from tests.report.journals import NOON, any_journal, bad, end, good, head, read, written


def unpainted(text: str, colour: str) -> str:
    return text


def test_a_small_journal_in_numbers() -> None:
    found = read(written(head(), good(0, 0.1, 0.5), good(1, 0.3, 1.5, tries=3), bad(2, 0.2, 2.0), end()))
    assert (found.ok, found.failed, found.done, found.ended, found.timed) == (2, 1, 3, 3, 3)
    assert (found.retries, found.saved, found.elapsed, found.why) == (2, 1, 2.0, "finished")
    assert [(one.label, one.count, one.example) for one in found.causes] == [
        ("HTTP 404", 1, "https://b.example/2")
    ]
    assert [one.item for one in found.slowest] == [
        "https://a.example/1",
        "https://b.example/2",
        "https://a.example/0",
    ]
    assert [(one.name, one.ok, one.failed) for one in found.hosts] == [
        ("b.example", 0, 1),
        ("a.example", 2, 0),
    ]
    assert found.width == 1
    assert found.busy == pytest.approx(0.3)


def test_its_receipt_is_that_of_the_run() -> None:
    data = written(head(), good(0, 0.1, 0.5), good(1, 0.3, 1.5, tries=3), bad(2, 0.2, 2.0), end())
    assert list(receipt(read(data), Signs.ascii(), unpainted)) == [
        "ok: 2 ok   failed: 1 failed   3 in 2s   1.5/s   -> pages.jsonl (556 B)",
        "  slowest ok 300 ms  https://a.example/1",
        "  1  HTTP 404   e.g. https://b.example/2",
        "     Not Found",
        "  retries: 2 spent, 1 item saved",
        "  atonce fetch, from urls.txt, started 2025-11-24T16:00:00.000Z",
        "  lanes: 1 at most at one time, in use 30% of the time",
        "  host        ok   failed      p95",
        "  b.example    0        1",
        "  a.example    2        0   300 ms",
    ]


def test_the_newest_record_of_a_key_counts_and_all_of_them_took_place() -> None:
    first = (head(), bad(0, 0.2, 0.2), bad(1, 0.2, 0.4), good(2, 0.1, 0.5), end(NOON + 1.0))
    again = (head("8a", NOON + 60.0), good(0, 0.3, 0.3), end(NOON + 61.0))
    found = read(written(*first, *again))
    assert (found.ok, found.failed, found.ended) == (2, 1, 4)
    assert found.elapsed == 2.0
    assert [one.run for one in found.runs] == ["7f3a", "8a"]
    assert sum(beat.ok + beat.failed for beat in found.beats) == 4


def test_a_second_run_begins_where_the_first_ended() -> None:
    first = (head(), good(0, 1.0, 1.0), end(NOON + 1.0))
    found = read(
        written(*first, head("8a", NOON + 600.0), good(1, 0.5, 0.5), end(NOON + 601.0)), pictured=True
    )
    assert list(found.picture.starts) == [0, 1_000_000]


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_torn_last_line_does_not_count(cut: int) -> None:
    found = read(written(head(), good(0), good(1))[:-cut])
    assert (found.ok, found.is_torn, found.why) == (1, True, "cut off")


def test_a_line_that_is_no_record_is_counted_and_passed_over() -> None:
    found = read(written(head(), good(0)) + b"\x00\x00\n[1]\n{}\n" + written(good(1), end()))
    assert (found.ok, found.unread, found.is_torn) == (2, 3, False)


def test_a_journal_without_instants_has_a_report_and_no_picture() -> None:
    found = read(written(head(), good(0, t=None), bad(1, t=None), end()), pictured=True)
    assert (found.ok, found.failed, found.elapsed) == (1, 1, 2.0)
    assert (found.timed, found.beats, found.busy, len(found.picture)) == (0, (), None, 0)


@pytest.mark.parametrize("data", [b"", b"a line\n", b"1\n2\n", b'{"a":1}\n', written(head())[:-1]])
def test_what_is_no_journal_is_refused(data: bytes) -> None:
    with pytest.raises(NoJournal):
        read(data)


def test_records_without_a_head_are_those_of_a_run() -> None:
    assert read(written(good(0), good(1))).ok == 2


@given(any_journal(), st.integers(1, 200))
def test_any_journal_gives_a_report_whose_numbers_add_up(data: bytes, cut: int) -> None:
    found = read(data, pictured=True, slowest=5)
    assert sum(one.count for one in found.causes) == found.failed + found.cancelled
    assert sum(found.times.values()) == found.ok
    assert found.done <= found.ended
    assert sum(beat.ok + beat.failed for beat in found.beats) == found.timed == len(found.picture)
    assert math.isfinite(found.elapsed)
    assert found.elapsed >= 0.0
    assert len(found.slowest) == min(5, found.done)
    assert all(one < len(STATES) for one in found.picture.states)
    pieces = [data[at : at + cut] for at in range(0, len(data), cut)]
    assert read_pieces(pieces) == found


def read_pieces(pieces: list[bytes]) -> object:
    from atonce.report.reading import report_of

    return report_of(lambda: iter(pieces), "pages.jsonl", slowest=5, pictured=True)


@given(any_journal())
def test_any_journal_can_be_shown_in_every_form(data: bytes) -> None:
    found = read(data, pictured=True)
    for lines in (receipt(found, Signs(), unpainted), errors(found), slowest(found), markdown(found)):
        for line in lines:
            assert line.isprintable() or line == ""
    found.as_json()
    page(found).encode("utf-8")
    "".join(perfetto(found)).encode("ascii")


@pytest.mark.parametrize(
    ("err", "label"),
    [
        ({"kind": "http", "status": 503}, "HTTP 503"),
        ({"kind": "timeout", "msg": "no result in 5s"}, "timeout after 5s"),
        ({"kind": "timeout", "msg": "ended after 2m05s"}, "timeout after 2m05s"),
        ({"kind": "timeout", "msg": "too late"}, "timeout"),
        ({"kind": "exit", "exit": 3}, "exit 3"),
        ({"kind": "signal", "signal": 9}, "signal SIGKILL"),
        ({"kind": "signal", "signal": 9_999}, "signal 9999"),
        ({"kind": "exit"}, "exit"),
        ({"kind": "lost"}, "lost: the worker died"),
        ({"kind": "cancelled"}, "cancelled while running"),
        ({"kind": "connect", "msg": "connection refused"}, "connect: connection refused"),
        ({"kind": "connect", "why": "tls"}, "connect: no secure connection"),
        ({"kind": "rejected", "msg": "the row has no column 'x'"}, "the row has no column ..."),
        (
            {"kind": "rejected", "msg": "cannot take https://a.example/1 of 17 bytes"},
            "cannot take ... of N bytes",
        ),
        ({"kind": "exception", "type": "KeyError", "msg": "'a'"}, "KeyError"),
        ({}, "unknown"),
    ],
)
def test_failures_of_one_kind_have_one_label(err: dict[str, object], label: str) -> None:
    assert label_of(err) == label


def test_there_are_few_causes_however_many_messages_there_are() -> None:
    rows = [bad(n, kind="exception", type=f"Error{n}") for n in range(500)]
    found = read(written(head(), *rows), pictured=True)
    assert len(found.causes) == 201
    assert sum(one.count for one in found.causes) == 500
