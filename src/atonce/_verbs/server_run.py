"""One life of a server, from `init` to its end: takes one message after another and does what the handlers answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from types import CoroutineType
from typing import Any, NoReturn

from atonce._model.answers import ANSWERS, IDLE, NO_REPLY, Answer, Continue, Idle, Stop
from atonce._model.checks import shown
from atonce._model.errors import MailboxFull, MisuseError, TaskStopped, TaskTimeout
from atonce._policy.mailbox import Mailbox
from atonce._runtime.clock import clock_of
from atonce._runtime.notes import annotate, as_raised
from atonce._runtime.owner import Owner, current_task, log, scope_var
from atonce._verbs.server_message import CALL, CAST, CONTINUE, INFO, INIT, STOP, Caller, Message
from atonce._verbs.server_values import Counts, End, ServerOptions, end_of
from atonce._verbs.server_waits import Limits, Timer, Timers

#: So many messages are handled without letting the loop go round.
STREAK = 64

#: The run of the server in whose handler this code is, or in a task that such code started.
serving: ContextVar[Run | None] = ContextVar("atonce_serving", default=None)


class Run:
    """A running server. Whatever touches it does so on its loop; one handler runs at a time."""

    def __init__(self, behaviour: Any, title: str, options: ServerOptions, counts: Counts) -> None:
        self.behaviour = behaviour
        self.title = title
        self.options = options
        self.counts = counts
        self.loop = asyncio.get_running_loop()
        self.thread = threading.get_ident()
        self.clock = clock_of(self.loop)
        self.mailbox: Mailbox[Message] = Mailbox(options.max_mailbox)
        #: Who waits for an answer.
        self.callers: set[Caller] = set()
        self.timers = Timers(self.loop, self._arrived)
        self.owner = Owner()
        #: All handlers of a run see one context, whoever's task they run in.
        self.context = copy_context()
        self.context.run(scope_var.set, self.owner)
        self.context.run(serving.set, self)
        #: The task of `live`, in which handlers run that wait, and those of messages that were queued.
        self.task: asyncio.Task[None] | None = None
        #: Whether a handler is at work, or its coroutine waits to be taken up.
        self.busy = True
        self.began = False
        #: Whether its owner has asked it to end.
        self.closing = False
        self.end: End | None = None
        #: The server that its handler is calling just now.
        self.calls: Run | None = None
        self._unfinished: tuple[Message, CoroutineType[Any, Any, Any]] | None = None
        self._waker: asyncio.Future[None] | None = None
        self._streak = 0
        self._limits = Limits(title, self.loop, self.mailbox, counts)
        self._idle_timer: asyncio.TimerHandle | None = None

    # -- being asked ---------------------------------------------------------------------------------------------

    def answer_now(self, caller: Caller) -> bool:
        """Handle a call on the spot, where nothing is before it; False when it has to queue.

        Saves the way through the mailbox and two turns of the loop. A handler that turns out to wait is taken up by
        the server's own task.
        """
        if self.busy or self.end is not None or not self.mailbox.is_empty() or self._streak >= STREAK:
            return False
        self.mailbox.passed_by()
        rest = self.context.run(self._handle, caller)
        if rest is not None:
            self._unfinished = (caller, rest)
            self.wake()
        return True

    def queue(self, caller: Caller) -> None:
        """Put a call into the mailbox, or in line for a place in it."""
        mine = serving.get()
        if mine is not None and mine.task is current_task(self.loop):
            self._refuse_circle(mine)
        if not self.mailbox.bring(caller):
            raise self.gone(self.end or End(None))
        self.wake()

    async def wait(self, caller: Caller, timeout: float | None) -> None:
        """Wait until the caller is told something, or its time is up; a cancel ends the wait alone."""
        mine = serving.get()
        inside = mine is not None and mine.task is current_task(self.loop)
        if mine is not None and inside:
            mine.calls = self
        self.callers.add(caller)
        caller.waiter = self.loop.create_future()
        if timeout is not None:
            caller.timeout = timeout
            self._limits.watch(caller, self.clock() + timeout)
        try:
            await caller.waiter
        except asyncio.CancelledError:
            self._leave(caller)
            raise
        finally:
            caller.waiter = None
            if mine is not None and inside:
                mine.calls = None
        if mine is self and not inside and isinstance(caller.error, TaskTimeout):
            annotate(caller.error, f"atonce: {self.title} was called by a task of its own handler")

    def send_after(self, delay: float, message: Any) -> Timer:
        """Have a message delivered to `handle_info` later."""
        if len(self.timers.under_way) >= self.options.max_mailbox:
            raise self.full(f"{len(self.timers.under_way)} timers of {self.title} are on their way")
        return self.timers.send(delay, message)

    def full(self, what: str) -> MailboxFull:
        """The error of one who does not wait."""
        limit = self.options.max_mailbox
        return MailboxFull(
            f"{what}, and it takes max_mailbox={limit}: use `await server.call(...)`, which waits for a place, "
            "send less, or allow more",
            limit=limit,
        )

    def wake(self) -> None:
        """There is something to do for the server's own task."""
        waker = self._waker
        if waker is not None and not waker.done():
            waker.set_result(None)

    def _arrived(self, message: Message) -> None:
        self.mailbox.deliver(message)
        self.wake()

    def _leave(self, caller: Caller) -> None:
        """The one who waits was cancelled; a failure that it was told in that very moment is nobody's now."""
        if caller.error is not None and self.end is not None and caller.error is self.end.error:
            log.error(
                "%s failed, and the caller of %s was cancelled", self.title, caller, exc_info=caller.error
            )
        caller.settle()
        self.mailbox.withdraw(caller)

    def _refuse_circle(self, mine: Run) -> None:
        """Raise where `mine`, which waits for this one's answer, is what this one waits for."""
        path, run = [mine.title], self
        while run is not mine:
            path.append(run.title)
            if run.calls is None:
                return
            run = run.calls
        if len(path) == 1:
            raise MisuseError(
                f"{self.title} calls itself from its own handler and would wait for ever: call the method, "
                "return Continue(...) or Stop(...), or cast"
            )
        raise MisuseError(
            f"the servers {' -> '.join([*path, mine.title])} call each other in a circle and would wait for ever: "
            "let one of them cast, or answer later with NO_REPLY and caller.reply"
        )

    # -- handling ------------------------------------------------------------------------------------------------

    async def live(self, ready: Callable[[], None]) -> None:
        """Begin, and handle message after message until something ends it; `end` says what."""
        self.task = asyncio.current_task()
        try:
            await self._begin()
            if self.end is None:
                self.began = True
                self.busy = False
                ready()
            while self.end is None:
                if self._unfinished is not None:
                    (message, rest), self._unfinished = self._unfinished, None
                    await self._finish(message, rest)
                elif self._streak >= STREAK:
                    self._streak = 0
                    await asyncio.sleep(0)
                elif (taken := self.mailbox.take()) is None:
                    await self._nap()
                elif (begun := self._handle(taken)) is not None:
                    await self._finish(taken, begun)
        except asyncio.CancelledError:
            self.closing = True
        finally:
            self.busy = True

    async def _begin(self) -> None:
        """Run `init`, within its time limit."""
        message, limit = Message(INIT, None), self.options.init_timeout
        clock = asyncio.timeout(limit)
        try:
            async with clock:
                rest = self._handle(message)
                if rest is not None:
                    await self._finish(message, rest)
        except TimeoutError:
            if not clock.expired():
                raise
        if clock.expired():
            self.end = end_of(TaskTimeout(f"{self.title}.init took more than {limit} s", timeout=limit))

    async def _nap(self) -> None:
        """Wait until there is something to do."""
        self._waker = self.loop.create_future()
        try:
            await self._waker
        finally:
            self._waker = None
            self._streak = 0

    def _handle(self, message: Message) -> CoroutineType[Any, Any, Any] | None:
        """Run a message's handler and do what it answers; or give its coroutine, which is to be finished."""
        self.busy = True
        self._streak += 1
        verb = message.verb
        try:
            if verb is STOP:
                self.end = end_of(message.payload, message, None)
                return None
            if verb is INIT:
                args, kwargs = self.behaviour._atonce.arguments
                result = self.behaviour.init(*args, **kwargs)
            else:
                self.counts.handled += 1
                handler = getattr(self.behaviour, verb)
                result = handler(message.payload, message) if verb is CALL else handler(message.payload)
            if type(result) is CoroutineType:
                return result
            self.busy = False
            self._heed(message, result)
        except BaseException as error:
            self._crash(error, message)
        return None

    async def _finish(self, message: Message, rest: CoroutineType[Any, Any, Any]) -> None:
        """Await what a handler has begun, and do what it answers."""
        try:
            result = await rest
            self._streak = 0
            self.busy = False
            self._heed(message, result)
        except asyncio.CancelledError as error:
            if self.task is None or self.task.cancelling():
                raise
            self._crash(error, message)
        except BaseException as error:
            self._crash(error, message)

    def _heed(self, message: Message, result: Any) -> None:
        """Do what a handler answered."""
        if type(result) not in ANSWERS or result is IDLE:
            if message.verb is CALL:
                message.reply(result)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]  # a call's message is its Caller
            elif result is not None:
                self._refuse(message, result)
        elif result is not NO_REPLY:
            self._obey(message, result)

    def _obey(self, message: Message, answer: Answer) -> None:
        if answer.reply is not NO_REPLY and not isinstance(message, Caller):
            self._refuse(message, answer)
        if isinstance(answer, Stop):
            self.end = end_of(answer.reason, message, answer.reply)
            self.wake()
            return
        if isinstance(answer, Continue):
            self.mailbox.put_first(Message(CONTINUE, answer.arg))
            self.wake()
        else:
            self._rest(answer)
        if isinstance(message, Caller) and answer.reply is not NO_REPLY:
            message.reply(answer.reply)

    def _refuse(self, message: Message, result: Any) -> NoReturn:
        raise TypeError(
            f"{self.title}.{message.verb} returned {shown(result)}, and nobody is there to get it: "
            "return None, Stop(), Continue(arg) or Idle(seconds)"
        )

    def _rest(self, answer: Idle) -> None:
        when = self.loop.time() + answer.seconds
        if self.mailbox.rest(when):
            if self._idle_timer is not None:
                self._idle_timer.cancel()
            self._idle_timer = self.loop.call_at(when, self._idle, when)

    def _idle(self, when: float) -> None:
        if self.mailbox.is_idle(when):
            self._arrived(Message(INFO, IDLE))

    def _crash(self, error: BaseException, message: Message | None) -> None:
        """A handler raised: that is the end."""
        error = as_raised(error)
        if isinstance(error, asyncio.CancelledError):
            stopped = TaskStopped(f"{self.title} raised CancelledError by itself")
            stopped.__cause__ = error
            error = stopped
        if message is not None:
            annotate(error, f"atonce: in {self.title}.{message}")
        self.busy = True
        if self.end is None:
            self.end = End(error, error, message)
        self.wake()
        if isinstance(error, KeyboardInterrupt):
            raise error

    # -- the end -------------------------------------------------------------------------------------------------

    def dismiss(self, end: End) -> bool:
        """Tell all who wait how it ended; True when one of them is told the failure itself."""
        seen = False
        last = end.last
        if isinstance(last, Caller):
            if end.reply is not NO_REPLY:
                if not last.over:
                    seen = last.verb is STOP
                    last.answer(end.reply)
            elif end.error is not None:
                seen = last.fail(end.error)
        for caller in tuple(self.callers):
            if caller.verb is STOP and end.error is None:
                caller.answer(None)
            else:
                caller.fail(self.gone(end))
        return seen

    def gone(self, end: End) -> TaskStopped:
        """What one is told who waits for a server that ends."""
        how = "was stopped" if end.error is None else f"failed with {type(end.error).__name__}"
        error = TaskStopped(f"{self.title} {how} before it answered")
        error.__cause__ = end.error
        return error

    def clear(self) -> None:
        """Let go of all that could still reach it."""
        self.counts.dropped += self.timers.cancel_all()
        for message in self.mailbox.close():
            self.counts.dropped += message.verb is CAST or message.verb is INFO
        self._limits.cancel()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        if self._unfinished is not None:
            self._unfinished[1].close()
            self._unfinished = None
