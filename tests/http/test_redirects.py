"""Redirects are followed by hand: within a bound, to http and https alone, and without anything secret elsewhere."""

from __future__ import annotations

import pytest

from atonce._model.errors import FetchError, HttpStatusError
from atonce.http.address import address_of
from atonce.http.fetch import fetch
from atonce.http.request import Hop, Request, first_hop, next_hop, stays_home
from tests.http.server import Exchange, echo, redirect, serving, text

SECRETS = {
    "Authorization": "Bearer abc",
    "Cookie": "a=b",
    "Proxy-Authorization": "Basic abc",
    "X-API-Key": "abc",
    "X-Auth-Token": "abc",
    "X-Amz-Security-Token": "abc",
    "X-CSRF-Token": "abc",
}
HARMLESS = {"Accept": "text/html", "X-Trace": "7", "Accept-Language": "en"}


async def test_redirects_are_followed_to_the_last_and_the_response_says_where_it_is_from() -> None:
    async with serving({"/a": redirect("/b"), "/b": redirect("c?d#e", 307), "/c": text("end")}) as server:
        response = await fetch(server.url("/a"))
        assert (response.text(), response.url) == ("end", server.url("/c?d"))
        assert server.paths() == ["/a", "/b", "/c?d"]
        assert server.connections == 1


async def test_a_loop_ends_after_as_many_redirects_as_follow_says() -> None:
    async with serving(redirect("/again")) as server:
        for follow, asked in ((10, 11), (3, 4)):
            server.asked.clear()
            with pytest.raises(FetchError, match=f"more than follow={follow} redirects") as caught:
                await fetch(server.url(), follow=follow)
            assert caught.value.kind == "redirect"
            assert len(server.asked) == asked


async def test_with_follow_0_a_redirect_is_an_answer_like_any_other() -> None:
    async with serving(redirect("/b")) as server:
        with pytest.raises(HttpStatusError, match="302 Found") as caught:
            await fetch(server.url(), follow=0)
        assert caught.value.response.body == b"moved"
        response = await fetch(server.url(), follow=0, ok="2xx,3xx")
        assert (response.status, response.headers["location"]) == (302, "/b")


async def test_a_redirect_status_without_a_location_is_an_answer() -> None:
    async with serving(
        {"/300": text("choose", 300), "/302": text("?", 302), "/304": text("", 304)}
    ) as server:
        for path in ("/300", "/302", "/304"):
            assert (await fetch(server.url(path), ok="any")).status == int(path[1:])


@pytest.mark.parametrize(
    "to", ["file:///etc/passwd", "javascript:alert(1)", "ftp://127.0.0.1/", "http://127.1/", "\\\\x"]
)
async def test_a_redirect_to_anything_but_http_is_refused(to: str) -> None:
    async with serving(redirect(to)) as server:
        with pytest.raises(FetchError, match="302 leads nowhere") as caught:
            await fetch(server.url())
        assert caught.value.kind == "redirect"


async def test_credentials_stay_behind_when_the_port_changes_and_do_not_come_back() -> None:
    async with serving({"*": echo}) as other, serving({"*": echo}) as home:
        home.routes["/out"] = redirect(other.url("/in"))
        other.routes["/in"] = redirect(other.url("/seen"))
        other.routes["/back"] = redirect(home.url("/home"))

        response = await fetch(home.url("/out"), headers={**SECRETS, **HARMLESS})
        assert response.url == other.url("/seen")
        assert set(home.asked[0].headers) >= set(SECRETS)
        for exchange in other.asked:
            assert not set(exchange.headers) & set(SECRETS)
            assert {name: exchange.headers[name] for name in HARMLESS} == HARMLESS

        home.routes["/out"] = redirect(other.url("/back"))
        await fetch(home.url("/out"), headers=SECRETS)
        assert home.paths()[-1] == "/home"
        assert not set(home.asked[-1].headers) & set(SECRETS)


async def test_credentials_stay_behind_when_only_the_host_changes() -> None:
    async with serving({"/in": echo}) as server:
        server.routes["/out"] = redirect(server.url("/in", host="localhost"))
        response = await fetch(server.url("/out"), headers=SECRETS)
        assert not any(line.partition(":")[0] in SECRETS for line in response.text().splitlines())


async def test_credentials_go_along_within_the_origin() -> None:
    async with serving({"/in": echo, "/out": redirect("/in")}) as server:
        await fetch(server.url("/out"), headers=SECRETS)
        assert set(server.asked[1].headers) >= set(SECRETS)


async def test_user_and_password_of_a_url_are_sent_to_its_origin_alone() -> None:
    async with serving({"*": echo}) as other, serving({"*": echo}) as home:
        home.routes["/out"] = redirect(other.url("/in", user="mallory:x@"))
        response = await fetch(home.url("/out", user="user:pass@"))
        assert home.asked[0].headers["Authorization"] == "Basic dXNlcjpwYXNz"
        assert "Authorization" not in other.asked[0].headers
        assert response.url == other.url("/in")


async def test_a_host_header_of_ones_own_stays_behind_too() -> None:
    async with serving({"*": echo}) as other, serving({"*": echo}) as home:
        home.routes["/out"] = redirect(other.url("/in"))
        await fetch(
            home.url("/out"), headers={"Host": "virtual.example", "Referer": "http://secret.example/"}
        )
        assert home.asked[0].headers["Host"] == "virtual.example"
        assert other.asked[0].headers["Host"] == f"127.0.0.1:{other.port}"
        assert "Referer" not in other.asked[0].headers


METHODS = [
    # status, before, after, whether the body goes along (RFC 9110, 15.4)
    (301, "GET", "GET", False),
    (301, "POST", "GET", False),
    (301, "PUT", "PUT", True),
    (302, "POST", "GET", False),
    (302, "DELETE", "DELETE", False),
    (303, "POST", "GET", False),
    (303, "PUT", "GET", False),
    (303, "HEAD", "HEAD", False),
    (307, "POST", "POST", True),
    (308, "POST", "POST", True),
]


@pytest.mark.parametrize(("status", "before", "after", "with_body"), METHODS)
async def test_the_method_after_a_redirect(status: int, before: str, after: str, with_body: bool) -> None:
    async with serving({"/a": redirect("/b", status), "/b": text("")}) as server:
        data = b"data" if before in ("POST", "PUT") else None
        await fetch(server.url("/a"), method=before, data=data, headers={"Content-Language": "en"})
        last: Exchange = server.asked[-1]
        assert last.method == after
        assert last.body == (b"data" if with_body else b"")
        if after == "GET" and before != "GET":
            assert "Content-Type" not in last.headers
            assert "Content-Language" not in last.headers


async def test_a_cookie_that_is_set_on_the_way_is_not_kept() -> None:
    async with serving(
        {"/in": echo, "/out": text("", 302, {"Location": "/in", "Set-Cookie": "a=b"})}
    ) as server:
        assert "cookie" not in (await fetch(server.url("/out"))).text().lower()


async def test_all_redirects_share_one_timeout() -> None:
    import asyncio

    async def slowly(exchange: Exchange) -> None:
        await asyncio.sleep(0.04)
        await exchange.answer("", 302, {"Location": "/next"})

    async with serving(slowly) as server:
        with pytest.raises(FetchError) as caught:
            await fetch(server.url(), timeout=0.15, retry=1, follow=1000)
        assert caught.value.kind == "timeout"
        assert 2 <= len(server.asked) <= 4


def hop_to(url: str, start: str = "https://a.example/x") -> Hop:
    request = Request.of(headers=SECRETS)
    return next_hop(first_hop(request, address_of(start)), 302, address_of(url))


@pytest.mark.parametrize(
    "url", ["http://a.example/", "https://b.example/", "https://a.example:444/", "https://a.example./"]
)
def test_scheme_host_and_port_each_make_another_origin(url: str) -> None:
    hop = hop_to(url)
    assert hop.foreign
    assert hop.headers == ()


@pytest.mark.parametrize("url", ["https://a.example/y", "https://a.example:443/", "https://A.EXAMPLE/"])
def test_other_spellings_are_the_same_origin(url: str) -> None:
    assert not hop_to(url).foreign


def test_every_copy_of_a_credential_is_dropped() -> None:
    request = Request.of(
        headers=[("Cookie", "a=1"), ("cookie", "b=2"), ("AUTHORIZATION", "x"), ("Accept", "*/*")]
    )
    hop = next_hop(
        first_hop(request, address_of("http://u:p@a.example/")), 302, address_of("http://b.example/")
    )
    assert hop.headers == (("Accept", "*/*"),)


def test_only_names_that_look_like_credentials_stay_home() -> None:
    assert all(stays_home(name) for name in SECRETS)
    assert not any(stays_home(name) for name in HARMLESS)
