"""What is said at the end: counts, percentiles, failures by cause, and the next command to paste."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from atonce._model.durations import brief, bytes_shown, latency, rate
from atonce._runtime.terminal import Signs
from atonce.cli.tally import Group, Tally
from atonce.cli.work import shares

#: Gives a text a colour, or leaves it as it is: `paint("3 failed", "red")`.
Paint = Callable[[str, str], str]

_MOST_GROUPS = 12
_SHARE = 0.6
#: Fewer times than these have no percentiles worth the name.
_ENOUGH = 5


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended: after how many seconds, why, where its records are and how many bytes, what to do next.

    `earlier` is how many items ended in earlier runs, `shares` what the time of all items went into. A step of `next`
    without a label belongs to the one above it.
    """

    elapsed: float
    why: str = "finished"
    output: str | None = None
    size: int | None = None
    next: Sequence[tuple[str, str]] = ()
    earlier: int = 0
    shares: Mapping[str, float] | None = None


def lines(tally: Tally, ending: Ending, signs: Signs, paint: Paint, width: int = 80) -> Iterator[str]:
    """The receipt, line by line, each as wide as it may be where an example or a host has to be cut."""
    if not tally.done and ending.why == "finished":
        done = f"nothing left to do: {ending.earlier:,} ended before"
        yield done if ending.earlier else "nothing to do: the input has no items"
        yield from _next(ending, paint)
        return
    yield _first(tally, ending, signs, paint)
    if tally.times.count:
        yield _times(tally, width)
    if ending.shares is not None:
        yield "  time: " + "   ".join(f"{what} {share}" for what, share in shares.said(ending.shares))
    yield from _groups(tally, width)
    if tally.retries:
        yield f"  retries: {tally.retries:,} spent, {_items(tally.saved)} saved"
    yield from _next(ending, paint)


def _next(ending: Ending, paint: Paint) -> Iterator[str]:
    label_width = max((len(label) for label, _ in ending.next), default=0)
    for label, command in ending.next:
        said = f"{label}:" if label else ""
        yield f"  {paint(said.ljust(label_width + 1), 'dim')}  {command}"


def _first(tally: Tally, ending: Ending, signs: Signs, paint: Paint) -> str:
    parts = [paint(f"{signs.good} {tally.ok:,} ok", "green")]
    if tally.failed:
        parts.append(paint(f"{signs.bad} {tally.failed:,} failed", "red"))
    if ending.why != "finished":
        parts.insert(0, paint(f"{signs.stopped} {_why(ending.why)}", "yellow"))
        if tally.left is not None:
            parts.append(f"{tally.left:,} left")
    parts.append(f"{tally.done:,} in {brief(ending.elapsed)}")
    if ending.elapsed > 0.0 and tally.done > 1:
        parts.append(f"{rate(tally.done / ending.elapsed)}/s")
    if ending.output is not None:
        size = "" if ending.size is None else f" ({bytes_shown(ending.size)})"
        parts.append(f"{signs.arrow} {ending.output}{size}")
    return "   ".join(parts)


def _why(why: str) -> str:
    words = {
        "halted": "stopped at the first failure",
        "deadline": "deadline reached",
        "pipe": "output closed",
    }
    return words.get(why, "stopped")


def _times(tally: Tally, width: int) -> str:
    times = tally.times
    quantiles = [f"p{q} {latency(times.quantile(q / 100))}" for q in (50, 95, 99) if times.count >= _ENOUGH]
    span, item = tally.slowest
    start = "  " + "   ".join([*quantiles, f"slowest ok {latency(span)}"])
    return f"{start}  {cut(item, width - len(start) - 2)}"


def _groups(tally: Tally, width: int) -> Iterator[str]:
    groups = sorted(tally.groups.values(), key=lambda group: -group.count)
    if not groups:
        return
    several = len({host for group in groups for host in group.hosts}) > 1
    digits = len(f"{groups[0].count:,}")
    label_width = min(max(len(group.label) for group in groups[:_MOST_GROUPS]), 34)
    for group in groups[:_MOST_GROUPS]:
        start = f"  {group.count:>{digits},}  {group.label:<{label_width}}   "
        where = _where(group, width - len(start), several)
        yield (start + where).rstrip()
        if group.advice:
            yield f"  {'':>{digits}}  {cut(group.advice, width - digits - 4)}"
    if more := groups[_MOST_GROUPS:]:
        yield f"  {sum(group.count for group in more):>{digits},}  with {len(more)} other causes"


def _where(group: Group, width: int, several: bool) -> str:
    """The host that most of a group are on, where there are `several`, else its first item."""
    if several and group.count > 1 and group.hosts:
        host, count = group.hosts.most_common(1)[0]
        if count == group.count:
            return cut(f"all on {host}", width)
        if count >= _SHARE * group.count:
            return cut(f"{count:,} of them on {host}", width)
    return cut(f"e.g. {group.example}", width)


def _items(count: int) -> str:
    return f"{count:,} item" if count == 1 else f"{count:,} items"


def cut(text: str, width: int) -> str:
    """A text of at most `width` characters (but at least 12), cut in its middle.

    >>> cut("https://a.example/a/very/long/path/index.html", 25)
    'https://a.e.../index.html'
    """
    width = max(width, 12)
    if len(text) <= width:
        return text
    tail = (width - 3) // 2
    return f"{text[: width - 3 - tail]}...{text[-tail:]}"
