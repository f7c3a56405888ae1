"""Options are checked in the call, before anything is sent, and the message says the corrected form."""

from __future__ import annotations

from typing import Any

import pytest

from atonce._model.options import Retry
from atonce.http.fetch import fetch
from atonce.http.many import fetch_stream, parallel_fetch
from atonce.http.request import Request, body_of, fields_of
from atonce.http.status import statuses
from tests.http.server import echo, serving, text

NAN, INF = float("nan"), float("inf")

WRONG: list[tuple[str, Any, type[Exception], str]] = [
    *[("timeout", bad, ValueError, "above 0") for bad in (0, -1, NAN)],
    *[("timeout", bad, ValueError, "timeout=None") for bad in (INF, 1e18)],
    *[("timeout", bad, TypeError, "number of seconds") for bad in (True, "5", [5])],
    *[("deadline", bad, ValueError, "deadline") for bad in (0, -1, NAN, INF)],
    *[("deadline", bad, TypeError, "deadline") for bad in (True, "5")],
    *[("max_bytes", bad, ValueError, "max_bytes") for bad in (0, -1, 2**63)],
    *[("max_bytes", bad, TypeError, "whole number") for bad in (True, 1.5, "5", NAN)],
    *[("follow", bad, ValueError, "follow") for bad in (-1, 10**10)],
    *[("follow", bad, TypeError, "whole number") for bad in (True, None, 1.5, "5")],
    *[("retry", bad, ValueError, "retry") for bad in (0, -1)],
    *[("retry", bad, TypeError, r"retry=Retry\(attempts=3\)") for bad in (True, 1.5, "3")],
    *[("ok", bad, ValueError, "2xx") for bad in ("", "2x", "20", "6 6", "2xx;404", 99, 1000, [], "299-200")],
    *[("ok", bad, TypeError, "ok='2xx,404'") for bad in (True, None, 2.5, [2.5], [True], b"2xx")],
    *[("verify", bad, TypeError, "ssl.SSLContext") for bad in (None, 1, "ca.pem")],
    ("method", None, TypeError, "method='POST'"),
    ("method", "", ValueError, "'GET'"),
    ("method", "GET /x", ValueError, "'GET'"),
    ("method", "GET\r\nX: y", ValueError, "'GET'"),
    ("method", "CONNECT", ValueError, "'GET'"),
    ("headers", "X: y", TypeError, "a dict"),
    ("headers", 5, TypeError, "a dict"),
    ("headers", {"X": 5}, TypeError, "text for names and values"),
    ("headers", {"X": None}, TypeError, "text for names and values"),
    ("headers", {"X": b"y"}, TypeError, "text for names and values"),
    ("headers", {5: "y"}, TypeError, "text for names and values"),
    ("headers", ["X: y"], TypeError, "pairs"),
    ("headers", [("X", "y", "z")], TypeError, "pairs"),
    ("headers", {"": "y"}, ValueError, "letters, digits"),
    ("headers", {"X Y": "y"}, ValueError, "letters, digits"),
    ("headers", {"X:": "y"}, ValueError, "letters, digits"),
    ("headers", {"X\r\nEvil": "y"}, ValueError, "letters, digits"),
    ("headers", {"Ü": "y"}, ValueError, "letters, digits"),
    *[("headers", {"X": f"a{c}b"}, ValueError, "value of X: remove it") for c in "\r\n\0\x0b\x7f\ud800"],
    ("headers", {"X": "a\r\n\r\nGET /evil HTTP/1.1"}, ValueError, "line break"),
    ("headers", {"Content-Length": "5"}, ValueError, "leave it out"),
    ("headers", {"transfer-encoding": "chunked"}, ValueError, "leave it out"),
    ("data", 5, TypeError, r"file\.read\(\)"),
    ("data", [5], TypeError, "a dict or a list"),
    ("data", object(), TypeError, "data is bytes"),
    ("json", object(), TypeError, "json= cannot be written"),
    ("json", {"a": NAN}, ValueError, "json= cannot be written"),
    ("client", 5, TypeError, "aiohttp.ClientSession"),
    ("client", object, TypeError, "aiohttp.ClientSession"),
]


@pytest.mark.parametrize(("name", "value", "kind", "says"), WRONG)
async def test_a_wrong_option_raises_in_the_call(
    name: str, value: Any, kind: type[Exception], says: str
) -> None:
    options: Any = {name: value}
    with pytest.raises(kind, match=says) as caught:
        await fetch("not even a url", **options)
    assert name in str(caught.value)
    with pytest.raises(kind, match=says):
        fetch_stream([], **options)
    with pytest.raises(kind, match=says):
        await parallel_fetch([], **options)


MANY: list[tuple[str, Any, type[Exception]]] = [
    *[("max_concurrency", bad, ValueError) for bad in (0, -1, 10**10)],
    *[("max_concurrency", bad, TypeError) for bad in (None, True, 2.5, "5", NAN)],
    *[("per_host", bad, ValueError) for bad in (0, -1, 10**10)],
    *[("per_host", bad, TypeError) for bad in (True, 2.5, "5")],
    *[("rate", bad, ValueError) for bad in ("fast", "0/s", "10/fortnight")],
    *[("rate", bad, TypeError) for bad in (5, 2.5, True)],
    *[("ordered", bad, TypeError) for bad in (None, 1, "yes")],
]


@pytest.mark.parametrize(("name", "value", "kind"), MANY)
async def test_a_wrong_option_of_many_raises_in_the_call(
    name: str, value: Any, kind: type[Exception]
) -> None:
    options: Any = {name: value}
    with pytest.raises(kind, match=name):
        fetch_stream([], **options)
    with pytest.raises(kind, match=name):
        await parallel_fetch([], **options)


async def test_a_misspelt_option_is_told_the_right_name() -> None:
    options: Any = {"time_out": 5}
    with pytest.raises(TypeError, match="did you mean timeout="):
        fetch_stream([], **options)


@pytest.mark.parametrize("urls", ["http://example.com/", b"http://example.com/", 5, None])
async def test_one_url_is_not_a_list_of_urls(urls: Any) -> None:
    with pytest.raises(TypeError, match="iterable"):
        await parallel_fetch(urls)


async def test_data_and_json_exclude_each_other() -> None:
    with pytest.raises(TypeError, match="data= or json=, not both"):
        await fetch("http://127.0.0.1/", data=b"x", json=1)


BODIES: list[tuple[dict[str, Any], bytes | None, str | None]] = [
    ({"data": b"\0\xff"}, b"\0\xff", "application/octet-stream"),
    ({"data": bytearray(b"x")}, b"x", "application/octet-stream"),
    ({"data": memoryview(b"x")}, b"x", "application/octet-stream"),
    ({"data": "grün"}, "grün".encode(), "text/plain; charset=utf-8"),
    ({"data": {"a": "b c", "d": ["1", "2"]}}, b"a=b+c&d=1&d=2", "application/x-www-form-urlencoded"),
    ({"data": [("a", "1"), ("a", "2")]}, b"a=1&a=2", "application/x-www-form-urlencoded"),
    ({"data": b""}, b"", "application/octet-stream"),
    ({"json": {"ü": [1, None]}}, '{"ü":[1,null]}'.encode(), "application/json"),
    ({"json": 0}, b"0", "application/json"),
    ({"json": False}, b"false", "application/json"),
    ({"json": {}}, b"{}", "application/json"),
    ({}, None, None),
]


@pytest.mark.parametrize(("given", "body", "kind"), BODIES)
def test_a_body_is_bytes_with_a_type(given: dict[str, Any], body: bytes | None, kind: str | None) -> None:
    assert body_of(given.get("data"), given.get("json")) == (body, kind)


async def test_what_is_asked_arrives_as_given() -> None:
    async with serving({"*": echo}) as server:
        url = server.url("/a%2Fb/../c?x=1&x=%41")
        headers = [("X-Many", "1"), ("X-One", "grün"), ("Content-Type", "text/csv")]
        await fetch(url, method="post", data="a,b", headers=headers)
        (asked,) = server.asked
        assert (asked.method, asked.path, asked.body) == ("POST", "/a%2Fb/../c?x=1&x=%41", b"a,b")
        assert asked.headers["Content-Type"] == "text/csv"
        assert asked.headers["Content-Length"] == "3"
        assert asked.headers["X-One"].encode("latin-1").decode() == "grün"
        assert asked.headers["User-Agent"].startswith("atonce")
        assert set(asked.headers["Accept-Encoding"].split(", ")) >= {"gzip", "deflate"}


async def test_a_user_agent_of_ones_own_replaces_ours() -> None:
    async with serving(text("")) as server:
        await fetch(server.url(), headers={"user-agent": "me/1", "Accept-Encoding": "identity"})
        lower = {name.lower(): value for name, value in server.asked[0].headers.items()}
        assert (lower["user-agent"], lower["accept-encoding"]) == ("me/1", "identity")


async def test_nothing_of_a_request_is_shared_with_the_next() -> None:
    async with serving(text("", headers={"Set-Cookie": "a=b"})) as server:
        await fetch(server.url(), headers={"X-First": "1"}, data=b"x", method="POST")
        await fetch(server.url())
        first, second = server.asked
        assert set(first.headers) - set(second.headers) == {"X-First", "Content-Type", "Content-Length"}
        assert "Cookie" not in second.headers


def test_a_blank_around_a_header_value_is_not_sent() -> None:
    assert fields_of({"X": " \ty\t "}) == (("X", "y"),)


def test_tabs_and_text_of_any_language_may_be_in_a_value() -> None:
    assert fields_of([("X", "a\tb"), ("Y", "日本")]) == (("X", "a\tb"), ("Y", "日本"))


@pytest.mark.parametrize(
    ("ok", "good", "bad"),
    [
        ("2xx", {200, 299}, {199, 300, 404}),
        ("2xx,404", {204, 404}, {403}),
        (" 2XX , 404 ", {204, 404}, {403}),
        ("200-204", {200, 204}, {205}),
        (204, {204}, {200}),
        ([200, 404, "5xx"], {404, 503}, {403}),
        ({200}, {200}, {201}),
        (range(200, 300), {200, 299}, {300}),
        ("any", {100, 404, 999}, set()),
    ],
)
def test_good_statuses_are_written_in_many_ways(ok: Any, good: set[int], bad: set[int]) -> None:
    assert good <= statuses(ok)
    assert not bad & statuses(ok)


def test_the_shorter_of_two_deadlines_holds() -> None:
    assert Request.of(deadline=3.0, retry=Retry(deadline=2.0)).deadline == 2.0
    assert Request.of(deadline=1.0, retry=Retry(deadline=2.0)).deadline == 1.0
    assert Request.of(retry=Retry(deadline=2.0)).deadline == 2.0
    assert Request.of().deadline is None
