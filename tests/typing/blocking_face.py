"""What a type checker infers on the blocking face; checked by mypy and basedpyright, never run."""

from __future__ import annotations

from functools import partial
from typing import Any, assert_type

from tests.typing.async_face import Caller, later, more_numbers, now, number, numbers, text, two

from atonce import blocking


def spawning() -> None:
    tasks = [blocking.spawn(later, 1), blocking.spawn(now, 1)]
    assert_type(tasks, list[blocking.Task[str]])
    assert_type(blocking.spawn(two, 1, "a", timeout=1.0, name="two", on="loop").result(), bytes)
    assert_type(blocking.spawn(partial(two, 1, s="a")).result(), bytes)
    assert_type(blocking.spawn(lambda: later(1)).result(), str)
    assert_type(blocking.spawn(Caller(), 1).result(timeout=1), str)


def waiting(task: blocking.Task[str], other: blocking.Task[int]) -> None:
    assert_type(blocking.await_one(task, timeout=1), str)
    assert_type(blocking.await_many([task, task], timeout=1.5), list[str])
    mixed: list[int | str] = blocking.await_many([task, other])
    assert mixed
    assert_type(blocking.poll(task, None), blocking.Outcome[str] | None)
    assert_type(
        blocking.poll_many([task], timeout=1, limit=2, on_timeout="stop"),
        list[tuple[blocking.Task[str], blocking.Outcome[str] | None]],
    )
    assert_type(blocking.shutdown(task, grace=0), blocking.Outcome[str] | None)
    assert_type(blocking.ignore(task), blocking.Outcome[str] | None)
    assert_type([blocking.completed(3)], list[blocking.Task[int]])
    assert_type(blocking.cancelled(), bool)
    assert_type(blocking.capture(task.result, timeout=1), blocking.Outcome[str])
    assert_type(blocking.capture(blocking.await_one, task, timeout=1), blocking.Outcome[str])
    assert_type(blocking.capture(now, 1), blocking.Outcome[str])


def streams() -> None:
    assert_type(blocking.stream([1], later), blocking.Stream[str])
    assert_type(blocking.stream(numbers(), now, timeout=1.0, retry=3), blocking.Stream[str])
    assert_type(list(blocking.stream(more_numbers(), later)), list[blocking.Ok[str] | blocking.Failed])
    for outcome in blocking.stream([1], now):
        assert_type(outcome, blocking.Ok[str] | blocking.Failed)
    with blocking.stream([1], now) as opened:
        assert_type(opened, blocking.Stream[str])
    assert_type(list(blocking.stream([1], later).values()), list[str])
    assert_type(list(blocking.stream([1], later).succeeded()), list[blocking.Ok[str]])
    assert_type(list(blocking.stream([1], later).failed()), list[blocking.Failed])
    assert_type(blocking.stream([1], later).progress(), blocking.Stream[str])
    iterator = iter(blocking.stream([1], later))
    assert_type(next(iterator), blocking.Ok[str] | blocking.Failed)
    iterator.close()


def patterns() -> None:
    assert_type(blocking.parallel_map([1], later), list[str])
    assert_type(blocking.parallel_map([1], now, max_concurrency=2, ordered=False), list[str])
    assert_type(blocking.race([number, number], timeout=1, hedge=0), int)
    assert_type(blocking.race([text, text]), str)
    assert_type(blocking.retry_with_backoff(later, 1), str)
    assert_type(blocking.retry_with_backoff(now, 1, attempts=5, retry_on=OSError), str)
    assert_type(blocking.async_pipeline(1, [later, len]), Any)
    assert_type(blocking.aggregate({"a": number}, timeout=1), dict[str, blocking.Outcome[Any]])
    assert_type(blocking.with_fallback([number, text], fallback=None), list[blocking.Outcome[Any]])
    assert_type(blocking.process_batch([1], sum, batch_size=2), blocking.BatchResult)


def blocks() -> None:
    with blocking.scope(grace=1, name="block") as block:
        assert_type(block, blocking.scope)
    with blocking.ThreadBackend(max_threads=3) as threads:
        assert_type(threads, blocking.ThreadBackend)


def http() -> None:
    assert_type(blocking.fetch("http://a/", timeout=None, retry=2), blocking.Response)
    assert_type(blocking.fetch_stream(["http://a/"], per_host=2), blocking.Stream[blocking.Response])
    assert_type(blocking.parallel_fetch(["http://a/"]), list[blocking.Outcome[blocking.Response]])


class Hits(blocking.Server, max_mailbox=100):
    def init(self, start: int) -> None:
        self.count = start

    def handle_call(self, request: str, caller: Any) -> int:
        return self.count


def servers() -> None:
    with Hits(1).options(name="hits") as server:
        assert_type(server, Hits)
        assert_type(server.call("next", timeout=1), Any)
        assert_type(server.cast(1), None)
        assert_type(server.send_after(1.5, "tick").cancel(), bool)
        assert_type(server.stop("enough"), None)
    with blocking.Agent(lambda: 1, timeout=1) as agent:
        assert_type(agent, blocking.Agent[int])
        assert_type(agent.get(lambda n: [n]), list[int])
        assert_type(agent.get(later), str)
        assert_type(agent.update(lambda n: n + 1), None)
        assert_type(agent.get_and_update(lambda n: (str(n), n)), str)
        assert_type(agent.cast(lambda n: n + 1), None)
        assert_type(agent.stop(timeout=1), None)


def supervisors() -> None:
    with blocking.Supervisor(5, on_full="wait", children=[blocking.Child(later, 1)]) as sup:
        assert_type(sup, blocking.Supervisor)
        assert_type(sup.spawn(later, 1).result(), str)
        assert_type(sup.spawn_nolink(two, 1, "a", grace=1).result(), bytes)
        assert_type(sup.start_child(now, 1, restart="permanent"), blocking.Child)
        assert_type(sup.ready(sup.start_child(later, 1)), blocking.Child)
        assert_type(sup.children(), list[blocking.Task[Any] | blocking.Child])
        assert_type(sup.terminate_child(3), bool)
        assert_type(sup.idle(), None)
        assert_type(blocking.whereis("sup"), Any)
        assert_type(blocking.tree(most=10).mermaid(), str)
        assert_type(sup.stream([1], later, max_concurrency=2), blocking.Stream[str])
        assert_type(sup.parallel_map([1], now), list[str])
