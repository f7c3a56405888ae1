"""The scraping example visits each page once, within its bounds, and names the dead links."""

from __future__ import annotations

import asyncio
import re
import runpy
import subprocess
import sys
import uuid
from collections import Counter

import pytest
from aiohttp import web

from tests.cli.command import ROOT, environment
from tests.examples.processes import marked_with

SCRAPE = ROOT / "examples" / "scrape.py"


def scraped(*args: str, mark: str = "") -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-W", "error", str(SCRAPE), *args]
    env = environment(ATONCE_TEST_MARK=mark)
    return subprocess.run(line, capture_output=True, text=True, env=env, timeout=50, check=False)


class Web:
    """A small site: a page for each number below `size` that links to all of `links(number)`."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.asked: Counter[str] = Counter()
        self.running = self.most = 0

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked[request.path] += 1
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0.002)
        self.running -= 1
        if request.path == "/1" and self.asked["/1"] == 1:
            return web.Response(status=503, headers={"Retry-After": "0"})
        number = int(request.path[1:])
        if number >= self.size:
            return web.Response(status=404)
        links = [
            f"/{2 * number + 1}#top",
            f"{2 * number + 2}",
            "/0",
            "https://elsewhere.example/",
            "mailto:me@x",
        ]
        body = f"<title>Number &amp; {number}</title>" + "".join(f"<a href='{link}'>it</a>" for link in links)
        return web.Response(text=body, content_type="text/html")


async def crawled(size: int, most: int, at_a_time: int) -> tuple[Web, int]:
    site = Web(size)
    runner = web.ServerRunner(web.Server(site.answer))
    await runner.setup()
    try:
        tcp = web.TCPSite(runner, "127.0.0.1", 0)
        await tcp.start()
        port = runner.addresses[0][1]
        crawl = runpy.run_path(str(SCRAPE))["crawl"]
        return site, await crawl(f"http://127.0.0.1:{port}/0", most, at_a_time)
    finally:
        await runner.cleanup()


async def test_each_page_is_asked_once_and_no_more_at_a_time_than_allowed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    site, dead = await crawled(size=30, most=1_000, at_a_time=3)
    assert dead == 31
    assert site.asked.pop("/1") == 2  # the server was busy once
    assert set(site.asked) == {f"/{number}" for number in range(61) if number != 1}
    assert set(site.asked.values()) == {1}
    assert site.most <= 3
    said = capsys.readouterr().out
    assert said.startswith("30 pages, 90 links between them, 31 dead\n  /30 (404), found on /14\n")
    assert "and 26 more\n" in said
    assert "(Number & " in said


async def test_no_more_pages_are_asked_for_than_allowed() -> None:
    site, dead = await crawled(size=1_000, most=7, at_a_time=3)
    assert dead == 0
    assert len(site.asked) == 7


def test_the_site_of_pydoc_has_pages_and_dead_links() -> None:
    mark = uuid.uuid4().hex
    done = scraped("--pages", "40", mark=mark)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert re.match(r"\d+ pages, \d+ links between them, \d+ dead\n  /\S+ \(404\), found on /", done.stdout)
    assert "most links: /" in done.stdout
    assert marked_with(mark) == []
