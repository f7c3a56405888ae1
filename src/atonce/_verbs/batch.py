"""`process_batch`: many items in batches, with every item accounted for."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from atonce._backends.choose import On
from atonce._model.call import check_call
from atonce._model.checks import count, flag, seconds_or_none
from atonce._model.outcome import Failed, Outcome
from atonce._verbs.stream import Stream
from atonce._verbs.stream_spec import check_items, make_spec


@dataclass(frozen=True, slots=True)
class BatchFailure:
    """A batch whose call failed: its items, and the error."""

    batch: list[Any]
    error: BaseException


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What `process_batch` gives: the results of what went well, and the batches that did not.

    Every item is in exactly one of the two.
    """

    successes: list[Any] = field(default_factory=list)
    failures: list[BatchFailure] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failures


async def process_batch(
    items: Iterable[Any] | AsyncIterable[Any],
    fn: Callable[[Any], Any],
    *,
    batch_size: int = 100,
    max_concurrency: int = 4,
    timeout: float | None = 30.0,
    each: bool = False,
    on: On = None,
) -> BatchResult:
    """Cut `items` into batches of `batch_size`, hand each to `fn`, and give all results and all failures, in order.

    `fn` gets a list (with `each=True` one item, and one that fails leaves the others of its batch alone). What it
    returns goes to `successes`, flattened when a batch returns a list. `timeout`: seconds a batch.

    **Bounded**: `max_concurrency` batches run. **Fails**: never for what `fn` does: its batch (with `each` its item)
    is in `failures` with the error; an error of the input itself is raised. **Cancelled**: what runs is stopped and
    over, then the cancel goes on.

    >>> asyncio.run(process_batch(range(5), lambda batch: [n * n for n in batch], batch_size=2)).successes
    [0, 1, 4, 9, 16]
    """
    size = count("batch_size", batch_size)
    bound = count("max_concurrency", max_concurrency)
    limit = seconds_or_none("timeout", timeout)
    one_by_one = flag("each", each)
    check_call("fn", fn, (None,))
    check_items(items)
    spec = make_spec(
        items if one_by_one else _batches(items, size),
        fn,
        bound,
        limit,
        None,
        None,
        None,
        on,
        None,
        ordered=True,
    )
    result = BatchResult()
    outcomes: Stream[Any] = Stream(spec)
    async with outcomes:
        async for outcome in outcomes:
            _count(result, outcome, one_by_one)
    return result


def _count(result: BatchResult, outcome: Outcome[Any], each: bool) -> None:
    """Enter one ended call."""
    if isinstance(outcome, Failed):
        batch = [outcome.input] if each else outcome.input
        result.failures.append(BatchFailure(batch, outcome.error))
    elif isinstance(outcome.value, list) and not each:
        result.successes.extend(outcome.value)
    else:
        result.successes.append(outcome.value)


def _batches(
    items: Iterable[Any] | AsyncIterable[Any], size: int
) -> Iterable[list[Any]] | AsyncIterable[list[Any]]:
    """Cut lazily; a list is cut in place, other iterables where they are pulled."""
    if isinstance(items, AsyncIterable):
        return _async_batches(items, size)
    if isinstance(items, (list, tuple, range)):
        return [list(items[at : at + size]) for at in range(0, len(items), size)]
    return _plain_batches(items, size)


def _plain_batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


async def _async_batches(items: AsyncIterable[Any], size: int) -> AsyncIterator[list[Any]]:
    batch: list[Any] = []
    async for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
