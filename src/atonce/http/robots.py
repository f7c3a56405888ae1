"""robots.txt, obeyed where that is asked for: RFC 9309, and Crawl-delay."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from atonce._model.errors import FetchError, HttpStatusError
from atonce.http.address import Address, without_credentials
from atonce.http.response import Response

#: Bytes of a robots.txt that are read at least (RFC 9309, section 2.5); a longer one disallows all.
MOST: Final = 512_000
#: The longest pause between two requests that a Crawl-delay can ask for, in seconds.
LONGEST: Final = 60.0


class Disallowed(FetchError):
    """A URL that robots.txt keeps us from; nothing was sent."""


class Robots:
    """The robots.txt of each origin, read once, before the first request to it, by `load(url)`.

    There is none (4xx): all is allowed. It cannot be had, for whatever other reason: nothing is.
    """

    def __init__(self, agent: str, load: Callable[[str], Awaitable[Response]]) -> None:
        self._agent = agent
        self._load = load
        self._rules: dict[tuple[str, str, int], Any] = {}
        self._reading: dict[tuple[str, str, int], asyncio.Lock] = {}

    async def delay(self, address: Address) -> float:
        """Seconds from a request to the next one there; `Disallowed` when it must not be sent."""
        origin = address.origin
        if origin not in self._rules:
            async with self._reading.setdefault(origin, asyncio.Lock()):
                if origin not in self._rules:
                    self._rules[origin] = await self._read(address)
        rules = self._rules[origin]
        if rules is None:
            return 0.0
        if isinstance(rules, FetchError):
            raise _disallowed(address, f"cannot be had ({rules.kind}), which disallows all")
        if not rules.can_fetch(address.url, self._agent):
            raise _disallowed(address, f"disallows it for {self._agent}")
        return min(float(rules.crawl_delay(self._agent) or 0.0), LONGEST)

    async def _read(self, address: Address) -> Any:
        """The rules, None where all is allowed, the error where nothing is."""
        from protego import Protego

        scheme, host, port = address.origin
        shown = f"[{host}]" if ":" in host else host
        try:
            answer = await self._load(f"{scheme}://{shown}:{port}/robots.txt")
        except HttpStatusError as error:
            return None if 400 <= error.status < 500 and error.status != 429 else error
        except FetchError as error:
            return error
        return Protego.parse(answer.body.decode("utf-8", "replace"))


def _disallowed(address: Address, why: str) -> Disallowed:
    url = without_credentials(address.url)
    return Disallowed(f"{url}: robots.txt of {address.host} {why}; nothing was sent", kind="refused", url=url)
