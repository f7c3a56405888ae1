"""A body is decoded piece by piece, with a bound on every step; what is not in its coding is an error by name."""

from __future__ import annotations

import contextlib
import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce._model.errors import FetchError
from atonce.http import body as room
from atonce.http.body import PIECE, BadCoding, Body, TooLarge, accepted_codings
from atonce.http.fetch import fetch
from tests.http.server import serving, text

PLAIN = bytes(range(256)) * 2_000


def raw_deflate(data: bytes) -> bytes:
    squeeze = zlib.compressobj(wbits=-15)
    return squeeze.compress(data) + squeeze.flush()


def gathered(encoding: str, wire: bytes, most: int | None = None, step: int = 7_919) -> bytes:
    """Feed a body in steps of some bytes."""
    body = Body(most)
    body.expect(encoding)
    for start in range(0, len(wire), step):
        body.feed(wire[start : start + step])
    return body.whole()


CODED = {
    "gzip": ("gzip", gzip.compress(PLAIN)),
    "x-gzip": ("X-GZip", gzip.compress(PLAIN)),
    "deflate": ("deflate", zlib.compress(PLAIN)),
    "deflate without its header": ("deflate", raw_deflate(PLAIN)),
    "identity": ("identity", PLAIN),
    "no word": ("", PLAIN),
    "an unknown word": ("utf-8", PLAIN),
    "an unknown word after a known one": ("gzip, none", PLAIN),
    "gzip twice": ("gzip, gzip", gzip.compress(gzip.compress(PLAIN))),
    "deflate in gzip": ("deflate, gzip", gzip.compress(zlib.compress(PLAIN))),
    "identity and gzip": ("identity, gzip", gzip.compress(PLAIN)),
    "several gzip members": (
        "gzip",
        gzip.compress(PLAIN[:9]) + gzip.compress(b"") + gzip.compress(PLAIN[9:]),
    ),
    "zeros after gzip": ("gzip", gzip.compress(PLAIN) + bytes(100)),
    "zeros between gzip members": ("gzip", gzip.compress(PLAIN[:9]) + bytes(9) + gzip.compress(PLAIN[9:])),
    "junk after gzip": ("gzip", gzip.compress(PLAIN) + b"junk" * 100),
    "one byte after gzip": ("gzip", gzip.compress(PLAIN) + b"\x1f"),
    "junk after deflate": ("deflate", zlib.compress(PLAIN) + b"junk"),
}


@pytest.mark.parametrize("step", [1, 2, 1000, 10**7])
@pytest.mark.parametrize(("encoding", "wire"), CODED.values(), ids=CODED)
def test_what_was_coded_comes_back(encoding: str, wire: bytes, step: int) -> None:
    assert gathered(encoding, wire, step=step) == PLAIN


BROKEN = {
    "plain text called gzip": ("gzip", b"hello, this is not gzip"),
    "plain text called deflate": ("deflate", b"\xff\xff\xff\xff hello"),
    "a gzip body cut short": ("gzip", gzip.compress(PLAIN)[:-9]),
    "a gzip body without its checksum": ("gzip", gzip.compress(PLAIN)[:-8]),
    "one byte of gzip": ("gzip", b"\x1f"),
    "a wrong checksum": ("gzip", gzip.compress(PLAIN)[:-8] + bytes(8)),
    "a deflate body cut short": ("deflate", zlib.compress(PLAIN)[:-5]),
    "gzip once, called twice": ("gzip, gzip", gzip.compress(PLAIN)),
    "a second member cut short": ("gzip", gzip.compress(PLAIN) + gzip.compress(PLAIN)[:50]),
}


@pytest.mark.parametrize(("encoding", "wire"), BROKEN.values(), ids=BROKEN)
def test_what_is_not_in_its_coding_is_an_error(encoding: str, wire: bytes) -> None:
    with pytest.raises(BadCoding):
        gathered(encoding, wire)


async def test_a_wrong_coding_is_a_protocol_error_of_fetch() -> None:
    async with serving(text("plain", headers={"Content-Encoding": "gzip"})) as server:
        with pytest.raises(FetchError, match="Content-Encoding") as caught:
            await fetch(server.url())
        assert caught.value.kind == "protocol"


def test_an_empty_body_is_empty_in_any_coding() -> None:
    for encoding in ("gzip", "deflate", "gzip, gzip"):
        assert gathered(encoding, b"") == b""


def test_more_layers_than_are_sensible_are_refused() -> None:
    with pytest.raises(BadCoding, match="4 times over"):
        Body(None).expect("gzip, gzip, gzip, gzip")


def test_the_wire_has_its_own_bound() -> None:
    with pytest.raises(TooLarge, match="on the wire"):
        gathered("identity", PLAIN, most=len(PLAIN) - 1)
    with pytest.raises(TooLarge, match="on the wire"):
        gathered("gzip", gzip.compress(b"") * 100, most=1000)


def test_a_step_in_between_has_the_bound_too() -> None:
    swollen = gzip.compress(b"x") + gzip.compress(b"") * 100_000
    with pytest.raises(TooLarge, match="decoded"):
        gathered("gzip, gzip", gzip.compress(swollen), most=100_000)


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 1])
def test_no_byte_is_lost_at_the_edges_of_pieces(size: int) -> None:
    data = bytes(size)
    for encoding, wire in (
        ("gzip", gzip.compress(data)),
        ("deflate", zlib.compress(data)),
        ("deflate", raw_deflate(data)),
    ):
        assert gathered(encoding, wire, most=max(size, len(wire), 1)) == data


@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate", "gzip, deflate"]), st.integers(1, 50))
def test_any_bytes_are_decoded_or_refused(wire: bytes, encoding: str, step: int) -> None:
    with contextlib.suppress(BadCoding, TooLarge):
        assert len(gathered(encoding, wire, most=10_000, step=step)) <= 10_000


def test_only_what_can_be_decoded_here_is_offered() -> None:
    offered = accepted_codings().split(", ")
    assert offered[:2] == ["gzip", "deflate"]
    assert ("br" in offered) == (room._optional("br") is not None)
    assert ("zstd" in offered) == (room._optional("zstd") is not None)


def test_brotli_is_decoded_with_a_bound_where_it_can_be() -> None:
    brotli = pytest.importorskip("brotli", reason="the package brotli is not installed")
    if room._optional("br") is None:
        pytest.skip("this brotli cannot bound its output")
    wire = brotli.compress(PLAIN)
    assert gathered("br", wire) == PLAIN
    assert gathered("br", wire, step=1) == PLAIN
    with pytest.raises(TooLarge, match="decoded"):
        gathered("br", brotli.compress(bytes(1 << 24), quality=1), most=1_000_000)
    for broken in (wire[:-1], b"hello, no brotli at all"):
        with pytest.raises(BadCoding):
            gathered("br", broken)


def test_zstd_is_decoded_with_a_bound_where_it_can_be() -> None:
    zstd = room._optional("zstd")
    if zstd is None:
        pytest.skip("neither compression.zstd nor backports.zstd is there")
    wire = zstd.compress(PLAIN)
    assert gathered("zstd", wire) == PLAIN
    assert gathered("zstd", wire, step=1) == PLAIN
    assert gathered("zstd", zstd.compress(PLAIN[:9]) + zstd.compress(PLAIN[9:])) == PLAIN
    with pytest.raises(TooLarge, match="decoded"):
        gathered("zstd", zstd.compress(bytes(1 << 26)), most=1_000_000)
    for broken in (wire[:-1], b"hello, no zstd at all"):
        with pytest.raises(BadCoding):
            gathered("zstd", broken)
