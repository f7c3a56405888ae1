"""The page: one file that asks nobody, in which no item can do anything, and which is small."""

from __future__ import annotations

import base64
import random
import re
import zlib
from html.parser import HTMLParser

import pytest
from hypothesis import given

from atonce.report.account import Account
from atonce.report.columns import compact
from atonce.report.facts import Course, Entry, Report
from atonce.report.page import page
from tests.report.journals import EVIL, any_journal, bad, end, good, head, read, written


class Page(HTMLParser):
    """What a browser would find: tags with their attributes, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


TAGS = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "h1",
        "h2",
        "p",
        "ul",
        "li",
        "b",
        "div",
        "span",
        "button",
    ),
    *(
        "canvas",
        "noscript",
        "figure",
        "figcaption",
        "svg",
        "g",
        "line",
        "rect",
        "text",
        "details",
        "summary",
        "table",
    ),
    *("caption", "thead", "tbody", "tr", "th", "td", "br", "script"),
}


def many(count: int) -> Report:
    """A run of 50 lanes with times as networks have them."""
    dice = random.Random(1)
    lanes = [0.0] * 50
    account = Account(pictured=True)
    for n in range(count):
        lane = min(range(50), key=lanes.__getitem__)
        span = dice.lognormvariate(-2.5, 0.7)
        lanes[lane] += span
        state = "failed" if dice.random() < 0.006 else "ok"
        group = "HTTP 404" if state == "failed" else ""
        account.take(Entry(f"https://h{n % 22}.example/page/{n}", state, span, 1, lanes[lane], group=group))
    return account.report("pages.jsonl", [Course(elapsed=max(lanes), why="finished")])


@given(any_journal())
def test_nothing_of_a_journal_becomes_a_tag_or_a_handler(data: bytes) -> None:
    for tag, attributes in Page(page(read(data, pictured=True))).tags:
        assert tag in TAGS
        assert not any(name.startswith("on") or name in ("src", "href") for name in attributes)


def test_an_item_that_closes_the_script_harms_nobody() -> None:
    rows = (good(0, item=EVIL), bad(1, item=EVIL, msg=EVIL, host=EVIL, type=EVIL, kind="exception"))
    first = {**head(), "input": EVIL, "cmd": EVIL, "does": [EVIL]}
    text = page(read(written(first, *rows, end(why=EVIL)), pictured=True))
    found = Page(text)
    assert [tag for tag, _ in found.tags if tag == "img"] == []
    assert text.count("</script>") == 3
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert any("</script><img src=x onerror=" in words for words in found.words)


def test_only_its_own_script_and_style_may_run_and_nobody_is_asked() -> None:
    text = page(read(written(head(), good(0), end()), pictured=True))
    policy = next(attributes["content"] for _, attributes in Page(text).tags if "http-equiv" in attributes)
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.search(
        r"""(?:src|href)\s*=|url\(|@import|fetch\(|XMLHttpRequest|import\(""",
        re.sub(r"content=\"[^\"]*\"", "", text),
    )


def test_the_tables_say_what_the_picture_shows() -> None:
    words = "".join(Page(page(read(written(head(), good(0), bad(1), end()), pictured=True))).words)
    for said in (
        "HTTP 404",
        "Not Found",
        "https://a.example/0",
        "https://b.example/1",
        "Items that ended, by when",
    ):
        assert said in words


def test_a_journal_without_instants_has_a_page_that_says_why_there_is_no_picture() -> None:
    found = Page(page(read(written(head(), good(0, t=None), end()), pictured=True)))
    assert not any(tag == "canvas" for tag, _ in found.tags)
    assert any("do not say when items ended" in words for words in found.words)


def numbers(data: bytes) -> list[int]:
    found, value, shift = [], 0, 0
    for byte in data:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            found.append(value)
            value = shift = 0
    return found


@given(any_journal())
def test_columns_read_back(data: bytes) -> None:
    picture = read(data, pictured=True).picture
    about, packed = compact(picture)
    raw = zlib.decompress(base64.b64decode(packed))
    columns, at = [], 0
    for size in about["sizes"]:
        columns.append(raw[at : at + size])
        at += size
    assert at == len(raw)
    starts, spans, lanes, states, attempts, causes = map(numbers, columns[:6])
    unit = about["unit"]
    began = 0
    for n, step in enumerate(starts):
        began += step
        assert began == picture.starts[n] // unit
        assert began + spans[n] == (picture.starts[n] + picture.spans[n]) // unit
    assert (lanes, states, attempts, causes) == tuple(
        list(one) for one in (picture.lanes, picture.states, picture.attempts, picture.causes)
    )
    assert len(columns[6].decode().split("\n")) == max(1, len(picture))


def test_a_page_of_a_hundred_thousand_items_has_about_a_megabyte() -> None:
    assert len(page(many(100_000)).encode()) < 1_100_000


def test_of_too_many_items_the_failures_and_the_slowest_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atonce.report.account.MOST_DRAWN", 500)
    report = many(3_000)
    picture = report.picture
    assert len(picture) <= 500
    assert len(picture) + picture.left_out == 3_000
    assert sum(state == 1 for state in picture.states) == report.failed
    assert max(picture.spans) == round(report.slowest[0].seconds * 1e6)
    assert "items are not drawn" in page(report)


def test_texts_beyond_what_a_page_carries_are_those_of_failures_and_the_slowest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("atonce.report.columns.MOST_TEXT", 10)
    picture = read(written(head(), good(0), bad(1), good(2), end()), pictured=True).picture
    about, packed = compact(picture, {2})
    texts = zlib.decompress(base64.b64decode(packed))[-about["sizes"][6] :].decode().split("\n")
    assert sorted(texts) == ["", "https://a.example/2", "https://b.example/1"]
