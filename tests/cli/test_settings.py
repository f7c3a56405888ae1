"""Settings: the command line over the environment, over the project's file, over the user's file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.cli.fetch import fetch
from atonce.cli.map.command import map_command
from atonce.cli.run.command import run_command
from atonce.cli.settings.layers import RIVALS, SETTABLE, Setting, chosen
from tests.cli.command import Run

NAMES = st.sampled_from(sorted(SETTABLE))
LAYERS = st.lists(st.dictionaries(NAMES, st.integers().map(lambda n: Setting(n, "here"))), max_size=5)


def project(text: str) -> None:
    Path("pyproject.toml").write_text(text)


def user(text: str) -> None:
    Path("none/atonce").mkdir(parents=True, exist_ok=True)
    Path("none/atonce/config.toml").write_text(text)


def explained(run: Run, *more: str) -> str:
    """The options that hold, as the equivalent program shows them."""
    ran = run("map", "--explain", *more, "-e", "x", ":::", "1")
    assert ran.code == 0, ran.err
    return ran.out.decode()


# -- the rules ------------------------------------------------------------------------------------------------------


@given(st.sets(NAMES), LAYERS)
def test_the_strongest_place_of_each_name_holds_and_none_that_is_given(
    names: set[str], layers: list[dict[str, Setting]]
) -> None:
    found = chosen(names, layers)
    assert not names & found.keys()
    alone = set(SETTABLE) - {name for group in RIVALS for name in group} - names
    for name in alone:
        assert found.get(name) is next((layer[name] for layer in layers if name in layer), None)


@given(st.sets(NAMES), LAYERS)
def test_of_rivals_those_of_one_place_hold_or_that_which_is_given(
    names: set[str], layers: list[dict[str, Setting]]
) -> None:
    found = chosen(names, layers)
    for group in RIVALS:
        held = group & found.keys()
        assert not (held and group & names)
        strongest: set[str] = next((group & layer.keys() for layer in layers if group & layer.keys()), set())
        assert held == (set() if group & names else strongest)


def test_what_can_be_set_are_options_of_the_verbs_and_none_names_a_file() -> None:
    commands = {"fetch": fetch, "map": map_command, "run": run_command}
    for name, verbs in SETTABLE.items():
        for verb, command in commands.items():
            options = {one.removeprefix("--"): param for param in command.params for one in param.opts}
            assert (name in options) == (verb in verbs), (name, verb)
            if name in options:
                assert "FILE" not in (options[name].metavar or "")  # type: ignore[attr-defined]  # an option has one


# -- the places -----------------------------------------------------------------------------------------------------


def test_the_line_is_over_the_environment_over_the_project_over_the_user(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [
        (lambda: user("jobs = 3"), 3),
        (lambda: user("jobs = 3\n[map]\njobs = 4"), 4),
        (lambda: project("[tool.atonce]\njobs = 5"), 5),
        (lambda: project("[tool.atonce]\njobs = 5\n[tool.atonce.map]\njobs = 6"), 6),
        (lambda: monkeypatch.setenv("ATONCE_JOBS", "7"), 7),
    ]
    for set_it, jobs in steps:
        set_it()
        assert f"max_concurrency={jobs}," in explained(run)
    assert "max_concurrency=8," in explained(run, "-j", "8")


def test_a_profile_is_over_what_its_file_has_and_not_over_the_stronger_file(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    user("jobs = 1\ntimeout = 1\n[profile.nightly]\njobs = 2\ntimeout = 2\nretries = 2")
    project(
        "[tool.atonce]\njobs = 3\n[tool.atonce.profile.nightly]\nrate = 10\n[tool.atonce.profile.nightly.map]\nrate = 20"
    )
    plain, nightly = explained(run), explained(run, "--profile", "nightly")
    assert ("max_concurrency=3," in plain, "timeout=1," in plain, "retry=" in plain) == (True, True, False)
    for part in ("max_concurrency=3,", "timeout=2,", "retry=3,", "rate=Rate(20, per=1)"):
        assert part in nightly
    monkeypatch.setenv("ATONCE_PROFILE", "nightly")
    assert explained(run) == nightly


def test_the_nearest_file_that_has_settings_counts_up_to_the_repository(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    project("[tool.atonce]\njobs = 3")
    inner = Path("inner/deep")
    inner.mkdir(parents=True)
    Path("inner/pyproject.toml").write_text("[tool.other]\nx = 1")
    monkeypatch.chdir(inner)
    assert "max_concurrency=3," in explained(run)
    Path("pyproject.toml").write_text("# atonce has no settings here\n[tool.other]\nx = 1")
    assert "max_concurrency=3," in explained(run)
    Path("../.git").mkdir()
    assert "max_concurrency=3," not in explained(run)


def test_what_is_given_wins_over_its_rivals_in_a_file(run: Run) -> None:
    project('[tool.atonce]\nrate = "7/s"\nretries = 2\nretry-on = "timeout"\nverbose = true\nmax-errors = 3')
    assert "rate=Rate(7" in explained(run)
    assert "rate=Rate(1, per=2" in explained(run, "--delay", "2s")
    assert "retry=" not in explained(run, "--retries", "0")
    assert run("map", "-q", "--fail-fast", "-e", "x", ":::", "1").code == 0
    project('[tool.atonce]\nrate = "7/s"\ndelay = "1s"')
    assert "give one of them" in run("map", "-e", "x", ":::", "1").err


def test_what_was_set_is_not_what_was_given(run: Run) -> None:
    project("[tool.atonce]\nretries = 0\njobs = 2")
    ran = run("map", "-e", "1 / int(x)", "-o", "out.jsonl", ":::", "0")
    assert "next:  atonce map ::: 0 -e '1 / int(x)' -o out.jsonl --retry-failed\n" in ran.err
    project("[tool.atonce]\nretries = 1\njobs = 3\nretry-delay = 0.001")
    assert run("map", "-e", "1 / int(x)", "-o", "out.jsonl", "--retry-failed", ":::", "0").code == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.atonce]\njob = 1", "[tool.atonce]: job is nothing that can be set: did you mean jobs?"),
        ("[tool.atonce]\noutput = 'x'", "[tool.atonce]: output is nothing that can be set"),
        ("[tool.atonce.run]\nper-host = 1", "[tool.atonce] run: per-host is for fetch alone"),
        ("[tool.atonce]\njobs = 'many'", "[tool.atonce]: jobs: 'many' is no number of jobs"),
        ("[tool.atonce]\njobs = true", "[tool.atonce]: jobs is a text or a number, not true"),
        ("[tool.atonce]\njobs = [1]", "[tool.atonce]: jobs is a text, a number, true or false, not [1]"),
        ("[tool.atonce]\njobs = '@/etc/passwd'", "[tool.atonce]: jobs is no file here"),
        ("[tool.atonce]\nquiet = 1", "[tool.atonce]: quiet is true or false, not 1"),
        ("[tool.atonce]\nretries = 1.5", "[tool.atonce]: retries: '1.5' is no whole number"),
        ("[tool.atonce]\nfetch = 1", "[tool.atonce]: fetch is a table of settings, not 1"),
        ("[tool.atonce.profile]\nx = 1", "[tool.atonce] profile: x is a table of settings, not 1"),
        ("[tool.atonce.profile.x.map]\njob = 1", "[tool.atonce] profile.x map: job is nothing"),
        ("[tool.atonce", "is no TOML: "),
    ],
)
def test_a_mistake_in_a_file_names_the_file_and_the_corrected_form(run: Run, text: str, said: str) -> None:
    project(text)
    ran = run("map", "-e", "x", ":::", "1")
    assert (ran.code, ran.out) == (2, b"")
    assert str(Path("pyproject.toml").absolute()) in ran.err
    assert said in ran.err
    assert run("map", "--help").code == 0


def test_a_mistake_in_the_environment_names_the_variable(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATONCE_TIMEOUT", "soon")
    assert "ATONCE_TIMEOUT: 'soon' is no duration" in run("map", "-e", "x", ":::", "1").err
    monkeypatch.setenv("ATONCE_TIMEOUT", "")
    monkeypatch.setenv("ATONCE_QUIET", "yes")
    ran = run("map", "-e", "x", ":::", "1")
    assert (ran.code, ran.err, ran.out) == (0, "", b"1\n")


def test_a_profile_that_nobody_has_is_refused(run: Run) -> None:
    assert "there is no profile 'x': no file has one" in run("run", "--profile", "x", "true", ":::", "1").err
    user("[profile.nightly]\njobs = 1\n[profile.ci]\njobs = 1")
    assert "Did you mean 'nightly'?" in run("run", "--profile", "nigtly", "true", ":::", "1").err
    assert "there are nightly, ci" in run("run", "--profile", "x", "true", ":::", "1").err


def test_the_doctor_says_what_is_set_and_where(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no file: neither pyproject.toml here or above, nor " in run("doctor").out.decode()
    user("retries = 2\n[fetch]\nper-host = 3\n[run]\nretries = 4")
    monkeypatch.setenv("ATONCE_JOBS", "9")
    shown = run("doctor").out.decode()
    where = Path("none/atonce/config.toml").absolute()
    assert "jobs            9, from ATONCE_JOBS\n" in shown
    assert f"fetch retries   2, from {where}: retries\n" in shown
    assert f"run retries     4, from {where} run: retries\n" in shown
    assert f"per-host        3, from {where} fetch: per-host\n" in shown
    user("retires = 2")
    assert "settings        cannot be told: " in run("doctor").out.decode()


# -- what is shown --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [["map", "-e", "1 / int(x)"], ["map", "--executor", "thread", "-e", "1 / int(x)"]]
)
def test_verbose_says_each_failed_attempt_as_it_happens(run: Run, words: list[str]) -> None:
    verb, *rest = words
    ran = run(verb, "-v", "--retries", "1", "--retry-delay", "1ms", *rest, ":::", "0", "1")
    first, second, *_ = ran.err.splitlines()
    assert first == "0: ZeroDivisionError: division by zero; attempt 1 of 2, tried again"
    assert second == "0: ZeroDivisionError: division by zero; attempt 2 of 2"
    assert run(verb, "-v", *rest, ":::", "0").err.startswith("0: ZeroDivisionError: division by zero\n")
    assert run(verb, *rest, ":::", "0").err.count("ZeroDivisionError") == 1
    assert "give one of them" in run(verb, "-v", "-q", *rest, ":::", "0").err


def test_verbose_shows_no_password_and_no_control_character(run: Run, site: str) -> None:
    url = f"{site}/status/404".replace("//", "//ann:secret@")
    err = run("fetch", "-v", "--retries", "0", url).err
    assert "HttpStatusError" in err
    assert "secret" not in err
    assert "\\x1b[31m: CommandFailed: exit 1\n" in run("run", "-v", "false", ":::", "\x1b[31m").err


def test_color_is_as_it_is_asked_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[" not in run("run", "true", ":::", "1").err
    assert "\x1b[32m" in run("run", "--color", "always", "-o", "o.jsonl", "true", ":::", "1").err
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[32m" in run("run", "--color", "always", "true", ":::", "1").err
    assert b"\x1b[32m" in run("report", "o.jsonl", "--color", "always").out
    assert b"\x1b[" not in run("report", "o.jsonl").out
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[32m" in run("run", "true", ":::", "1").err
    assert "\x1b[" not in run("run", "--color", "never", "true", ":::", "1").err
