"""A report as lines for a terminal, and as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from atonce._model.durations import brief, latency, rate
from atonce._runtime.terminal import Signs, visible
from atonce.cli.receipt import Ending, Paint, cut, lines
from atonce.cli.tally import Group, Tally
from atonce.cli.work.shares import said
from atonce.report.facts import Report
from atonce.report.words import courses, why

_BLOCKS = "▁▂▃▄▅▆▇█"
_MOST_HOSTS = 10


def receipt(report: Report, signs: Signs, paint: Paint, width: int = 80) -> Iterator[str]:
    """What the receipt of the run said, from its records; then what it was, and how it went over time."""
    tally = _tally(report)
    ended = "finished" if report.why == "cut off" else report.why
    if tally.done:
        ending = Ending(report.elapsed, ended, visible(report.name), report.size, shares=report.shares)
        yield from lines(tally, ending, signs, paint, width)
    else:
        yield "no item has a record"
    yield f"  {cut(visible(courses(report)), width - 2)}"
    if report.why != "finished":
        yield f"  {why(report.why)}"
    if report.busy is not None:
        yield f"  lanes: {report.width:,} at most at one time, in use {report.busy:.0%} of the time"
    if len(report.beats) > 1 and signs == Signs():
        yield f"  items a second: {paint(sparks([one.ok + one.failed for one in report.beats]), 'green')}"
    yield from _hosts(report, width)
    if report.is_torn:
        yield "  the last line was torn when its writer died, and does not count"
    if report.unread:
        yield f"  {report.unread:,} lines are no records and were passed over"


def _tally(report: Report) -> Tally:
    """The counts as a receipt takes them; what was cancelled is among the failures there."""
    tally = Tally()
    tally.ok, tally.failed = report.ok, report.failed + report.cancelled
    tally.retries, tally.saved = report.retries, report.saved
    tally.times.add_all(report.times)
    if report.slowest_ok is not None:
        tally.slowest = (report.slowest_ok.seconds, visible(report.slowest_ok.item))
    for cause in report.causes:
        label = visible(cause.label)
        hosts = Counter({visible(name): count for name, count in cause.hosts})
        advice = visible(cause.message) if cause.message not in ("", cause.label) else ""
        tally.groups[label] = Group(label, advice, visible(cause.example), cause.count, hosts)
    return tally


def _hosts(report: Report, width: int) -> Iterator[str]:
    if len(report.hosts) < 2:
        return
    shown = report.hosts[:_MOST_HOSTS]
    rows = [("host", "ok", "failed", "p95")]
    rows += [
        (cut(visible(h.name), 40), f"{h.ok:,}", f"{h.failed:,}", latency(h.p95) if h.ok else "")
        for h in shown
    ]
    yield from _aligned(rows)
    if more := len(report.hosts) - len(shown):
        yield f"  and {more:,} more hosts"


def errors(report: Report, width: int = 80) -> Iterator[str]:
    """Each kind of failure with how often it came, what it said, an example, and where."""
    for cause in report.causes:
        yield f"{cause.count:,}  {visible(cause.label)}"
        if cause.message:
            yield f"    {cut(visible(cause.message), max(width, 80) - 4)}"
        yield f"    e.g. {cut(visible(cause.example), max(width, 80) - 9)}"
        if cause.hosts:
            yield "    " + ", ".join(f"{visible(name)} {count:,}" for name, count in cause.hosts[:5])
    if not report.causes:
        yield "no item failed"


def slowest(report: Report, width: int = 80) -> Iterator[str]:
    """The items that took longest."""
    rows = [("took", "ended", "attempts", "item")]
    rows += [
        (latency(one.seconds), one.state, f"{one.attempts}", visible(one.item)) for one in report.slowest
    ]
    for line in _aligned(rows, last_is_text=True):
        yield cut(line, width)


def _aligned(rows: Sequence[Sequence[str]], *, last_is_text: bool = False) -> Iterator[str]:
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    last = len(widths) - 1
    for row in rows:
        cells = [
            cell if last_is_text and n == last else cell.ljust(widths[n]) if n == 0 else cell.rjust(widths[n])
            for n, cell in enumerate(row)
        ]
        yield f"  {'   '.join(cells).rstrip()}"


def sparks(counts: Sequence[int], width: int = 40) -> str:
    """Numbers as a line of blocks, the largest full; nothing is the lowest.

    >>> sparks([0, 1, 2, 4])
    '▁▂▄█'
    """
    group = max(1, -(-len(counts) // width))
    sums = [sum(counts[n : n + group]) for n in range(0, len(counts), group)]
    if len(sums) > 1 and len(counts) % group:
        # The last stretch is shorter than the others, and says nothing beside them.
        sums.pop()
    most = max(sums) or 1
    return "".join(_BLOCKS[one * (len(_BLOCKS) - 1) // most] for one in sums)


def markdown(report: Report) -> Iterator[str]:
    """The whole as Markdown, for a pull request or a wiki."""
    yield f"# {_md(report.name)}"
    yield ""
    yield f"{_md(courses(report))}; {why(report.why)}."
    yield ""
    facts = [
        ("ok", f"{report.ok:,}"),
        ("failed", f"{report.failed:,}"),
        ("cancelled", f"{report.cancelled:,}"),
    ]
    facts += [("elapsed", brief(report.elapsed))]
    if report.elapsed > 0.0:
        facts.append(("items a second", rate(report.ended / report.elapsed)))
    facts += [(name, latency(value)) for name, value in report.quantiles]
    facts += [("retries", f"{report.retries:,}"), ("items that retries saved", f"{report.saved:,}")]
    if report.shares is not None:
        facts.append(
            ("time of the items", ", ".join(f"{what} {share}" for what, share in said(report.shares)))
        )
    if report.busy is not None:
        facts.append(("lanes in use", f"{report.busy:.0%} of {report.width:,}"))
    if report.unread:
        facts.append(("lines that are no records", f"{report.unread:,}"))
    yield from _md_table(("", ""), facts)
    if report.causes:
        yield from ("", "## Errors", "")
        rows = [(f"{c.count:,}", c.label, c.example, c.message) for c in report.causes]
        yield from _md_table(("count", "error", "for example", "message"), rows)
    if report.slowest:
        yield from ("", "## Slowest", "")
        slow = [(latency(one.seconds), one.state, f"{one.attempts}", one.item) for one in report.slowest]
        yield from _md_table(("took", "ended", "attempts", "item"), slow)
    if len(report.hosts) > 1:
        yield from ("", "## Hosts", "")
        hosts = [(h.name, f"{h.ok:,}", f"{h.failed:,}", latency(h.p95) if h.ok else "") for h in report.hosts]
        yield from _md_table(("host", "ok", "failed", "p95"), hosts)


def _md_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(_md(cut(cell, 200)) for cell in row)} |"


def _md(text: str) -> str:
    """Text in which nothing is taken for Markdown or HTML."""
    plain = visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{one}" if one in "\\`*_[]|#!~" else one for one in plain)
