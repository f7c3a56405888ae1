"""A tour of the standard library: fetch every module's source over HTTP, parse each, and say what is in them.

    python examples/stdlib_tour.py              the source files of this Python, served by this machine to itself
    python examples/stdlib_tour.py urls.txt     your own URLs, one a line

The tour itself is the function `tour`; what it looks like is in tour_show.py, the web site in stdlib_site.py.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from stdlib_site import serving
from tour_show import Show, library_report, url_report

from atonce import Response, fetch, fetch_stream, stream


async def tour(urls: Iterable[str], show: Show) -> list[Module]:
    """Fetch the pages, 32 at a time, and parse each as it comes: two bounded streams, one fed by the other."""
    answers = fetch_stream(urls, max_concurrency=32, per_host=None, timeout=1.0, retry=3, ordered=False)
    modules = stream(show.good(answers), survey, max_concurrency=1, ordered=False)
    return [module async for module in modules.values()]


@dataclass(frozen=True, slots=True)
class Module:
    """What is in one source file."""

    name: str
    lines: int
    functions: int
    coroutines: int
    classes: int
    imports: frozenset[str]


def survey(page: Response) -> Module:
    """Parse one page: work for the CPU, in a plain function, which atonce runs in a thread."""
    nodes = list(ast.walk(ast.parse(page.body)))
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {
        node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level
    }
    path = urlsplit(page.url).path.strip("/").removesuffix(".py")
    return Module(
        name=path.removesuffix("/__init__").replace("/", "."),
        lines=page.body.count(b"\n"),
        functions=sum(isinstance(node, ast.FunctionDef) for node in nodes),
        coroutines=sum(isinstance(node, ast.AsyncFunctionDef) for node in nodes),
        classes=sum(isinstance(node, ast.ClassDef) for node in nodes),
        imports=frozenset(name.partition(".")[0] for name in imported),
    )


async def main_tour(limit: int | None) -> None:
    """Start the site, ask it for its pages, tour them, and report."""
    with serving() as site:
        urls = (await fetch(site)).json()[:limit]
        show = Show("tour", f"the Python standard library, {len(urls)} pages at {site}", len(urls))
        modules = await tour(urls, show)
    show.receipt()
    library_report(modules)


async def main_urls(path: Path, lines: list[str]) -> None:
    """The same for the user's own URLs: no parsing, but what came back."""
    urls = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    show = Show("fetch", f"{len(urls)} URLs of {path}", len(urls))
    answers = fetch_stream(urls, max_concurrency=32, timeout=10.0, retry=3, ordered=False)
    pages = [page async for page in show.good(answers)]
    show.receipt()
    url_report(pages)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("urls", nargs="?", type=Path, help="a file of URLs, one a line")
    parser.add_argument("--limit", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    try:
        if asked.urls:
            asyncio.run(main_urls(asked.urls, asked.urls.read_text(encoding="utf-8-sig").splitlines()))
        else:
            asyncio.run(main_tour(asked.limit))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except OSError as error:
        raise SystemExit(f"{asked.urls}: {error.strerror}") from None
