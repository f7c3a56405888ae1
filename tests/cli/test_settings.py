"""Settings: the command line over the environment, over the project's file, over the user's file."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.cli.fetch import fetch
from atonce.cli.map.command import map_command
from atonce.cli.run.command import run_command
from atonce.cli.settings.layers import SETTABLE, Setting, chosen, rivals_of
from tests.cli.command import Run, in_terminal

NAMES = st.sampled_from(sorted(SETTABLE))
LAYERS = st.lists(st.dictionaries(NAMES, st.integers(0, 3).map(lambda n: Setting(n, "here"))), max_size=5)


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


def blockers(
    name: str, given_names: set[str], stronger: list[dict[str, Setting]], held: set[str]
) -> set[str]:
    """What keeps a setting out: it is given or was set, or a rival that is on."""
    on = {one for layer in stronger for one in layer if one in held and not first(one, stronger).is_off}
    placed = {one for layer in stronger for one in layer}
    return ({name} & (given_names | placed)) | (rivals_of(name) & (given_names | on))


def first(name: str, layers: list[dict[str, Setting]]) -> Setting:
    return next(layer[name] for layer in layers if name in layer)


@given(st.sets(NAMES), LAYERS)
def test_a_setting_holds_unless_it_or_a_rival_is_given_or_set_in_a_stronger_place(
    names: set[str], layers: list[dict[str, Setting]]
) -> None:
    found = chosen(names, layers)
    for depth, layer in enumerate(layers):
        for name in layer.keys() - {"retries"}:
            is_kept_out = bool(blockers(name, names, layers[:depth], set(found)))
            assert (found.get(name) is layer[name]) is not is_kept_out
    assert found.keys() <= {name for layer in layers for name in layer} - names


@given(st.sets(NAMES), LAYERS)
def test_that_there_are_no_further_attempts_does_not_hold_for_who_says_which(
    names: set[str], layers: list[dict[str, Setting]]
) -> None:
    wants = "retries" not in names and bool({"retry-on", "retry-max-time"} & names)
    there = [layer["retries"] for layer in layers if "retries" in layer and "retries" not in names]
    kept = [one for one in there if not (wants and one.is_off)]
    assert chosen(names, layers).get("retries") is next(iter(kept), None)


@pytest.mark.parametrize("value", [False, 0, "0", "false", "No", "off"])
def test_what_is_off_excludes_nothing(value: str | int) -> None:
    off, verbose = Setting(value, "there"), Setting(True, "here")
    assert chosen((), [{"quiet": off}, {"verbose": verbose}]) == {"quiet": off, "verbose": verbose}
    assert chosen((), [{"quiet": Setting(True, "there")}, {"verbose": verbose}]).keys() == {"quiet"}


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


def test_the_home_folder_is_the_last_that_is_looked_in(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    project("[tool.atonce]\njobs = 3")
    inner = Path("home/work")
    inner.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(Path("home").absolute()))
    Path("link").symlink_to("home")
    monkeypatch.chdir(inner)
    assert "max_concurrency=3," not in explained(run)
    monkeypatch.setenv("HOME", str(Path("../../link").absolute()))
    assert "max_concurrency=3," not in explained(run)
    Path("../pyproject.toml").write_text("[tool.atonce]\njobs = 4")
    assert "max_concurrency=4," in explained(run)
    monkeypatch.delenv("HOME")
    assert "max_concurrency=4," in explained(run)


def test_a_folder_that_was_removed_has_no_settings(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    user("jobs = 3")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(Path("none").absolute()))
    Path("gone").mkdir()
    monkeypatch.chdir("gone")
    Path("../gone").rmdir()
    assert "max_concurrency=3," in explained(run)
    assert "\njobs            3, from " in run("doctor").out.decode()


def test_a_folder_that_may_not_be_entered_has_no_settings_and_an_unreadable_file_is_said(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = Path("none").absolute()
    user("jobs = 3")
    may_look = True

    def refused(path: Path, *args: object, **options: object) -> bytes:
        if path.is_relative_to(locked):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return read_bytes(path)

    def looked(path: Path, **options: bool) -> os.stat_result:
        if path.is_relative_to(locked) and not may_look:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return stat(path, **options)

    read_bytes, stat = Path.read_bytes, Path.stat
    monkeypatch.setattr(Path, "read_bytes", refused)
    monkeypatch.setattr(Path, "stat", looked)
    ran = run("map", "-e", "x", ":::", "1")
    assert (ran.code, f"cannot read {locked}/atonce/config.toml: Permission denied" in ran.err) == (74, True)
    may_look = False
    assert "max_concurrency=3," not in explained(run)


def test_what_is_given_wins_over_its_rivals_in_a_file(run: Run) -> None:
    project('[tool.atonce]\nrate = "7/s"\nretries = 2\nretry-on = "timeout"\nverbose = true\nmax-errors = 3')
    assert "rate=Rate(7" in explained(run)
    assert "rate=Rate(1, per=2" in explained(run, "--delay", "2s")
    assert "retry=" not in explained(run, "--retries", "0")
    assert run("map", "-q", "--fail-fast", "-e", "x", ":::", "1").code == 0
    project("[tool.atonce]\nquiet = true")
    assert run("map", "-e", "x", ":::", "1").err == ""
    assert '"why": "finished"' in run("map", "--progress", "json", "-e", "x", ":::", "1").err
    project("[tool.atonce]\nretries = 0")
    assert run("fetch", "--retry-on", "429", "--dry-run", "http://a.example").code == 0
    project('[tool.atonce]\nrate = "7/s"\ndelay = "1s"')
    assert "give one of them" in run("map", "-e", "x", ":::", "1").err


def test_an_executor_that_is_set_holds_for_the_functions_that_it_fits(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("work.py").write_text("def plain(x):\n    return x\nasync def later(x):\n    return x\n")
    monkeypatch.setenv("ATONCE_EXECUTOR", "thread")
    assert 'on="thread"' in run("map", "--explain", "work.py:plain", ":::", "1").out.decode()
    assert "on=" not in run("map", "--explain", "work.py:later", ":::", "1").out.decode()
    monkeypatch.setenv("ATONCE_EXECUTOR", "async")
    assert 'on="process"' in run("map", "--explain", "work.py:plain", ":::", "1").out.decode()
    monkeypatch.setenv("ATONCE_EXECUTOR", "nowhere")
    assert "atonce: ATONCE_EXECUTOR: 'nowhere' is not one of" in run("map", "-e", "x", ":::", "1").err


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
        ("[tool]\natonce = 3", ": tool.atonce is a table of settings"),
        ("[tool.atonce]\nprofile = 3", "[tool.atonce] profile is a table of settings, not 3"),
        pytest.param(
            f"[tool.atonce]\njobs = 0x{'f' * 9_000}", "jobs is a larger number than TOML has", id="large"
        ),
        pytest.param(
            f"[tool.atonce]\njobs = [0x{'f' * 9_000}]", "true or false, not what it has", id="large inside"
        ),
        pytest.param(f"[tool.atonce]\njobs = {'[' * 20_000}", "it is nested too deeply", id="deep"),
        ("[tool.atonce]\n\njobs = \n", "is no TOML: Invalid value (at line 3, column 8)"),
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


def test_a_file_that_is_not_in_utf_8_is_refused_with_the_line(run: Run) -> None:
    Path("pyproject.toml").write_bytes(b"[tool.atonce]\n# caf\xe9\njobs = 2\n")
    assert (
        "pyproject.toml is no TOML: it is not in UTF-8 (at line 2)\n" in run("map", "-e", "x", ":::", "1").err
    )


def test_a_mistake_in_the_environment_names_the_variable(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATONCE_TIMEOUT", "soon")
    assert "ATONCE_TIMEOUT: 'soon' is no duration" in run("map", "-e", "x", ":::", "1").err
    monkeypatch.setenv("ATONCE_TIMEOUT", "")
    monkeypatch.setenv("ATONCE_QUIET", "yes")
    ran = run("map", "-e", "x", ":::", "1")
    assert (ran.code, ran.err, ran.out) == (0, "", b"1\n")


def test_none_in_a_file_is_none_and_a_profile_without_a_name_is_for_nobody(run: Run) -> None:
    project('[tool.atonce]\ntimeout = "none"\n[tool.atonce.profile.""]\njobs = 7')
    with fetch.make_context("fetch", ["http://a.example"]) as ctx:
        assert ctx.params["timeout"] is None
    assert "max_concurrency=7," not in explained(run)


def test_a_profile_that_nobody_has_is_refused(run: Run) -> None:
    assert "there is no profile 'x': no file has one" in run("run", "--profile", "x", "true", ":::", "1").err
    user("[profile.nightly]\njobs = 1\n[profile.ci]\njobs = 1")
    assert "Did you mean 'nightly'?" in run("run", "--profile", "nigtly", "true", ":::", "1").err
    assert "there are nightly, ci" in run("run", "--profile", "x", "true", ":::", "1").err


def test_the_doctor_says_what_is_set_and_where(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = run("doctor").out.decode()
    assert "\nsettings in     no file\n" in shown
    here, users = Path.cwd(), Path("none/atonce/config.toml").absolute()
    assert f"\nlooked for      pyproject.toml from {here} up to /, {users}\n" in shown
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
    monkeypatch.setenv("ATONCE_COLOR", "always")
    assert b"\x1b[32m" in run("report", "o.jsonl").out
    assert b"\x1b[" not in run("report", "o.jsonl", "--color", "never").out
    monkeypatch.setenv("ATONCE_COLOR", "blue")
    assert "ATONCE_COLOR" in run("report", "o.jsonl").err
    monkeypatch.delenv("ATONCE_COLOR")
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[32m" in run("run", "true", ":::", "1").err
    assert "\x1b[" not in run("run", "--color", "never", "true", ":::", "1").err


@pytest.mark.parametrize(
    ("color", "env", "is_green"), [("never", {}, False), ("always", {"NO_COLOR": "1"}, True)]
)
def test_a_bar_has_the_colours_that_are_asked_for(
    tmp_path: Path, color: str, env: dict[str, str], is_green: bool
) -> None:
    shown = in_terminal(
        *["run", "--color", color, "-o", str(tmp_path / "o.jsonl"), "--progress", "bar", "-v"],
        *["test", "{}", "=", "1", ":::", "1", "2"],
        **env,
    )
    assert "━" in shown.text
    assert "2: CommandFailed: exit 1" in shown.text
    assert ("\x1b[32m" in shown.text) is is_green
    assert bool(re.search(r"\x1b\[(?:3[0-9]|38;[0-9;]+)m", shown.text)) is is_green
