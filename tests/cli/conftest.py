"""What the tests of the program share: a web site to ask, and a way to run the program in this process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from atonce.cli.main import main
from tests.cli.command import Ran, Run, environment


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    """The address of a running site, without a slash at its end."""
    command = [sys.executable, str(Path(__file__).with_name("site.py"))]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment()) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run the program in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("CI", "FORCE_COLOR", *(name for name in os.environ if name.startswith("ATONCE_"))):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))

    def run(*args: str) -> Ran:
        try:
            code = main(args)
        finally:
            _as_in_a_new_process(tmp_path)
        out, err = capfdbinary.readouterr()
        return Ran(code, out, err.decode())

    return run


def _as_in_a_new_process(folder: Path) -> None:
    """Close the workers that a process of its own would have had, and forget the modules of the test."""
    backend = sys.modules.get("atonce._backends.process")
    if backend is not None and backend._default is not None:
        backend._default.close()
        backend._default = None
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(f"{folder}/"):
            del sys.modules[name]
