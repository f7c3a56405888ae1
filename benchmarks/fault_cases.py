"""The faults: what the victim does, and which ending of it counts as right; importable by the workers of every pool."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

WORKERS = 2
INNOCENTS = 19
#: Seconds that an innocent task takes.
NAP = 0.02
#: The time limit of a task that hangs, where the fault has one.
LIMIT = 2.0
LONG = 30.0

Kind = Literal["task", "idle", "parent", "ctrl-c", "input"]
#: crash: an error that says that the worker died. timeout: an error of that name. own: the task's own exception.
#: named: that, or an error that names it. told: an error that is ordinary or says why. spared: a crash, or the value.
Right = Literal["crash", "timeout", "own", "named", "told", "spared", ""]


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the table."""

    key: str
    title: str
    right: Right = ""
    kind: Kind = "task"
    #: Name of the exception that the task raised, for `own` and `named`.
    expected: str = ""
    limit: float | None = None
    victims: int = 1
    #: Whether the workers are busy, for the faults of a whole program.
    busy: bool = False


FAULTS = (
    Fault("sigkill", "SIGKILL (as the out-of-memory killer does)", "crash"),
    Fault("exit0", "`os._exit(0)`", "crash"),
    Fault("exit3", "`os._exit(3)`", "crash"),
    Fault("segfault", "segmentation fault", "crash"),
    Fault("abort", "`os.abort()`", "crash"),
    Fault("half_result", "SIGKILL while 400 MB of result are on their way", "spared"),
    Fault("fds", "the task closes file descriptors 0 to 20", "spared"),
    Fault("idle", "SIGKILL of an idle worker", kind="idle"),
    Fault("hang_in_c", "C code hangs and holds the GIL, limit 2 s", "timeout", limit=LIMIT),
    Fault("sigstop", "SIGSTOP, limit 2 s", "timeout", limit=LIMIT),
    Fault("all_hang", "every worker hangs in C, limit 2 s", "timeout", limit=LIMIT, victims=WORKERS),
    Fault("bad_load_argument", "argument that fails to load", "told"),
    Fault("bad_reduce_argument", "argument whose `__reduce__` raises", "told"),
    Fault("unpicklable", "result that cannot be pickled (a lock)", "told"),
    Fault("bad_reduce", "result whose `__reduce__` raises", "told"),
    Fault("bad_load", "result that fails to load", "told"),
    Fault("odd_init", "exception with an `__init__` of its own", "own", expected="OddInit"),
    Fault("bad_load_error", "exception that fails to load", "told"),
    Fault("carrier", "exception with an attribute that cannot be pickled", "named", expected="Carrier"),
    Fault("interrupt", "`KeyboardInterrupt` raised in a task", "own", expected="KeyboardInterrupt"),
    Fault("system_exit", "`SystemExit` raised in a task", "own", expected="SystemExit"),
    Fault("generator_exit", "`GeneratorExit` raised in a task", "own", expected="GeneratorExit"),
    Fault("base", "a `BaseException` of the user's own", "own", expected="Odd"),
    Fault("recursion", "`RecursionError`", "own", expected="RecursionError"),
    Fault("parent_idle", "the program is SIGKILLed, workers idle", kind="parent"),
    Fault("parent_busy", "the program is SIGKILLed, workers busy", kind="parent", busy=True),
    Fault("ctrl_c", "Ctrl-C, workers busy", kind="ctrl-c", busy=True),
    Fault("input", "endless input: pulled before the first result", kind="input"),
    Fault("input_paused", "endless input: pulled while the consumer pauses 0.5 s", kind="input", busy=True),
)
BY_KEY = {fault.key: fault for fault in FAULTS}


# -- innocent tasks -----------------------------------------------------------------------------------------------


def innocent(number: int) -> int:
    """Work that does nobody any harm."""
    time.sleep(NAP)
    return number


def whoami(seconds: float) -> int:
    """Be in a worker for so long, and say which one it is."""
    time.sleep(seconds)
    return os.getpid()


def echo(item: int) -> int:
    """Nothing, at once."""
    return item


def indexed(index: int, fn: Callable[..., Any], *args: Any) -> tuple[int, Any]:
    """A result with its place, for a pool that gives results without saying whose they are."""
    return index, fn(*args)


# -- values that do not travel ------------------------------------------------------------------------------------


def _refuse() -> NoReturn:
    raise ValueError("this value refuses to be loaded")


class BadLoad:
    """Is pickled, and cannot be loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _refuse, ()


class BadReduce:
    """Cannot be pickled, and has an error of its own for that."""

    def __reduce__(self) -> tuple[Any, ...]:
        raise ValueError("this value refuses to be pickled")


class Trap:
    """Kills its process 30 ms after it was pickled: when what stands before it in the result is being sent."""

    def __reduce__(self) -> tuple[Any, ...]:
        threading.Timer(0.03, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return int, ()


# -- exceptions that do not travel --------------------------------------------------------------------------------


class OddInit(Exception):
    """Takes other arguments than it keeps in `args`."""

    def __init__(self, code: int, *, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code


class BadLoadError(Exception):
    """Is pickled, and cannot be loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _refuse, ()


class Carrier(Exception):
    """Has something about it that cannot be pickled."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.lock = threading.Lock()


class Odd(BaseException):
    """No `Exception`."""


# -- what victims do ----------------------------------------------------------------------------------------------


def kill(number: int) -> NoReturn:
    """Send a signal to oneself; a stopped process goes on only to end."""
    os.kill(os.getpid(), number)
    time.sleep(LONG)
    sys.exit("the signal did nothing")


def segfault() -> None:
    """Read where there is nothing."""
    faulthandler.disable()
    ctypes.string_at(0)


def hang_in_c() -> None:
    """Wait in C for a mutex that this thread has already, with the GIL held; a signal does not wake it up."""
    lock = ctypes.create_string_buffer(64)
    libc = ctypes.PyDLL(None)
    libc.pthread_mutex_lock(lock)
    libc.pthread_mutex_lock(lock)


def half_result() -> tuple[bytes, Trap]:
    """400 MB, and the end of the process while they are sent."""
    return bytes(400 << 20), Trap()


def close_fds() -> str:
    """Close what a task might think is its own."""
    for number in range(21):
        with suppress(OSError):
            os.close(number)
    return "closed"


def give(make: Callable[[], Any]) -> Any:
    """A result that is made in the worker."""
    return make()


def fail(make: Callable[[], BaseException]) -> NoReturn:
    """Raise an exception that is made in the worker."""
    raise make()


def deeper(depth: int) -> int:
    """Never enough."""
    return deeper(depth + 1) + 1


def make_odd_init() -> OddInit:
    """As its author meant it to be made."""
    return OddInit(7, detail="as its author meant it")


def make_carrier() -> Carrier:
    """With its lock."""
    return Carrier("what happened")


def make_lock() -> Any:
    """Something that no pickler takes."""
    return threading.Lock()


#: For each fault of a task: the function and its arguments, the latter made when they are asked for.
VICTIMS: dict[str, tuple[Callable[..., Any], Callable[[], tuple[Any, ...]]]] = {
    "sigkill": (kill, lambda: (int(signal.SIGKILL),)),
    "exit0": (os._exit, lambda: (0,)),
    "exit3": (os._exit, lambda: (3,)),
    "segfault": (segfault, tuple),
    "abort": (os.abort, tuple),
    "half_result": (half_result, tuple),
    "fds": (close_fds, tuple),
    "hang_in_c": (hang_in_c, tuple),
    "sigstop": (kill, lambda: (int(signal.SIGSTOP),)),
    "all_hang": (hang_in_c, tuple),
    "bad_load_argument": (echo, lambda: (BadLoad(),)),
    "bad_reduce_argument": (echo, lambda: (BadReduce(),)),
    "unpicklable": (give, lambda: (make_lock,)),
    "bad_reduce": (give, lambda: (BadReduce,)),
    "bad_load": (give, lambda: (BadLoad,)),
    "odd_init": (fail, lambda: (make_odd_init,)),
    "bad_load_error": (fail, lambda: (BadLoadError,)),
    "carrier": (fail, lambda: (make_carrier,)),
    "interrupt": (fail, lambda: (KeyboardInterrupt,)),
    "system_exit": (fail, lambda: (SystemExit,)),
    "generator_exit": (fail, lambda: (GeneratorExit,)),
    "base": (fail, lambda: (Odd,)),
    "recursion": (deeper, lambda: (0,)),
}
