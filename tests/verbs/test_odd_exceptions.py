"""Exceptions that are no `Exception`, or that mean something to the loop: how each ends a task."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
from tests.leaks import Trouble
from tests.verbs.acts import fail, forever, turns

import atonce
from atonce import Failed, Ok, TaskStopped, TaskTimeout, poll, spawn

virtual = pytest.mark.virtual
BOTH = pytest.mark.parametrize("on", ["loop", "thread"])


class OddError(BaseException):
    """An exception of the user's that is no Exception."""


class FussyError(Exception):
    """An exception that cannot be made again from its args."""

    def __init__(self, code: int, *, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code


class MuteError(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


def raiser(error: BaseException) -> Callable[[], Any]:
    """A plain function that raises `error`."""

    def work() -> None:
        raise error

    return work


def araiser(error: BaseException) -> Callable[[], Any]:
    """An `async def` that raises `error`."""

    async def work() -> None:
        await asyncio.sleep(0)
        raise error

    return work


async def outcome_of(task: atonce.Task[Any]) -> BaseException:
    outcome = await poll(task, None)
    assert isinstance(outcome, Failed)
    return outcome.error


# -- the table ----------------------------------------------------------------------------------------------------

ERRORS: dict[str, Callable[[], BaseException]] = {
    "SystemExit": lambda: SystemExit(3),
    "GeneratorExit": GeneratorExit,
    "BaseException": lambda: OddError("odd"),
    "MemoryError": MemoryError,
    "RecursionError": RecursionError,
    "TimeoutError": lambda: TimeoutError("the user's own"),
    "init with odd arguments": lambda: FussyError(1, reason="fussy"),
    "str raises": MuteError,
    "ExceptionGroup": lambda: ExceptionGroup("two", [ValueError("a"), KeyError("b")]),
}


@pytest.mark.parametrize("kind", ERRORS)
@BOTH
async def test_it_is_an_outcome_of_a_plain_function(kind: str, on: Any) -> None:
    error = ERRORS[kind]()
    assert await outcome_of(spawn(raiser(error), on=on)) is error


@pytest.mark.parametrize("kind", ERRORS)
@BOTH
async def test_it_is_an_outcome_of_an_async_def(kind: str, on: Any) -> None:
    error = ERRORS[kind]()
    assert await outcome_of(spawn(araiser(error), on=on)) is error


@pytest.mark.parametrize("kind", ERRORS)
@BOTH
async def test_it_is_raised_as_itself_at_an_await(kind: str, on: Any) -> None:
    error = ERRORS[kind]()
    with pytest.raises(type(error)) as caught:
        await spawn(raiser(error), on=on)
    assert caught.value is error


@BOTH
async def test_work_goes_on_after_a_system_exit(on: Any) -> None:
    await outcome_of(spawn(raiser(SystemExit(1)), on=on))
    assert await spawn(lambda: "alive", on=on) == "alive"


async def test_a_keyboard_interrupt_in_a_thread_is_an_outcome() -> None:
    error = KeyboardInterrupt()
    assert await outcome_of(spawn(raiser(error), on="thread")) is error


async def test_a_keyboard_interrupt_of_an_async_def_in_a_thread_is_an_outcome() -> None:
    error = KeyboardInterrupt()
    assert await outcome_of(spawn(araiser(error), on="thread")) is error


def test_a_keyboard_interrupt_on_the_loop_propagates_out_of_it() -> None:
    cleaned: list[int] = []

    async def sibling() -> None:
        try:
            await forever()
        finally:
            cleaned.append(1)

    async def main() -> None:
        spawn(sibling)
        spawn(araiser(KeyboardInterrupt()))
        await asyncio.sleep(5)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert cleaned == [1]


# -- StopIteration ------------------------------------------------------------------------------------------------

STOPS = pytest.mark.parametrize(
    "error", [StopIteration("end"), StopAsyncIteration("end")], ids=["sync", "async"]
)


@STOPS
@BOTH
async def test_stop_iteration_of_a_plain_function_is_held_by_the_outcome(error: Exception, on: Any) -> None:
    assert await outcome_of(spawn(raiser(error), on=on)) is error


@STOPS
@BOTH
async def test_stop_iteration_of_an_async_def_is_held_by_the_outcome(error: Exception, on: Any) -> None:
    assert await outcome_of(spawn(araiser(error), on=on)) is error


@STOPS
@BOTH
@pytest.mark.parametrize("made", [raiser, araiser], ids=["def", "async def"])
async def test_stop_iteration_is_raised_at_an_await_as_runtime_error_from_it(
    error: Exception, on: Any, made: Callable[[BaseException], Any]
) -> None:
    with pytest.raises(RuntimeError) as caught:
        await spawn(made(error), on=on)
    assert caught.value.__cause__ is error


@STOPS
@BOTH
async def test_unwrap_of_a_stop_iteration_raises_runtime_error_from_it(error: Exception, on: Any) -> None:
    outcome = await poll(spawn(raiser(error), on=on), None)
    assert outcome is not None
    with pytest.raises(RuntimeError) as caught:
        outcome.unwrap()
    assert caught.value.__cause__ is error


async def test_a_runtime_error_of_the_users_own_stays_what_it_is() -> None:
    error = RuntimeError("mine")
    error.__cause__ = StopIteration()
    assert await outcome_of(spawn(araiser(error))) is error


# -- CancelledError -----------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("made", [raiser, araiser], ids=["def", "async def"])
async def test_a_function_that_raises_cancelled_error_by_itself_ends_as_stopped(
    on: Any, made: Callable[[BaseException], Any]
) -> None:
    assert isinstance(await outcome_of(spawn(made(asyncio.CancelledError()), on=on)), TaskStopped)


@BOTH
async def test_awaiting_what_raised_cancelled_error_does_not_cancel_the_waiter(on: Any) -> None:
    with pytest.raises(TaskStopped):
        await spawn(raiser(asyncio.CancelledError()), on=on)
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


async def test_awaiting_an_asyncio_task_that_somebody_cancelled_ends_the_task_as_stopped() -> None:
    other = asyncio.create_task(forever())

    async def work() -> None:
        await other

    task = spawn(work)
    await turns()
    other.cancel()
    with pytest.raises(TaskStopped):
        await task


@virtual
async def test_code_that_cancels_its_own_asyncio_task_ends_it_as_stopped() -> None:
    async def work() -> None:
        current = asyncio.current_task()
        assert current is not None
        current.cancel()
        await asyncio.sleep(1)

    with pytest.raises(TaskStopped):
        await spawn(work)


# -- TimeoutError -------------------------------------------------------------------------------------------------


@virtual
async def test_a_timeout_error_of_the_users_own_is_not_taken_for_ours() -> None:
    error = TimeoutError("mine")
    with pytest.raises(TimeoutError) as caught:
        await spawn(fail, error, 1.0, timeout=5.0)
    assert caught.value is error
    assert not isinstance(caught.value, TaskTimeout)


@virtual
async def test_an_asyncio_timeout_inside_a_task_is_the_tasks_own_matter() -> None:
    async def work() -> str:
        try:
            async with asyncio.timeout(1.0):
                await forever()
        except TimeoutError:
            return "handled"
        return "never"

    assert await spawn(work, timeout=5.0) == "handled"


@virtual
async def test_our_timeout_is_a_timeout_error_and_an_atonce_error() -> None:
    with pytest.raises(TimeoutError) as caught:
        await spawn(forever, timeout=1.0)
    assert isinstance(caught.value, TaskTimeout)
    assert isinstance(caught.value, atonce.AtonceError)


@virtual
async def test_an_error_in_the_cleanup_of_a_timed_out_task_is_the_cause_of_the_timeout() -> None:
    async def work() -> None:
        try:
            await forever()
        finally:
            raise ValueError("cleanup")

    with pytest.raises(TaskTimeout) as caught:
        await spawn(work, timeout=1.0)
    assert isinstance(caught.value.__cause__, ValueError)


# -- nothing is reported besides the outcome -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ERRORS)
async def test_neither_the_loop_nor_a_thread_reports_it(kind: str, trouble: Trouble) -> None:
    await outcome_of(spawn(raiser(ERRORS[kind]()), on="thread"))
    await outcome_of(spawn(araiser(ERRORS[kind]()), on="loop"))
    assert trouble.reports == []


def test_a_system_exit_in_a_background_task_does_not_end_the_program() -> None:
    program = """
        import asyncio, sys
        from atonce import spawn

        async def leave():
            sys.exit(5)

        async def main():
            task = spawn(leave)
            await asyncio.sleep(0.01)
            print("still here", type(task.outcome().error).__name__)

        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "still here SystemExit", "")


async def test_a_value_that_is_an_exception_is_a_value() -> None:
    error = ValueError("returned")

    async def work() -> ValueError:
        return error

    task = spawn(work)
    assert await task is error
    assert task.outcome() == Ok(error)
