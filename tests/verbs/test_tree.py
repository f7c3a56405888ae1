"""`tree()` shows what runs: each thing once, under what runs it, with state, age and where it was spawned."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import atonce
from atonce import (
    Agent,
    Child,
    ProcessBackend,
    Retry,
    Server,
    Supervisor,
    blocking,
    parallel_map,
    scope,
    spawn,
    tree,
)
from atonce._model.tree import Node
from atonce._verbs.tree import DEEPEST
from atonce.testing import FakeBackend

HERE = Path(__file__).as_posix()


def shapes(node: Node) -> Iterator[str]:
    """Kind, name and children of each node, in brackets."""
    for child in node.children:
        inside = ", ".join(shapes(child))
        yield f"{child.kind} {child.name}".rstrip() + (f" [{inside}]" if inside else "")


def mine() -> Node:
    """What is shown of the loop that runs here."""
    name = f"in {threading.current_thread().name}"
    return next(node for node in tree().root.children if node.kind == "loop" and node.name == name)


def shown(kind: str, name: str) -> Node:
    """The only node of that kind and name."""
    [found] = [node for node in tree().find(name) if node.kind == kind]
    return found


@pytest.mark.virtual
async def test_tasks_are_under_the_task_that_spawned_them() -> None:
    async def outer() -> None:
        spawn(asyncio.sleep, 60, name="inner")
        await asyncio.sleep(60)

    first, second = spawn(outer, name="outer"), spawn(asyncio.sleep, 60, name="beside")
    await asyncio.sleep(5)
    [top] = mine().children
    assert top.kind == "asyncio task"
    assert sorted(shapes(top)) == ["task beside", "task outer [task inner]"]
    inner = shown("task", "inner")
    assert (inner.state, inner.age, inner.detail) == ("running", 5.0, "")
    assert inner.site.startswith(f"spawned at {HERE}:")
    assert inner.site.endswith(" in outer")
    first.stop(), second.stop()
    await asyncio.sleep(1)


@pytest.mark.virtual
async def test_scopes_are_where_their_blocks_stand() -> None:
    async def job() -> None:
        async with scope(name="of the job"):
            spawn(asyncio.sleep, 60, name="deep")
            await asyncio.sleep(60)

    async with scope(name="outside"), scope():
        task = spawn(job, name="job")
        await asyncio.sleep(1)
        [top] = mine().children
        assert list(shapes(top)) == ["scope outside [scope [task job [scope of the job [task deep]]]]"]
        task.stop()
    assert not tree().find("outside")


@pytest.mark.virtual
async def test_streams_count_and_show_what_their_items_run() -> None:
    async def item(n: int) -> int:
        spawn(asyncio.sleep, 60, name=f"of item {n}")
        await asyncio.sleep(10 * n)
        return n

    task = asyncio.create_task(parallel_map(range(1, 9), item, max_concurrency=3, name="pages"))
    await asyncio.sleep(25)
    found = shown("stream", "pages")
    assert found.state == "running"
    assert found.detail == "3 running, 0 waiting, 2 done"
    assert found.site == f"of {HERE}:{item.__code__.co_firstlineno}"
    assert sorted(node.name for node in found.children) == ["'of item 3'", "'of item 4'", "'of item 5'"]
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.virtual
async def test_a_stream_on_another_backend_shows_its_items_too() -> None:
    async def item(n: int) -> None:
        spawn(asyncio.sleep, 60, name="inner")
        await asyncio.sleep(60)

    task = asyncio.create_task(parallel_map([1], item, on=FakeBackend(), name="pages"))
    await asyncio.sleep(1)
    [found] = [node for one in mine().children for node in shapes(one)]
    assert found == "stream pages [task inner]"
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.virtual
async def test_a_stream_that_is_being_set_up_is_not_shown_yet() -> None:
    seen: list[str] = []

    class Looks:
        def __iter__(self) -> Iterator[int]:
            seen.append(str(tree()))
            return iter([1, 2])

    assert await parallel_map(Looks(), abs, on="loop", name="pages") == [1, 2]
    assert seen
    assert "pages" not in seen[0]


class Counter(Server):
    def init(self) -> None:
        spawn(asyncio.sleep, 60, name="helper")

    async def handle_cast(self, message: float) -> None:
        await asyncio.sleep(message)


@pytest.mark.virtual
async def test_supervisors_show_children_restarts_and_what_waits() -> None:
    async def fails() -> None:
        await asyncio.sleep(1)
        raise ValueError("again")

    pause = Retry(base_delay=10, max_delay=10, jitter=None)
    async with Supervisor(
        max_children=5,
        on_full="wait",
        max_restarts=9,
        backoff=pause,
        name="feeds",
        children=[Child(fails, name="fails")],
    ) as sup:
        sup.start_child(Counter, name="hits")
        sup.start_child(Supervisor(name="lower", children=[Child(asyncio.sleep, 60, name="leaf")]))
        sup.spawn(asyncio.sleep, 60, name="linked")
        sup.spawn_nolink(asyncio.sleep, 60, name="alone")
        sup.spawn_nolink(asyncio.sleep, 60, name="late")
        await asyncio.sleep(1.5)
        found = shown("supervisor", "'feeds'")
        *children, first, second, waiting = shapes(found)
        assert children == [
            "child fails",
            "child server Counter [task helper]",
            "child supervisor 'lower' [child leaf]",
        ]
        assert {first, second} == {"task linked", "task alone"}
        assert waiting.startswith("waiting task 'late' (spawned at ")
        assert found.detail == "one_for_one, 4 of 5 running, 1 waiting"
        failing = shown("child", "fails")
        assert (failing.state, failing.age, failing.restarts) == ("backing off", None, 0)
        assert failing.detail == "last failed with ValueError('again')"
        await asyncio.sleep(10)
        failing = shown("child", "fails")
        assert (failing.state, failing.restarts) == ("running", 1)
        assert failing.age == pytest.approx(0.5)
    assert not tree().find("'feeds'")


@pytest.mark.virtual
async def test_servers_and_agents_show_their_mailbox_and_no_block_of_their_own() -> None:
    async with Counter() as server, Agent(dict):
        for _ in range(3):
            server.cast(20)
        await asyncio.sleep(1)
        [top] = mine().children
        assert sorted(shapes(top)) == ["agent Agent", "server Counter [task helper]"]
        assert shown("server", "Counter").detail == "2 in the mailbox, 1 handled"
        assert shown("server", "Counter").age == 1.0


@pytest.mark.virtual
async def test_of_many_children_the_first_are_shown_and_the_others_counted() -> None:
    async with scope(name="many") as many:
        for _ in range(1_250):
            spawn(asyncio.sleep, 60)
        await asyncio.sleep(0)
        [found] = tree(most=200).find("many")
        assert len(found.children) == 201
        assert found.children[-1].label == "... 1,050 more"
        many.stop_children()


def test_most_is_a_count() -> None:
    with pytest.raises(ValueError, match="most"):
        tree(most=0)


@pytest.mark.virtual
async def test_what_is_very_deep_is_cut_off() -> None:
    async def deeper(left: int) -> None:
        if left:
            spawn(deeper, left - 1, name="deeper")
        await asyncio.sleep(60)

    task = spawn(deeper, 300)
    await asyncio.sleep(1)
    assert any(node.kind == "..." for node in tree().walk())
    assert str(tree()).count("task deeper") == DEEPEST - 1
    task.stop()
    await asyncio.sleep(1)


async def test_what_waits_for_a_thread_says_so_and_threads_are_counted() -> None:
    release = threading.Event()
    async with atonce.ThreadBackend(max_threads=1) as threads:
        first, second = (spawn(release.wait, on=threads, name=name) for name in ("first", "second"))
        while first.began is None:
            await asyncio.sleep(0.001)
        assert (shown("task", "first").state, shown("task", "second").state) == ("running", "waiting")
        assert shown("task", "first").detail == "on thread"
        assert "1 threads, 1 running, 1 queued, 0 abandoned" in str(tree())
        release.set()
        await atonce.await_many([first, second])


def test_processes_show_their_workers_and_what_those_are_on() -> None:
    with ProcessBackend(workers=1) as processes:
        task = blocking.spawn(time.sleep, 60, on=processes, name="sleepy")
        while task.looked() is None:
            time.sleep(0.001)
        [worker] = [node for node in tree().walk() if node.kind == "worker"]
        assert worker.name.startswith("pid ")
        assert worker.state == "running"
        assert worker.detail == "sleepy"
        assert worker.age is not None
        [backend] = [node for node in tree().walk() if node.kind == "backend" and node.name == "process"]
        assert backend.detail == "1 workers, 1 busy, 1 made, 0 lost"
        blocking.shutdown(task, grace=0)
        with blocking.stream([60, 60], time.sleep, on=processes) as items:
            iterator = iter(items)
            taker = threading.Thread(target=lambda: list(iterator))
            taker.start()
            while "sleep[0]" not in str(tree()):
                time.sleep(0.001)
        taker.join()


def test_the_blocking_face_shows_the_same() -> None:
    assert blocking.tree is tree
    with blocking.scope(name="block"), blocking.Supervisor(name="below") as sup:
        tasks = [
            blocking.spawn(asyncio.sleep, 60, name="ours"),
            sup.spawn_nolink(asyncio.sleep, 60, name="its"),
        ]
        [loop] = [node for node in tree().root.children if node.name == "in atonce-loop"]
        assert sorted(shapes(loop)) == ["scope block [task ours]", "supervisor 'below' [task its]"]
        for task in tasks:
            task.stop()


def test_all_loops_of_the_process_are_shown_from_any_thread() -> None:
    seen: list[str] = []
    ready, release = threading.Event(), threading.Event()

    async def main() -> None:
        spawn(asyncio.sleep, 60, name="elsewhere")
        await asyncio.sleep(0.01)
        ready.set()
        while not release.is_set():
            await asyncio.sleep(0.001)

    thread = threading.Thread(target=lambda: asyncio.run(main()), name="another")
    thread.start()
    ready.wait()
    seen.append(str(tree()))
    release.set()
    thread.join()
    assert "loop in another" in seen[0]
    assert "task elsewhere  running" in seen[0]
    assert "elsewhere" not in str(tree())


async def test_it_can_be_taken_at_any_moment_while_others_start_and_end() -> None:
    stopped = threading.Event()
    trouble: list[BaseException] = []

    def look() -> None:
        try:
            while not stopped.is_set():
                str(tree()), tree().mermaid()
        except BaseException as error:
            trouble.append(error)

    looker = threading.Thread(target=look)
    looker.start()
    for _ in range(20):
        async with scope(), Supervisor() as sup:
            for _ in range(10):
                spawn(asyncio.sleep, 0)
                sup.start_child(asyncio.sleep, 0)
            await parallel_map(range(20), abs)
    stopped.set()
    looker.join()
    assert not trouble
