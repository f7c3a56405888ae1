"""`Body`: gathers and decodes one body, with a bound on what came over the wire and on what it decodes to."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Protocol

#: Bytes that a decoder gives at once; what a body may exceed its bound by before it is stopped.
PIECE = 65_536
#: How many codings may be stacked ("gzip, gzip").
LAYERS = 3
#: RFC 8878, section 7.2: what a decoder of `zstd` must support, and may refuse beyond.
ZSTD_WINDOW_LOG = 23


class TooLarge(Exception):
    """The body is larger than its bound."""


class BadCoding(Exception):
    """The body is not in the coding that its header names."""


class Decoder(Protocol):
    """One content coding, undone piece by piece."""

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Decode some more, at most `PIECE` bytes at a time."""
        ...

    def is_whole(self) -> bool:
        """Whether the coded data came to its proper end (or never began)."""
        ...


class Zlib:
    """gzip (members after the first too; what follows them is ignored, as gzip(1) does) and deflate, both kinds."""

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._inflate: Any = None
        self._held = b""
        self._members = 0
        self._over = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while (data or self._held) and not self._over:
            if self._inflate is None:
                data = self._begin(self._held + data)
            if self._inflate is None:
                return
            yield from self._some(data)
            if not self._inflate.eof:
                return
            data = self._inflate.unused_data
            self._inflate = None

    def _some(self, data: bytes) -> Iterator[bytes]:
        """Decode to the end of the data or of the member; a full piece may have more behind it."""
        more = True
        while more and not self._inflate.eof:
            piece = self._inflate.decompress(data, PIECE)
            data = self._inflate.unconsumed_tail
            more = bool(data) or len(piece) == PIECE
            if piece:
                yield piece

    def _begin(self, start: bytes) -> bytes:
        """Choose the form by the first two bytes, which are held back until both are there."""
        self._held = b""
        if self._members:
            start = start.lstrip(b"\0")
            self._over = not self._gzip or not b"\x1f\x8b".startswith(start[:2])
        if self._over:
            return b""
        if len(start) < 2:
            self._held = start
            return b""
        zlib_header = start[0] & 15 == 8 and (start[0] * 256 + start[1]) % 31 == 0
        self._inflate = zlib.decompressobj(31 if self._gzip else 15 if zlib_header else -15)
        self._members += 1
        return start

    def is_whole(self) -> bool:
        return self._inflate is None and (self._members > 0 or not self._held)


class Brotli:
    """br, with the packages brotli or brotlicffi from 1.2 on, the first that can bound what one step gives."""

    def __init__(self, module: Any) -> None:
        self._inner = module.Decompressor()
        self._began = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        self._began = self._began or bool(data)
        while not self._inner.is_finished():
            piece = self._inner.process(data, output_buffer_limit=PIECE)
            data = b""
            if piece:
                yield piece
            elif self._inner.can_accept_more_data():
                return

    def is_whole(self) -> bool:
        return not self._began or bool(self._inner.is_finished())


class Zstd:
    """zstd, with Python 3.14 or the package backports.zstd."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._inner: Any = None
        self._began = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        self._began = self._began or bool(data)
        while data:
            if self._inner is None:
                window = {self._module.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG}
                self._inner = self._module.ZstdDecompressor(options=window)
            piece = self._inner.decompress(data, PIECE)
            while piece or not (self._inner.eof or self._inner.needs_input):
                yield piece
                piece = b"" if self._inner.eof else self._inner.decompress(b"", PIECE)
            if not self._inner.eof:
                return
            data = self._inner.unused_data
            self._inner = None

    def is_whole(self) -> bool:
        return not self._began or self._inner is None


@cache
def _optional(coding: str) -> Any:
    """The module that undoes `coding`, or None."""
    names = ("brotli", "brotlicffi") if coding == "br" else ("compression.zstd", "backports.zstd")
    for name in names:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        if coding == "zstd" or hasattr(module.Decompressor, "can_accept_more_data"):
            return module
    return None


@cache
def accepted_codings() -> str:
    """What Accept-Encoding offers: the codings that can be decoded here with a bound."""
    return ", ".join(
        ["gzip", "deflate", *(coding for coding in ("br", "zstd") if _optional(coding) is not None)]
    )


def decoders(encoding: str) -> list[Decoder]:
    """The decoders for a Content-Encoding, in the order in which they are to be applied.

    An unknown word (servers send "none", "utf-8") leaves the body as it is, as browsers do.
    """
    found: list[Decoder] = []
    for word in reversed(encoding.lower().split(",")):
        coding = word.strip()
        if coding in ("gzip", "x-gzip", "deflate"):
            found.append(Zlib(gzip=coding != "deflate"))
        elif coding == "br" and _optional("br") is not None:
            found.append(Brotli(_optional("br")))
        elif coding == "zstd" and _optional("zstd") is not None:
            found.append(Zstd(_optional("zstd")))
        elif coding not in ("", "identity"):
            return []
    if len(found) > LAYERS:
        raise BadCoding(f"the body is coded {len(found)} times over, at most {LAYERS} are undone")
    return found


class Body:
    """The body of one answer while it comes in.

    `most` bounds the bytes on the wire and, separately, the bytes of every decoding step; None is no bound.
    """

    __slots__ = ("_decoded", "_decoders", "_most", "_parts", "wire")
    _decoders: Sequence[Decoder]
    _decoded: list[int]

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._parts: list[bytes] = []
        self._decoders = ()
        self.wire: int = -1

    def expect(self, encoding: str | None) -> None:
        """The headers are there, and the body follows."""
        self.wire = 0
        if encoding:
            self._decoders = decoders(encoding)
            self._decoded = [0] * len(self._decoders)

    def so_far(self) -> str:
        """How far it came, for messages."""
        return " before it answered" if self.wire < 0 else f" after {self.wire} bytes of the body"

    def feed(self, chunk: bytes) -> None:
        """Take in some bytes of the wire."""
        self.wire += len(chunk)
        if self._most is not None and self.wire > self._most:
            raise TooLarge("on the wire")
        if not self._decoders:
            self._parts.append(chunk)
            return
        try:
            for piece in self._decode(chunk, 0):
                self._parts.append(piece)
        except (TooLarge, BadCoding):
            raise
        except Exception as error:  # each package has an error class of its own
            raise BadCoding(f"the body is not what its Content-Encoding says ({error})") from error

    def _decode(self, data: bytes, step: int) -> Iterator[bytes]:
        if step == len(self._decoders):
            yield data
            return
        for piece in self._decoders[step].pieces(data):
            self._decoded[step] += len(piece)
            if self._most is not None and self._decoded[step] > self._most:
                raise TooLarge("decoded")
            yield from self._decode(piece, step + 1)

    def whole(self) -> bytes:
        """The decoded body, once all of the wire has been fed."""
        if self._decoders and self.wire > 0 and not all(decoder.is_whole() for decoder in self._decoders):
            raise BadCoding("the coded body ends too early")
        parts, self._parts = self._parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)
