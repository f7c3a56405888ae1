"""`Request`: what one call of `fetch` asks for at any URL, checked before anything is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, TypedDict
from urllib.parse import urlencode

from atonce._model.checks import count, seconds_or_none, shown, size_or_none
from atonce._model.options import Retry
from atonce.http.address import Address
from atonce.http.status import Statuses, statuses

HeaderFields: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]
Data: TypeAlias = bytes | bytearray | memoryview | str | Mapping[str, Any] | list[tuple[str, Any]]
Fields: TypeAlias = tuple[tuple[str, str], ...]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]*")
_OURS = frozenset(
    {"content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer", "expect"}
)
_CREDENTIAL = re.compile(
    r"authorization|cookie|auth|token|secret|password|passwd|credential|session|signature|api-?key|access-?key|csrf|jwt",
    re.IGNORECASE,
)
#: What belongs to the origin a request was written for, or to the body it had.
_ORIGIN_BOUND = frozenset({"host", "origin", "referer"})
_BODY_BOUND = re.compile(
    r"content-(type|encoding|language|location|md5|disposition|range)|digest", re.IGNORECASE
)


class FetchOptions(TypedDict, total=False):
    """The options that `fetch`, `fetch_stream` and `parallel_fetch` share; `fetch` explains them."""

    method: str
    headers: HeaderFields | None
    data: Data | None
    json: Any
    timeout: float | None
    deadline: float | None
    retry: Retry | int | None
    max_bytes: int | None
    follow: int
    ok: Statuses
    verify: Any
    client: Any


@dataclass(frozen=True, slots=True)
class Request:
    """The checked options of one call."""

    method: str
    headers: Fields
    body: bytes | None
    timeout: float | None
    deadline: float | None
    retry: Retry
    max_bytes: int | None
    follow: int
    ok: frozenset[int]
    verify: Any

    @classmethod
    def of(
        cls,
        *,
        method: str = "GET",
        headers: HeaderFields | None = None,
        data: Data | None = None,
        json: Any = None,
        timeout: float | None = 5.0,
        deadline: float | None = None,
        retry: Retry | int | None = None,
        max_bytes: int | None = 10_000_000,
        follow: int = 10,
        ok: Statuses = "2xx",
        verify: Any = True,
    ) -> Request:
        """Check the options; `TypeError` and `ValueError` say the corrected form."""
        tries = Retry.of(retry) or Retry(attempts=1)
        deadlines = [
            one for one in (seconds_or_none("deadline", deadline), tries.deadline) if one is not None
        ]
        body, content_type = body_of(data, json)
        fields = fields_of(headers)
        if content_type and not any(name.lower() == "content-type" for name, _ in fields):
            fields = (*fields, ("Content-Type", content_type))
        return cls(
            method=method_of(method),
            headers=fields,
            body=body,
            timeout=seconds_or_none("timeout", timeout),
            deadline=min(deadlines, default=None),
            retry=tries,
            max_bytes=size_or_none("max_bytes", max_bytes),
            follow=count("follow", follow, least=0),
            ok=statuses(ok),
            verify=verify_of(verify),
        )


class Hop(NamedTuple):
    """One message that is sent: the first, or one that a redirect led to.

    `foreign`: the origin is no longer the caller's, so that nothing secret may go along, not even what the caller's
    own client would add.
    """

    request: Request
    method: str
    address: Address
    headers: Fields
    body: bytes | None
    foreign: bool = False

    @property
    def plain(self) -> bool:
        """Whether it has nothing but a method and a URL."""
        return not self.headers and self.body is None and not self.foreign and self.request.verify is True


def first_hop(request: Request, address: Address) -> Hop:
    """The message that asks `address`; user and password of a URL become Basic authorization unless there is one."""
    headers = request.headers
    if address.authorization is not None and not any(name.lower() == "authorization" for name, _ in headers):
        headers = (*headers, ("Authorization", address.authorization))
    return Hop(request, request.method, address, headers, request.body)


def next_hop(hop: Hop, status: int, target: Address) -> Hop:
    """The message that follows a redirect (RFC 9110, section 15.4).

    303, and 301 or 302 after a POST, become a GET without a body. When the origin changes all that is bound to the old
    one stays behind, and does not come back when a later redirect leads home again.
    """
    method, headers, body = hop.method, hop.headers, hop.body
    if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
        method, body = "GET", None
        headers = tuple(field for field in headers if not _BODY_BOUND.fullmatch(field[0]))
    foreign = hop.foreign or target.origin != hop.address.origin
    if foreign:
        headers = tuple(field for field in headers if not stays_home(field[0]))
    return Hop(hop.request, method, target, headers, body, foreign)


def stays_home(name: str) -> bool:
    """Whether a header must not go to another origin: it is, or is named like, a credential, or names the origin."""
    return name.lower() in _ORIGIN_BOUND or _CREDENTIAL.search(name) is not None


def method_of(method: object) -> str:
    """Check a method; small letters are put right."""
    if not isinstance(method, str):
        raise TypeError(f"method is text, e.g. method='POST'; got {shown(method)}")
    name = method.upper()
    if not _TOKEN.fullmatch(name) or name in ("CONNECT", "TRACE"):
        raise ValueError(f"method is e.g. 'GET', 'POST' or 'HEAD'; got {shown(method)}")
    return name


def fields_of(headers: HeaderFields | None) -> Fields:
    """Check header fields; a line break in one would be a header, or a request, of somebody else's making."""
    if headers is None:
        return ()
    if isinstance(headers, (str, bytes)) or not isinstance(headers, Iterable):
        raise TypeError(f"headers is a dict, e.g. headers={{'Accept': 'text/html'}}; got {shown(headers)}")
    pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
    return tuple(_field(pair) for pair in pairs)


def _field(pair: object) -> tuple[str, str]:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise TypeError(f"headers is a dict or a list of (name, value) pairs; got {shown(pair)} in it")
    name, value = pair
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError(
            f"headers has text for names and values, e.g. {{'X-Count': '5'}}; got {shown(name)}: {shown(value)}"
        )
    if not _TOKEN.fullmatch(name):
        raise ValueError(
            f"headers has the name {shown(name)}: letters, digits and - only, without colon or blank"
        )
    if not _VALUE.fullmatch(value):
        raise ValueError(
            f"headers has a line break or another control character in the value of {name}: remove it"
        )
    if name.lower() in _OURS:
        raise ValueError(f"headers has {name}, which fetch sets by itself: leave it out")
    return name, value.strip(" \t")


def body_of(data: Data | None, value: Any) -> tuple[bytes | None, str | None]:
    """The bytes to send and their type; all at once, so that a retry and a redirect can send them again."""
    if value is not None:
        if data is not None:
            raise TypeError("give data= or json=, not both")
        try:
            text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise type(error)(f"json= cannot be written as JSON: {error}") from error
        return text.encode("utf-8", "surrogatepass"), "application/json"
    if data is None:
        return None, None
    if isinstance(data, str):
        return data.encode("utf-8"), "text/plain; charset=utf-8"
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data), "application/octet-stream"
    if isinstance(data, (Mapping, list)):
        try:
            return urlencode(data, doseq=True).encode("ascii"), "application/x-www-form-urlencoded"
        except (TypeError, ValueError):
            raise TypeError(
                f"data as a form is a dict or a list of (name, value) pairs; got {shown(data)}"
            ) from None
    raise TypeError(
        f"data is bytes, text or a dict of form fields; of a file pass file.read(); got {shown(data)}"
    )


def verify_of(verify: object) -> bool | Any:
    """Check `verify`: True, False, or an `ssl.SSLContext`."""
    if isinstance(verify, bool):
        return verify
    import ssl

    if isinstance(verify, ssl.SSLContext):
        return verify
    raise TypeError(
        f"verify is True, False or an ssl.SSLContext, e.g. with a CA of your own; got {shown(verify)}"
    )
