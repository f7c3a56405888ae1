"""`Server`: state behind a mailbox, handled one message at a time."""

from __future__ import annotations

from threading import get_ident
from types import TracebackType
from typing import Any, Self

from atonce._model.checks import seconds, seconds_or_none
from atonce._model.errors import MisuseError
from atonce._runtime.scope import Scope
from atonce._verbs.behaviour import Behaviour
from atonce._verbs.server_host import begin_in, patience
from atonce._verbs.server_message import CALL, CAST, STOP, Caller, Message
from atonce._verbs.server_run import Run
from atonce._verbs.server_waits import Timer


class Server(Behaviour):
    """State that many share, behind a mailbox: messages are handled strictly one at a time, in the order they came.

    Write a subclass whose handlers keep the state on `self`: `init`, `handle_call`, `handle_cast`, `handle_info`,
    `handle_continue`, `terminate`, each `def` or `async def`. Run it with `async with Counter(5) as server:`, or as a
    child of a supervisor, which begins it anew from `init` when it fails; the object stays its handle. For plain state
    with functions sent to it, `Agent` is shorter. Compute outside: a handler at work keeps all callers waiting.

    Attributes are for the handlers; others use `call`. A reply is a copy, unless it cannot be changed anyway or the
    option `share=True` is set.

    **Bounded**: `max_mailbox` (10,000) messages wait; beyond that a `cast` is refused and a `call` waits for a place.
    **Fails**: a handler that raises ends the server; its caller gets the exception, other callers `TaskStopped` from
    it, and the state is lost. When no caller sees it, the `async with` block is stopped at once and the failure raised
    from it. **Cancelled**: leaving the block cancels the handler at work, runs `terminate(None)` within the grace (5 s)
    and handles no further message; `stop` is the way to have all that was sent before handled. **Costs** of a call
    with a `def` handler that finds the server idle: about a coroutine's; otherwise about an `asyncio.Queue`'s.
    Elixir: `GenServer`.

    >>> class Counter(Server):
    ...     def init(self, start: int) -> None:
    ...         self.count = start
    ...     def handle_call(self, request, caller):
    ...         self.count += 1
    ...         return self.count
    >>> async def main():
    ...     async with Counter(5) as server:
    ...         return await server.call("next")
    >>> asyncio.run(main())
    6
    """

    __slots__ = ()

    async def call(self: Behaviour, request: Any, timeout: float | None = 5.0) -> Any:
        """Send `request` to `handle_call` and give its reply, waiting at most `timeout` seconds (None: no limit).

        **Fails**: what the handler raises; `TaskTimeout` when the reply is late, and then the work goes on and the
        reply is dropped; `TaskStopped` when the server does not run, or ends first, from what it died of;
        `MisuseError` at once where the call comes from the server's own handler, or from one that it waits for.
        **Bounded**: on a full mailbox it waits for a place, within its time. **Cancelled**: the wait ends, the work
        goes on; a request that had no place yet is never handled. Elixir: `GenServer.call/3`.

        >>> class Echo(Server):
        ...     def handle_call(self, request, caller):
        ...         return request
        >>> async def main():
        ...     async with Echo() as echo:
        ...         return await echo.call("hello", timeout=1.0)
        >>> asyncio.run(main())
        'hello'
        """
        run = self._atonce.run
        if run is None or run.end is not None or run.closing:
            run = self._atonce.present()
        if timeout is not None and timeout != 5.0:
            timeout = seconds_or_none("timeout", timeout)
        if run.thread != get_ident():
            raise _elsewhere(run)
        caller = Caller(CALL, request, run)
        if not run.answer_now(caller):
            run.queue(caller)
        if not caller.over:
            await run.wait(caller, timeout)
        return caller.outcome()

    def cast(self: Behaviour, message: Any) -> None:
        """Send `message` to `handle_cast`; never waits, and says nothing of its fate.

        A server that does not run drops it, as in Elixir; `statistics().dropped` counts. **Fails**: `MailboxFull`
        when `max_mailbox` messages wait already. Elixir: `GenServer.cast/2`.

        >>> class Log(Server):
        ...     def init(self):
        ...         self.lines = []
        ...     def handle_cast(self, line):
        ...         self.lines.append(line)
        ...     def handle_call(self, request, caller):
        ...         return self.lines
        >>> async def main():
        ...     async with Log() as log:
        ...         log.cast("begin")
        ...         return await log.call("all")
        >>> asyncio.run(main())
        ['begin']
        """
        run = self._atonce.run
        if run is None or run.end is not None or run.closing:
            self._atonce.counts.dropped += 1
            return
        if run.thread != get_ident():
            raise _elsewhere(run)
        if not run.mailbox.drop_in(Message(CAST, message)):
            raise run.full(f"{len(run.mailbox)} messages wait in the mailbox of {run.title}")
        run.wake()

    def send_after(self: Behaviour, delay: float, message: Any) -> Timer:
        """Have `message` sent to `handle_info` in `delay` seconds; gives a timer that can be cancelled.

        Timers end with their run; a server that does not run drops the message. **Fails**: `MailboxFull` when
        `max_mailbox` timers are on their way. Elixir: `Process.send_after/3`.

        >>> class Clock(Server):
        ...     def init(self):
        ...         self.ticks = 0
        ...         self.send_after(0.001, "tick")
        ...     def handle_info(self, message):
        ...         self.ticks += 1
        ...         self.send_after(0.001, "tick")
        ...     def handle_call(self, request, caller):
        ...         return self.ticks
        >>> async def main():
        ...     async with Clock() as clock:
        ...         await asyncio.sleep(0.1)
        ...         return await clock.call("ticks") > 3
        >>> asyncio.run(main())
        True
        """
        delay = seconds("delay", delay, zero=True)
        run = self._atonce.run
        if run is None or run.end is not None or run.closing:
            self._atonce.counts.dropped += 1
            return Timer(None, message)
        if run.thread != get_ident():
            raise _elsewhere(run)
        return run.send_after(delay, message)

    async def stop(self: Behaviour, reason: object = None, timeout: float | None = None) -> None:
        """Handle what was sent before, run `terminate(reason)`, and return when it is over.

        A `reason` that is an exception ends the server as a failure, for which a supervisor restarts it. One that does
        not run is left alone. **Fails**: `TaskTimeout` after `timeout` seconds, and it still ends in its turn;
        `TaskStopped` when it dies of something else first. Elixir: `GenServer.stop/3`.

        >>> async def main():
        ...     async with Server() as server:
        ...         await server.stop()
        ...         return server.statistics().running
        >>> asyncio.run(main())
        False
        """
        timeout = seconds_or_none("timeout", timeout)
        run = self._atonce.run
        if run is None:
            return
        if run.thread != get_ident():
            raise _elsewhere(run)
        caller = Caller(STOP, reason, run)
        if run.end is None and not run.closing:
            run.queue(caller)
        await run.wait(caller, timeout)
        caller.outcome()

    async def __aenter__(self) -> Self:
        control = self._atonce
        scope = Scope(grace=patience(control), name=control.title)
        await scope.__aenter__()
        try:
            await begin_in(scope, control)
        except BaseException as error:
            scope.unbind()
            await scope.leave(error)
            raise
        scope.unbind()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        scope, self._atonce.scope = self._atonce.scope, None
        assert scope is not None
        return await scope.leave(error)


def _elsewhere(run: Run) -> MisuseError:
    return MisuseError(
        f"{run.title} runs on the event loop of another thread: call it there "
        "(asyncio.run_coroutine_threadsafe), or use atonce.blocking.Server"
    )
