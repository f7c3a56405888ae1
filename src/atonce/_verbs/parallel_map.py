"""`parallel_map`: many items through one function, as a list of values, fail-fast."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Coroutine, Iterable
from typing import Any, TypeVar, Unpack, overload

from atonce._backends.choose import On
from atonce._model.checks import flag
from atonce._model.options import Rate, Retry
from atonce._verbs.stream import StreamIterator, StreamOptions
from atonce._verbs.stream_spec import Spec, make_spec

I = TypeVar("I")  # noqa: E741  # the item's type, as T is the result's
T = TypeVar("T")


@overload
async def parallel_map(
    items: Iterable[I] | AsyncIterable[I],
    fn: Callable[[I], Coroutine[Any, Any, T]],
    **options: Unpack[StreamOptions],
) -> list[T]: ...
@overload
async def parallel_map(
    items: Iterable[I] | AsyncIterable[I], fn: Callable[[I], T], **options: Unpack[StreamOptions]
) -> list[T]: ...
async def parallel_map(
    items: Iterable[Any] | AsyncIterable[Any],
    fn: Callable[[Any], Any],
    *,
    max_concurrency: int | None = None,
    ordered: bool = True,
    timeout: float | None = None,
    retry: Retry | int | None = None,
    rate: Rate | str | None = None,
    buffer: int | None = None,
    on: On = None,
    name: str | None = None,
) -> list[Any]:
    """Run `fn(item)` for every item, bounded, and give the values in input order (`ordered=False`: as they came).

    The options are those of `stream`, which is the one to take for outcomes, for input without an end, or to begin
    with the first result while the rest runs.

    **Bounded**: as `stream`; the list holds all values. **Fails**: the first failure stops the rest and is raised at
    once, whatever its index. **Cancelled**: every running item is stopped and over, then the cancel goes on.
    Elixir: `Task.async_stream |> Enum.map`.

    >>> async def double(n: int) -> int:
    ...     return 2 * n
    >>> asyncio.run(parallel_map([1, 2, 3], double))
    [2, 4, 6]
    """
    in_order = flag("ordered", ordered)
    spec = make_spec(items, fn, max_concurrency, timeout, retry, rate, buffer, on, name, ordered=False)
    return await map_spec(spec, in_order=in_order)


async def map_spec(spec: Spec, *, in_order: bool) -> list[Any]:
    """Run a stream to its end, and give the values; the first failure stops it and is raised."""
    outcomes: StreamIterator[Any] = StreamIterator(spec, "failfast")
    try:
        found = [outcome async for outcome in outcomes]
    finally:
        await outcomes.aclose()
    if in_order:
        found.sort(key=_index)
    return [outcome.value for outcome in found]


def _index(outcome: Any) -> Any:
    return outcome.index
