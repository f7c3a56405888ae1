"""Story 6: small programs that a user would write, from the first line to the last."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from tests.verbs.acts import now, turns

import atonce
from atonce import blocking

virtual = pytest.mark.virtual
request_id: ContextVar[str] = ContextVar("request_id", default="-")


def test_a_script_counts_the_words_of_many_files(tmp_path: Path) -> None:
    for n in range(12):
        (tmp_path / f"{n}.txt").write_text(f"word common {'x ' * n}", encoding="utf-8")

    def count(path: Path) -> Counter[str]:
        return Counter(path.read_text(encoding="utf-8").split())

    total: Counter[str] = Counter()
    for counted in blocking.stream(sorted(tmp_path.glob("*.txt")), count, max_concurrency=4).values():
        total += counted
    assert total == {"word": 12, "common": 12, "x": sum(range(12))}


def test_a_script_hashes_files_and_reports_those_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    paths = [tmp_path / "a", tmp_path / "missing"]

    def digest(path: Path) -> str:
        return hashlib.sha256(path.read_bytes()).hexdigest()

    report = {}
    for outcome in blocking.stream(paths, digest):
        match outcome:
            case blocking.Ok(value):
                report[outcome.input.name] = value[:6]
            case blocking.Failed(error):
                report[outcome.input.name] = type(error).__name__
    assert report == {"a": "ca9781", "missing": "FileNotFoundError"}


def test_rows_go_from_one_database_thread_to_many_workers(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"
    with sqlite3.connect(path) as made:
        made.execute("create table rows (n integer)")
        made.executemany("insert into rows values (?)", [(n,) for n in range(100)])
    made.close()

    def rows() -> Iterator[int]:
        opened = sqlite3.connect(path)  # used in the thread that pulls, from first to last
        try:
            for (n,) in opened.execute("select n from rows order by n"):
                yield n
        finally:
            opened.close()

    assert sum(blocking.stream(rows(), lambda n: n * n, max_concurrency=3).values()) == sum(
        n * n for n in range(100)
    )


@virtual
async def test_a_crawler_feeds_itself() -> None:
    links = {"/": ["/a", "/b"], "/a": ["/c"], "/b": ["/c", "/"], "/c": []}
    todo: asyncio.Queue[str | None] = asyncio.Queue()
    seen: set[str] = set()

    async def pages() -> AsyncIterator[str]:
        open_pages = 1
        while open_pages:
            page = await todo.get()
            if page is None:
                open_pages -= 1
            elif page not in seen:
                seen.add(page)
                open_pages += 1
                yield page

    async def visit(page: str) -> str:
        await asyncio.sleep(0.1)
        for link in links[page]:
            todo.put_nowait(link)
        todo.put_nowait(None)
        return page

    todo.put_nowait("/")
    todo.put_nowait(None)
    async with asyncio.timeout(60):
        visited = await atonce.parallel_map(pages(), visit, max_concurrency=2)
    assert sorted(visited) == ["/", "/a", "/b", "/c"]


@virtual
async def test_a_server_answers_each_request_with_what_its_services_know() -> None:
    async def user(n: int) -> dict[str, Any]:
        await asyncio.sleep(0.05)
        return {"id": n, "request": request_id.get()}

    async def prices(n: int) -> list[int]:
        await asyncio.sleep(10.0 if n == 2 else 0.05)
        return [n, n + 1]

    async def handle(n: int) -> dict[str, Any]:
        request_id.set(f"request {n}")
        got = await atonce.aggregate(
            {"user": atonce.source(user, n), "prices": atonce.source(prices, n, fallback=[])}, timeout=1.0
        )
        return {name: outcome.unwrap() for name, outcome in got.items()}

    answers = await atonce.parallel_map(range(4), handle)
    assert [answer["user"] for answer in answers] == [{"id": n, "request": f"request {n}"} for n in range(4)]
    assert [answer["prices"] for answer in answers] == [[0, 1], [1, 2], [], [3, 4]]
    assert request_id.get() == "-"


@virtual
async def test_an_etl_job_reads_transforms_and_stores_in_batches() -> None:
    stored: list[list[int]] = []

    async def lines() -> AsyncIterator[str]:
        for n in range(23):
            await asyncio.sleep(0.01)
            yield json.dumps({"n": n}) if n != 7 else "{broken"

    async def parse(line: str) -> int:
        return int(json.loads(line)["n"])

    async def store(batch: list[int]) -> int:
        stored.append(batch)
        return len(batch)

    parsed = [one async for one in atonce.stream(lines(), parse)]
    good = [one.unwrap() for one in parsed if one.ok]
    result = await atonce.process_batch(good, store, batch_size=10)
    assert [one.input for one in parsed if not one.ok] == ["{broken"]
    assert (result.successes, sum(map(len, stored))) == ([10, 10, 2], 22)


@virtual
async def test_an_order_goes_through_its_steps_with_retries_where_they_help() -> None:
    calls: list[str] = []

    async def reserve(order: dict[str, Any]) -> dict[str, Any]:
        calls.append("reserve")
        return {**order, "reserved": True}

    async def charge_once(order: dict[str, Any]) -> dict[str, Any]:
        calls.append("charge")
        if calls.count("charge") < 3:
            raise ConnectionError("bank is busy")
        return {**order, "charged": True}

    async def charge(order: dict[str, Any]) -> dict[str, Any]:
        return await atonce.retry_with_backoff(charge_once, order, retry_on=ConnectionError)

    def ship(order: dict[str, Any]) -> str:
        return f"shipped {order['id']}"

    answer = await atonce.async_pipeline({"id": 5}, [reserve, charge, ship], timeout=30.0, on="loop")
    assert answer == "shipped 5"
    assert calls == ["reserve", "charge", "charge", "charge"]


@virtual
async def test_a_chat_room_stops_all_its_members_when_it_closes() -> None:
    said: list[str] = []

    async def member(name: str, every: float) -> None:
        try:
            while True:
                await asyncio.sleep(every)
                said.append(name)
        finally:
            said.append(f"{name} left")

    async with atonce.scope(name="room"):
        atonce.spawn(member, "ada", 1.0)
        atonce.spawn(member, "bob", 2.0)
        await asyncio.sleep(4.5)
    assert Counter(said) == {"ada": 4, "bob": 2, "ada left": 1, "bob left": 1}


@virtual
async def test_a_price_is_taken_from_the_first_exchange_that_answers() -> None:
    async def exchange(seconds: float, price: float) -> float:
        await asyncio.sleep(seconds)
        if price < 0:
            raise ValueError("no price")
        return price

    price = await atonce.race(
        [lambda: exchange(0.1, -1.0), lambda: exchange(0.3, 99.5), lambda: exchange(5.0, 100.0)], on="loop"
    )
    assert price == 99.5


@virtual
async def test_a_poller_shows_progress_until_the_report_is_ready() -> None:
    async def report() -> str:
        await asyncio.sleep(3.5)
        return "report"

    shown: list[str] = []
    task = atonce.spawn(report)
    while (outcome := await atonce.poll(task, timeout=1.0)) is None:
        shown.append("still working")
    shown.append(outcome.unwrap())
    assert shown == ["still working"] * 3 + ["report"]


@virtual
async def test_a_producer_and_a_consumer_meet_through_a_queue_of_tasks() -> None:
    results: asyncio.Queue[atonce.Task[int]] = asyncio.Queue(maxsize=3)

    async def square(n: int) -> int:
        await asyncio.sleep(0.1)
        return n * n

    async def produce() -> None:
        for n in range(10):
            await results.put(atonce.spawn(square, n))
        await asyncio.sleep(2.0)

    async with atonce.scope():
        producer = atonce.spawn(produce)
        got = [await (await results.get()) for _ in range(10)]
        await producer
    assert got == [n * n for n in range(10)]


def test_a_web_handler_without_a_loop_asks_its_services_at_once() -> None:
    def slow(name: str) -> str:
        time.sleep(0.05)
        return name.upper()

    began = time.monotonic()
    got = blocking.aggregate({name: (lambda name=name: slow(name)) for name in ("a", "b", "c", "d")})
    assert [got[name].unwrap() for name in ("a", "b", "c", "d")] == ["A", "B", "C", "D"]
    assert time.monotonic() - began < 0.19


def test_a_celery_worker_may_use_the_blocking_face_from_many_threads_at_once() -> None:
    results: dict[int, list[int]] = {}

    def job(n: int) -> None:
        results[n] = blocking.parallel_map(range(n), lambda m: m * n, max_concurrency=2)

    threads = [threading.Thread(target=job, args=(n,)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {n: [m * n for m in range(n)] for n in range(1, 9)}


@virtual
async def test_a_watchdog_stops_a_task_that_makes_no_progress() -> None:
    progress: list[float] = []

    async def work() -> None:
        for _ in range(3):
            await asyncio.sleep(1.0)
            progress.append(now())
        await asyncio.sleep(1000.0)

    task = atonce.spawn(work)
    while not task.done():
        seen = len(progress)
        await asyncio.sleep(2.0)
        if len(progress) == seen:
            assert await atonce.shutdown(task) is None
    assert len(progress) == 3
    await turns()


@virtual
async def test_a_graceful_end_lets_a_worker_finish_what_it_has_begun() -> None:
    finished: list[int] = []

    async def worker() -> int:
        try:
            while True:
                await asyncio.sleep(10.0)
        except asyncio.CancelledError:
            await asyncio.sleep(1.0)
            finished.append(1)
            return len(finished)

    task = atonce.spawn(worker)
    await asyncio.sleep(5.0)
    assert await atonce.shutdown(task, grace=3.0) == atonce.Ok(1)


@virtual
async def test_asyncio_code_and_atonce_code_share_a_loop() -> None:
    async def plain(n: int) -> int:
        await asyncio.sleep(0.1)
        return n

    async with asyncio.TaskGroup() as group:
        old = group.create_task(plain(1))
        new = atonce.spawn(plain, 2)
        total = await old + await new
    assert total == 3
    assert await asyncio.gather(plain(3), atonce.spawn(plain, 4)) == [3, 4]


@virtual
async def test_leaving_a_task_group_by_an_error_ends_the_tasks_spawned_in_it() -> None:
    ended: list[str] = []

    async def child() -> None:
        try:
            await asyncio.sleep(1000.0)
        finally:
            ended.append("child")

    async def parent() -> None:
        atonce.spawn(child)
        await asyncio.sleep(1000.0)

    with pytest.raises(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(parent())
            await asyncio.sleep(1.0)
            raise ValueError("body")
    await turns()
    assert ended == ["child"]
