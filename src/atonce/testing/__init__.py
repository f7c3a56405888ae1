"""Aids for testing code that uses atonce: virtual time, seeded schedules, a fake backend, and "nothing is left"."""

from atonce.testing.fake_backend import FakeBackend
from atonce.testing.idle import wait_until_idle
from atonce.testing.nothing_left import assert_nothing_left
from atonce.testing.virtual_time import SleepsForever, VirtualTimeLoop, run_virtual

__all__ = [
    "FakeBackend",
    "SleepsForever",
    "VirtualTimeLoop",
    "assert_nothing_left",
    "run_virtual",
    "wait_until_idle",
]
