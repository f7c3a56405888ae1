"""Runs a plan and watches it: every law that can be broken at one moment is checked at that moment."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

import atonce
from atonce import Failed, Ok, Outcome, Rate, Retry, TaskStopped, TaskTimeout
from atonce._runtime.owner import GRACE
from atonce.testing import FakeBackend
from tests.stream.clockwork import Clockwork, run
from tests.stream.workload import TICK, Item, Plan

PAUSE = 0.125
"""Seconds between two attempts."""
FEW_TICKS = 3
LONG = 1_000.0
TURNS, TURNS_EACH = 60, 12
"""Turns of the loop that a run may take, and how many more for each thing that happens in it."""
variable: ContextVar[object] = ContextVar("variable", default=None)


class InputBroke(Exception):
    """What a broken input raises."""


class BaseOdd(BaseException):
    """An exception that is no Exception."""


class BodyBroke(Exception):
    """What the consumer's body raises."""


async def pause(seconds: float) -> None:
    """Sleep, one turn for TICK, not at all for 0."""
    if seconds == TICK:
        await asyncio.sleep(0)
    elif seconds:
        await asyncio.sleep(seconds)


@dataclass
class Attempt:
    """One call of the function, as the function itself sees it."""

    item: Item
    began: float
    ended: float | None = None
    ended_in_turn = 0
    failed = False


@dataclass
class Watched:
    """One run of a plan: the function, the input, the consumer, and what each of them saw."""

    plan: Plan
    loop: Clockwork
    attempts: list[Attempt] = field(default_factory=list)
    pulled: list[Item] = field(default_factory=list)
    outcomes: list[Outcome[Any]] = field(default_factory=list)
    delivered_at: list[float] = field(default_factory=list)
    calls: Counter[int] = field(default_factory=Counter)
    errors: dict[int, BaseException] = field(default_factory=dict)
    labels: set[str] = field(default_factory=set)
    ended_with: BaseException | None = None
    children: list[atonce.Task[Any]] = field(default_factory=list)
    input_open = False
    is_over = False
    is_watching = True
    in_body = False

    # -- the function ---------------------------------------------------------------------------------------------

    async def work(self, item: Item) -> int:
        attempt = self.enter(item)
        try:
            return await self.do(item)
        except asyncio.CancelledError:
            if item.kind == "swallows cancel":
                return item.number
            if item.kind == "outlives cancel":
                await self.outlive(item)
                return item.number
            if item.kind == "cleans up":
                await pause(item.more)
            raise
        except Exception:
            attempt.failed = True
            raise
        finally:
            attempt.ended, attempt.ended_in_turn = self.loop.time(), self.loop.turns

    async def outlive(self, item: Item) -> None:
        until = self.loop.time() + max(0.0, item.more)
        while True:
            try:
                return await pause(TICK if item.more == TICK else until - self.loop.time())
            except asyncio.CancelledError:
                self.labels.add("an item swallowed more than one cancel")

    async def do(self, item: Item) -> int:
        kind, nth = item.kind, self.calls[item.number]
        if kind == "sets variable":
            variable.set(item)
        if kind == "leaves a child":
            self.children.append(atonce.spawn(asyncio.sleep, 10 * LONG))
        await pause(item.delay)
        if kind == "raises" or (kind == "flaky" and nth <= item.more):
            raise self.errors.setdefault(item.number, ValueError(item.number))
        if kind == "raises base":
            raise self.errors.setdefault(item.number, BaseOdd(item.number))
        if kind == "raises stop iteration":
            return next(iter(()))
        if kind == "raises cancelled":
            raise asyncio.CancelledError
        if kind == "cancels its task":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)
        return item.number

    def enter(self, item: Item) -> Attempt:
        assert not self.is_over, f"{item} was started after the end"
        assert variable.get() == "consumer's", "an item saw a variable that another one set"
        now = self.loop.time()
        if self.plan.rate is not None and self.attempts:
            gap = 1.0 / self.plan.rate
            assert now - self.attempts[-1].began >= gap, "started faster than the rate"
        self.calls[item.number] += 1
        attempt = Attempt(item, now)
        self.attempts.append(attempt)
        assert len(self.running()) <= self.plan.width, "more run than max_concurrency"
        return attempt

    def running(self) -> list[Attempt]:
        """What runs and has time left."""
        now, limit = self.loop.time(), self.plan.timeout
        return [
            one for one in self.attempts if one.ended is None and (limit is None or now < one.began + limit)
        ]

    # -- the input ------------------------------------------------------------------------------------------------

    def pull(self, item: Item, number: int) -> Item:
        assert not self.is_over, "pulled after the end"
        if number == self.plan.source.raises_at:
            raise InputBroke(number)
        item = Item(number, item.delay, item.kind, item.more)
        self.pulled.append(item)
        ahead = len(self.pulled) - len(self.outcomes)
        assert ahead <= self.plan.width + self.plan.buffer + 1, f"{ahead} pulled ahead of the consumer"
        if ahead >= self.plan.width + self.plan.buffer:
            self.labels.add("pulled as far ahead as allowed")
        return item

    def listed(self) -> Iterator[tuple[Item, int]]:
        items: Any = itertools.cycle(self.plan.items) if self.plan.source.infinite else self.plan.items
        numbers = itertools.count()
        for item in items:
            yield item, next(numbers)
        if self.plan.source.raises_at == len(self.plan.items):
            raise InputBroke(len(self.plan.items))

    def generator(self) -> Iterator[Item]:
        self.input_open = True
        try:
            for item, number in self.listed():
                yield self.pull(item, number)
        finally:
            self.input_open = False

    async def async_generator(self) -> AsyncIterator[Item]:
        self.input_open = True
        try:
            for item, number in self.listed():
                await pause(self.plan.source.pause)
                yield self.pull(item, number)
        finally:
            try:
                await pause(self.plan.source.cleanup)
            finally:
                self.input_open = False

    def source(self) -> Any:
        kind = self.plan.source.kind
        if kind == "list":
            self.pulled.extend(self.plan.items)
            return list(self.plan.items)
        if kind == "iterator":
            self.pulled.extend(self.plan.items)
            return iter(self.plan.items)
        if kind == "generator":
            return self.generator()
        return self.async_generator() if kind == "async generator" else _Plain(self.async_generator())

    # -- the consumer ---------------------------------------------------------------------------------------------

    def stream(self) -> atonce.Stream[int]:
        plan = self.plan
        return atonce.stream(
            self.source(),
            self.work,
            max_concurrency=plan.width,
            buffer=plan.buffer,
            ordered=plan.ordered,
            timeout=plan.timeout,
            retry=Retry(plan.attempts, base_delay=PAUSE, max_delay=PAUSE, jitter=None)
            if plan.attempts
            else None,
            rate=Rate(plan.rate) if plan.rate else None,
            on=FakeBackend() if plan.fake else None,
        )

    async def consume(self) -> None:
        variable.set("consumer's")
        try:
            if self.plan.in_block:
                async with self.stream() as stream:
                    await self.take_as_told(stream)
            else:
                await self.take_as_told(self.stream())
        except (InputBroke, BodyBroke) as error:
            self.ended_with = error.with_traceback(None)
        finally:
            if self.plan.in_block or not self.in_body:
                self.check_gone()

    async def take_as_told(self, stream: atonce.Stream[int]) -> None:
        script = list(self.plan.script)
        quota = 0
        async for outcome in stream:
            self.in_body = True
            self.outcomes.append(outcome)
            self.delivered_at.append(self.loop.time())
            quota -= 1
            while script and quota <= 0:
                step = script.pop(0)
                if isinstance(step, int):
                    quota = step
                else:
                    self.labels.add("the consumer was busy")
                    await pause(step)
            if not script and quota <= 0 and self.plan.end != "drain" and await self.leave(stream):
                break
            self.in_body = False
        else:
            self.in_body = False

    async def leave(self, stream: atonce.Stream[int]) -> bool:
        """Leave early, as told; True to break."""
        if self.plan.end == "cancel":
            return False
        self.is_watching = False
        if self.running():
            self.labels.add("left while items ran")
        if self.plan.end == "raise":
            raise BodyBroke
        if self.plan.end == "close":
            await stream.aclose()
            self.check_gone()
        return self.plan.end == "break"

    def note_cancel(self) -> None:
        """The consumer is being cancelled now."""
        if self.is_watching:
            self.labels.add("cancelled while busy" if self.in_body else "cancelled while waiting")
        else:
            self.labels.add("cancelled while closing")
        if not self.attempts:
            self.labels.add("cancelled before anything began")
        if any(one.ended_in_turn == self.loop.turns - 1 for one in self.attempts):
            self.labels.add("cancelled in the turn after an end")
        self.is_watching = False

    # -- what must hold -------------------------------------------------------------------------------------------

    def available(self) -> float:
        """How many items the input has in all."""
        source = self.plan.source
        if source.raises_at is not None:
            return source.raises_at
        return float("inf") if source.infinite else len(self.plan.items)

    def check_no_idle_place(self) -> None:
        """Called when time is about to pass: a free place, room and an item that is there cannot go together."""
        plan = self.plan
        started = len(self.calls)
        if not self.is_watching or not started or plan.rate:
            return
        running = self.running()
        if len(running) < plan.width:
            assert not self.rested(), "an item has rested and there is a place, but it does not run"
        if plan.source.pause or started >= self.available():
            return
        held = started - len({one.item.number for one in running}) - len(self.outcomes)
        assert len(running) >= plan.width or held >= plan.buffer, (
            f"a place is idle: {len(running)} run of {plan.width}, {held} are held of {plan.buffer}"
        )
        if held >= plan.buffer and plan.ordered and not self.in_body:
            self.labels.add("a slow head filled the buffer")

    def rested(self) -> list[int]:
        """The items that failed, will be tried again, and have rested long enough."""
        last = {one.item.number: one for one in self.attempts}
        now, limit, most = self.loop.time(), self.plan.timeout, self.plan.attempts or 1
        found = []
        for number, one in last.items():
            due = None if limit is None else one.began + limit
            is_late = due is not None and (one.ended is None or one.ended >= due)
            over = due if is_late else one.ended
            if (
                over is not None
                and self.calls[number] < most
                and (is_late or one.failed)
                and over + PAUSE <= now
            ):
                found.append(number)
        return found

    def check_gone(self) -> None:
        """Nothing of the stream runs any more, but for what went on in spite of every cancel for the whole grace."""
        for one in self.attempts:
            if one.ended is None:
                assert one.item.kind in ("outlives cancel", "cleans up"), f"still runs: {one}"
                assert one.item.more > GRACE or self.is_bare_leave(), f"was not waited for: {one}"
                self.labels.add("an item was abandoned")
        is_closing = self.plan.source.cleanup and self.is_bare_leave()
        assert not self.input_open or is_closing, "the input was not closed"
        self.is_over = True

    def is_bare_leave(self) -> bool:
        """Whether the consumer left in the way in which Python does not let us wait."""
        return self.in_body and not self.plan.in_block

    def check_outcomes(self) -> None:
        """Each outcome is its own item's, comes once, in its place, and says what the item did."""
        indices = [outcome.index for outcome in self.outcomes]
        assert len(set(indices)) == len(indices), "delivered twice"
        if self.plan.ordered:
            assert indices == list(range(len(indices))), "out of order"
        for outcome in self.outcomes:
            item = outcome.input
            assert outcome.index == item.number
            assert (self.said(outcome), outcome.attempts) in possible(item, self.plan)
            if isinstance(outcome, Failed) and isinstance(outcome.error, TaskTimeout):
                assert outcome.elapsed == outcome.error.timeout == self.plan.timeout
            else:
                assert outcome.elapsed == item.seconds

    def said(self, outcome: Outcome[Any]) -> str:
        if isinstance(outcome, Ok):
            assert outcome.value == outcome.input.number
            return "ok"
        error = outcome.error
        if isinstance(error, TaskTimeout):
            if error.abandoned:
                self.labels.add("a timed-out item went on")
            return "timeout"
        if isinstance(error, TaskStopped):
            return "stopped"
        own = self.errors.get(outcome.input.number)
        assert error is own or (own is None and isinstance(error, StopIteration)), (
            f"not the item's own: {error!r}"
        )
        return "error"

    def check_complete(self) -> None:
        """The consumer took all: nothing is lost, and the input's error came after all that was before it."""
        broken = self.plan.source.raises_at is not None
        assert {outcome.index for outcome in self.outcomes} == set(range(int(self.available()))), "lost"
        assert isinstance(self.ended_with, InputBroke) == broken

    def check_at_once(self) -> None:
        """To a consumer that is always there, each outcome is delivered at the very moment at which it may leave."""
        latest = 0.0
        for outcome, at in zip(self.outcomes, self.delivered_at, strict=True):
            last = [one for one in self.attempts if one.item.number == outcome.index][-1]
            finish = last.began + outcome.elapsed
            latest = max(latest, finish) if self.plan.ordered else finish
            assert at == latest, f"item {outcome.index} could leave at {latest} and was delivered at {at}"

    def check_turns(self) -> None:
        """Nothing polls: the loop turned no more often than the work asks for."""
        work = len(self.attempts) + len(self.pulled) + len(self.outcomes) + len(self.plan.script)
        assert self.loop.turns <= TURNS + TURNS_EACH * work, (
            f"{self.loop.turns} turns for {work} things to do"
        )


def possible(item: Item, plan: Plan, attempt: int = 1) -> set[tuple[str, int]]:
    """What the outcome of `item` may say, with the attempts that takes; two answers where two things meet."""
    said, limit = set(), plan.timeout
    own = {"raises cancelled": "stopped", "cancels its task": "stopped"}.get(item.kind, "ok")
    if (item.kind.startswith("raises ") and own == "ok") or item.kind == "raises":
        own = "error"
    if item.kind == "flaky" and attempt <= item.more:
        own = "error"
    if limit is None or item.seconds <= limit:
        said.add(own)
    if limit is not None and item.seconds >= limit:
        said.add("timeout")
    found = set()
    for word in said:
        is_final = word in ("ok", "stopped") or (word == "error" and item.kind == "raises base")
        if is_final or attempt >= (plan.attempts or 1):
            found.add((word, attempt))
        else:
            found |= possible(item, plan, attempt + 1)
    return found


class _Plain:
    """An async iterator that is no generator; it is closed where its generator is."""

    def __init__(self, items: Any) -> None:
        self.items = items

    def __aiter__(self) -> _Plain:
        return self

    async def __anext__(self) -> Item:
        item: Item = await anext(self.items)
        return item

    async def aclose(self) -> None:
        await self.items.aclose()


async def watch(plan: Plan, loop: Clockwork) -> Watched:
    """Run `plan` to its end and check what must hold at the end, and after it."""
    watched = Watched(plan, loop)
    loop.before_waiting = watched.check_no_idle_place
    consumer = loop.create_task(watched.consume())
    cancels = 0

    def cancel() -> None:
        nonlocal cancels
        if not consumer.done():  # noqa: F821  # deleted only after the last turn
            watched.note_cancel()
            cancels += 1
            consumer.cancel()  # noqa: F821  # as above

    def on_turn(turn: int) -> None:
        if turn == plan.cancel_turn or (
            plan.cancel_again and cancels == 1 and turn == first + plan.cancel_again
        ):
            cancel()

    if plan.cancel_turn is None and plan.end == "cancel":
        await asyncio.sleep(plan.cancel_at)
        cancel()
    first = plan.cancel_turn or loop.turns
    loop.on_turn = on_turn
    await asyncio.wait([consumer])
    loop.on_turn = None
    if not consumer.cancelled():
        consumer.result()
    assert consumer.cancelling() == cancels, "cancels are not balanced"
    assert consumer.cancelled() == bool(cancels), "a cancel was swallowed"
    del consumer
    if not watched.is_over:
        for _ in range(FEW_TICKS):
            await asyncio.sleep(0)
        watched.check_gone()
    watched.is_watching = False
    watched.check_outcomes()
    is_complete = plan.end == "drain" or (plan.end == "cancel" and not cancels)
    if is_complete:
        watched.check_complete()
        if plan.is_eager:
            watched.check_at_once()
    watched.check_turns()
    await asyncio.sleep(LONG)  # what swallowed its cancel ends by itself
    assert not watched.input_open, "the input was never closed"
    assert all(child.done() for child in watched.children), "a child that an item left behind goes on"
    assert not loop.leftovers(), f"left over: {loop.leftovers()}"
    return watched


def watch_all(plan: Plan) -> list[Watched]:
    """Run `plan` under each of its schedules."""
    return [run(lambda loop: watch(plan, loop), seed) for seed in plan.seeds]


def watch_cancelled_at_every_turn(plan: Plan, seed: int | None) -> list[Watched]:
    """Run `plan` again and again, cancelling its consumer one turn of the loop later each time, until it is done."""
    runs: list[Watched] = []
    for turn in itertools.count(2):  # the first turn of the loop is the one in which it is told
        one = replace(plan, end="cancel", cancel_turn=turn)
        runs.append(run(lambda loop, one=one: watch(one, loop), seed))  # type: ignore[misc]  # mypy cannot infer it
        if not any(label.startswith("cancelled") for label in runs[-1].labels):
            return runs
    raise AssertionError
