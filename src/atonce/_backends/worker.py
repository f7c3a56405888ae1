"""A worker process: takes calls from its pipe, one by one, and writes each result before it looks at the next."""

from __future__ import annotations

import mmap
import os
import pickle
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from importlib import import_module
from io import TextIOWrapper
from pickle import dumps
from time import monotonic
from typing import Any, NoReturn

from atonce._backends import pickling, wire
from atonce._backends.pickling import PLAIN, CannotTravel
from atonce._backends.wire import CALL_HEAD, Reader, joined, write_all

#: Calls that were shorter than this, in seconds, are let in several at once.
SHORT = 20e-6
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Function:
    """A function, and the variables that each call finds."""

    fn: Callable[..., Any]
    is_async: bool
    context: Context


@dataclass(frozen=True, slots=True)
class Start:
    """What a new worker is told: the state of its parent that it takes over, and its own limits."""

    path: list[str]
    folder: str
    environment: dict[str, str]
    memory_limit: int | None
    initializer: bytes | None


class Worker:
    """One worker, from its first frame to its last."""

    def __init__(self, calls: int, replies: int, tokens: int, page: int) -> None:
        self._reader = Reader(calls, CALL_HEAD)
        self._replies = replies
        self._tokens = tokens
        self._page = memoryview(mmap.mmap(page, wire.PAGE)).cast("Q")
        self._times = self._page.cast("B").cast("d")
        self._page[wire.PID] = os.getpid()
        self._number = 0
        self._let_in = b""
        self._no_token = False
        self._grab = 1
        #: The last result was large, and so may the next one be.
        self._large = False
        self._function: Function | BaseException | None = None

    @property
    def asked(self) -> bool:
        """What `atonce.cancelled()` looks at: whether the call was asked to end; the parent sees that it looked."""
        self._page[wire.LOOKS] = self._number
        return bool(self._page[wire.STOP] == self._number)

    def serve(self) -> None:
        """Run calls until the parent closes the pipe."""
        while True:
            try:
                (kind, _, _), data, buffers = self._reader.frame()
            except MemoryError as error:
                self._refuse(error)
                return
            if kind == wire.ITEMS:
                self._run_items(pickle.loads(data))
            elif kind == wire.ITEM or kind == wire.CALL:
                if self._may_run():
                    self._run(kind, data, buffers)
            elif kind == wire.AT_ONCE:
                self._no_token = True
            else:
                self._page[wire.LOADS] = 1
                self._function = self._learned(data, buffers) if kind == wire.FUNCTION else None
                self._page[wire.LOADS] = 0
            del data, buffers

    def _refuse(self, error: MemoryError) -> None:
        """What was sent is larger than the memory here: its call ends with that, and so does this worker."""
        if self._may_run():
            began = self._begin()
            self._reply(wire.ERROR, pickling.dump_error(error), [], began, began)

    def _may_run(self) -> bool:
        """Whether the next call was not taken back; the parent can take back what was not let in here."""
        if self._no_token:
            self._no_token = False
            return True
        if not self._let_in:
            self._let_in = os.read(self._tokens, self._grab)
            if not self._let_in:
                raise EOFError
        token, self._let_in = self._let_in[:1], self._let_in[1:]
        return token == wire.RUN

    def _learned(self, data: Any, buffers: list[Any]) -> Function | BaseException:
        """The function of a stream, for all items that follow, or why it cannot be had here."""
        try:
            fn, is_async, variables = pickling.load(data, buffers)
            return Function(fn, is_async, self._context(variables))
        except BaseException as error:
            return error

    def _context(self, variables: list[tuple[str, str, bytes]]) -> Context:
        """The variables of the caller that could travel, and the token."""
        from atonce._runtime.token import token_var

        context = Context()
        context.run(token_var.set, self)
        for module, name, value in variables:
            with suppress(Exception):  # it travels as far as it can be found and loaded here
                context.run(getattr(import_module(module), name).set, pickle.loads(value))
        return context

    def _begin(self) -> float:
        """Count one more call and tell the parent when it began."""
        self._number = number = self._number + 1
        began = monotonic()
        self._times[wire.BEGAN] = began
        self._page[wire.STARTED] = number
        return began

    def _run_items(self, items: list[Any]) -> None:
        """Numbers and texts for the function of a stream."""
        function = self._function
        items.reverse()
        while items:
            item = items.pop()
            if self._may_run():
                self._make(function, (item,), self._begin(), wire.ITEM)

    def _run(self, kind: int, data: Any, buffers: list[Any]) -> None:
        """One call whose arguments must be loaded first."""
        began = self._begin()
        try:
            value = pickling.load(data, buffers)
            if kind == wire.CALL:
                fn, args, is_async, variables = value
                function: Function | BaseException | None = Function(fn, is_async, self._context(variables))
            else:
                function, args = self._function, (value,)
        except BaseException as error:
            self._reply_unloadable("call", error, began)
        else:
            del data, buffers, value
            self._make(function, args, began, kind)

    def _make(self, function: Any, args: tuple[Any, ...], began: float, kind: int) -> None:
        """Make one call and send its end back."""
        if type(function) is not Function:
            self._reply_unloadable("function", function, began)
            return
        try:
            value = function.context.copy().run(function.fn, *args)
            if type(value) not in PLAIN and (function.is_async or isinstance(value, Coroutine)):
                value = function.context.copy().run(_awaited, value)
        except BaseException as error:
            self._reply(wire.ERROR, pickling.dump_error(error), [], began, monotonic())
        else:
            ended = monotonic()
            self._grab = AT_ONCE if ended - began < SHORT else 1
            if type(value) in PLAIN and not self._large:
                data = dumps(value, 5)
                self._large = len(data) > wire.LARGE
                self._reply(wire.VALUE, data, [], began, ended)
            else:
                self._reply_value(value, began, ended)

    # -- what is sent back --------------------------------------------------------------------------------------

    def _reply_value(self, value: Any, began: float, ended: float) -> None:
        buffers: list[Any] = []
        try:
            data = pickling.dump_large(value, buffers) if self._large else pickling.dump(value, buffers)
            self._large = wire.size_of(data) > wire.LARGE
            if not pickling.loads_anywhere(data):
                data = _checked(value, data, buffers)
        except BaseException as error:
            reason = str(error) if isinstance(error, CannotTravel) else pickling.one_line(error)
            self._reply(wire.UNDUMPABLE, dumps(reason, 5), [], began, ended)
        else:
            self._reply(wire.VALUE, data, buffers, began, ended)

    def _reply_unloadable(self, what: str, error: BaseException, began: float) -> None:
        reason = pickle.dumps((what, pickling.one_line(error), pickling.traceback_of(error)), 5)
        self._reply(wire.UNLOADABLE, reason, [], began, monotonic())

    def _reply(
        self, kind: int, data: bytes | list[bytes], buffers: list[Any], began: float, ended: float
    ) -> None:
        if isinstance(data, bytes) and not buffers and len(data) <= wire.LARGE:  # nearly all are so
            frame: bytes | list[Any] = wire.REPLY_HEAD.pack(kind, 0, len(data), began, ended) + data
        else:
            head = wire.REPLY_HEAD.pack(kind, len(buffers), wire.size_of(data), began, ended)
            frame = joined(head, data, buffers)
        if isinstance(frame, bytes):
            written = os.write(self._replies, frame)
            if written == len(frame):
                return
            frame = [frame[written:]]
        write_all(self._replies, frame)

    def initialize(self, initializer: bytes | None) -> bool:
        """Run the initializer; False when it failed, which was sent back."""
        try:
            if initializer is not None:
                fn = pickle.loads(initializer)
                fn()
        except BaseException as error:
            self._reply(wire.UNREADY, pickling.dump_error(error), [], 0.0, 0.0)
            return False
        self._reply(wire.READY, b"", [], 0.0, 0.0)
        return True


def _checked(value: Any, data: bytes | list[bytes], buffers: list[Any]) -> bytes | list[bytes]:
    """Load a result here first: what cannot be loaded must harm nobody but its own call."""
    try:
        pickling.load(data if isinstance(data, bytes) else b"".join(data), list(buffers))
    except Exception:
        buffers.clear()
        data = pickling.dump_whole(value)
        try:
            pickling.load(data)
        except Exception as error:
            raise CannotTravel(
                f"a {type(value).__name__}: loading it again raises {pickling.one_line(error)}"
            ) from error
    return data


def _awaited(value: Any) -> Any:
    """Await what a call gave, on a loop of its own."""
    import asyncio

    async def whole() -> Any:
        return await value

    return asyncio.run(whole())


def main(start: Start, forkserver: int, calls: int, replies: int, tokens: int, page: int) -> NoReturn:
    """Be a worker, in a child of the forkserver; never returns."""
    code = 0
    try:
        _settle_in(start, forkserver)
        worker = Worker(calls, replies, tokens, page)
        if worker.initialize(start.initializer):
            worker.serve()
    except (EOFError, BrokenPipeError):
        pass  # the parent is gone, or has closed this worker
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 70
    finally:
        with suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _settle_in(start: Start, forkserver: int) -> None:
    """Take over what the parent has, and be bound to the forkserver's life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's alone
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    _die_with(forkserver)
    sys.path[:] = start.path
    os.environ.clear()
    os.environ.update(start.environment)
    with suppress(OSError):
        os.chdir(start.folder)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(line_buffering=True)  # what a worker prints must survive its end
    _keep_freed_memory()
    if start.memory_limit is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (start.memory_limit, start.memory_limit))


def _keep_freed_memory() -> None:
    """Keep up to 64 MiB of freed memory for the next call: to get it anew, page by page, costs more than to fill it."""
    trim_threshold, mmap_threshold = -1, -3
    with suppress(Exception):  # glibc's alone
        import ctypes

        mallopt = ctypes.CDLL(None).mallopt
        mallopt(mmap_threshold, 32 << 20)
        mallopt(trim_threshold, 64 << 20)


def _die_with(forkserver: int) -> None:
    """On Linux the kernel ends this process when the forkserver is gone, even inside C code that never returns."""
    if sys.platform == "linux":
        import ctypes

        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != forkserver:
        os._exit(0)
