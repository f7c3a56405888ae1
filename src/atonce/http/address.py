"""`Address`: a URL that has been checked and may be asked, and the sentences for those that may not."""

from __future__ import annotations

import ipaddress
import re
from base64 import b64encode
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes, urljoin

from atonce._model.checks import shown

LONGEST = 65_536

_ORDINARY = re.compile(r"(https?)://([a-z0-9.-]+)(?::([0-9]{1,5}))?(/[A-Za-z0-9._~:/?@!$&'()*+,;=%-]*)?")
_PARTS = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(//[^/?#]*)?([^?#]*)(\?[^#]*)?(?:#.*)?", re.DOTALL)
_AUTHORITY = re.compile(r"(?:([^@]*)@)?(\[[^\[\]@]*\]|[^\[\]@:]*)(?::([^:@]*))?")
_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?\.?")
_USERINFO = re.compile(r"(//|^)[^/?#]*@")
_BLANK = re.compile(
    r"[\x00-\x20\x7f-\xa0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff\ud800-\udfff]"
)
_PATH_SAFE = "!$%&'()*+,-./:;=?@_~[]"


class BadAddress(ValueError):
    """A URL that is not asked; the message says why."""


class Address(NamedTuple):
    """Where a request goes: `url` is plain ASCII without credentials and fragment."""

    url: str
    scheme: str
    host: str
    port: int
    authorization: str | None = None

    @property
    def origin(self) -> tuple[str, str, int]:
        """What credentials are bound to (RFC 6454)."""
        return self.scheme, self.host, self.port

    @property
    def place(self) -> tuple[str, int]:
        """What `per_host` counts."""
        return self.host, self.port


def address_of(text: object) -> Address:
    """Check a URL; `BadAddress` says what is wrong with it and how it is written right."""
    if type(text) is not str:
        text = _as_text(text)
    if len(text) <= LONGEST and (match := _ORDINARY.fullmatch(text)):
        scheme, host, port, path = match.groups()
        number = int(port) if port else 443 if scheme == "https" else 80
        if 0 < number < 65_536:
            return Address(text if path else f"{text}/", scheme, host_of(host), number)
    return _unusual(text)


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return str(value)
    if type(value).__name__ == "URL" and type(value).__module__.split(".")[0] in ("yarl", "httpx", "httpx2"):
        return str(value)
    raise BadAddress(f"a URL is text, e.g. 'https://example.com/'; got {shown(value)}")


def _unusual(text: str) -> Address:
    """Check a URL that is not of the ordinary form, part by part."""
    if not text:
        raise BadAddress("the URL is empty: write e.g. 'https://example.com/'")
    if len(text) > LONGEST:
        raise BadAddress(
            f"the URL has {len(text)} characters, at most {LONGEST} are sent; put long data into data="
        )
    if blank := _BLANK.search(text):
        raise BadAddress(
            f"the URL has {shown(blank[0])} at position {blank.start()}: write it percent-encoded, e.g. %20"
        )
    if "\\" in text:
        raise BadAddress("the URL has a backslash: write / (or %5C)")
    match = _PARTS.fullmatch(text)
    assert match is not None  # every part may be empty
    scheme, authority, path, query = match.groups()
    if scheme is None:
        raise BadAddress(
            f"the URL has no scheme: write e.g. 'https://{without_credentials(text).lstrip('/')[:100]}'"
        )
    scheme = scheme.lower()
    if scheme not in ("http", "https"):
        raise BadAddress(f"only http and https are asked; got {scheme}:")
    user, host, port = _authority(scheme, authority)
    ascii_path = quote(path or "/", safe=_PATH_SAFE) + quote(query or "", safe=_PATH_SAFE)
    colon = f":{port}" if port != (443 if scheme == "https" else 80) else ""
    return Address(f"{scheme}://{host}{colon}{ascii_path}", scheme, host, port, basic(user))


def _authority(scheme: str, authority: str | None) -> tuple[str | None, str, int]:
    """User info, host and port of a URL."""
    if not authority or authority == "//":
        raise BadAddress(f"the URL has no host: write {scheme}://example.com/")
    match = _AUTHORITY.fullmatch(authority[2:])
    if match is None:
        raise BadAddress(
            "the URL's host cannot be read: write [::1] for an IPv6 address, %40 for an @ in a password"
        )
    user, host, port = match.groups()
    if port == "":
        port = None
    return user, host_of(host.lower()), port_of(scheme, port)


def basic(user: str | None) -> str | None:
    """The Authorization header for the `user:password` of a URL."""
    if not user:
        return None
    name, _, password = user.partition(":")
    return f"Basic {b64encode(unquote_to_bytes(name) + b':' + unquote_to_bytes(password)).decode('ascii')}"


def port_of(scheme: str, port: str | None) -> int:
    """The port of a URL, or the scheme's own."""
    if port is None:
        return 443 if scheme == "https" else 80
    if not (port.isascii() and port.isdigit()) or not 1 <= int(port[:6]) <= 65_535:
        raise BadAddress(f"the URL's port is a number from 1 to 65535; got {shown(port)}")
    return int(port)


@lru_cache(maxsize=1024)
def host_of(host: str) -> str:
    """Check a host in small letters, and give it in ASCII."""
    if not host:
        raise BadAddress("the URL has no host: write e.g. http://example.com/")
    if host.startswith("["):
        try:
            return f"[{ipaddress.IPv6Address(host[1:-1]).compressed}]"
        except ValueError:
            raise BadAddress(f"{shown(host)} is not an IPv6 address: write e.g. [::1]") from None
    name = host if host.isascii() else _in_ascii(host)
    if (
        len(name.rstrip(".")) > 253
        or any(len(part) > 63 for part in name.split("."))
        or not _HOST.fullmatch(name)
    ):
        raise BadAddress(f"{shown(host)} is not a host name: write e.g. example.com")
    last = name.rstrip(".").rpartition(".")[2]
    if last.isdigit() or re.fullmatch(r"0x[0-9a-f]*", last):
        _dotted_quad(name)
    return name


def _dotted_quad(name: str) -> None:
    """Numbers in other forms (2130706433, 0177.0.0.1, 127.1) hide the address that they mean, so they are refused."""
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        raise BadAddress(
            f"{shown(name)} is not an IPv4 address: write all four numbers, e.g. 127.0.0.1"
        ) from None


def _in_ascii(host: str) -> str:
    """The ASCII form of an international name; by the package idna where it is there (it is with aiohttp and httpx)."""
    if len(host) > 253:
        raise BadAddress(f"{shown(host)} is too long for a host name")
    try:
        try:
            import idna
        except ImportError:
            return host.encode("idna").decode("ascii").lower()
        return idna.encode(host, uts46=True).decode("ascii").lower()
    except UnicodeError:
        raise BadAddress(f"{shown(host)} is not a host name") from None


def redirected(base: Address, location: str) -> Address:
    """Where a Location header leads; its credentials are not taken over, blanks in it are percent-encoded."""
    if not location.isprintable():
        raise BadAddress(f"the redirect leads to {shown(location)}, which has control characters in it")
    target = address_of(urljoin(base.url, location.strip().replace(" ", "%20")))
    return target._replace(authorization=None)


def without_credentials(text: object) -> str:
    """A URL, good or bad, as messages show it: on one line, at most 200 characters, without user and password."""
    plain = _USERINFO.sub(r"\1", text) if isinstance(text, str) else shown(text)
    if not plain.isprintable():
        plain = plain.encode("unicode_escape").decode("ascii")
    return plain if len(plain) <= 200 else f"{plain[:197]}..."
