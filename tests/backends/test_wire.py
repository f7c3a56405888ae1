"""Frames: whatever pieces they come in, they are the same; what is cut off or no frame at all is found out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from atonce import ProcessBackend, stream
from atonce._backends import process_handle, wire
from atonce._backends.process_handle import Handle
from tests.backends.pipes import Pieces, cut
from tests.backends.work import buffered

#: Lengths around all limits at which a piece is treated in another way.
LENGTHS = st.sampled_from(
    [0, 1, 7, 24, 100, 4_096, 16_384, 16_385, wire.LARGE - 1, wire.LARGE, wire.LARGE + 1, 200_000]
)
DATA = st.one_of(
    st.binary(max_size=40), LENGTHS.map(lambda size: bytes(range(251)) * (size // 251) + b"z" * (size % 251))
)
PLACES = st.lists(st.integers(0, 1 << 20), max_size=12)
#: (kind, pickle, buffers)
FRAME = st.tuples(st.integers(1, 6), DATA, st.lists(DATA, max_size=3))
FRAMES = st.lists(FRAME, min_size=1, max_size=5)
#: The same of what is no more than a few bytes, so that many come in one read.
SMALL = st.lists(
    st.tuples(st.integers(1, 6), st.binary(max_size=9), st.lists(st.binary(max_size=9), max_size=2)),
    max_size=12,
)

Frame = tuple[int, bytes, list[bytes]]


def laid_out(head: bytes, data: bytes, buffers: list[bytes]) -> bytes:
    """A frame as one piece."""
    frame = wire.joined(head, data, [memoryview(one) for one in buffers])
    return frame if isinstance(frame, bytes) else b"".join(frame)


def calls(frames: list[Frame]) -> bytes:
    """Frames to a worker."""
    return b"".join(
        laid_out(wire.CALL_HEAD.pack(kind, len(buffers), len(data)), data, buffers)
        for kind, data, buffers in frames
    )


def replies(frames: list[Frame]) -> bytes:
    """Frames from a worker."""
    return b"".join(
        laid_out(wire.REPLY_HEAD.pack(kind, len(buffers), len(data), n, n + 0.5), data, buffers)
        for n, (kind, data, buffers) in enumerate(frames)
    )


# -- a worker reads -----------------------------------------------------------------------------------------------


def read(data: bytes, places: list[int], count: int) -> Iterator[Frame]:
    """What a worker makes of so many frames that come in such pieces, each looked at before the next is read."""
    with patch.object(wire, "os", Pieces(cut(data, places))):
        reader = wire.Reader(0, wire.CALL_HEAD)
        for _ in range(count):
            (kind, many, length), found, buffers = reader.frame()
            assert (many, length) == (len(buffers), len(found))
            yield kind, bytes(found), [bytes(one) for one in buffers]


@given(FRAMES, PLACES)
def test_a_worker_reads_the_same_frames_whatever_pieces_they_come_in(
    frames: list[Frame], places: list[int]
) -> None:
    assert list(read(calls(frames), places, len(frames))) == frames


@given(FRAMES, PLACES, st.integers(1, 1 << 20))
def test_a_worker_finds_out_that_its_parent_is_gone_wherever_a_frame_is_cut_off(
    frames: list[Frame], places: list[int], off: int
) -> None:
    whole = calls(frames)
    kept = whole[: -1 - off % len(whole)] if len(whole) > 1 else b""
    found = read(kept, places, len(frames))
    whole_ones = []
    with pytest.raises(EOFError):
        for one in found:
            whole_ones.append(one)  # what came before the error counts
    assert whole_ones == frames[: len(whole_ones)]
    assert len(whole_ones) < len(frames)


def test_what_a_worker_keeps_is_not_overwritten_by_the_next_frame() -> None:
    frames: list[Frame] = [(3, b"p" * 70_000, [bytes([n]) * 70_000]) for n in range(3)]
    with patch.object(wire, "os", Pieces([calls(frames)])):
        reader = wire.Reader(0, wire.CALL_HEAD)
        kept = [reader.frame()[2][0] for _ in frames]
    assert [bytes(one[:1]) for one in kept] == [b"\0", b"\1", b"\2"]


# -- a parent reads -----------------------------------------------------------------------------------------------


@contextmanager
def hearing(pieces: Pieces) -> Iterator[Handle]:
    """A worker's handle that hears such pieces."""
    handle = Handle(1, None)
    own = (handle._calls_there, handle._replies_there, handle._end_there, handle._page_there)
    try:
        with patch.object(process_handle, "os", pieces):
            yield handle
    finally:
        handle.close()
        for fd in own:
            process_handle.os.close(fd)


def heard(data: bytes, places: list[int], *, is_closed: bool = False) -> tuple[list[Frame], Handle]:
    """What a parent makes of it: it reads when there is something, as its loop tells it, and not otherwise."""
    pieces = Pieces(cut(data, places))
    pieces.is_closed = is_closed
    found: list[Frame] = []
    with hearing(pieces) as handle:
        while pieces.has_more() and not handle.garbled:
            for kind, began, ended, pickled, buffers in handle.receive():
                assert (began, ended) == (len(found), len(found) + 0.5)
                found.append((kind, bytes(pickled), [bytes(one) for one in buffers or ()]))
        if is_closed:
            assert handle.receive() == []
    return found, handle


@given(FRAMES | SMALL, PLACES)
@example([(3, b"a", [b"b"]), (3, b"c", [b"d"]), (3, b"e", [])], [])
@example([(3, b"a" * 20_000, [b"b"]), (3, b"c" * 20_000, [b"d"])], [])
@example([(3, b"", [b"", b""]), (3, b"", []), (4, b"", [b""])], [])
def test_a_parent_hears_the_same_replies_whatever_pieces_they_come_in(
    frames: list[Frame], places: list[int]
) -> None:
    found, handle = heard(replies(frames), places)
    assert found == frames
    assert not handle.silent
    assert not handle.garbled


@given(FRAMES | SMALL.filter(bool), PLACES, st.integers(1, 1 << 20))
def test_a_parent_hears_what_is_whole_of_replies_that_are_cut_off_and_that_there_will_be_no_more(
    frames: list[Frame], places: list[int], off: int
) -> None:
    whole = replies(frames)
    found, handle = heard(whole[: len(whole) - 1 - off % len(whole)], places, is_closed=True)
    assert found == frames[: len(found)]
    assert len(found) < len(frames)
    assert handle.silent


@given(st.binary(max_size=300), PLACES)
@example(b"\xff" * 300, [])
@example(wire.REPLY_HEAD.pack(3, 1 << 24, 8, 0.0, 0.0), [])
@example(wire.REPLY_HEAD.pack(3, 0, 1 << 63, 0.0, 0.0), [])
@example(wire.REPLY_HEAD.pack(3, 1, 0, 0.0, 0.0) + wire.SIZE.pack((1 << 64) - 1), [])
@example(wire.REPLY_HEAD.pack(3, 2, 0, 0.0, 0.0) + wire.SIZE.pack(1 << 62) * 2, [])
def test_whatever_comes_out_of_a_pipe_is_waited_for_or_refused_as_garbled(
    data: bytes, places: list[int]
) -> None:
    pieces = Pieces(cut(data, places))
    pieces.is_closed = False
    with hearing(pieces) as handle:
        try:
            while pieces.has_more() and not handle.garbled:
                for kind, _, _, pickled, buffers in handle.receive():
                    assert 0 <= kind <= 255
                    assert len(pickled) + sum(map(len, buffers or ())) <= len(data)
        except wire.Garbled as refused:
            assert "reply" in str(refused)


# -- both write ---------------------------------------------------------------------------------------------------


@given(st.lists(DATA, max_size=6), st.lists(st.integers(1, 100_000), max_size=40))
def test_all_is_written_however_little_a_pipe_takes_at_once(pieces: list[bytes], takes: list[int]) -> None:
    pipe = Pieces(takes=takes)
    with patch.object(wire, "os", pipe):
        wire.write_all(0, pieces)
    assert pipe.written == b"".join(pieces)


@given(DATA, st.lists(DATA, max_size=3))
def test_a_pickle_in_pieces_is_laid_out_as_a_whole_one(data: bytes, buffers: list[bytes]) -> None:
    views = [memoryview(one) for one in buffers]
    whole = wire.frame(wire.ITEM, data, views)
    pieces = wire.frame(wire.ITEM, cut(data, [3, 70_000]), views)
    assert b"".join(whole if isinstance(whole, list) else [whole]) == b"".join(pieces)
    assert len(data) == wire.size_of(data) == wire.size_of(cut(data, [1, 2]))


# -- the whole way ------------------------------------------------------------------------------------------------


async def test_many_small_results_with_memory_of_their_own_all_arrive() -> None:
    async with ProcessBackend(workers=2) as processes:
        got = [
            one.unwrap().data
            async for one in stream(range(600), buffered, on=processes, buffer=600, timeout=30)
        ]
    assert got == [b"x" * (n % 5) for n in range(600)]
