"""`Response`: the whole answer to one request, as a value."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn

_CHARSET = re.compile(r"""charset\s*=\s*["']?([A-Za-z0-9._:+-]{1,40})""", re.IGNORECASE)
#: Codecs of Python that are no charset of a text, or that take quadratic time (punycode, idna).
_NOT_CHARSETS = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "utf-7"})


class Headers(Mapping[str, str]):
    """The header fields of an answer: `headers["content-type"]` in any case, `getall` for repeated fields.

    A plain frozen value that pickles. Indexing gives the first of repeated fields; iteration gives each name once.

    >>> Headers([("Set-Cookie", "a=1"), ("set-cookie", "b=2")]).getall("SET-COOKIE")
    ['a=1', 'b=2']
    """

    __slots__ = ("_fields", "_index", "_raw")

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields: tuple[tuple[str, str], ...] | None = tuple(fields)
        self._raw: tuple[tuple[bytes, bytes], ...] = ()
        self._index: dict[str, list[str]] | None = None

    @classmethod
    def of_bytes(cls, raw: tuple[tuple[bytes, bytes], ...]) -> Headers:
        """Headers as they came, read when first looked at: UTF-8 where they are that, else Latin-1."""
        headers = cls.__new__(cls)
        headers._fields = None
        headers._raw = raw
        headers._index = None
        return headers

    @property
    def fields(self) -> tuple[tuple[str, str], ...]:
        """All (name, value) pairs, as they came."""
        fields = self._fields
        if fields is None:
            fields = self._fields = tuple(
                (name.decode("ascii", "replace"), _text(value)) for name, value in self._raw
            )
            self._raw = ()
        return fields

    def mention(self, word: bytes) -> bool:
        """Whether a name has `word`, in small letters, in it; cheaper than to look at one."""
        if self._fields is None:
            return any(word in name.lower() for name, _ in self._raw)
        text = word.decode()
        return any(text in name.lower() for name, _ in self._fields)

    def _by_name(self) -> dict[str, list[str]]:
        """The index by name, made when it is first needed."""
        index = self._index
        if index is None:
            index = {}
            for name, value in self.fields:
                index.setdefault(name.lower(), []).append(value)
            self._index = index
        return index

    def __getitem__(self, name: str) -> str:
        return self._by_name()[name.lower()][0]

    def __iter__(self) -> Iterator[str]:
        seen: set[str] = set()
        for name, _ in self.fields:
            if (low := name.lower()) not in seen:
                seen.add(low)
                yield name

    def __len__(self) -> int:
        return len(self._by_name())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._by_name()

    def getall(self, name: str) -> list[str]:
        """All values of a field, in the order in which they came; `[]` when it is not there."""
        return list(self._by_name().get(name.lower(), ()))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Headers):
            return self._by_name() == other._by_name()
        return NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(sorted((name, tuple(values)) for name, values in self._by_name().items())))

    def __repr__(self) -> str:
        return f"Headers({list(self.fields)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Headers, (self.fields,)


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


class _Draft:
    """A `Response` while it is being made: the same slots, still writable."""

    __slots__ = ("attempts", "body", "elapsed", "headers", "status", "url")

    def __init__(
        self, status: int, url: str, headers: Headers, body: bytes, elapsed: float, attempts: int
    ) -> None:
        self.status: int = status
        self.url: str = url
        self.headers: Headers = headers
        self.body: bytes = body
        self.elapsed: float = elapsed
        self.attempts: int = attempts


class Response(_Draft):
    """The whole answer to one request: frozen, comparable, picklable.

    `status`, `headers`, `body` (decoded: gzip and the like), and `url`, the address it came from in the end, without
    credentials. Beside them, and outside equality: `elapsed` seconds of the attempt that succeeded (waiting for a place
    not counted) and `attempts`, the number of attempts it took.

    >>> Response(200, "http://example.com/", Headers(), b'{"a": 1}').json()
    {'a': 1}
    """

    __slots__ = ()
    __match_args__ = ("status", "body")

    def __init__(
        self, status: int, url: str, headers: Headers, body: bytes, elapsed: float = 0.0, attempts: int = 1
    ) -> None:
        values = (attempts, body, elapsed, headers, status, url)
        for name, value in zip(_Draft.__slots__, values, strict=True):
            object.__setattr__(self, name, value)

    def text(self) -> str:
        """The body as text, by the charset of its Content-Type, else UTF-8; what does not fit is replaced by U+FFFD."""
        name = charset(self.headers.get("content-type", "")) or "utf-8"
        text = self.body.decode(name, "replace")
        return text.removeprefix("\ufeff")

    def json(self) -> Any:
        """The body read as JSON; `ValueError` (`json.JSONDecodeError`) when it is not JSON."""
        try:
            if charset(self.headers.get("content-type", "")) is None:
                return json.loads(self.body)
            return json.loads(self.text())
        except ValueError as error:
            error.add_note(
                f"atonce: the body of {self.url} is not JSON ({self.headers.get('content-type', 'no type')})"
            )
            raise

    def _key(self) -> tuple[object, ...]:
        return self.status, self.url, self.headers, self.body

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Response) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def __reduce__(self) -> tuple[Any, ...]:
        return make_response, (*self._key(), self.elapsed, self.attempts)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Response is frozen: cannot set {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a Response is frozen: cannot delete {name}")

    def __repr__(self) -> str:
        return f"Response(status={self.status}, url={self.url!r}, body=<{len(self.body)} bytes>)"


def make_response(
    status: int, url: str, headers: Headers, body: bytes, elapsed: float, attempts: int
) -> Response:
    """Make a `Response` by position, three times as fast: fill the draft, then freeze it by giving it its class."""
    draft: Any = _Draft(status, url, headers, body, elapsed, attempts)
    draft.__class__ = Response
    frozen: Response = draft
    return frozen


def charset(content_type: str) -> str | None:
    """The charset that a Content-Type names, or None when it names none that Python can decode safely."""
    match = _CHARSET.search(content_type)
    if match is None:
        return None
    try:
        codec = codecs.lookup(match[1])
    except (LookupError, ValueError):
        return None
    is_text = getattr(codec, "_is_text_encoding", True)
    return codec.name if is_text and codec.name.replace("_", "-") not in _NOT_CHARSETS else None
