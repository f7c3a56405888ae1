"""Throughput over time and the distribution of times, as SVG; pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from atonce._model.durations import brief, latency, rate
from atonce.report.facts import Beat

_WIDE = 900
_TALL = 150
_LEFT = 46
_BASE = 24
_BARS = 60


def throughput(beats: Sequence[Beat], every: float) -> str:
    """How many items ended in each stretch, a second."""
    if not beats:
        return ""
    most = max(beat.ok + beat.failed for beat in beats) or 1
    wide = (_WIDE - _LEFT) / len(beats)
    parts = []
    for n, beat in enumerate(beats):
        x = _LEFT + n * wide
        good, bad = (_TALL * count / most for count in (beat.ok, beat.failed))
        said = f"{brief(beat.at)}: {beat.ok:,} ok, {beat.failed:,} failed"
        parts.append(f"<g><title>{escape(said)}</title>{_bar(x, _TALL - good, wide, good, 'ok')}")
        parts.append(f"{_bar(x, _TALL - good - bad, wide, bad, 'failed')}</g>")
    every_second = f"{rate(most / every)}/s"
    marks = [(_LEFT + part * (_WIDE - _LEFT), brief(part * every * len(beats))) for part in (0.0, 0.5, 1.0)]
    label = f"Items ended a second over time; at most {every_second}"
    return _svg(label, "".join(parts), every_second, marks)


def distribution(times: Mapping[int, int]) -> str:
    """How many successes took how long; `times` are buckets of one percent."""
    if not times:
        return ""
    low, high = min(times), max(times)
    step = max(1, math.ceil((high - low + 1) / _BARS))
    counts = [0] * ((high - low) // step + 1)
    for bucket, count in times.items():
        counts[(bucket - low) // step] += count
    most = max(counts)
    wide = (_WIDE - _LEFT) / len(counts)
    parts = []
    for n, count in enumerate(counts):
        first, last = (latency(1.01 ** (low + step * one)) for one in (n, n + 1))
        tall = _TALL * count / most
        bar = _bar(_LEFT + n * wide, _TALL - tall, wide, tall, "ok")
        parts.append(f"<g><title>{escape(f'{first} to {last}: {count:,}')}</title>{bar}</g>")
    places = [
        (_LEFT + part * (_WIDE - _LEFT), low + part * step * len(counts)) for part in (0, 0.25, 0.5, 0.75, 1)
    ]
    marks = [(x, latency(1.01**bucket)) for x, bucket in places]
    return _svg("How long successes took, on a logarithmic axis", "".join(parts), f"{most:,}", marks)


def _bar(x: float, y: float, wide: float, tall: float, kind: str) -> str:
    if tall <= 0.0:
        return ""
    wide = max(wide - 0.6, 0.5)
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{tall:.1f}"/>'


def _svg(label: str, bars: str, most: str, marks: Sequence[tuple[float, str]]) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDE} {_TALL + _BASE + 8}" role="img" aria-label="{escape(label)}">'
        f'<g transform="translate(0 6)"><line class="axis" x1="{_LEFT}" x2="{_WIDE}" y1="{_TALL}" y2="{_TALL}"/>{bars}'
        f'<text x="{_LEFT - 6}" y="10" text-anchor="end">{escape(most)}</text>{"".join(_ticks(marks))}</g></svg>'
    )


def _ticks(marks: Sequence[tuple[float, str]]) -> Iterator[str]:
    for n, (x, text) in enumerate(marks):
        anchor = "start" if n == 0 else "end" if n == len(marks) - 1 else "middle"
        yield f'<text x="{x:.0f}" y="{_TALL + 16}" text-anchor="{anchor}">{escape(text)}</text>'
