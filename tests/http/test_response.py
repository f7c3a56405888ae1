"""An answer is a frozen value: its headers in any case, its body as bytes, text and JSON, and it travels."""

from __future__ import annotations

import copy
import json
import pickle
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce._model.errors import HttpStatusError
from atonce.http.fetch import fetch
from atonce.http.response import Headers, Response, charset, make_response
from tests.http.server import raw, serving, text


def response(body: bytes = b"", kind: str | None = None) -> Response:
    return Response(200, "http://a.example/", Headers([("Content-Type", kind)] if kind else []), body)


def test_headers_are_found_in_any_case() -> None:
    headers = Headers([("Content-Type", "text/html"), ("X-A", "1"), ("x-a", "2")])
    assert headers["content-type"] == headers["CONTENT-TYPE"] == "text/html"
    assert headers.get("missing") is None
    assert headers.get("x-A") == "1"
    assert headers.getall("X-a") == ["1", "2"]
    assert headers.getall("missing") == []
    assert "X-A" in headers
    assert "y" not in headers
    assert 5 not in headers
    assert (list(headers), len(headers)) == (["Content-Type", "X-A"], 2)
    assert dict(headers) == {"Content-Type": "text/html", "X-A": "1"}
    with pytest.raises(KeyError):
        headers["missing"]


def test_headers_are_a_value() -> None:
    one, other = Headers([("A", "1"), ("B", "2")]), Headers([("b", "2"), ("a", "1")])
    assert one == other
    assert hash(one) == hash(other)
    assert one != Headers([("A", "2"), ("B", "2")])
    assert one != {"A": "1", "B": "2"}
    assert pickle.loads(pickle.dumps(one)) == one
    assert copy.deepcopy(one).fields == one.fields


def test_headers_that_came_as_bytes_are_read_as_utf_8_else_as_latin_1() -> None:
    headers = Headers.of_bytes(((b"A", "grün".encode()), (b"B", "grün".encode("latin-1"))))
    assert (headers["a"], headers["b"]) == ("grün", "grün")
    assert pickle.loads(pickle.dumps(headers)) == headers


def test_a_response_is_frozen_compared_without_its_times_and_pickled_with_them() -> None:
    one = make_response(200, "http://a.example/", Headers([("A", "1")]), b"x", 0.5, 2)
    assert one == Response(200, "http://a.example/", Headers([("a", "1")]), b"x")
    assert hash(one) == hash(Response(200, "http://a.example/", Headers([("a", "1")]), b"x"))
    assert one != Response(201, "http://a.example/", Headers([("A", "1")]), b"x")
    assert one != "x"
    again = pickle.loads(pickle.dumps(one))
    assert (again, again.elapsed, again.attempts) == (one, 0.5, 2)
    assert copy.copy(one) == one
    assert repr(one) == "Response(status=200, url='http://a.example/', body=<1 bytes>)"
    with pytest.raises(AttributeError, match="frozen"):
        one.status = 5
    with pytest.raises(AttributeError, match="frozen"):
        del one.body
    with pytest.raises(AttributeError):
        one.other = 5


def test_a_response_can_be_matched() -> None:
    match response(b"x"):
        case Response(200, body):
            assert body == b"x"
        case _:
            pytest.fail("no match")


def test_an_error_with_its_response_travels() -> None:
    error = HttpStatusError("404", status=404, response=response(b"x"), url="http://a.example/")
    again = pickle.loads(pickle.dumps(error))
    assert (again.status, again.response, str(again)) == (404, response(b"x"), "404")


TEXTS = [
    (b"gr\xc3\xbcn", None, "grün"),
    (b"gr\xc3\xbcn", "text/html; charset=utf-8", "grün"),
    (b"gr\xfcn", "text/html;charset=ISO-8859-1", "grün"),
    (b"gr\xfcn", 'text/html; charset="latin1"; x=y', "grün"),
    ("grün".encode("utf-16"), "text/html; charset=utf-16", "grün"),
    (b"\xef\xbb\xbfgr\xc3\xbcn", None, "grün"),
    (b"gr\xfcn", None, "gr\ufffdn"),
    (b"gr\xc3\xbcn", "text/html; charset=klingon", "grün"),
    (b"gr\xc3\xbcn", "text/html; charset=", "grün"),
    (b"gr\xc3\xbcn", "text/html; charset=hex", "grün"),
    (b"gr\xc3\xbcn", "text/html; charset=rot13", "grün"),
    (b"a\\nb", "text/html; charset=unicode_escape", "a\\nb"),
    (b"gr\xc3\xbcn", "text/html; charset=../../etc/passwd", "grün"),
    (b"gr\xc3\xbcn", "text/html; charset=utf-8\x00", "grün"),
    (b"\xff\xfe\x00", "text/html; charset=utf-16", "\ufffd"),
]


@pytest.mark.parametrize(("body", "kind", "expected"), TEXTS)
def test_text_is_decoded_by_its_charset_and_never_fails(body: bytes, kind: str | None, expected: str) -> None:
    assert response(body, kind).text() == expected


@pytest.mark.parametrize("name", ["punycode", "idna"])
def test_a_charset_that_takes_quadratic_time_is_not_used(name: str) -> None:
    began = time.monotonic()
    assert len(response(b"a-" * 100_000, f"text/plain; charset={name}").text()) == 200_000
    assert time.monotonic() - began < 1.0


@given(st.binary(max_size=200), st.text(max_size=60))
def test_text_never_fails_whatever_the_charset(body: bytes, name: str) -> None:
    assert isinstance(response(body, f"text/plain; charset={name}").text(), str)
    assert charset(f"x; charset={name}") is None or isinstance(charset(f"x; charset={name}"), str)


def test_json_is_read_in_any_unicode_form_and_by_its_charset() -> None:
    for body, kind in [
        (b'{"a": "\xc3\xbc"}', None),
        (b'\xef\xbb\xbf{"a": "\xc3\xbc"}', "application/json"),
        ('{"a": "ü"}'.encode("utf-16"), "application/json"),
        (b'{"a": "\xfc"}', "application/json; charset=latin-1"),
    ]:
        assert response(body, kind).json() == {"a": "ü"}


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b'{"a":'])
def test_what_is_not_json_raises_value_error_with_the_url(body: bytes) -> None:
    with pytest.raises((json.JSONDecodeError, UnicodeDecodeError)) as caught:
        response(body, "text/html").json()
    assert any("http://a.example/" in note and "text/html" in note for note in caught.value.__notes__)


async def test_a_response_says_what_came_how_long_it_took_and_how_often() -> None:
    async with serving(text("hello", 201, {"X-A": "1"})) as server:
        got = await fetch(server.url("/a"))
        assert (got.status, got.url, got.headers["x-a"], got.body) == (201, server.url("/a"), "1", b"hello")
        assert 0.0 < got.elapsed < 1.0
        assert got.attempts == 1


async def test_repeated_headers_are_all_there() -> None:
    route = raw(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nContent-Length: 0\r\n\r\n")
    async with serving(route) as server:
        assert (await fetch(server.url())).headers.getall("set-cookie") == ["a=1", "b=2"]
