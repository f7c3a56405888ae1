"""A headless Chromium that a test drives by its own protocol; None where this machine has none."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "headless_shell")
PATIENCE = 30.0
_FLAGS = (
    *(
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-extensions",
        "--hide-scrollbars",
    ),
    *("--disable-background-networking", "--remote-debugging-port=0", "--window-size=1000,900"),
)


def found() -> str | None:
    """Where it is."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Tab:
    """One page in it, and what it complained of."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.complaints: list[str] = []
        self.asked: list[str] = []

    async def ask(self, method: str, **params: Any) -> Any:
        """One command, and its answer; events that come meanwhile are noted."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            message = json.loads(await self._socket.receive_str(timeout=PATIENCE))
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self._note(message["method"], message["params"])

    def _note(self, method: str, params: Any) -> None:
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params))
        elif method == "Log.entryAdded":
            self.complaints.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.asked.append(params["request"]["url"])

    async def value(self, expression: str) -> Any:
        """What an expression is there."""
        found = await self.ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until an expression is true there."""
        async with asyncio.timeout(PATIENCE):
            while not await self.value(expression):
                await asyncio.sleep(0.02)

    async def open(self, path: Path) -> None:
        """Go to a file, and wait until its picture is there."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.ask(f"{domain}.enable")
        await self.ask("Page.navigate", url=path.as_uri())
        await self.until(
            "document.readyState === 'complete' && document.getElementById('lanes')?.dataset.ready"
        )

    async def press(self, key: str) -> None:
        """Type one key, and wait until the page has drawn."""
        text = {"text": key} if len(key) == 1 else {}
        await self.ask("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        await self.ask("Input.dispatchKeyEvent", type="keyUp", key=key)
        await self.value(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))"
        )


@asynccontextmanager
async def tab(browser: str) -> AsyncIterator[Tab]:
    """A fresh browser with one page, gone afterwards."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        nowhere = asyncio.subprocess.DEVNULL
        child = await asyncio.create_subprocess_exec(
            *[browser, *_FLAGS, f"--user-data-dir={home}", "about:blank"],
            stdout=nowhere,
            stderr=nowhere,
            start_new_session=True,
        )
        try:
            port = await _port(Path(home) / "DevToolsActivePort", child)
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    pages = [one for one in await answer.json() if one["type"] == "page"]
                async with session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    yield Tab(socket)
        finally:
            # Debian's is a script that waits for the browser: both end, and the browser's helpers.
            os.killpg(child.pid, signal.SIGKILL)
            await child.wait()


async def _port(file: Path, child: asyncio.subprocess.Process) -> str:
    async with asyncio.timeout(PATIENCE):
        while True:
            assert child.returncode is None, "the browser ended at once"
            if file.exists() and (lines := file.read_text().split("\n"))[0]:
                return lines[0]
            await asyncio.sleep(0.05)
