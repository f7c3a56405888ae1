"""The web site that the tests of the program ask, once for all of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import environment


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    """The address of a running site, without a slash at its end."""
    command = [sys.executable, str(Path(__file__).with_name("site.py"))]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment()) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
