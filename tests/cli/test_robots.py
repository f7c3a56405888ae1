"""`--robots`: what robots.txt keeps us from is not asked for, and is a failure that says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from atonce.cli import fetch_work
from tests.cli.command import Run, items


def asked_of(run: Run, site: str) -> dict[str, int]:
    [row] = [json.loads(line) for line in run("fetch", f"{site}/asked", "--body", "json").lines]
    return dict(row["out"]["json"])


def test_what_is_disallowed_is_not_asked_for_and_fails_with_the_reason(run: Run, site: str) -> None:
    before = asked_of(run, site).get("/robots.txt", 0)
    urls = [f"{site}/{path}" for path in ("open/1", "private/1", "open/2", "private/2")]
    ran = run("fetch", *urls, "--robots", "-o", "out.jsonl")
    assert (ran.code, "2  disallowed by robots.txt" in ran.err) == (1, True)
    rows = {row["in"].removeprefix(site): row for row in items(Path("out.jsonl"))}
    assert [rows[path]["ok"] for path in ("/open/1", "/open/2")] == [True, True]
    refused = rows["/private/1"]
    assert (refused["err"]["kind"], refused["err"]["type"], refused["try"]) == ("rejected", "Disallowed", 1)
    assert "robots.txt of 127.0.0.1 disallows it for atonce" in refused["err"]["msg"]
    asked = asked_of(run, site)
    assert asked["/robots.txt"] == before + 1
    assert "/private/1" not in asked


def test_a_crawl_delay_for_our_name_spaces_the_requests(run: Run, site: str) -> None:
    urls = [f"{site}/open/{number}" for number in range(3)]
    more = ["--robots", "-H", "User-Agent: snail/1.0 (tests)", "-o", "out.jsonl"]
    assert run("fetch", *urls, *more).code == 0
    ends = sorted(row["t"] for row in items(Path("out.jsonl")))
    assert ends[1] - ends[0] > 0.2
    assert ends[2] - ends[1] > 0.2


def test_without_its_package_that_is_said_first(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_work, "find_spec", lambda name: None)
    ran = run("fetch", "http://127.0.0.1:1/", "--robots", "-o", "out.jsonl")
    assert (ran.code, "pip install 'atonce[robots]'" in ran.err) == (2, True)
    assert not Path("out.jsonl").exists()
