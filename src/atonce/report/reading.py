"""A journal as a report, whatever state it is in: torn, resumed, without an end, without instants."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from atonce.cli.journal.reading import NoJournal, parsed, whole_lines
from atonce.cli.rows.keys import canonical
from atonce.cli.work import shares
from atonce.report.account import Account, plain
from atonce.report.cause import label_of
from atonce.report.facts import Course, Entry, Report, State

#: Gives the bytes of a journal from its beginning; it is called more than once.
Chunks = Callable[[], Iterable[bytes]]
_URLS: Final = ("url", "link", "href")
_HOST: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#]*@)?([^/?#\s@]+)")


def report_of(chunks: Chunks, name: str, *, slowest: int = 20, pictured: bool = False) -> Report:
    """Read a journal and account for it; `NoJournal` for what is none.

    A line that is no record is counted and passed over. Where several runs wrote to it, the newest record of a key
    counts, as it does when a run is resumed.

    **Bounded**: one run by nothing but 24 bytes an item (250 with `pictured`); several by their keys.
    """
    newest = _newest(chunks)
    account = Account(slowest=slowest, pictured=pictured)
    reader = _Reader(account, newest)
    size = 0
    for line, end in whole_lines(_counted(chunks(), reader)):
        size = end
        reader.line(line)
    if not reader.runs and not reader.records:
        if reader.size == 0:
            raise NoJournal("it is empty: nothing was recorded")
        raise NoJournal("it has no line that is a record of a run")
    runs = [replace(one, elapsed=_elapsed(one)) for one in reader.runs]
    return account.report(name, runs, size=reader.size, unread=reader.unread, is_torn=reader.size > size)


@dataclass(slots=True)
class _Reader:
    """Goes through the lines, the newest run last."""

    account: Account
    newest: Mapping[str, int] | None
    runs: list[Course] = field(default_factory=list)
    records: int = 0
    unread: int = 0
    size: int = 0

    def line(self, line: bytes) -> None:
        """Take one line."""
        try:
            record = parsed(line)
        except (ValueError, RecursionError):
            self.unread += 1
            return
        if "atonce" in record:
            self._course(record)
        elif isinstance(record.get("ok"), bool):
            self._record(record)
        else:
            self.unread += 1

    def _course(self, record: Mapping[str, Any]) -> None:
        if "end" not in record:
            self.runs.append(_begun(record))
        elif self.runs:
            found = shares.read(record.get("shares"))
            ended, reason = _text(record["end"]), _text(record.get("why"))
            self.runs[-1] = replace(self.runs[-1], ended=ended, why=reason, shares=found)

    def _record(self, record: Mapping[str, Any]) -> None:
        number = self.records
        self.records += 1
        run = max(0, len(self.runs) - 1)
        cmd = self.runs[-1].cmd if self.runs else ""
        key = record.get("key")
        is_newest = self.newest is None or not isinstance(key, str) or self.newest.get(key) == number
        self.account.take(_entry(record, run, cmd), counts=is_newest)


def _counted(chunks: Iterable[bytes], reader: _Reader) -> Iterator[bytes]:
    for chunk in chunks:
        reader.size += len(chunk)
        yield chunk


def _newest(chunks: Chunks) -> dict[str, int] | None:
    """Which record of each key is the newest one; None where one run alone wrote, in which no key comes twice."""
    if sum(_is_head(line) for line, _ in whole_lines(chunks())) < 2:
        return None
    found: dict[str, int] = {}
    number = 0
    for line, _ in whole_lines(chunks()):
        try:
            record = parsed(line)
        except (ValueError, RecursionError):
            continue
        if "atonce" in record or not isinstance(record.get("ok"), bool):
            continue
        if isinstance(key := record.get("key"), str):
            found[key] = number
        number += 1
    return found


def _is_head(line: bytes) -> bool:
    return line.startswith(b'{"atonce"') and b'"end"' not in line[:40]


def _begun(record: Mapping[str, Any]) -> Course:
    does = record.get("does")
    return Course(
        run=_text(record.get("run")) or "",
        cmd=_text(record.get("cmd")) or "",
        does=tuple(str(one) for one in does) if isinstance(does, list) else (),
        input=_text(record.get("input")),
        started=_text(record.get("started")),
    )


def _entry(record: Mapping[str, Any], run: int, cmd: str) -> Entry:
    item = record.get("in")
    host = _host(item) if cmd == "fetch" else None
    err = record.get("err")
    state: State = "ok"
    group = message = ""
    if record["ok"] is not True:
        err = err if isinstance(err, Mapping) else {}
        state = "cancelled" if err.get("kind") == "cancelled" else "failed"
        group, message = label_of(err), _text(err.get("msg")) or ""
        host = _text(err.get("host")) or host
    attempts = record.get("try")
    return Entry(
        item=canonical(item),
        state=state,
        seconds=plain(record.get("s")) or 0.0,
        attempts=attempts if type(attempts) is int and 0 < attempts < 1_000_000 else 1,
        end=plain(record.get("t")),
        run=run,
        group=group,
        message=message,
        host=host,
        lanes=cmd,
    )


def _host(item: Any) -> str | None:
    if isinstance(item, Mapping):
        item = next((item[name] for name in item if str(name).lower() in _URLS), None)
    found = _HOST.match(item) if isinstance(item, str) else None
    return found[1].lower() if found else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _elapsed(one: Course) -> float:
    try:
        began, ended = (datetime.fromisoformat(text) for text in (one.started or "", one.ended or ""))
        return max(0.0, (ended - began).total_seconds())
    except (ValueError, TypeError):
        return 0.0
