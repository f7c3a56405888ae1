"""The servers that the tests of this folder run."""

from __future__ import annotations

import asyncio
from typing import Any

from atonce import Server


class Counter(Server):
    """Counts; each request is a verb of its own."""

    def init(self, start: int = 0) -> None:
        self.count = start

    def handle_call(self, request: Any, caller: Any) -> Any:
        if isinstance(request, BaseException):
            raise request
        self.count += 1
        return self.count

    def handle_cast(self, message: Any) -> None:
        if isinstance(message, BaseException):
            raise message
        self.count += message


class Diary(Server):
    """Writes down what its handlers get; a number is a request to take so many seconds."""

    def init(self) -> None:
        self.lines: list[Any] = []

    async def handle_call(self, request: Any, caller: Any) -> Any:
        await self.note("call", request)
        return list(self.lines)

    async def handle_cast(self, message: Any) -> None:
        await self.note("cast", message)

    async def handle_info(self, message: Any) -> None:
        await self.note("info", message)

    async def note(self, kind: str, what: Any) -> None:
        if isinstance(what, BaseException):
            raise what
        self.lines.append(f"{kind} {what}")
        if isinstance(what, (int, float)):
            await asyncio.sleep(what)
            self.lines.append(f"{kind} {what} done")
