"""`spawn`: starts now, checks at the call, belongs to its owner."""

from __future__ import annotations

import asyncio
import functools
import gc
import threading
import warnings
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest
from tests.verbs.acts import Probe, fail, forever, give, notes, turns

import atonce
from atonce import spawn

virtual = pytest.mark.virtual
colour: ContextVar[str] = ContextVar("colour", default="none")


# -- what runs, and where -----------------------------------------------------------------------------------------


async def test_an_async_def_runs_on_the_loop_that_spawned_it() -> None:
    async def where() -> tuple[threading.Thread, asyncio.AbstractEventLoop]:
        return threading.current_thread(), asyncio.get_running_loop()

    assert await spawn(where) == (threading.current_thread(), asyncio.get_running_loop())


async def test_a_plain_function_runs_in_a_thread() -> None:
    assert await spawn(threading.current_thread) is not threading.current_thread()


async def test_on_loop_runs_a_plain_function_on_the_loop() -> None:
    assert await spawn(threading.current_thread, on="loop") is threading.current_thread()


async def test_on_thread_runs_an_async_def_in_a_loop_of_its_own_in_a_thread() -> None:
    async def where() -> tuple[threading.Thread, asyncio.AbstractEventLoop]:
        await asyncio.sleep(0)
        return threading.current_thread(), asyncio.get_running_loop()

    thread, loop = await spawn(where, on="thread")
    assert thread is not threading.current_thread()
    assert loop is not asyncio.get_running_loop()


async def test_on_takes_a_backend_object() -> None:
    async with atonce.ThreadBackend() as threads:
        assert await spawn(threading.current_thread, on=threads) is not threading.current_thread()
        assert threads.statistics().threads == 1


@virtual
async def test_it_starts_before_anybody_awaits() -> None:
    probe = Probe(seconds=1.0)
    task = spawn(probe.work)
    await turns()
    assert probe.running == 1
    await task


@virtual
async def test_it_returns_without_waiting_for_the_work_to_end() -> None:
    task = spawn(give, "value", 10.0)
    assert not task.done()
    assert await task == "value"


async def test_arguments_are_passed_in_order() -> None:
    async def echo(*args: Any) -> tuple[Any, ...]:
        return args

    assert await spawn(echo, 1, "two", None) == (1, "two", None)


async def test_arguments_are_shared_and_not_copied() -> None:
    given = [1]

    async def same(one: list[int]) -> list[int]:
        return one

    assert await spawn(same, given) is given


@pytest.mark.parametrize("value", [None, False, (), ValueError("a value"), ("error", 1), NotImplemented])
async def test_any_return_value_is_a_success(value: object) -> None:
    assert await spawn(lambda: value) is value


# -- every kind of callable ---------------------------------------------------------------------------------------


class _Adder:
    def __init__(self, more: int) -> None:
        self.more = more

    async def __call__(self, n: int) -> int:
        return n + self.more

    async def method(self, n: int) -> int:
        return n + self.more

    @classmethod
    async def of_class(cls, n: int) -> int:
        return n + 1

    @staticmethod
    async def of_nobody(n: int) -> int:
        return n + 1


class _PlainAdder:
    def __call__(self, n: int) -> int:
        return n + 1


async def _add(n: int, more: int = 1) -> int:
    return n + more


def _plain_add(n: int, more: int = 1) -> int:
    return n + more


def _decorated(fn: Any) -> Any:
    @functools.wraps(fn)
    def wrapper(*args: Any) -> Any:
        return fn(*args)

    return wrapper


CALLABLES = {
    "async def": _add,
    "def": _plain_add,
    "lambda": lambda n: n + 1,
    "lambda around an async def": _add,
    "partial of an async def": functools.partial(_add, more=1),
    "partial of a def": functools.partial(_plain_add, more=1),
    "partial of a partial of an async def": functools.partial(functools.partial(_add), more=1),
    "partial of an object with an async __call__": functools.partial(_Adder(1)),
    "object with an async __call__": _Adder(1),
    "object with a __call__": _PlainAdder(),
    "bound async method": _Adder(1).method,
    "async classmethod": _Adder.of_class,
    "async staticmethod": _Adder.of_nobody,
    "def decorator around an async def": _decorated(_add),
    "builtin": (1).__add__,
}


@pytest.mark.parametrize("kind", CALLABLES)
@pytest.mark.parametrize("on", [None, "loop", "thread"])
async def test_every_kind_of_callable_gives_its_value(kind: str, on: Any) -> None:
    assert await spawn(CALLABLES[kind], 1, on=on) == 2


@pytest.mark.parametrize("cls", [int, _PlainAdder, dict])
async def test_a_class_is_a_callable_too(cls: type) -> None:
    assert isinstance(await spawn(cls), cls)


# -- refused at the call ------------------------------------------------------------------------------------------


async def _no_arguments() -> None:
    raise AssertionError("never runs")


async def _keyword_only(*, key: int) -> None:
    raise AssertionError("never runs")


@pytest.mark.parametrize(
    ("fn", "args"),
    [
        (_no_arguments, (1,)),
        (_add, ()),
        (_add, (1, 2, 3)),
        (_plain_add, ()),
        (_keyword_only, ()),
        (lambda: None, (1,)),
        (functools.partial(_add, 1, 2), (3,)),
        (_Adder(1), ()),
        (_Adder(1).method, (1, 2)),
    ],
)
async def test_a_call_that_does_not_fit_is_refused_at_the_call(fn: Any, args: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="argument"):
        spawn(fn, *args)


async def test_the_message_about_a_wrong_call_names_the_function_and_its_signature() -> None:
    with pytest.raises(TypeError, match=r"_add\(n.*more.*\).*3 argument"):
        spawn(_add, 1, 2, 3)  # type: ignore[call-overload]  # wrong on purpose


async def test_a_coroutine_object_is_refused_with_the_corrected_form() -> None:
    with pytest.raises(TypeError, match=r"spawn\(work, 1\) instead of spawn\(work\(1\)\)"):
        spawn(_add(1))  # type: ignore[arg-type]  # wrong on purpose


async def test_a_coroutine_object_that_is_refused_is_closed_without_a_warning() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(TypeError):
            spawn(_add(1))  # type: ignore[arg-type]  # wrong on purpose
        gc.collect()
    assert [str(one.message) for one in caught] == []


@pytest.mark.parametrize("thing", [3, "work", None, [len]])
async def test_what_cannot_be_called_is_refused_at_the_call(thing: Any) -> None:
    with pytest.raises(TypeError, match="fn is a function"):
        spawn(thing)


@pytest.mark.parametrize("on", ["threads", "", 3, object(), True])
async def test_an_unknown_backend_is_refused_at_the_call(on: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="on is 'loop', 'thread', 'process', a backend object"):
        spawn(give, 1, on=on)


def test_outside_a_loop_it_says_to_use_the_blocking_face() -> None:
    with pytest.raises(RuntimeError, match=r"atonce\.blocking") as caught:
        spawn(give, 1)
    assert isinstance(caught.value, atonce.AtonceError)


# -- its own time limit -------------------------------------------------------------------------------------------


@virtual
async def test_a_timeout_ends_the_task_when_its_time_is_up() -> None:
    probe = Probe(seconds=10.0)
    began = asyncio.get_running_loop().time()
    with pytest.raises(atonce.TaskTimeout) as caught:
        await spawn(probe.work, timeout=2.0)
    assert asyncio.get_running_loop().time() - began == pytest.approx(2.0)
    assert caught.value.timeout == 2.0
    assert probe.cancelled == 1


@virtual
async def test_a_timeout_needs_nobody_who_awaits() -> None:
    probe = Probe(seconds=10.0)
    task = spawn(probe.work, timeout=2.0)
    await asyncio.sleep(2.1)
    assert probe.running == 0
    assert isinstance(task.outcome(), atonce.Failed)


@virtual
async def test_a_task_that_ends_in_time_is_not_touched_by_its_timeout() -> None:
    task = spawn(give, "in time", 1.0, timeout=2.0)
    await asyncio.sleep(3.0)
    assert await task == "in time"


async def test_the_time_of_a_task_that_is_queued_counts_from_its_start() -> None:
    release = threading.Event()
    async with atonce.ThreadBackend(max_threads=1) as one:
        first = spawn(release.wait, on=one)
        second = spawn(lambda: "ran", on=one, timeout=0.1)
        await asyncio.sleep(0.25)
        assert not second.done()
        release.set()
        assert await second == "ran"
        assert await first


# -- whose it is --------------------------------------------------------------------------------------------------


@virtual
async def test_it_is_stopped_when_the_asyncio_task_that_spawned_it_ends() -> None:
    probe = Probe(seconds=100.0)

    async def owner() -> atonce.Task[Any]:
        task = spawn(probe.work)
        await turns()
        return task

    task = await asyncio.create_task(owner())
    await turns()
    assert probe.cancelled == 1
    with pytest.raises(atonce.TaskStopped):
        await task


@virtual
async def test_it_is_stopped_when_its_owner_is_cancelled() -> None:
    probe = Probe(seconds=100.0)

    async def owner() -> None:
        spawn(probe.work)
        await forever()

    owning = asyncio.create_task(owner())
    await turns()
    owning.cancel()
    await turns()
    assert probe.cancelled == 1


@virtual
async def test_a_task_belongs_to_the_task_that_spawned_it_not_to_the_one_that_awaits() -> None:
    inner: list[atonce.Task[Any]] = []

    async def middle() -> None:
        inner.append(spawn(forever))

    await spawn(middle)
    await turns()
    assert inner[0].done()


PARENTS: dict[str, Callable[[Any], Any]] = {
    "spawn": spawn,
    "await_many": lambda parent: atonce.await_many([spawn(parent)]),
    "race": lambda parent: atonce.race([parent]),
    "retry_with_backoff": atonce.retry_with_backoff,
    "async_pipeline": lambda parent: atonce.async_pipeline(1, [parent]),
    "aggregate": lambda parent: atonce.aggregate({"a": parent}),
    "parallel_map": lambda parent: atonce.parallel_map([1], parent),
    "process_batch": lambda parent: atonce.process_batch([1], parent),
}


@virtual
@pytest.mark.parametrize("verb", PARENTS)
@pytest.mark.parametrize("fails", [False, True])
async def test_what_a_task_spawned_is_stopped_and_over_when_the_task_has_ended(
    verb: str, fails: bool
) -> None:
    probe = Probe(seconds=1000.0, cleanup=1.0)

    async def parent(*args: Any) -> str:
        spawn(probe.work)
        await asyncio.sleep(0.5)
        if fails:
            raise ValueError("parent")
        return "parent"

    began = asyncio.get_running_loop().time()
    await atonce.capture(PARENTS[verb](parent))
    assert (probe.begun, probe.running) == (3 if fails and verb == "retry_with_backoff" else 1, 0)
    assert asyncio.get_running_loop().time() - began >= 1.5


@virtual
async def test_what_a_stopped_task_spawned_is_over_when_its_shutdown_returns() -> None:
    probe = Probe(seconds=1000.0, cleanup=1.0)

    async def parent() -> None:
        spawn(probe.work)
        await forever()

    task = spawn(parent)
    await turns()
    assert await atonce.shutdown(task) is None
    assert (probe.cancelled, probe.running) == (1, 0)


@virtual
async def test_the_value_of_a_task_stands_whatever_comes_while_what_it_spawned_ends() -> None:
    probe = Probe(seconds=1000.0, cleanup=1.0)

    async def parent() -> str:
        spawn(probe.work)
        await asyncio.sleep(0.5)
        return "value"

    task = spawn(parent)
    await asyncio.sleep(1.0)
    assert not task.done()
    assert await atonce.shutdown(task) == atonce.Ok("value")
    assert probe.running == 0


@virtual
async def test_a_bare_task_that_fails_does_not_end_its_owner() -> None:
    task = spawn(fail, ValueError("alone"))
    await asyncio.sleep(1.0)
    with pytest.raises(ValueError, match="alone"):
        await task


@virtual
async def test_many_tasks_may_be_alive_at_once() -> None:
    probe = Probe(seconds=1.0)
    tasks = [spawn(probe.work) for _ in range(1000)]
    await turns()
    assert probe.running == 1000
    await atonce.await_many(tasks)


# -- context variables --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on", ["loop", "thread"])
async def test_context_variables_are_copied_into_the_task(on: Any) -> None:
    token = colour.set("red")
    try:
        assert await spawn(colour.get, on=on) == "red"
    finally:
        colour.reset(token)


@pytest.mark.parametrize("on", ["loop", "thread"])
async def test_what_a_task_sets_does_not_leak_out_of_it(on: Any) -> None:
    def paint() -> str:
        colour.set("blue")
        return colour.get()

    assert await spawn(paint, on=on) == "blue"
    assert colour.get() == "none"


async def test_an_async_def_does_not_leak_what_it_sets_before_its_first_await() -> None:
    async def paint() -> None:
        colour.set("blue")

    await spawn(paint)
    assert colour.get() == "none"


async def test_a_lambda_around_an_async_def_sees_the_context_of_the_spawn() -> None:
    async def look() -> str:
        return colour.get()

    token = colour.set("green")
    task = spawn(look)
    colour.reset(token)
    assert await task == "green"


async def test_an_async_def_in_a_thread_sees_the_context_of_the_spawn() -> None:
    async def look() -> str:
        return colour.get()

    token = colour.set("green")
    task = spawn(look, on="thread")
    colour.reset(token)
    assert await task == "green"


# -- where it was spawned -----------------------------------------------------------------------------------------


async def test_an_error_carries_a_note_with_the_name_and_the_place_of_the_spawn() -> None:
    with pytest.raises(ValueError, match="bad") as caught:
        await spawn(fail, ValueError("bad"), name="importer")
    assert "'importer'" in notes(caught.value)
    assert f"{__file__}:" in notes(caught.value)
    assert "test_an_error_carries_a_note" in notes(caught.value)


async def test_the_users_exception_stays_the_users() -> None:
    error = KeyError("k")
    with pytest.raises(KeyError) as caught:
        await spawn(fail, error)
    assert caught.value is error


@pytest.mark.parametrize("on", ["loop", "thread"])
async def test_the_traceback_shows_the_users_function(on: Any) -> None:
    def broken() -> None:
        raise ValueError("here")

    with pytest.raises(ValueError, match="here") as caught:
        await spawn(broken, on=on)
    assert "broken" in [entry.name for entry in caught.traceback]


async def test_a_failure_that_nobody_awaits_is_logged_once_with_its_spawn_site(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def owner() -> None:
        spawn(fail, ValueError("unseen"), name="lonely")
        await turns()

    await asyncio.create_task(owner())
    await turns()
    gc.collect()
    records = [record for record in caplog.records if record.name.startswith("atonce")]
    assert len(records) == 1
    assert "lonely" in records[0].getMessage()
    assert f"{__file__}:" in records[0].getMessage()
    assert records[0].exc_info is not None


@pytest.mark.parametrize("look", ["await", "outcome", "ignore", "poll"])
async def test_a_failure_that_somebody_saw_is_not_logged(look: str, caplog: pytest.LogCaptureFixture) -> None:
    task = spawn(fail, ValueError("seen"))
    await turns()
    match look:
        case "await":
            with pytest.raises(ValueError, match="seen"):
                await task
        case "outcome":
            assert task.outcome() is not None
        case "ignore":
            atonce.ignore(task)
        case _:
            assert await atonce.poll(task) is not None
    del task
    gc.collect()
    assert caplog.records == []


async def test_a_task_that_was_stopped_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    task = spawn(forever)
    await turns()
    task.stop()
    await turns()
    del task
    gc.collect()
    assert caplog.records == []
