"""Durations and sizes are read as people write them, and mistakes are answered with the right form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce._model import durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30),
        ("1.5s", 1.5),
        ("2m", 120),
        ("1h30m", 5400),
        ("250ms", 0.25),
        ("1d", 86_400),
        (" 5S ", 5),
        ("1m0.5s", 60.5),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert durations.seconds(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "5 sec", "s", "m5", "30m1h", "5s5s", "-1s", "1e3", "nan", "inf", "1_000", "٣s", "1h-5m"]
)
def test_what_is_no_duration_is_answered_with_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"write 30, 1\.5s, 2m, 1h30m or 250ms"):
        durations.seconds(text)


@pytest.mark.parametrize("text", ["0", "0s", "0h0m", "99999999999"])
def test_a_duration_is_above_zero_and_not_for_ever(text: str) -> None:
    with pytest.raises(ValueError, match="above 0 and at most"):
        durations.seconds(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512", 512),
        ("10K", 10_000),
        ("10k", 10_000),
        ("2M", 2_000_000),
        ("1.5MB", 1_500_000),
        ("2MiB", 2_097_152),
        ("1G", 10**9),
    ],
)
def test_a_size_is_read(text: str, size: int) -> None:
    assert durations.size(text) == size


@pytest.mark.parametrize("text", ["", "K", "-1", "10X", "0", "0.1", "99999999T", "1e6"])
def test_what_is_no_size_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        durations.size(text)


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_a_sentence(text: str) -> None:
    for read in (durations.seconds, durations.size):
        said = ""
        try:
            found = read(text)
        except ValueError as error:
            found, said = 1, str(error)
        assert found > 0
        assert not said or "is no" in said


@given(st.floats(min_value=1e-6, max_value=1e9))
def test_an_exact_duration_reads_back(seconds: float) -> None:
    assert durations.seconds(durations.exact(seconds)) == pytest.approx(seconds, abs=1e-9, rel=1e-12)


@given(st.floats(min_value=0.0, max_value=1e9))
def test_every_duration_is_shown_shortly(seconds: float) -> None:
    assert len(durations.brief(seconds)) <= 10
    assert len(durations.latency(seconds)) <= 12


def test_sizes_are_shown_as_people_say_them() -> None:
    shown = [
        durations.bytes_shown(count) for count in (0, 999, 1_000, 18_240, 999_700, 182_000_000, 5 * 10**12)
    ]
    assert shown == ["0 B", "999 B", "1.0 KB", "18 KB", "1.0 MB", "182 MB", "5,000 GB"]
