"""Failures of a fetch have a kind of the closed set, a label that groups, and no secrets."""

from __future__ import annotations

import errno
import socket
from typing import get_args

import pytest

from atonce._model.errors import FetchError, HttpStatusError, TaskStopped, TaskTimeout
from atonce.cli.failure import described, host_of
from atonce.cli.tally import Kind

URL = "http://a.example/x"


def fetch_error(kind: str, text: str = "went wrong", cause: BaseException | None = None) -> FetchError:
    error = FetchError(f"GET {URL}: {text}", kind=kind, url=URL)
    error.__cause__ = cause
    return error


KINDS = [
    "connect",
    "dns",
    "tls",
    "timeout",
    "too_large",
    "redirect",
    "protocol",
    "refused",
    "status",
    "new kind",
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_fetch_error_is_one_of_the_closed_set(kind: str) -> None:
    failure = described(fetch_error(kind), "a.example", 5.0, 10)
    assert failure.kind in get_args(Kind)
    assert URL not in failure.label + failure.message
    assert failure.record()["host"] == "a.example"


def test_a_status_is_told_with_its_number() -> None:
    error = HttpStatusError(f"GET {URL}: 404 Not Found; ok= says", status=404, response=None, url=URL)
    failure = described(error, "a.example", 5.0, 10)
    assert (failure.kind, failure.label, failure.message) == ("http", "HTTP 404", "404 Not Found")
    assert failure.record()["status"] == 404


def test_a_timeout_is_told_with_the_limit_of_the_command_line() -> None:
    failure = described(fetch_error("timeout"), None, 5.0, 10)
    assert (failure.kind, failure.label, failure.message) == (
        "timeout",
        "timeout after 5s",
        "no answer in 5s",
    )


def test_a_refused_connection_says_what_the_system_said() -> None:
    cause = ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 1)")
    assert (
        described(fetch_error("connect", cause=cause), None, 5.0, 10).label == "connect: connection refused"
    )


def test_a_name_that_is_not_there_and_a_silent_name_server_are_told_apart() -> None:
    labels = {
        described(fetch_error("dns", cause=socket.gaierror(number, "x")), None, 5.0, 10).label
        for number in (socket.EAI_NONAME, socket.EAI_AGAIN)
    }
    assert labels == {"dns: name not found", "dns: no name server answers"}


def test_a_url_that_may_not_be_asked_is_rejected_with_the_cure() -> None:
    failure = described(fetch_error("refused", "the URL has no scheme; nothing was sent"), None, 5.0, 10)
    assert (failure.kind, failure.advice) == ("rejected", "the URL has no scheme")
    assert failure.record()["why"] == "refused"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TaskTimeout("late"), "timeout"),
        (TaskStopped("stopped"), "cancelled"),
        (ZeroDivisionError(), "exception"),
    ],
)
def test_other_errors_have_a_kind_too(error: Exception, kind: str) -> None:
    assert described(error, None, 5.0, 10).kind == kind


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://A.example:80/x", "a.example:80"),
        ("http://ann:pw@b/", "b"),
        ("b/c", None),
        ("http://[::1", None),
        ("", None),
    ],
)
def test_the_host_of_a_url_is_its_host_and_port(url: str, host: str | None) -> None:
    assert host_of(url) == host
