"""Follow the links of a site, a few pages at a time and never more than asked for, and say which links are dead.

    python examples/scrape.py                                   # pages of pydoc, served on this machine
    python examples/scrape.py https://example.com/ --pages 50   # yours (be polite: --at-a-time is 4)

The stream's input is the frontier: what was found and not yet asked. What a page links to goes into it, so the stream
feeds itself, and it ends when nothing is under way that could find more. Each page is asked once, stays on the host,
and has its time limit; a server that says "come back in a second" is asked again then (that is `fetch`).
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import pkgutil
import pydoc
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urldefrag, urljoin, urlsplit

from atonce import Failed, FetchError, HttpStatusError, Ok, fetch, stream

SHOWN = 5
#: Modules that the site has pages of. They link to more than these, and so it has dead links, as sites do.
PACKAGES = ("json", "http", "html", "urllib", "logging")


class Page(NamedTuple):
    """A page: its address, its title, the pages of the same host that it links to."""

    url: str
    title: str
    links: list[str]


class Reader(HTMLParser):
    """Takes the title and the links out of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.title, self.links, self._in_title = "", [], False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_title = tag == "title"
        if tag == "a" and (target := dict(attrs).get("href")):
            self.links.append(target)

    def handle_endtag(self, tag: str) -> None:
        self._in_title = False

    def handle_data(self, data: str) -> None:
        self.title += data.strip() if self._in_title else ""


async def visit(url: str) -> Page:
    """Ask for a page and read it."""
    answer = await fetch(url, timeout=5.0, headers={"User-Agent": "atonce-example/1.0"})
    page = Reader(answer.text())
    links = dict.fromkeys(urldefrag(urljoin(url, link)).url for link in page.links)
    return Page(url, page.title, [link for link in links if urlsplit(link)[:2] == urlsplit(url)[:2]])


class Frontier:
    """The addresses to ask, each once and no more than `most`; iteration ends when no more can be found."""

    def __init__(self, start: str, most: int) -> None:
        self.found_on = {start: ""}
        self._most = most
        self._waiting = deque([start])
        self._under_way = 1
        self._changed = asyncio.Event()

    def add(self, page: Page) -> None:
        """What a page links to is to be asked, unless it is known."""
        for link in page.links:
            if link not in self.found_on and len(self.found_on) < self._most:
                self.found_on[link] = page.url
                self._waiting.append(link)
                self._under_way += 1

    def done(self) -> None:
        """One of them has been dealt with."""
        self._under_way -= 1
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[str]:
        while self._under_way:
            while self._waiting:
                yield self._waiting.popleft()
            self._changed.clear()
            await self._changed.wait()


async def crawl(start: str, most: int, at_a_time: int) -> int:
    """Visit them in the order in which they are found, and print what was found; gives the number of dead links."""
    frontier = Frontier(start, most)
    pages: list[tuple[float, Page]] = []
    dead: list[tuple[str, str]] = []
    async for outcome in stream(frontier, visit, max_concurrency=at_a_time, ordered=False):
        match outcome:
            case Ok(page):
                pages.append((outcome.elapsed, page))
                frontier.add(page)
            case Failed(FetchError() as error):
                why = error.response.status if isinstance(error, HttpStatusError) else error.kind
                dead.append((outcome.input, str(why)))
            case Failed():
                outcome.unwrap()
        frontier.done()
    print(
        f"{len(pages)} pages, {sum(len(page.links) for _, page in pages)} links between them, {len(dead)} dead"
    )
    for url, why in sorted(dead)[:SHOWN]:
        print(f"  {urlsplit(url).path} ({why}), found on {urlsplit(frontier.found_on[url]).path}")
    if len(dead) > SHOWN:
        print(f"  and {len(dead) - SHOWN} more")
    most_links = max((page for _, page in pages), key=lambda page: (len(page.links), page.url), default=None)
    if most_links:
        print(f"most links: {urlsplit(most_links.url).path} ({most_links.title}) has {len(most_links.links)}")
    return len(dead)


def modules(package: str) -> list[str]:
    """A package and what is in it."""
    parts = pkgutil.iter_modules(importlib.import_module(package).__path__)
    return [package, *(f"{package}.{part.name}" for part in parts if part.name != "__main__")]


@contextmanager
def site() -> Iterator[str]:
    """A web server of the standard library, with pages that pydoc makes of this machine's modules."""
    with tempfile.TemporaryDirectory() as folder:
        names = [name for package in PACKAGES for name in modules(package)]
        for name in names:
            module = importlib.import_module(name)
            text = pydoc.html.page(pydoc.describe(module), pydoc.html.document(module, name))
            (Path(folder) / f"{name}.html").write_text(text, encoding="utf-8")
        line = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", folder]
        with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
            try:
                assert server.stdout is not None
                port = server.stdout.readline().partition(" port ")[2].split()[0]
                yield f"http://127.0.0.1:{port}/{names[0]}.html"
            finally:
                server.terminate()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url", nargs="?", help="where to start")
    parser.add_argument("--pages", type=int, default=100, help="no more than that")
    parser.add_argument("--at-a-time", type=int, default=4)
    given = parser.parse_args()
    if given.url:
        asyncio.run(crawl(given.url, given.pages, given.at_a_time))
    else:
        with site() as start:
            asyncio.run(crawl(start, given.pages, given.at_a_time))


if __name__ == "__main__":
    main()
