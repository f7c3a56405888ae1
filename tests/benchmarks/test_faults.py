"""The fault table says what was measured: its verdicts on made-up figures, and the stored pages against the stored run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fault_cases import BY_KEY, FAULTS, VICTIMS
from fault_page import BEGIN, END, failing, page, summary, table, with_summary
from fault_peers import peers
from fault_verdict import LIMITED, Cell, cell

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGE = ROOT / "docs" / "faults.md"


def ended(kind: str | None, text: str = "", seconds: float = 0.07) -> dict[str, Any]:
    """How a victim ended; None stands for a value."""
    return {"type": kind, "kinds": [kind, "Exception"], "text": text or f"{kind}: x", "seconds": seconds}


WELL = {
    "warm": {"workers": 2},
    "victims": {"endings": [ended("WorkerLost")]},
    "innocents": {"lost": 0, "errors": {}},
    "next": {"works": True, "ending": ended(None)},
    "workers": {"count": 2},
}


def figure(fault: str = "sigkill", peer: str = "pebble", **changed: Any) -> dict[str, Any]:
    """One run in which all went well, but for what is changed; a stage that is None was not reached."""
    outside = {key: changed.pop(key) for key in ("ended", "left", "seconds") if key in changed}
    stages = {name: seen for name, seen in {**WELL, **changed}.items() if seen is not None}
    return {
        "fault": fault,
        "peer": peer,
        "stages": stages,
        "ended": True,
        "left": 0,
        "seconds": 1.0,
        **outside,
    }


def verdict(fault: str = "sigkill", *endings: Any, **changed: Any) -> Cell:
    """The cell of such a run, whose victims ended so."""
    if endings:
        changed["victims"] = {"endings": list(endings)}
    return cell(BY_KEY[fault], figure(fault, **changed))


def made_up(*figures: dict[str, Any]) -> dict[str, Any]:
    """A run of so many figures."""
    return {
        "date": "2026-01-02 03:04 UTC",
        "minutes": 6.4,
        "at_once": 2,
        "machine": "abacus, 2 cores, Linux 6",
        "python": "CPython 3.11.7",
        "versions": {"atonce": "0.1.0", "pebble": "5.0"},
        "peers": ["atonce", "pebble"],
        "skipped": ["loky"],
        "figures": list(figures),
    }


# -- one cell -----------------------------------------------------------------------------------------------------


def test_a_victim_that_alone_is_lost_and_says_so_passes() -> None:
    assert verdict() == Cell("ok 0.07 s", passed=True)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"innocents": {"lost": 17, "errors": {}}}, "17 of 19 lost"),
        ({"next": {"works": False, "ending": None}, "workers": None}, "pool dead"),
        ({"next": None, "workers": None}, "pool dead"),
        ({"workers": {"count": 1}}, "1 of 2 workers lost"),
        ({"workers": {"count": 0}}, "1 of 2 workers lost"),
        ({"left": 2}, "left 2"),
        ({"ended": False, "left": 5}, "hangs at exit"),
        ({"victims": {"endings": [None]}}, "hangs"),
        ({"victims": None, "innocents": None, "next": None, "ended": False}, "hangs"),
        ({"warm": {"workers": 1}}, "did not start"),
        ({"warm": None}, "did not start"),
    ],
)
def test_whatever_else_was_harmed_is_named_and_fails(changed: dict[str, Any], text: str) -> None:
    found = verdict(**changed)
    assert (found.text, found.passed) == (text, False)


def test_several_harms_stand_side_by_side() -> None:
    found = verdict(
        "sigkill",
        ended("ValueError"),
        innocents={"lost": 9, "errors": {}},
        next={"works": False, "ending": None},
        ended=False,
    )
    assert found.text == "wrong error: ValueError, pool dead, 9 of 19 lost, hangs at exit"
    assert (found.dead, found.hangs, found.lost) == (True, True, 9)


def test_a_hang_is_not_told_twice() -> None:
    assert verdict("sigkill", None, ended=False).text == "hangs"


@pytest.mark.parametrize(
    ("fault", "ending", "text"),
    [
        ("sigkill", ended("BrokenProcessPool"), "ok 0.07 s"),
        ("sigkill", ended("RuntimeError", "Worker-0 died unexpectedly"), "ok 0.07 s"),
        ("sigkill", ended(None), "no error"),
        ("fds", ended(None), "ok 0.07 s"),
        ("sigstop", ended("TimeoutError", seconds=2.1), "ok 2.10 s"),
        ("sigstop", ended("TimeoutError", seconds=5.1), "late, 5.1 s"),
        ("sigstop", ended("ProcessExpired", seconds=2.1), "wrong error: ProcessExpired"),
        ("odd_init", ended("OddInit"), "ok 0.07 s"),
        ("odd_init", ended("TypeError", "OddInit is missing a word"), "wrong error: TypeError"),
        ("carrier", ended("RemoteError", "Carrier: what happened"), "ok 0.07 s"),
        ("carrier", ended("TypeError", "no lock travels"), "wrong error: TypeError"),
        ("bad_load", ended("PicklingError"), "ok 0.07 s"),
        ("bad_load", ended("ProcessExpired"), "wrong error: ProcessExpired"),
        ("bad_load", ended("BrokenProcessPool", "A result has failed to un-serialize."), "ok 0.07 s"),
    ],
)
def test_what_counts_as_the_right_ending_depends_on_the_fault(
    fault: str, ending: dict[str, Any], text: str
) -> None:
    assert verdict(fault, ending).text == text


def test_of_several_victims_the_worst_is_told() -> None:
    fine = ended("TimeoutError", seconds=2.1)
    assert verdict("all_hang", fine, None).hangs
    assert verdict("all_hang", fine, fine).passed


def test_a_pool_without_time_limits_is_told_so_whatever_its_callers_timeout_raised() -> None:
    gone = ended("TimeoutError", seconds=2.0)
    found = verdict("sigstop", gone, peer="ProcessPoolExecutor", workers={"count": 1})
    assert found.text == "no time limit, 1 of 2 workers lost"
    assert not verdict("sigstop", gone, peer="ProcessPoolExecutor").passed


def test_the_misses_that_are_a_pools_design_are_told_apart() -> None:
    lost = {"lost": 9, "errors": {}}
    assert verdict("recursion", ended("RecursionError"), peer="joblib", innocents=lost).by_design
    assert not verdict("recursion", ended("ValueError"), peer="joblib", innocents=lost).by_design
    assert not verdict("sigkill", ended("TerminatedWorkerError"), peer="joblib", innocents=lost).by_design
    assert not verdict("recursion", ended("RecursionError"), peer="pebble", innocents=lost).by_design


@pytest.mark.parametrize(
    ("fault", "changed", "text"),
    [
        ("idle", {}, "ok"),
        ("parent_busy", {"left": 0}, "ok"),
        ("parent_busy", {"left": 4}, "left 4"),
        ("ctrl_c", {"seconds": 0.12}, "ok 0.12 s"),
        ("ctrl_c", {"seconds": 4.2}, "late, 4.2 s"),
        ("ctrl_c", {"seconds": 0.12, "left": 3}, "gone in 0.12 s, left 3"),
        ("ctrl_c", {"ended": False}, "hangs"),
        ("input", {"pulled": {"items": 18, "endless": False}}, "ok, 18"),
        ("input", {"pulled": {"items": 1729, "endless": False}}, "1,729 pulled"),
        ("input", {"pulled": {"items": 20_000, "endless": True}, "ended": False}, "never stops"),
        ("input", {"ended": False}, "hangs"),
    ],
)
def test_faults_of_a_whole_program_have_words_of_their_own(
    fault: str, changed: dict[str, Any], text: str
) -> None:
    found = verdict(fault, **changed)
    assert (found.text, found.passed) == (text, text.startswith("ok"))


# -- the page -----------------------------------------------------------------------------------------------------


def test_the_table_has_a_row_for_each_fault_and_a_column_for_each_pool_and_counts_them() -> None:
    run = made_up(
        figure(peer="atonce"),
        figure(innocents={"lost": 3, "errors": {}}),
        figure("exit0"),
        figure("exit3", left=1),
    )
    lines = list(table(run))
    assert len(lines) == len(FAULTS) + 3
    assert lines[0] == "| fault | atonce | pebble |"
    assert "| ok 0.07 s | 3 of 19 lost |" in lines[2]
    assert "| not run | ok 0.07 s |" in lines[3]
    assert lines[-1] == "| **faults passed** | **1 of 1** | **1 of 3** |"


def test_the_page_says_when_on_what_and_with_which_versions_it_was_measured() -> None:
    text = page(made_up(figure()))
    for said in ("2026-01-02", "abacus, 2 cores", "CPython 3.11.7", "pebble 5.0", "not installed: loky"):
        assert said in text


def test_the_summary_has_the_totals_and_the_worst_of_each_pool() -> None:
    run = made_up(
        figure(peer="atonce"),
        figure(innocents={"lost": 3, "errors": {}}),
        figure("exit0", victims={"endings": [None]}, next=None, workers=None),
        figure("exit3", left=4),
    )
    assert "| **atonce** | 1 of 1 | 0 | 0 | 0 | 0 |" in summary(run)
    assert "| pebble | 0 of 3 | 1 | 1 | 3 | 4 |" in summary(run)


def test_only_what_stands_between_the_markers_is_replaced() -> None:
    run = made_up(figure(peer="atonce"))
    text = with_summary(f"before\n{BEGIN}\nold\n{END}\nafter\n", run)
    assert text == f"before\n{summary(run)}\nafter\n"
    assert with_summary(text, run) == text


@pytest.mark.parametrize("text", ["", BEGIN, f"{END} {BEGIN}"])
def test_a_readme_without_both_markers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must have the lines"):
        with_summary(text, made_up())


def test_a_fault_that_was_not_run_is_no_fault_that_was_passed() -> None:
    assert len(failing(made_up(figure(peer="atonce")), "atonce")) == len(FAULTS) - 1


# -- what was measured --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    """The run that the pages are made of."""
    run: dict[str, Any] = json.loads((ROOT / "benchmarks" / "faults.json").read_text(encoding="utf-8"))
    return run


def test_every_task_fault_has_its_victim_and_every_pool_its_limits_in_the_table() -> None:
    assert VICTIMS.keys() == {fault.key for fault in FAULTS if fault.kind == "task"}
    assert sorted(LIMITED) == sorted(title for title, peer in peers().items() if peer.limits)


def test_the_page_is_exactly_what_the_stored_figures_give(stored: dict[str, Any]) -> None:
    if not PAGE.exists():
        pytest.skip("docs/ is not part of an sdist")
    again = "python benchmarks/faults.py --render writes it again"
    assert PAGE.read_text(encoding="utf-8") == page(stored), again


def test_the_readme_has_exactly_the_summary_that_the_stored_figures_give(stored: dict[str, Any]) -> None:
    text = README.read_text(encoding="utf-8")
    assert with_summary(text, stored) == text, "python benchmarks/faults.py --render writes it again"


def test_every_fault_was_run_on_every_pool_of_the_table(stored: dict[str, Any]) -> None:
    assert {(one["fault"], one["peer"]) for one in stored["figures"]} == {
        (fault.key, peer) for fault in FAULTS for peer in stored["peers"]
    }


def test_atonce_passes_every_fault_in_the_stored_figures(stored: dict[str, Any]) -> None:
    assert failing(stored, "atonce") == []
