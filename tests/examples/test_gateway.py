"""The gateway answers whatever becomes of its services, and ends well however it is ended."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any
from urllib.parse import urlsplit

import psutil

from atonce import fetch, parallel_fetch, spawn
from tests.cli.command import PATIENCE, ROOT, environment
from tests.examples.processes import marked_with

EXAMPLES = ROOT / "examples"
GATEWAY = EXAMPLES / "gateway.py"
#: Serves like `gateway.py --serve 0`, with more patience for the parts of a page.
PATIENT = """
import asyncio, gateway
for part in gateway.PARTS.values():
    part["timeout"] = 30.0
asyncio.run(gateway.main(0))
"""
#: What a program says when it ends badly. That a poller has failed is no trouble.
TROUBLE = (
    "abandoned",
    "Exception ignored",
    "never retrieved",
    "was destroyed",
    "KeyboardInterrupt",
    "child 'listener'",
)


class Running:
    """A gateway in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], errors: IO[str], mark: str) -> None:
        assert process.stdout is not None
        self.process = process
        self._errors = errors
        self.url = process.stdout.readline().split()[-1]
        self._mark = mark

    def services(self) -> dict[str, psutil.Process]:
        """Its services, by name."""
        found = [one for one in marked_with(self._mark) if "gateway_services.py" in " ".join(one.cmdline())]
        return {one.cmdline()[-2]: one for one in found}

    def ports(self) -> list[int]:
        """Where it and its services listen."""
        services = [int(one.cmdline()[-1]) for one in self.services().values()]
        return [int(urlsplit(self.url).port or 0), *services]

    async def page(self, item: int, **sources: str) -> dict[str, Any]:
        """The page of an item, once its sources do as is said: on a busy machine one may be late first."""
        while True:
            page: dict[str, Any] = (await fetch(f"{self.url}/items/{item}", timeout=PATIENCE)).json()
            if page["sources"].items() >= sources.items():
                return page
            await asyncio.sleep(0.05)

    async def status(self) -> dict[str, Any]:
        """What it says of its services and of itself."""
        status: dict[str, Any] = (await fetch(f"{self.url}/status", timeout=PATIENCE)).json()
        return status

    async def has_all_up(self) -> None:
        """Wait until it has found all its services."""
        while set((await self.status())["services"].values()) != {"up"}:
            await asyncio.sleep(0.05)

    async def has_received(self, count: int) -> dict[str, Any]:
        """Wait until so many pages were asked for; gives its status then."""
        while (status := await self.status())["received"] < count:
            await asyncio.sleep(0.01)
        return status

    def ended(self) -> tuple[int, str]:
        """Wait for its end: the exit code, and what it wrote to standard error."""
        code = self.process.wait(timeout=PATIENCE)
        self._errors.seek(0)
        return code, self._errors.read()


@contextmanager
def running(*args: str) -> Iterator[Running]:
    """A gateway that is killed if the test leaves it running."""
    mark = uuid.uuid4().hex
    path = os.pathsep.join([str(EXAMPLES), environment()["PYTHONPATH"]])
    env = environment(ATONCE_TEST_MARK=mark, PYTHONPATH=path)
    line = [sys.executable, "-W", "error", *args]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            line, stdout=subprocess.PIPE, stderr=errors, text=True, env=env, start_new_session=True
        ) as process,
    ):
        try:
            yield Running(process, errors, mark)
        finally:
            process.kill()
    assert marked_with(mark) == []


def is_open(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def test_the_show_meets_a_killed_service_draws_the_tree_and_ends_by_itself() -> None:
    mark = uuid.uuid4().hex
    line = [sys.executable, "-W", "error", str(GATEWAY)]
    env = environment(ATONCE_TEST_MARK=mark)
    done = subprocess.run(line, capture_output=True, text=True, env=env, timeout=50, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    visits = re.findall(r"^(.+?) +100 +\d+ ms .* (\d+)/(\d+)$", done.stdout, re.MULTILINE)
    assert [when for when, _, _ in visits] == ["all is well", "stock is killed", "stock is back"]
    before, meanwhile, after = (int(well) for _, well, _ in visits)
    assert meanwhile < min(before, after)
    assert re.search(r"started again: .*\bstock \(1 x\)", done.stdout)
    assert "'stock': 'fallback (" in done.stdout
    assert re.search(r"child 'poll stock'  (running|backing off)\b", done.stdout)
    assert marked_with(mark) == []


async def test_a_killed_service_costs_its_part_of_the_page_until_it_is_back_and_ctrl_c_ends_all() -> None:
    with running(str(GATEWAY), "--serve", "0") as gateway:
        async with asyncio.timeout(PATIENCE):
            await gateway.has_all_up()
            page = await gateway.page(1, **dict.fromkeys(("product", "reviews", "price", "stock"), "ok"))
            assert (page["product"], page["price"], page["stock"]) == ("thing number 1", 11, 1)

            gateway.services()["stock"].kill()
            page = await gateway.page(3, product="ok", price="fallback (status)", stock="fallback (connect)")
            assert (page["product"], page["price"], page["stock"]) == ("thing number 3", None, "unknown")
            await gateway.has_all_up()
            assert (await gateway.page(3, stock="ok"))["stock"] == 3

            # reviews take a second and a page waits for a quarter of one: without the cache they would never be there
            await gateway.page(7, reviews="fallback (TaskTimeout)")
            await gateway.page(7, reviews="ok")
        ports = gateway.ports()
        os.killpg(gateway.process.pid, signal.SIGINT)
        code, errors = gateway.ended()
    assert code == 130
    assert not [port for port in ports if is_open(port)]
    told = [line for line in errors.splitlines() if line.startswith("child ")]
    assert any(line.startswith("child 'stock'") and "is restarted in 1 s" in line for line in told)
    assert any(line.startswith("child 'poll stock'") and "is restarted in" in line for line in told)
    assert not [sign for sign in TROUBLE if sign in errors]


async def test_sigterm_under_load_answers_what_came_in_in_full_and_leaves_nothing() -> None:
    with running("-c", PATIENT) as gateway:
        async with asyncio.timeout(PATIENCE):
            await gateway.has_all_up()
            ports = gateway.ports()
            reviews = gateway.services()["reviews"]
            reviews.suspend()
            urls = [f"{gateway.url}/items/{item}" for item in range(50)]
            asking = spawn(
                lambda: parallel_fetch(urls, max_concurrency=50, per_host=None, retry=None, timeout=PATIENCE)
            )
            assert (await gateway.has_received(50))["in_flight"] == 50
            gateway.process.send_signal(signal.SIGTERM)
            while is_open(ports[0]):
                await asyncio.sleep(0.01)
            reviews.resume()
            pages = [outcome.unwrap().json() for outcome in await asking]
        code, errors = gateway.ended()
    assert [page["product"] for page in pages] == [f"thing number {item}" for item in range(50)]
    assert {page["sources"]["reviews"] for page in pages} == {"ok"}
    assert code == 143
    assert not [sign for sign in TROUBLE if sign in errors]
    assert not [port for port in ports if is_open(port)]
