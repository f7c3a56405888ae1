"""`atonce doctor`: what this machine offers, to paste into a bug report."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import click

from atonce._runtime.cpus import cpus
from atonce._runtime.terminal import Terminal, visible, without_credentials
from atonce.cli.exits import Refusal
from atonce.cli.settings import files
from atonce.cli.settings.layers import SETTABLE, VERBS, chosen

_PACKAGES: Final = (
    "cloudpickle",
    "click",
    "rich",
    "aiohttp",
    "httpx",
    "pyarrow",
    "tenacity",
    "uvloop",
    "numpy",
)
_PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
_SHOWING: Final = ("TERM", "COLUMNS", "NO_COLOR", "FORCE_COLOR", "CI", "LANG", "LC_ALL", "PYTHONUTF8")
_CGROUP: Final = Path("/sys/fs/cgroup")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
def doctor() -> int:
    """Show what this Python and this machine offer; passwords in proxies are left out."""
    for label, value in facts():
        click.echo(f"{label:<16}{visible(value)}")
    return 0


def facts() -> Iterator[tuple[str, str]]:
    """Each thing that is worth knowing, and what it is here; what cannot be found out says so."""
    for label, look in _LOOKS.items():
        try:
            value = look()
        except (OSError, ValueError, RuntimeError) as error:
            value = f"cannot be told: {error}"
        yield label, value
    for name in _PACKAGES:
        yield name, _version(name) or "not installed"
    yield from _of_environment(os.environ)
    try:
        yield from _settings(os.environ)
    except (Refusal, OSError) as error:
        yield "settings", f"cannot be told: {error}"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _of_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in _PROXIES:
        value = environ.get(name) or environ.get(name.lower())
        if value:
            yield name, without_credentials(value)
    for name in (*_SHOWING, *sorted(name for name in environ if name.startswith("ATONCE_"))):
        if name in environ:
            yield name, without_credentials(environ[name])


def _settings(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The files with settings, where they were looked for, and each setting in force with where it comes from."""
    looked = list(files.project_files(environ))
    places = [f"{files.PROJECT} from {looked[0].parent} up to {looked[-1].parent}"] if looked else []
    users = files.user_file(environ)
    yield "looked for", ", ".join([*places, *([] if users is None else [str(users)])])
    found = files.read(environ)
    yield "settings in", ", ".join(str(one.path) for one in found) or "no file"
    of_verbs = {verb: chosen((), files.of_verb(found, environ, verb, None)) for verb in VERBS}
    for name, verbs in SETTABLE.items():
        settings = {verb: of_verbs[verb][name] for verb in verbs if name in of_verbs[verb]}
        if len(settings) == len(verbs) and len(set(settings.values())) == 1:
            settings = {"": next(iter(settings.values()))}
        for verb, setting in settings.items():
            yield f"{verb} {name}".strip(), f"{setting.value}, from {setting.where}"


def _atonce() -> str:
    return _version("atonce") or "not installed: run from its source"


def _python() -> str:
    build = " free-threaded" if not getattr(sys, "_is_gil_enabled", lambda: True)() else ""
    return f"{platform.python_implementation()} {platform.python_version()}{build}, {sys.executable}"


def _loop() -> str:
    loop = asyncio.new_event_loop()
    try:
        return f"{type(loop).__module__}.{type(loop).__name__}"
    finally:
        loop.close()


def _cpus() -> str:
    limit = cgroup_cpus(_CGROUP)
    held = "" if limit is None else f", held to {limit:g} by the cgroup"
    return f"{os.cpu_count()}, {cpus()} for this process{held}"


def cgroup_cpus(root: Path) -> float | None:
    """How many CPUs a control group (version 2 or 1) lets this process use; None where it does not say."""
    try:
        quota, period = (root / "cpu.max").read_text().split()[:2]
    except (OSError, ValueError):
        try:
            quota, period = (
                (root / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period")
            )
        except OSError:
            return None
    try:
        found = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return None
    return found if found > 0.0 else None


def cgroup_memory(root: Path) -> int | None:
    """How many bytes a control group lets this process use; None where it does not say."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = (root / name).read_text().strip()
        except OSError:
            continue
        return int(text) if text.isdigit() and int(text) < 1 << 60 else None
    return None


def _memory() -> str:
    limit = cgroup_memory(_CGROUP)
    pages, size = (os.sysconf(name) for name in ("SC_PHYS_PAGES", "SC_PAGE_SIZE"))
    held = "" if limit is None else f", held to {limit / 1e9:.1f} GB by the cgroup"
    return f"{pages * size / 1e9:.1f} GB{held}"


def _files() -> str:
    try:
        import resource
    except ModuleNotFoundError:
        return "not limited by the system in this way"
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = "unlimited" if hard == resource.RLIM_INFINITY else f"{hard:,}"
    return f"{soft:,}, can be raised to {most}"


def _start() -> str:
    methods = multiprocessing.get_all_start_methods()
    return f"{methods[0]} by default, of {', '.join(methods)}"


def _terminal() -> str:
    terminal = Terminal.here()
    parts = [f"{terminal.width} columns" if terminal.is_tty else "standard error is none"]
    parts.append("colour" if terminal.has_colour else "no colour")
    parts.append("UTF-8" if terminal.is_unicode else "no UTF-8")
    return ", ".join(parts)


_LOOKS: Final[Mapping[str, Callable[[], str]]] = {
    "atonce": _atonce,
    "Python": _python,
    "system": platform.platform,
    "event loop": _loop,
    "CPUs": _cpus,
    "memory": _memory,
    "open files": _files,
    "processes start": _start,
    "terminal": _terminal,
}
