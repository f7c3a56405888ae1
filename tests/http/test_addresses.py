"""Which URLs may be asked, in which form they are sent, and what the refusal of the others says."""

from __future__ import annotations

import contextlib
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce._model.errors import FetchError
from atonce.http.address import (
    LONGEST,
    Address,
    BadAddress,
    _in_ascii,
    address_of,
    redirected,
    without_credentials,
)
from atonce.http.fetch import fetch
from atonce.http.many import parallel_fetch

GOOD = {
    "http://example.com": ("http://example.com/", "http", "example.com", 80),
    "https://example.com/a?b=c": ("https://example.com/a?b=c", "https", "example.com", 443),
    "HTTP://EXAMPLE.com:8080/A": ("http://example.com:8080/A", "http", "example.com", 8080),
    "http://example.com:80/": ("http://example.com:80/", "http", "example.com", 80),
    "http://example.com:/x": ("http://example.com/x", "http", "example.com", 80),
    "http://example.com?x=1#frag": ("http://example.com/?x=1", "http", "example.com", 80),
    "http://example.com/a#frag": ("http://example.com/a", "http", "example.com", 80),
    "http://127.0.0.1/": ("http://127.0.0.1/", "http", "127.0.0.1", 80),
    "http://[::1]:81/": ("http://[::1]:81/", "http", "[::1]", 81),
    "http://[0:0:0:0:0:0:0:1]/": ("http://[::1]/", "http", "[::1]", 80),
    "http://example.com./": ("http://example.com./", "http", "example.com.", 80),
    "http://my_host/": ("http://my_host/", "http", "my_host", 80),
    "http://münchen.example/straße": (
        "http://xn--mnchen-3ya.example/stra%C3%9Fe",
        "http",
        "xn--mnchen-3ya.example",
        80,
    ),
    'http://example.com/"<>^`{|}': ("http://example.com/%22%3C%3E%5E%60%7B%7C%7D", "http", "example.com", 80),
    "http://example.com/%41%2f%zz": ("http://example.com/%41%2f%zz", "http", "example.com", 80),
    "http://example.com/../a/./b": ("http://example.com/../a/./b", "http", "example.com", 80),
}

BAD = {
    "": "empty",
    "example.com": "no scheme.*https://example.com",
    "//example.com/": "no scheme",
    "/path": "no scheme",
    "http:///x": "no host",
    "http://": "no host",
    "http:/x": "no host",
    "http:x": "no host",
    "http://?x": "no host",
    "http://user@/": "no host",
    "http://:80/": "no host",
    "http://example.com:0/": "1 to 65535",
    "http://example.com:99999/": "1 to 65535",
    "http://example.com:-1/": "1 to 65535",
    "http://example.com:8o/": "1 to 65535",
    "http://example.com:٨٠/": "1 to 65535",
    "http://example.com:" + "9" * 5000 + "/": "1 to 65535",
    "file:///etc/passwd": "only http and https.*file:",
    "ftp://example.com/": "only http and https.*ftp:",
    "javascript:alert(1)": "only http and https.*javascript:",
    "data:text/plain,x": "only http and https.*data:",
    "gopher://example.com/": "only http and https",
    "http://example.com/a b": "position 20.*%20",
    " http://example.com/": "position 0",
    "http://example.com/\n": "position 19",
    "http://example.com/\r\nX-Evil: 1": r"'\\r'",
    "http://exam\tple.com/": r"'\\t'",
    "http://example.com/\x00": "x00",
    "http://example.com/\x7f": "x7f",
    "http://example.com/\u2028": "u2028",
    "http://example.com/\ud800": "ud800",
    "http://example.com\\@evil.example/": "backslash",
    "http:\\\\example.com": "backslash",
    "http://[::1": "cannot be read",
    "http://[::1]x/": "cannot be read",
    "http://[::g]/": "not an IPv6 address",
    "http://[127.0.0.1]/": "not an IPv6 address",
    "http://::1/": "cannot be read",
    "http://a@b@example.com/": "cannot be read.*%40",
    "http://%65xample.com/": "not a host name",
    "http://exa mple.com/": "position",
    "http://example..com/": "not a host name",
    "http://.example.com/": "not a host name",
    "http://-example.com/": "not a host name",
    "http://example.com,evil.example/": "not a host name",
    "http://" + "a" * 64 + ".example/": "not a host name",
    "http://" + "a." * 130 + "example/": "not a host name",
    "http://" + "ü" * 300 + "/": "too long",
    "http://" + "ü" * 80 + ".example/": "not a host name",
    "http://a\u0300\u2fff.example/": "not a host name",
    "http://2130706433/": "all four numbers",
    "http://0177.0.0.1/": "all four numbers",
    "http://0x7f.0.0.1/": "all four numbers",
    "http://0x7f000001/": "all four numbers",
    "http://127.1/": "all four numbers",
    "http://127.0.0.256/": "all four numbers",
    "http://1.2.3.4.5/": "all four numbers",
    "http://example.com/" + "x" * LONGEST: "at most 65536",
}


@pytest.mark.parametrize(("text", "parts"), GOOD.items(), ids=range(len(GOOD)))
def test_a_good_url_is_sent_as_written_in_ascii(text: str, parts: tuple[str, str, str, int]) -> None:
    assert address_of(text)[:4] == parts


@pytest.mark.parametrize(("text", "says"), BAD.items(), ids=range(len(BAD)))
async def test_a_bad_url_is_refused_before_anything_is_sent(text: str, says: str) -> None:
    with pytest.raises(FetchError, match=re.compile(says, re.DOTALL)) as caught:
        await fetch(text)
    assert caught.value.kind == "refused"
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("value", [None, 5, b"http://example.com/", ["http://example.com/"], object()])
async def test_what_is_no_text_is_refused_with_an_example(value: object) -> None:
    with pytest.raises(FetchError, match=r"a URL is text, e\.g\."):
        await fetch(value)  # type: ignore[arg-type]  # on purpose


async def test_in_a_list_each_bad_url_is_its_own_failure() -> None:
    outcomes = await parallel_fetch(list(BAD))
    kinds = [
        outcome.error.kind for outcome in outcomes if not outcome.ok and isinstance(outcome.error, FetchError)
    ]
    assert kinds == ["refused"] * len(BAD)


async def test_url_objects_of_yarl_and_httpx_are_read_as_text() -> None:
    import httpx
    import yarl

    for one in (yarl.URL("http://example.com/a"), httpx.URL("http://example.com/a")):
        assert address_of(one).url == "http://example.com/a"


def test_text_of_a_subclass_is_text() -> None:
    class Text(str):
        __slots__ = ()

    url = address_of(Text("http://example.com/a")).url
    assert (url, type(url)) == ("http://example.com/a", str)


def test_without_the_package_idna_pythons_own_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "idna", None)
    assert _in_ascii("münchen.example") == "xn--mnchen-3ya.example"
    with pytest.raises(BadAddress):
        _in_ascii("ü" * 80)


def test_user_and_password_become_basic_authorization_and_leave_the_url() -> None:
    address = address_of("http://us%40er:p%3Ass%20w@example.com/")
    assert address.url == "http://example.com/"
    assert address.authorization == "Basic dXNAZXI6cDpzcyB3"


@pytest.mark.parametrize(
    "text",
    [
        "http://user:secret@example.com:0/",
        "http://secret@example.com:0/",
        "ftp://user:secret@example.com/",
        "http://user:sec@secret@h/",
        "//u:secret@x",
        "u:secret@x",
        "secret@x",
        "http:\\\\u:secret@x/",
    ],
)
async def test_no_message_shows_a_password(text: str) -> None:
    with pytest.raises(FetchError) as caught:
        await fetch(text)
    assert "secret" not in str(caught.value)
    assert "secret" not in caught.value.url
    (outcome,) = await parallel_fetch([text])
    assert not outcome.ok
    assert "secret" not in "".join([str(outcome.error), *outcome.error.__notes__])
    assert outcome.input == text


LOCATIONS = {
    "/b": "http://example.com/b",
    "b?c": "http://example.com/x/b?c",
    "?q": "http://example.com/x/y?q",
    "//other.example/z": "http://other.example/z",
    "https://other.example": "https://other.example/",
    "../up": "http://example.com/up",
    "with space": "http://example.com/x/with%20space",
    "ü": "http://example.com/x/%C3%BC",
    "http://u:p@example.com/": "http://example.com/",
}


@pytest.mark.parametrize(("location", "url"), LOCATIONS.items(), ids=LOCATIONS)
def test_a_location_is_resolved_against_where_it_came_from(location: str, url: str) -> None:
    base = address_of("http://example.com/x/y")
    assert redirected(base, location) == Address(url, *address_of(url)[1:4], None)


@pytest.mark.parametrize("location", ["file:///etc/passwd", "javascript:1", "http://a\tb/", "//h:0/", "\\x"])
def test_a_location_that_leads_nowhere_is_refused(location: str) -> None:
    with pytest.raises(BadAddress):
        redirected(address_of("http://example.com/"), location)


@given(st.text())
def test_any_text_is_an_address_in_printable_ascii_or_refused(text: str) -> None:
    with contextlib.suppress(BadAddress):
        address = address_of(text)
        assert address.url.isascii()
        assert address.url.isprintable()
        assert " " not in address.url
    assert without_credentials(text).isprintable()


@given(st.from_regex(r"https?://[a-z@:/?#\[\]\\.0-9%é -]{0,20}", fullmatch=True))
def test_an_address_is_read_again_as_itself(text: str) -> None:
    try:
        address = address_of(text)
    except BadAddress:
        return
    assert address_of(address.url)[:4] == address[:4]


@given(st.from_regex(r"https?://[a-z@:/?#\[\]\\.0-9%-]{0,20}", fullmatch=True))
def test_aiohttp_and_we_read_the_same_host_and_port(text: str) -> None:
    from yarl import URL

    try:
        address = address_of(text)
    except BadAddress:
        return
    url = URL(address.url, encoded=True)
    assert (url.scheme, f"[{url.host}]" if ":" in (url.host or "") else url.raw_host, url.port) == address[
        1:4
    ]
    assert (url.user, url.password) == (None, None)
