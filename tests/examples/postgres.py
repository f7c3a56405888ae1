"""A PostgreSQL of its own for a test, in a folder and on a socket there, as somebody who is not root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: The newest that Debian installed, or what is in PATH.
FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
INITDB = str(FOLDERS[-1] / "initdb") if FOLDERS else shutil.which("initdb")
#: PostgreSQL refuses to run as root; Debian's package makes this user.
USER = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


@contextmanager
def postgresql() -> Iterator[str]:
    """Start it; gives its address, and leaves nothing."""
    assert INITDB is not None
    control = str(Path(INITDB).with_name("pg_ctl"))
    with tempfile.TemporaryDirectory(prefix="atonce-pg-") as folder:
        if os.geteuid() == 0:
            shutil.chown(folder, USER)
        data = f"{folder}/data"

        def call(*line: str) -> None:
            user = USER if os.geteuid() == 0 else None
            with open(os.devnull, "r+b") as nowhere:
                subprocess.run(
                    line, check=True, cwd=folder, user=user, stdin=nowhere, stdout=nowhere, timeout=60
                )

        call(INITDB, "-D", data, "-U", "tester", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale", "C")
        options = f"-c listen_addresses='' -k {folder} -c fsync=off -c max_connections=10"
        try:
            call(control, "-D", data, "-w", "-l", f"{folder}/log", "-o", options, "start")
            yield f"postgresql://tester@/postgres?host={folder}"
        finally:
            call(control, "-D", data, "-w", "-m", "immediate", "stop")
