"""What `atonce fetch` sends with each request: the method, a body, a name; read before anything starts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from atonce._runtime.terminal import visible
from atonce.cli.exits import INPUT_OUTPUT, Refusal
from atonce.cli.rows.text import reason

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Sent:
    """A method, header fields that are sent beside others, and a body, which may be secret."""

    method: str
    headers: tuple[tuple[str, str], ...]
    data: bytes | None

    def shape(self) -> dict[str, str | None]:
        """What of it shapes results, for the spec of a run: of the body its hash."""
        return {
            "-X": None if self.method == "GET" else self.method,
            "--data": None if self.data is None else f"sha256:{hashlib.sha256(self.data).hexdigest()[:16]}",
        }


def sent_of(method: str | None, headers: Headers, data: str | None, text: str | None) -> Sent:
    """Read the options; a body makes it a POST unless a method is given, as curl does; `text` is JSON."""
    if data is not None and text is not None:
        raise Refusal("--data and --json both say what is sent: give one of them")
    body = None if data is None else _read("--data", data)
    if text is not None:
        body = _read("--json", text)
        _check_json(body)
        if not any(name.lower() == "content-type" for name, _ in headers):
            headers = [*headers, ("Content-Type", "application/json")]
    return Sent(method or ("GET" if body is None else "POST"), tuple(headers), body)


def _check_json(body: bytes) -> None:
    try:
        json.loads(body)
    except ValueError as error:
        raise Refusal(f"--json is no JSON: {error}") from None


def with_agent(headers: Headers, agent: str | None) -> Headers:
    """The header fields with the name that we say we have."""
    if agent is None:
        return headers
    if any(name.lower() == "user-agent" for name, _ in headers):
        raise Refusal("--user-agent and -H 'User-Agent: ...' both say who we are: give one of them")
    return [*headers, ("User-Agent", agent)]


def _read(option: str, written: str) -> bytes:
    """A text as it is, or what a file has that is named with an @."""
    if not written.startswith("@"):
        return written.encode("utf-8", "surrogateescape")
    try:
        with open(written[1:], "rb") as file:
            return file.read()
    except OSError as error:
        raise Refusal(f"cannot read {option} {visible(written)}: {reason(error)}", INPUT_OUTPUT) from None
