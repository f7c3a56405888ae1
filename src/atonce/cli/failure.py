"""What went wrong with a URL, in the program's words: a kind of the closed set, a label to group by, and a cure."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from atonce._model.durations import brief, bytes_shown
from atonce._model.errors import FetchError, HttpStatusError, TaskStopped, TaskTimeout
from atonce.cli.tally import Failure, Kind
from atonce.http.robots import Disallowed
from atonce.http.status import phrase

_KINDS: Final[dict[str, Kind]] = {
    "connect": "connect",
    "tls": "connect",
    "dns": "dns",
    "timeout": "timeout",
    "status": "http",
    "redirect": "http",
    "protocol": "http",
    "too_large": "rejected",
    "refused": "rejected",
}
#: What some failures are called, by the `kind` of a `FetchError`, which a record has as `why`.
LABELS: Final = {
    "tls": "connect: no secure connection",
    "redirect": "http: redirect not followed",
    "protocol": "http: not an HTTP answer",
    "refused": "not a URL that can be asked",
}
_ADVICE: Final = {
    429: "the server asks to slow down: --rate 5/s or --per-host 1",
    401: "the server wants to know who you are: -H @FILE with an Authorization line",
}


def not_json(error: BaseException, host: str | None) -> Failure:
    """What is recorded of a body that `--body json` cannot take."""
    advice = "--body text takes what is no JSON"
    return Failure(
        "exception", type(error).__name__, f"the body is not JSON: {error}", "not JSON", advice, host
    )


def described(
    error: BaseException, host: str | None, timeout: float | None, max_bytes: int | None
) -> Failure:
    """Why a fetch failed."""
    name = type(error).__name__
    if isinstance(error, HttpStatusError):
        message = phrase(error.status)
        advice = _ADVICE.get(error.status, "")
        return Failure("http", name, message, f"HTTP {error.status}", advice, host, {"status": error.status})
    if isinstance(error, FetchError):
        return _fetch_failure(error, name, host, timeout, max_bytes)
    message = " ".join(str(error).split()) or name
    if isinstance(error, TaskTimeout):
        return Failure("timeout", name, message, "timeout", host=host)
    if isinstance(error, TaskStopped):
        return Failure("cancelled", name, message, "cancelled", host=host)
    return Failure("exception", name, message, name, message, host)


def _fetch_failure(
    error: FetchError, name: str, host: str | None, timeout: float | None, max_bytes: int | None
) -> Failure:
    kind = _KINDS.get(error.kind, "exception")
    message = _own_words(error)
    label, advice = LABELS.get(error.kind, error.kind), message
    if isinstance(error, Disallowed):
        return Failure("rejected", name, message, "disallowed by robots.txt", message, host)
    if error.kind == "timeout":
        advice = "--timeout gives more time"
        if timeout is not None:
            label, message = f"timeout after {brief(timeout)}", f"no answer in {brief(timeout)}"
    elif error.kind == "dns":
        later = any(
            isinstance(one, socket.gaierror) and one.errno == socket.EAI_AGAIN for one in _chain(error)
        )
        label, advice = "dns: no name server answers" if later else "dns: name not found", ""
    elif error.kind == "connect":
        said = _system_words(error)
        label, message, advice = f"connect: {said or 'broken off'}", said or message, ""
    elif error.kind == "too_large":
        message = f"the body is larger than {max_bytes} bytes"
        label, advice = f"larger than {bytes_shown(max_bytes or 0)}", "--max-bytes takes more"
    fields: dict[str, int | str] = {} if kind == error.kind else {"why": error.kind}
    return Failure(kind, name, message, label, advice, host, fields)


def _own_words(error: FetchError) -> str:
    """The message without the method and URL before it, which the record has."""
    text = " ".join(str(error).split())
    _, found, rest = text.partition(f" {error.url}: ")
    return (rest if found else text).removesuffix("; nothing was sent")


def _system_words(error: FetchError) -> str | None:
    """What the system said of a connection, e.g. "connection refused"; None when it is not the one who spoke."""
    for one in _chain(error):
        if isinstance(one, OSError) and one.errno and not isinstance(one, socket.gaierror):
            return os.strerror(one.errno).lower()
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(8):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def host_of(url: str) -> str | None:
    """Host and port of a URL, as its failures are counted; None when it has none."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2].lower() or None
    except ValueError:
        return None
