"""The page: one HTML file with everything in it, which needs no network and trusts no item."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any, Final

from atonce._model.durations import brief, bytes_shown, latency, rate
from atonce.cli.work import shares
from atonce.report.columns import compact
from atonce.report.facts import Cause, Report, Slow
from atonce.report.plots import distribution, throughput
from atonce.report.words import courses, why

_HELP: Final = (
    "W and S zoom, A and D move, 0 shows all; N and P go to the next and the previous failure, the arrows from item to "
    "item; the wheel zooms once the picture has been clicked."
)
_BUTTONS: Final = (
    ("w", "zoom in"),
    ("s", "zoom out"),
    ("a", "◀"),
    ("d", "▶"),
    ("0", "all"),
    ("n", "next failure"),
)


def page(report: Report) -> str:
    """Write the page.

    Text of items and errors is escaped wherever it stands, and the page's policy lets only its own script run.
    """
    css, script = _part("page.css"), _part("page.js")
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(css)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    picture = report.picture
    at = {number: n for n, number in enumerate(picture.numbers)}
    body = "\n".join(
        part
        for part in (
            _top(report),
            _lanes(report),
            _plots(report),
            _causes(report),
            _slowest(report, at),
            _hosts(report),
            _runs(report),
        )
        if part
    )
    data = ""
    if len(picture):
        about, columns = compact(picture, {one.number for one in report.slowest})
        data = (
            f'<script type="application/json" id="about">{_in_script(about)}</script>\n'
            f'<script type="text/plain" id="columns">{columns}</script>\n'
        )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(report.name)}: atonce report</title>\n<style>{css}</style></head>\n"
        f"<body>\n<main>\n{body}\n</main>\n{data}<script>{script}</script>\n</body></html>\n"
    )


@cache
def _part(name: str) -> str:
    return (files("atonce.report") / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


def _in_script(value: Any) -> str:
    """JSON in which nothing can end the script that it stands in."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _text(text: str) -> str:
    """Text for between tags and for attributes; what UTF-8 or HTML cannot have is replaced."""
    plain = text.encode("utf-8", "replace").decode("utf-8")
    return escape("".join(one if one.isprintable() or one in "\n\t" else "\ufffd" for one in plain))


def _top(report: Report) -> str:
    facts = [("ok", f"{report.ok:,}", "ok"), ("failed", f"{report.failed:,}", "failed")]
    if report.cancelled:
        facts.append(("cancelled", f"{report.cancelled:,}", "cancelled"))
    facts.append(("", brief(report.elapsed), "in all"))
    if report.elapsed > 0.0 and report.ended > 1:
        facts.append(("", f"{rate(report.ended / report.elapsed)}/s", "items a second"))
    facts += [("", latency(value), name) for name, value in report.quantiles]
    if report.retries:
        facts.append(("", f"{report.retries:,}", f"retries, {report.saved:,} items saved"))
    if report.shares is not None:
        facts += [("", share, f"of the items' time {what}") for what, share in shares.said(report.shares)]
    if report.busy is not None:
        facts.append(("", f"{report.busy:.0%}", f"of the time of {report.width:,} lanes in use"))
    shown = "".join(f'<li class="{kind}"><b>{value}</b>{_text(name)}</li>' for kind, value, name in facts)
    size = "" if report.size is None else f" · {bytes_shown(report.size)}"
    notes = []
    if report.is_torn:
        notes.append("The last line was torn when its writer died; it does not count.")
    if report.unread:
        notes.append(f"{report.unread:,} lines are no records and were passed over.")
    said = "".join(f'<p class="dim">{one}</p>' for one in notes)
    return (
        f"<h1>{_text(report.name)}</h1>\n"
        f'<p class="dim">{_text(courses(report))} · {_text(why(report.why))}{size}</p>\n'
        f'<ul class="numbers">{shown}</ul>{said}'
    )


def _lanes(report: Report) -> str:
    picture = report.picture
    if not len(picture):
        if report.ended:
            said = "Its records do not say when items ended, so there is no picture."
            return f'<h2>Over time</h2><p class="dim">{said}</p>'
        return ""
    buttons = "".join(f'<button type="button" data-key="{key}">{text}</button>' for key, text in _BUTTONS)
    keys = "".join(
        f'<span class="key {name}"><span>{name}</span></span>'
        for name in ("ok", "failed", "cancelled", "running")
    )
    left = ""
    if picture.left_out:
        left = (
            f'<p class="dim">{picture.left_out:,} of {picture.left_out + len(picture):,} items are not drawn: '
            "shown are the failures, the slowest hundredth, and evenly some of the others.</p>"
        )
    label = f"Picture of {len(picture):,} items on {report.width:,} lanes over time. The tables below say the same."
    return (
        f'<h2>Over time</h2>\n<div id="tools">{buttons}<span>{keys}</span></div>\n'
        f'<canvas id="lanes" tabindex="0" role="img" aria-describedby="one" aria-label="{label}"></canvas>\n'
        f'<div id="one" role="status" aria-live="polite">Choose an item.</div>\n<p class="dim help">{_HELP}</p>{left}'
        '<noscript><p class="dim">The picture needs JavaScript; the tables do not.</p></noscript>'
    )


def _plots(report: Report) -> str:
    parts = []
    if report.beats:
        drawn = throughput(report.beats, report.beat)
        parts.append(
            f"<h2>Throughput</h2><figure>{drawn}<figcaption>items ended, a second</figcaption></figure>"
        )
        parts.append(_beats(report))
    if report.times:
        drawn = distribution(report.times)
        parts.append(f"<h2>How long successes took</h2><figure>{drawn}</figure>")
    return "\n".join(parts)


def _beats(report: Report) -> str:
    """The same in a table, in some twenty rows."""
    group = max(1, -(-len(report.beats) // 20))
    rows = []
    for n in range(0, len(report.beats), group):
        some = report.beats[n : n + group]
        rows.append((brief(some[0].at), f"{sum(b.ok for b in some):,}", f"{sum(b.failed for b in some):,}"))
    table = _table("Items that ended, by when", (("from", "n"), ("ok", "n"), ("failed", "n")), rows)
    return f"<details><summary>as a table</summary>{table}</details>"


def _causes(report: Report) -> str:
    if not report.causes:
        return ""
    has_picture = bool(len(report.picture))
    labels = set(report.picture.labels)

    def row(cause: Cause) -> tuple[str, ...]:
        label = _text(cause.label)
        if has_picture and cause.label in labels:
            label = f'<button type="button" class="item" data-cause="{label}">{label}</button>'
        hosts = ", ".join(f"{name} ({count:,})" for name, count in cause.hosts[:3])
        example = f'<span class="item">{_text(_cut(cause.example))}</span><br>{_text(_cut(cause.message))}'
        return f"{cause.count:,}", label, example, _text(hosts)

    head = (("count", "n"), ("error", ""), ("for example", ""), ("hosts", ""))
    table = _table("Failures by what they have in common", head, map(row, report.causes), raw=True)
    return f"<h2>Errors</h2>{table}"


def _slowest(report: Report, at: dict[int, int]) -> str:
    if not report.slowest:
        return ""

    def row(one: Slow) -> tuple[str, ...]:
        item = _text(_cut(one.item))
        if one.number in at:
            item = f'<button type="button" class="item" data-at="{at[one.number]}">{item}</button>'
        else:
            item = f'<span class="item">{item}</span>'
        return latency(one.seconds), one.state, f"{one.attempts}", item

    head = (("took", "n"), ("ended", ""), ("attempts", "n"), ("item", ""))
    return (
        f"<h2>Slowest</h2>{_table('The items that took longest', head, map(row, report.slowest), raw=True)}"
    )


def _hosts(report: Report) -> str:
    if len(report.hosts) < 2:
        return ""
    rows = [
        (
            one.name,
            f"{one.ok:,}",
            f"{one.failed:,}",
            *(latency(q) if one.ok else "" for q in (one.p50, one.p95)),
        )
        for one in report.hosts
    ]
    head = (("host", ""), ("ok", "n"), ("failed", "n"), ("p50", "n"), ("p95", "n"))
    return f"<h2>Hosts</h2>{_table('What came of each host', head, rows)}"


def _runs(report: Report) -> str:
    if len(report.runs) < 2:
        return ""
    rows = [(one.run, one.started or "", one.why or "cut off", brief(one.elapsed)) for one in report.runs]
    head = (("run", ""), ("started", ""), ("ended", ""), ("took", "n"))
    return f"<h2>Runs</h2>{_table('Runs that wrote to this file', head, rows)}"


def _table(
    caption: str, head: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]], *, raw: bool = False
) -> str:
    """A table; with `raw` its cells are HTML already."""
    heads = "".join(f'<th scope="col" class="{kind}">{name}</th>' for name, kind in head)
    lines = []
    for row in rows:
        cells = zip(row, head, strict=True)
        lines.append(
            "".join(f'<td class="{kind}">{cell if raw else _text(cell)}</td>' for cell, (_, kind) in cells)
        )
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return (
        f'<div class="scroll"><table><caption>{caption}</caption><thead><tr>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cut(text: str) -> str:
    return text if len(text) <= 300 else f"{text[:300]}…"
