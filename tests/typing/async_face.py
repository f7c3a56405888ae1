"""What a type checker infers on the async face; checked by mypy and basedpyright, never run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any, assert_type

import tenacity

import atonce


async def later(n: int) -> str:
    """An `async def`."""
    return str(n)


def now(n: int) -> str:
    """A plain function."""
    return str(n)


async def number() -> int:
    """An `async def` without arguments."""
    return 1


def text() -> str:
    """A plain function without arguments."""
    return "a"


async def two(n: int, s: str) -> bytes:
    """An `async def` of two arguments."""
    return s.encode() * n


async def numbers() -> AsyncIterator[int]:
    """Async input."""
    yield 1


def more_numbers() -> Iterator[int]:
    """Input."""
    yield 1


class Caller:
    """An object with an async `__call__` and an async method."""

    async def __call__(self, n: int) -> str:
        return str(n)

    async def method(self, n: int) -> str:
        """A bound one."""
        return str(n)


async def spawning() -> None:
    assert_type(await atonce.spawn(later, 1), str)
    assert_type(await atonce.spawn(now, 1), str)
    assert_type(await atonce.spawn(two, 1, "a", timeout=1.0, name="two", on="loop"), bytes)
    assert_type(await atonce.spawn(partial(two, 1, s="a")), bytes)
    assert_type(await atonce.spawn(lambda: later(1)), str)
    assert_type(await atonce.spawn(lambda: 1), int)
    assert_type(await atonce.spawn(Caller(), 1), str)
    assert_type(await atonce.spawn(Caller().method, 1), str)
    assert_type(await atonce.spawn(now, 1, on=atonce.ThreadBackend()), str)
    assert_type(await atonce.spawn(asyncio.sleep, 1.0, "done"), str)
    assert_type(await atonce.spawn(sum, [1, 2]), int)


async def looking(task: atonce.Task[str]) -> None:
    assert_type(await task, str)
    assert_type(task.result(), str)
    assert_type(task.result(timeout=1), str)
    assert_type(task.done(), bool)
    assert_type(task.outcome(), atonce.Ok[str] | atonce.Failed | None)
    assert_type(task.name, str)
    assert_type(task.id, int)
    task.stop()
    task.add_done_callback(lambda ended: ended.name)


async def waiting(task: atonce.Task[str], other: atonce.Task[int]) -> None:
    assert_type(await atonce.await_one(task, timeout=1), str)
    assert_type(await atonce.await_many([task, task], timeout=1.5), list[str])
    assert_type(await atonce.await_many(atonce.spawn(later, n) for n in range(3)), list[str])
    mixed: list[int | str] = await atonce.await_many([task, other])
    assert mixed
    assert_type(await atonce.poll(task), atonce.Outcome[str] | None)
    assert_type(await atonce.poll(task, None), atonce.Outcome[str] | None)
    assert_type(
        await atonce.poll_many([task], timeout=1, limit=2, on_timeout="stop"),
        list[tuple[atonce.Task[str], atonce.Outcome[str] | None]],
    )
    assert_type(await atonce.shutdown(task, grace=0), atonce.Outcome[str] | None)
    assert_type(atonce.ignore(task), atonce.Outcome[str] | None)
    assert_type(await atonce.completed(3), int)
    assert_type(atonce.cancelled(), bool)
    assert_type(await atonce.capture(task), atonce.Outcome[str])
    assert_type(await atonce.capture(later(1)), atonce.Outcome[str])
    anything: atonce.Task[object] = task
    await anything


async def outcomes(outcome: atonce.Outcome[str]) -> None:
    assert_type(outcome.unwrap(), str)
    assert_type(outcome.index, int | None)
    assert_type(outcome.attempts, int)
    assert_type(outcome.elapsed, float)
    assert_type(outcome.fallback, bool)
    assert_type(outcome.error, BaseException | None)
    if (
        outcome.ok is True
    ):  # mypy would narrow without the `is True`; pyright does not look at a bare attribute
        assert_type(outcome, atonce.Ok[str])
        assert_type(outcome.value, str)
        assert_type(outcome.unwrap_or("b"), str)
    else:
        assert_type(outcome, atonce.Failed)
        assert_type(outcome.error, BaseException)
        assert_type(outcome.unwrap_or(1), int)
    match outcome:
        case atonce.Ok(value):
            assert_type(value, str)
        case atonce.Failed(error):
            assert_type(error, BaseException)
    wider: atonce.Outcome[object] = outcome
    wider.unwrap()


async def streams() -> None:
    assert_type(atonce.stream([1], later), atonce.Stream[str])
    assert_type(atonce.stream([1], now, timeout=1.0), atonce.Stream[str])
    assert_type(atonce.stream(numbers(), later, max_concurrency=2, ordered=False), atonce.Stream[str])
    assert_type(atonce.stream(more_numbers(), now, retry=3, rate="5/s", buffer=9), atonce.Stream[str])
    assert_type(atonce.stream(range(3), lambda n: n + 1, on="loop", name="more"), atonce.Stream[int])
    async for outcome in atonce.stream([1], later):
        assert_type(outcome, atonce.Ok[str] | atonce.Failed)
    async with atonce.stream([1], later) as opened:
        assert_type(opened, atonce.Stream[str])
        async for outcome in opened:
            assert_type(outcome.unwrap(), str)
    async for value in atonce.stream([1], later).values():
        assert_type(value, str)
    async for good in atonce.stream([1], later).succeeded():
        assert_type(good, atonce.Ok[str])
    async for bad in atonce.stream([1], later).failed():
        assert_type(bad, atonce.Failed)
    assert_type(atonce.stream([1], later).statistics().abandoned, int)
    assert_type(atonce.stream([1], later).progress("naps", total=1), atonce.Stream[str])
    assert_type([one async for one in atonce.stream([1], later).values()], list[str])


async def patterns() -> None:
    assert_type(await atonce.parallel_map([1], later), list[str])
    assert_type(
        await atonce.parallel_map(numbers(), now, retry=atonce.Retry(), rate=atonce.Rate(5)), list[str]
    )
    assert_type(await atonce.race([number, number], timeout=1, hedge=0, until="first_done"), int)
    assert_type(await atonce.race([text, text]), str)
    assert_type(await atonce.retry_with_backoff(later, 1), str)
    assert_type(await atonce.retry_with_backoff(now, 1, attempts=5, jitter=None, deadline=9), str)
    assert_type(await atonce.retry_with_backoff(later, 1, retry_on=(ValueError, OSError), base_delay=0), str)
    assert_type(await atonce.retry_with_backoff(later, 1, retry_on=lambda error: 1.5), str)
    assert_type(
        await atonce.retry_with_backoff(
            later,
            1,
            attempts=tenacity.stop_after_attempt(3) | tenacity.stop_after_delay(9),
            base_delay=tenacity.wait_fixed(1),
            retry_on=tenacity.retry_if_exception_type(ValueError),
        ),
        str,
    )
    assert_type(await atonce.async_pipeline(1, [later, len, now], timeout=1), Any)
    assert_type(
        await atonce.aggregate(
            {"a": number, "b": atonce.source(later, 1, fallback="none", retry=3, timeout=1)}, timeout=1
        ),
        dict[str, atonce.Outcome[Any]],
    )
    assert_type(await atonce.aggregate({"a": text}), dict[str, atonce.Outcome[Any]])
    assert_type(await atonce.with_fallback([number, text], fallback=None), list[atonce.Outcome[Any]])
    result = await atonce.process_batch([1], sum, batch_size=2, each=False)
    assert_type(result, atonce.BatchResult)
    assert_type(result.ok, bool)
    for failure in result.failures:
        assert_type(failure.error, BaseException)


async def blocks() -> None:
    async with atonce.scope(grace=1, name="block") as block:
        assert_type(block, atonce.scope)
    async with atonce.ThreadBackend(max_threads=3) as threads:
        assert_type(threads, atonce.ThreadBackend)


async def http() -> None:
    assert_type(await atonce.fetch("http://a/", timeout=None, retry=2), atonce.Response)
    assert_type((await atonce.fetch("http://a/")).status, int)
    assert_type(atonce.fetch_stream(["http://a/"], per_host=2, deadline=3), atonce.Stream[atonce.Response])
    assert_type(await atonce.parallel_fetch(["http://a/"], rate="9/s"), list[atonce.Outcome[atonce.Response]])


def values() -> None:
    assert_type(atonce.Retry.of(3), atonce.Retry | None)
    assert_type(atonce.Rate.of("3/s"), atonce.Rate | None)
    assert_type(atonce.Rate(3).per, float)
    assert_type(atonce.TaskTimeout("late", timeout=1.0).timeout, float | None)
    assert_type(atonce.TaskStopped("stopped").abandoned, bool)


class Hits(atonce.Server, max_mailbox=100):
    def init(self, start: int, step: int = 1) -> None:
        self.count = start + step

    def handle_call(self, request: str, caller: Any) -> int | atonce.Stop:
        return atonce.Stop(reply=0) if request == "stop" else self.count

    async def handle_cast(self, message: int) -> atonce.Idle:
        return atonce.Idle(1.0)

    async def terminate(self, reason: object) -> None: ...


async def servers() -> None:
    assert_type(Hits(1).options(name="hits", init_timeout=None, grace=1), Hits)
    async with Hits(1, step=2) as server:
        assert_type(server, Hits)
        assert_type(await server.call("next", timeout=1), Any)
        assert_type(server.cast(1), None)
        assert_type(server.send_after(1.5, "tick").cancel(), bool)
        assert_type(await server.stop(timeout=1), None)
        assert_type(server.statistics().handled, int)
        assert_type(server.name, str | None)


async def number_later() -> int:
    return 1


async def pair_later(n: int) -> tuple[str, int]:
    return "", n


async def agents() -> None:
    assert_type(atonce.Agent(number_later), atonce.Agent[int])
    async with atonce.Agent(lambda: 1, name="one", share=True) as agent:
        assert_type(agent, atonce.Agent[int])
        assert_type(await agent.get(lambda n: [n]), list[int])
        assert_type(await agent.get(str, timeout=None), str)
        assert_type(await agent.get(later), str)
        assert_type(await agent.update(lambda n: n + 1), None)
        assert_type(await agent.get_and_update(lambda n: (str(n), n + 1)), str)
        assert_type(await agent.get_and_update(pair_later), str)
        assert_type(agent.cast(lambda n: n + 1), None)
        assert_type(await agent.stop(), None)


async def supervisors(task: atonce.Task[str]) -> None:
    specs = [atonce.Child(later, 1, restart="transient", grace=0), atonce.Child(Hits(1), name="hits")]
    assert_type(specs, list[atonce.Child])
    async with atonce.Supervisor(
        5, 3, 5.0, "wait", atonce.Retry(base_delay=1), "sup", children=specs, strategy="rest_for_one", drain=1
    ) as sup:
        assert_type(sup, atonce.Supervisor)
        assert_type(await sup.spawn(later, 1, timeout=1.0, grace=0, name="a", on="loop"), str)
        assert_type(await sup.spawn(now, 1), str)
        assert_type(await sup.spawn_nolink(two, 1, "a"), bytes)
        assert_type(await sup.spawn_nolink(lambda: later(1)), str)
        assert_type(sup.start_child(later, 1, restart="permanent"), atonce.Child)
        assert_type(sup.start_child(Hits, 1, name="other"), atonce.Child)
        assert_type(sup.start_child(Hits(1)), atonce.Child)
        assert_type(sup.start_child(atonce.Supervisor()), atonce.Child)
        assert_type(sup.start_child(atonce.Agent(number_later)), atonce.Child)
        child = await sup.ready(sup.start_child(specs[0]))
        assert_type(child.task, atonce.Task[Any] | None)
        assert_type(child.age, float | None)
        assert_type(child.last_error, BaseException | None)
        assert_type(sup.children(), list[atonce.Task[Any] | atonce.Child])
        assert_type(sup.count_children(), int)
        assert_type(await sup.terminate_child(child), bool)
        assert_type(await sup.terminate_child(task), bool)
        assert_type(await sup.terminate_child(3), bool)
        assert_type(await sup.idle(), None)
        assert_type(sup.statistics().running, int)
        assert_type(sup.whereis("other"), atonce.Child | None)
        assert_type(atonce.whereis("sup"), Any)
        assert_type(atonce.tree(most=10).mermaid(), str)
        assert_type(sup.stream([1], later, max_concurrency=2), atonce.Stream[str])
        assert_type(sup.stream(numbers(), now), atonce.Stream[str])
        assert_type(await sup.parallel_map([1], later), list[str])
        assert_type(await sup.parallel_map([1], now), list[str])


def recording() -> None:
    """What a recorder gives."""
    with atonce.Recorder(limit=10) as recorder:
        assert_type(recorder, atonce.Recorder)
    assert_type(recorder.html(), str)
    assert_type(recorder.perfetto(), str)
    assert_type(recorder.save("a.json"), None)
    assert_type(recorder.dropped, int)
    assert_type(recorder.report().ok, int)
