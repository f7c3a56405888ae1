"""`fetch`: one URL, as a `Response`, with a limit on everything."""

from __future__ import annotations

from typing import Any

from atonce._model.options import Retry
from atonce._verbs.retry import retrying
from atonce.http.choose import adapted, check_client, gate_of
from atonce.http.fetcher import Fetcher, Job, as_told
from atonce.http.gate import Gate
from atonce.http.request import Data, HeaderFields, Request
from atonce.http.response import Response
from atonce.http.session import join
from atonce.http.status import Statuses

THRICE = Retry(attempts=3)


async def fetch(
    url: str,
    *,
    method: str = "GET",
    headers: HeaderFields | None = None,
    data: Data | None = None,
    json: Any = None,
    timeout: float | None = 5.0,
    deadline: float | None = None,
    retry: Retry | int | None = THRICE,
    max_bytes: int | None = 10_000_000,
    follow: int = 10,
    ok: Statuses = "2xx",
    verify: Any = True,
    client: Any = None,
) -> Response:
    """Ask one URL and give the whole answer; prefer `parallel_fetch` and `fetch_stream` for many.

    `data` is bytes, text or a dict of form fields, `json` any JSON value. `timeout` is seconds for each attempt, from
    the connection over headers and redirects to the last byte; `deadline` for all attempts and pauses. Waiting for a
    place (100 lone fetches run at a time on a loop) counts for neither. `max_bytes` bounds the body on the wire and,
    separately, decoded. `follow` is the most redirects (0: none); only http and https are followed, and what is or
    looks like a credential stays behind when scheme, host or port change. `ok` is the good statuses: "2xx",
    "2xx,404", [200, 404], "any". `verify` is True, False or an `ssl.SSLContext`. `client` is your own
    `aiohttp.ClientSession`, `httpx.AsyncClient` or `httpx2.AsyncClient`, which is used as it is and never closed.

    Retried are GET, HEAD, OPTIONS, PUT and DELETE, after connection errors, timeouts, a name server out of order and
    408 425 429 500 502 503 504; Retry-After (seconds or a date) is obeyed up to 60 s, and if it does not fit into the
    deadline the failure is final. A `retry_on` of your own replaces this rule, methods included.

    **Bounded**: in time, bytes, redirects, attempts, and header size (8 KB a field, 128 fields, by aiohttp).
    **Fails**: `HttpStatusError` with `.response` for a status outside `ok`, else `FetchError` whose `.kind` says where:
    connect, dns, tls, timeout, too_large, redirect, protocol, refused (a URL that may not be asked; nothing was sent).
    A bad option raises `TypeError` or `ValueError` before anything is sent. **Cancelled**: the connection is closed.
    **Costs**: fetches that overlap share one aiohttp session, which the last one closes; `fetch` after `fetch` opens a
    connection each (give `client=` to keep it). No cookies are kept and no .netrc is read; proxies are taken from
    http_proxy, https_proxy, all_proxy and no_proxy, never for loopback addresses.

    >>> async def main() -> int:
    ...     return (await fetch("https://example.com/")).status
    """
    request = Request.of(
        method=method,
        headers=headers,
        data=data,
        json=json,
        timeout=timeout,
        deadline=deadline,
        retry=retry,
        max_bytes=max_bytes,
        follow=follow,
        ok=ok,
        verify=verify,
    )
    check_client(client, verify)
    job = Job(url)
    job.first_hop(request)
    if client is not None:
        port = adapted(client)
        return await _attempts(Fetcher(request, port, gate_of(client, port) or Gate(None, None)), job)
    session = join()
    try:
        return await _attempts(Fetcher(request, session.client, session.gate), job)
    finally:
        await session.leave()


async def _attempts(fetcher: Fetcher, job: Job) -> Response:
    async def once(attempt: int) -> Response:
        return await fetcher.attempt(job)

    return await retrying(once, as_told(fetcher.request.retry.most), "fetch")
