"""What can go wrong in a call that runs in a process, and how each must end.

Workers import this file, so it imports little: no pytest, and of atonce what its workers have anyway.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from atonce import NotSerializable, TaskStopped, TaskTimeout, WorkerLost
from tests.contract.ledger import Ledger


class Odd(Exception):
    """Its `__init__` takes other arguments than it hands on."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a}-{b}")
        self.a = a
        self.b = b


class Keyword(Exception):
    """Its `__init__` takes keywords alone."""

    def __init__(self, *, code: int) -> None:
        super().__init__()
        self.code = code


class NoReduce(Exception):
    """Cannot be pickled in its own way."""

    def __reduce__(self) -> Any:
        raise ValueError("no")


class NoLoad(Exception):
    """Can be pickled, and not be loaded."""

    def __reduce__(self) -> Any:
        return int, ("x",)


class Unprintable(Exception):
    """Can be raised, and not be shown."""

    def __str__(self) -> str:
        raise ValueError("no")

    __repr__ = __str__


class Base(BaseException):
    """Not an `Exception`."""


class Loads:
    """Does something where it is loaded."""

    def __init__(self, act: Callable[..., Any], *args: Any) -> None:
        self.act = act
        self.args = args

    def __reduce__(self) -> Any:
        return self.act, self.args


class Unreducible:
    """Cannot be pickled."""

    def __reduce__(self) -> Any:
        raise ValueError("no")


class LastWill:
    """Ends the worker when it is let go, there and nowhere else."""

    def __init__(self, home: int) -> None:
        self.home = home

    def __del__(self) -> None:
        if os.getpid() != self.home:
            os._exit(5)


# -- acts ---------------------------------------------------------------------------------------------------------


def send_oneself(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(5)


def segfault() -> None:
    ctypes.string_at(0)


class Brings:
    """A function that brings something along."""

    def __init__(self, brought: object) -> None:
        self.brought = brought

    def __call__(self, n: int) -> int:
        return n


def hang_or(hang: Callable[[], object], n: int) -> int:
    """Hang for all but every fifth."""
    if n % 5:
        hang()
    return n


def hang_in_c() -> None:
    """Sleep with the interpreter's lock held: no thread of this process can run."""
    ctypes.PyDLL(None).sleep(60)


def hang_deaf() -> None:
    """Ignore all signals that can be ignored."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    hang_in_c()


def raise_it(make: Callable[[], BaseException]) -> None:
    raise make()


def with_lock() -> ValueError:
    error = ValueError("held")
    error.lock = threading.Lock()  # type: ignore[attr-defined]  # what a careless user does
    error.number = 3  # type: ignore[attr-defined]  # this one can travel
    return error


def group() -> ExceptionGroup[Exception]:
    return ExceptionGroup("several", [Odd(1, 2), with_lock(), NoReduce("a"), NoLoad("b"), ValueError("c")])


def nested_group() -> BaseException:
    error: Exception = ValueError("innermost")
    for _ in range(300):
        error = ExceptionGroup("one more", [error])
    return error


def long_chain() -> BaseException:
    error = ValueError("last")
    error.__cause__ = earlier = ValueError("cause")
    for _ in range(2_000):
        earlier.__context__ = earlier = ValueError("earlier")
    return error


def circle() -> BaseException:
    error, other = ValueError("one"), ValueError("other")
    error.__cause__, other.__context__ = other, error
    return error


def local_class() -> BaseException:
    class Local(Exception):
        pass

    return Local("of a function")


def deeper() -> None:
    deeper()


def big_then_killed() -> bytes:
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGKILL)).start()
    return bytes(400_000_000)


def close_low() -> str:
    for fd in range(21):
        try:
            os.close(fd)
        except OSError:
            continue
    return "closed"


def scribble_low() -> str:
    for fd in range(3, 21):
        try:
            os.write(fd, b"\xff" * 1_000)
        except OSError:
            continue
    return "scribbled"


def close_all() -> str:
    os.closerange(3, 4_096)
    return "closed"


def print_much() -> str:
    line = "x" * 99_999
    for _ in range(50):
        print(line)  # noqa: T201  # printing is the fault
        print(line, file=sys.stderr)  # noqa: T201  # printing is the fault
    return "printed"


def print_without_end() -> str:
    if not sys.stdout.closed:  # a worker keeps what its calls have done to it
        sys.stdout.write("no newline")
        sys.stdout.close()
    return "closed"


def leave_child() -> int:
    return subprocess.Popen(["sleep", "60"]).pid


def leave_fork() -> int:
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    return pid


def leave_thread() -> str:
    threading.Thread(target=time.sleep, args=(60,)).start()
    return "left"


def leave_at_exit() -> str:
    import atexit

    atexit.register(time.sleep, 60)
    return "registered"


def steal_children() -> str:
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(-1)
    return "stolen"


# -- the table ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """One fault: what the call does, or what its argument does; and how it must end.

    `error` is the type of the outcome's error, None where it is `Ok`; of a lost worker `exitcode` or `signal`. `says`
    is told by the outcome: in the message, or the value.
    """

    act: Callable[[], Any] | None = None
    argument: Any = None
    error: type[BaseException] | None = None
    exitcode: int | None = None
    signal: int | None = None
    timeout: float | None = None
    says: str = ""
    attributes: tuple[tuple[str, Any], ...] = ()


def _raises(make: Callable[[], BaseException], error: type[BaseException], **more: Any) -> Fault:
    return Fault(partial(raise_it, make), error=error, **more)


def _dies(act: Callable[[], Any], **how: Any) -> Fault:
    return Fault(act, error=WorkerLost, **how)


FAULTS: dict[str, Fault] = {
    "killed": _dies(partial(send_oneself, signal.SIGKILL), signal=signal.SIGKILL, says="memory"),
    "terminated": _dies(partial(send_oneself, signal.SIGTERM), signal=signal.SIGTERM, says="SIGTERM"),
    "illegal instruction": _dies(partial(send_oneself, signal.SIGILL), signal=signal.SIGILL),
    "bus error": _dies(partial(send_oneself, signal.SIGBUS), signal=signal.SIGBUS),
    "out of CPU time": _dies(partial(send_oneself, signal.SIGXCPU), signal=signal.SIGXCPU),
    "exit 0": _dies(partial(os._exit, 0), exitcode=0, says="exit code 0"),
    "exit 3": _dies(partial(os._exit, 3), exitcode=3, says="exit code 3"),
    "segfault": _dies(segfault, signal=signal.SIGSEGV, says="SIGSEGV"),
    "abort": _dies(os.abort, signal=signal.SIGABRT),
    "hang in C": Fault(hang_in_c, error=TaskTimeout, timeout=0.3, attributes=(("abandoned", False),)),
    "hang, deaf to signals": Fault(hang_deaf, error=TaskTimeout, timeout=0.3),
    "stopped by a signal": Fault(partial(send_oneself, signal.SIGSTOP), error=TaskTimeout, timeout=0.3),
    "late": Fault(partial(time.sleep, 60), error=TaskTimeout, timeout=0.3, attributes=(("timeout", 0.3),)),
    "result that cannot be pickled": Fault(threading.Lock, error=NotSerializable, says="the work was done"),
    "result whose __reduce__ raises": Fault(Unreducible, error=NotSerializable, says="the work was done"),
    "result that raises on load": Fault(partial(Loads, int, "x"), error=NotSerializable, says="ValueError"),
    "result that exits on load": Fault(partial(Loads, sys.exit, 9), error=NotSerializable, says="SystemExit"),
    "result that is a generator": Fault(lambda: (n for n in range(3)), error=NotSerializable),
    "result that is an exception": Fault(partial(ValueError, "a value"), says="a value"),
    "result that is an odd exception": Fault(partial(Odd, 1, 2), says="1-2"),
    "result that is a lambda": Fault(lambda: lambda: 3, says="lambda"),
    "exception with odd arguments": _raises(
        partial(Odd, 1, 2), Odd, says="1-2", attributes=(("a", 1), ("b", 2))
    ),
    "exception with keywords": _raises(partial(Keyword, code=7), Keyword, attributes=(("code", 7),)),
    "exception that holds a lock": _raises(with_lock, ValueError, says="held", attributes=(("number", 3),)),
    "exception whose __reduce__ raises": _raises(partial(NoReduce, "r"), NoReduce, says="r"),
    "exception that raises on load": _raises(partial(NoLoad, "l"), NoLoad, says="l"),
    "exception that cannot be shown": _raises(Unprintable, Unprintable),
    "exception of a local class": _raises(local_class, Exception, says="of a function"),
    "exception with 10 MB of message": _raises(lambda: ValueError("x" * 10_000_000), ValueError),
    "exception in a circle": _raises(circle, ValueError, says="one"),
    "exception with 2000 contexts": _raises(long_chain, ValueError, says="last"),
    "group of odd exceptions": _raises(group, ExceptionGroup, says="several"),
    "group in group, 300 deep": _raises(nested_group, ExceptionGroup, says="one more"),
    "KeyboardInterrupt": _raises(KeyboardInterrupt, KeyboardInterrupt),
    "SystemExit": _raises(partial(SystemExit, 3), SystemExit, attributes=(("code", 3),)),
    "GeneratorExit": _raises(GeneratorExit, GeneratorExit),
    "StopIteration": _raises(partial(StopIteration, 5), StopIteration, attributes=(("value", 5),)),
    "StopAsyncIteration": _raises(StopAsyncIteration, StopAsyncIteration),
    "BaseException": _raises(partial(Base, "b"), Base, says="b"),
    "CancelledError of its own": _raises(asyncio.CancelledError, TaskStopped),
    "TimeoutError of its own": _raises(partial(TimeoutError, "mine"), TimeoutError, says="mine"),
    "OSError": _raises(
        partial(FileNotFoundError, 2, "No such file", "name"),
        FileNotFoundError,
        attributes=(("errno", 2), ("filename", "name")),
    ),
    "UnicodeDecodeError": _raises(
        partial(UnicodeDecodeError, "utf-8", b"x", 0, 1, "bad"), UnicodeDecodeError
    ),
    "RecursionError": Fault(deeper, error=RecursionError),
    "MemoryError": _raises(MemoryError, MemoryError),
    "400 MB of result, then killed": _dies(big_then_killed, signal=signal.SIGKILL),
    "argument that raises on load": Fault(argument=Loads(int, "x"), error=NotSerializable, says="ValueError"),
    "argument that calls sys.exit on load": Fault(argument=Loads(sys.exit, 9), error=NotSerializable),
    "argument that exits on load": Fault(argument=Loads(os._exit, 9), error=WorkerLost, exitcode=9),
    "argument that segfaults on load": Fault(argument=Loads(segfault), error=WorkerLost, signal=11),
    "argument that hangs on load": Fault(argument=Loads(hang_in_c), error=TaskTimeout, timeout=0.3),
    "argument that ends the worker when let go": Fault(int, argument=LastWill(os.getpid())),
    "closes descriptors 0 to 20": Fault(close_low, says="closed"),
    "closes all descriptors": _dies(close_all, exitcode=70),
    "writes into descriptors 3 to 20": Fault(scribble_low, says="scribbled"),
    "prints 10 MB": Fault(print_much, says="printed"),
    "closes stdout": Fault(print_without_end, says="closed"),
    "leaves a child": Fault(leave_child),
    "leaves a fork": Fault(leave_fork),
    "leaves a thread": Fault(leave_thread, says="left"),
    "leaves work for its exit": Fault(leave_at_exit, says="registered"),
    "takes the signal of its children": Fault(steal_children, says="stolen"),
}


# -- what is sent -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Victim:
    """The item that has the fault."""

    name: str
    argument: Any


def victim(name: str) -> Victim:
    return Victim(name, FAULTS[name].argument)


def run(ledger: Ledger, item: Any) -> Any:
    """Have the fault, or be innocent: count oneself."""
    if isinstance(item, Victim):
        act = FAULTS[item.name].act
        assert act is not None
        return act()
    ledger.write(item)
    time.sleep(0.002)
    return item
