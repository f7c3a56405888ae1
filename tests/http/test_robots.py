"""robots.txt is read once an origin; none allows all, and one that cannot be had allows nothing."""

from __future__ import annotations

import asyncio

import pytest

from atonce._model.errors import FetchError, HttpStatusError
from atonce.http.address import address_of
from atonce.http.response import Headers, Response, make_response
from atonce.http.robots import LONGEST, Disallowed, Robots

PAGE = address_of("https://example.com/private/page")
RULES = b"User-agent: *\nDisallow: /private\n\nUser-agent: us\nAllow: /private\nCrawl-delay: 2\n\nUser-agent: slow\nCrawl-delay: 1e6"


class Site:
    """Gives a robots.txt, or an error, after a moment, and counts."""

    def __init__(self, answer: bytes | Exception) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def load(self, url: str) -> Response:
        self.asked.append(url)
        await asyncio.sleep(1.0)
        if isinstance(self.answer, Exception):
            raise self.answer
        return make_response(200, url, Headers(), self.answer, 0.0, 1)


def status(code: int) -> Exception:
    url = "https://example.com/robots.txt"
    response = make_response(code, url, Headers(), b"", 0.0, 1)
    return HttpStatusError(f"HTTP {code}", status=code, response=response, url=url)


@pytest.mark.virtual
@pytest.mark.parametrize("error", [status(404), status(410), status(401)])
async def test_where_there_is_none_all_is_allowed(error: Exception) -> None:
    assert await Robots("us", Site(error).load).delay(PAGE) == 0.0


@pytest.mark.virtual
@pytest.mark.parametrize("error", [status(500), status(429), FetchError("no", kind="connect")])
async def test_where_it_cannot_be_had_nothing_is_allowed(error: Exception) -> None:
    with pytest.raises(Disallowed, match="cannot be had") as caught:
        await Robots("us", Site(error).load).delay(PAGE)
    assert caught.value.kind == "refused"


@pytest.mark.virtual
async def test_the_rules_for_our_name_count_and_else_those_for_all() -> None:
    assert await Robots("us", Site(RULES).load).delay(PAGE) == 2.0
    assert await Robots("slow", Site(RULES).load).delay(PAGE) == LONGEST
    with pytest.raises(Disallowed, match=r"robots\.txt of example\.com disallows it for them"):
        await Robots("them", Site(RULES).load).delay(PAGE)


@pytest.mark.virtual
async def test_it_is_read_once_an_origin_however_many_ask_at_once_and_whoever_gives_up() -> None:
    site = Site(RULES)
    robots = Robots("us", site.load)
    impatient = asyncio.create_task(robots.delay(PAGE))
    await asyncio.sleep(0.5)
    others = [asyncio.create_task(robots.delay(PAGE)) for _ in range(9)]
    impatient.cancel()
    assert [await one for one in others] == [2.0] * 9
    assert await robots.delay(address_of("https://example.com:8443/x")) == 2.0
    assert site.asked == ["https://example.com:443/robots.txt"] * 2 + ["https://example.com:8443/robots.txt"]
