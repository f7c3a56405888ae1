"""`fetch_stream` and `parallel_fetch`: many URLs, bounded in all and for each host, as outcomes."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, Unpack

from atonce._model.checks import count, count_or_none, flag, shown
from atonce._model.options import Rate
from atonce._model.outcome import Outcome
from atonce._verbs.stream import Stream, StreamIterator
from atonce._verbs.stream_spec import Spec, make_spec
from atonce.http.choose import check_client
from atonce.http.fetch import THRICE
from atonce.http.fetcher import as_told
from atonce.http.lanes import FetchBackend, Limits
from atonce.http.request import FetchOptions, Request
from atonce.http.response import Response

Urls = Iterable[str] | AsyncIterable[str]


def fetch_stream(
    urls: Urls,
    *,
    max_concurrency: int = 50,
    per_host: int | None = 6,
    rate: Rate | str | None = None,
    ordered: bool = True,
    **options: Unpack[FetchOptions],
) -> Stream[Response]:
    """Ask many URLs and give an outcome for each, `Ok(Response)` or `Failed(error)`, as they come.

    Prefer `parallel_fetch` for a list of them all at once. `options` are those of `fetch`, the same for every URL.
    `urls` is any iterable or async iterable, pulled lazily.

    **Bounded**: `max_concurrency` requests run, at most `per_host` of them to the same host and port (a redirect
    counts where it leads); URLs of other hosts overtake those that wait for a busy one, as far as twice
    `max_concurrency` URLs are looked ahead. `rate` ("10/s") spaces all requests, retries and redirects too. Waiting
    for a place or for the rate counts neither against `timeout` nor against `deadline`; an item that rests between
    attempts takes no place. A host whose RateLimit headers say that nothing is left is asked nothing before its
    reset, 60 s at most. **Fails**: a URL that fails, a bad URL too, is its own `Failed`; a bad option raises here.
    **Cancelled**: as `stream`; every running request is stopped and its connection closed.
    **Costs**: one aiohttp session for each run, closed with it.

    >>> async def main(urls: list[str]) -> None:
    ...     async for outcome in fetch_stream(urls, per_host=2, rate="20/s"):
    ...         print(outcome.input, outcome.ok)
    """
    in_order = flag("ordered", ordered)
    return Stream(_spec(urls, max_concurrency, per_host, rate, options, ordered=in_order))


async def parallel_fetch(
    urls: Urls,
    *,
    max_concurrency: int = 50,
    per_host: int | None = 6,
    rate: Rate | str | None = None,
    ordered: bool = True,
    **options: Unpack[FetchOptions],
) -> list[Outcome[Response]]:
    """Ask many URLs and give the outcomes of all, in the order of `urls` (`ordered=False`: as they came).

    `fetch_stream` explains the options, and is the one to take to begin with the first answer while others run.

    **Bounded**, **Fails**, **Costs**: as `fetch_stream`; the list holds all bodies. **Cancelled**: every request is
    stopped and over, then the cancel goes on.

    >>> async def main() -> list[int]:
    ...     outcomes = await parallel_fetch(["https://example.com/", "https://example.org/"], timeout=2.0)
    ...     return [outcome.value.status for outcome in outcomes if outcome.ok]
    """
    in_order = flag("ordered", ordered)
    spec = _spec(urls, max_concurrency, per_host, rate, options, ordered=False)
    iterator: StreamIterator[Outcome[Response]] = StreamIterator(spec, "all")
    try:
        found = [outcome async for outcome in iterator]
    finally:
        await iterator.aclose()
    if in_order:
        found.sort(key=_index)
    return found


def _index(outcome: Outcome[Response]) -> int:
    return outcome.index or 0


def _spec(
    urls: Any,
    max_concurrency: int,
    per_host: int | None,
    rate: Rate | str | None,
    options: FetchOptions,
    *,
    ordered: bool,
) -> Spec:
    """Check all options, and make the stream's description from them."""
    if isinstance(urls, (str, bytes)):
        raise TypeError(
            f"urls is a list (or another iterable) of URLs, e.g. [{shown(urls)}]; got one URL: use fetch for it"
        )
    bound = count("max_concurrency", max_concurrency)
    limit = count_or_none("per_host", per_host)
    pace = Rate.of(rate)
    given: dict[str, Any] = {"retry": THRICE, **options}
    client = given.pop("client", None)
    _check_names(given)
    request = Request.of(**given)
    check_client(client, request.verify)
    spare = bound if limit is not None and limit < bound else 0
    room = max(2 * bound, 16) - spare
    spec = make_spec(urls, _ask, bound + spare, None, None, None, room, None, "fetch", ordered=ordered)
    attempts = request.retry.most
    backend = FetchBackend(spec.backend, request, client, Limits(bound, limit, pace))
    return replace(spec, backend=backend, retry=as_told(attempts) if attempts > 1 else None)


def _check_names(options: dict[str, Any]) -> None:
    """A misspelt option fails as it would in any call, with the name that was meant."""
    for name in options.keys() - FetchOptions.__annotations__.keys():
        near = get_close_matches(name, FetchOptions.__annotations__, n=1)
        hint = f"; did you mean {near[0]}=?" if near else ""
        raise TypeError(f"fetch has no option {name}={hint}")


async def _ask(url: str) -> Response:
    """Stands for what a stream of fetches runs for each URL; each run puts its own `Fetcher` in its place."""
    raise NotImplementedError(url)
