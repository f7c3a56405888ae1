"""`start`: a program at the head of a session or group of its own, with the descriptors that it is given and no more."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import pytest

from atonce.cli.run.start import start

SHOW = """
import json, os
print(json.dumps([os.getpid(), os.getpgrp(), os.getsid(0), list(map(int, os.listdir("/proc/self/fd")))]))
"""


def shown_by_a_program() -> tuple[int, int, int, list[int]]:
    """Its number, group and session, and the descriptors of ours that it has."""
    reader, writer = os.pipe()
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    words = [sys.executable, "-I", "-c", SHOW]
    try:
        pid = start(words, sys.executable, ((null, 0), (writer, 1), (2, 2)))
    finally:
        os.close(writer)
        os.close(null)
    with os.fdopen(reader) as file:
        found, group, session, descriptors = json.load(file)
        ours = [one for one in descriptors if one in (null, writer, file.fileno())]
    assert os.waitpid(pid, 0)[1] == 0
    assert found == pid
    return pid, group, session, ours


def test_a_program_heads_a_session_and_has_nothing_else_of_ours() -> None:
    pid, group, session, ours = shown_by_a_program()
    assert (group, session, ours) == (pid, pid, [])


def test_without_new_sessions_in_the_c_library_it_heads_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    spawn = os.posix_spawn

    def older(*args: Any, setsid: bool = False, **options: Any) -> int:
        if setsid:
            raise NotImplementedError
        return spawn(*args, **options)

    monkeypatch.setattr(os, "posix_spawn", older)
    pid, group, session, _ = shown_by_a_program()
    assert (group, session) == (pid, os.getsid(0))


def test_a_program_has_the_signals_that_python_ignores() -> None:
    pid = start(["sh", "-c", "kill -s PIPE $$"], "/bin/sh", ())
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGPIPE
