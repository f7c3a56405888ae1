"""What the gateway shows: 300 pages, a service that is killed and comes back, and the tree of all that runs."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence

from gateway_services import NAMES, Process

from atonce import fetch, fetch_stream, telemetry, tree


async def show(gateway: str, processes: Sequence[Process]) -> None:
    """Ask for pages while all is well, after `stock` was killed, and when it is back."""
    restarts: Counter[str] = Counter()
    await all_are_up(gateway)
    telemetry.attach("show", ["supervisor.restart"], lambda _, __, about: restarts.update([about["child"]]))
    print(f"\n{'':16}{'pages':>7}{'median':>9}", *(f"{name:>9}" for name in NAMES), " (ok/fallback)")
    await visit("all is well", gateway, range(100))
    os.kill(processes[NAMES.index("stock")].pid, signal.SIGKILL)
    page, picture = (await fetch(f"{gateway}/items/103")).json(), tree()
    await visit("stock is killed", gateway, range(100, 200))
    await all_are_up(gateway)
    await visit("stock is back", gateway, range(200, 300))
    telemetry.detach("show")
    again = (await fetch(f"{gateway}/items/103")).json()
    print("\nstarted again:", ", ".join(f"{name} ({count} x)" for name, count in restarts.items()))
    print(f"\na page while stock was away:\n  {page}\nand now:\n  {again}")
    print(f"\nwhat was running while stock was away:\n{picture}")


async def visit(when: str, gateway: str, items: Iterable[int]) -> None:
    """Ask for many pages, 20 at a time, and say how that went."""
    urls = (f"{gateway}/items/{item}" for item in items)
    pages = [page async for page in fetch_stream(urls, max_concurrency=20, per_host=None).values()]
    median = statistics.median(page.elapsed for page in pages) * 1000
    well = Counter(name for page in pages for name, how in page.json()["sources"].items() if how == "ok")
    shown = (f"{f'{well[name]}/{len(pages) - well[name]}':>9}" for name in NAMES)
    print(f"{when:16}{len(pages):7}{median:6.0f} ms", *shown)


async def all_are_up(gateway: str) -> None:
    """Wait until the gateway finds every service up."""
    async with asyncio.timeout(10.0):
        while set((await fetch(f"{gateway}/status")).json()["services"].values()) != {"up"}:  # noqa: ASYNC110  # one asks
            await asyncio.sleep(0.05)
