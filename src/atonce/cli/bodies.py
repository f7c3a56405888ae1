"""What of an answer goes into its record: nothing, text, JSON, or the name of a file that holds the body."""

from __future__ import annotations

import base64
import json
import mimetypes
import os
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn
from urllib.parse import urlsplit

from atonce._verbs.spawn import spawn
from atonce.cli.exits import INPUT_OUTPUT, Refusal
from atonce.cli.failure import not_json
from atonce.cli.rows.text import reason
from atonce.cli.work.units import Unfit
from atonce.cli.work.watch import Item
from atonce.http.response import Response, charset

MODES = ("text", "json", "file", "none")


class Bodies:
    """Makes the `out` of a record from an answer, in one of `MODES`; `folder` is for files alone."""

    def __init__(self, mode: str, folder: Path | None) -> None:
        self.mode = mode
        self._folder = folder
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise Refusal(f"cannot make the folder {folder}: {reason(error)}", INPUT_OUTPUT) from None

    async def out(self, item: Item, response: Response) -> dict[str, Any]:
        """The status, type and size of an answer, and its body as asked."""
        out: dict[str, Any] = {"status": response.status, "bytes": len(response.body)}
        content_type = response.headers.get("content-type")
        if content_type is not None:
            out["type"] = content_type
        if response.url not in (item.shown, f"{item.shown}/"):
            out["url"] = response.url
        if self.mode == "text":
            out |= text_of(response)
        elif self.mode == "json":
            out["json"] = json_of(response, item)
        elif self._folder is not None:
            path = self._folder / f"{item.key}{suffix_of(response)}"
            await spawn(_save, path, response.body)
            out["file"] = str(path)
        return out


def text_of(response: Response) -> dict[str, str]:
    """A body as text where it is that to the last byte, else as base64: nothing is lost."""
    name = charset(response.headers.get("content-type", "")) or "utf-8"
    try:
        return {"text": response.body.decode(name)}
    except (UnicodeDecodeError, ValueError):
        return {"base64": base64.b64encode(response.body).decode("ascii")}


def json_of(response: Response, item: Item) -> Any:
    """A body as JSON, by the letter: no NaN, which other readers of a record would refuse."""
    try:
        return json.loads(response.text(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Unfit(not_json(error, item.host)) from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def suffix_of(response: Response) -> str:
    """The ending of a body's file: as in its URL where that is a plain one, else by its type."""
    ending = PurePosixPath(urlsplit(response.url).path).suffix
    if 1 < len(ending) <= 8 and ending[1:].isascii() and ending[1:].isalnum():
        return ending.lower()
    plain = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return mimetypes.guess_extension(plain) or ".body"


def _save(path: Path, body: bytes) -> None:
    """Write a file that is there whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_bytes(body)
        os.replace(part, path)
    except OSError as error:
        raise Refusal(f"cannot write {path}: {reason(error)}", INPUT_OUTPUT) from None
