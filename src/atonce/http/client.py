"""`Client`: what an HTTP library is to `fetch`, something that sends one message and gives the answer."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from atonce._model.errors import FetchError
from atonce.http.address import without_credentials
from atonce.http.body import BadCoding, TooLarge
from atonce.http.request import Hop
from atonce.http.response import Headers

REDIRECTS = frozenset({301, 302, 303, 307, 308})
BODYLESS = frozenset({204, 304})


class Answer(NamedTuple):
    """What came back for one message; the body of an answer that is only a redirect is not read."""

    status: int
    headers: Headers
    body: bytes


class Client(Protocol):
    """A port to one HTTP library."""

    #: How many messages it can have under way in all and to one host; None is no limit.
    limits: tuple[int | None, int | None]

    async def send(self, hop: Hop, seconds: float | None) -> Answer:
        """Send one message and read its answer within `seconds`; every failure is a `FetchError`."""
        ...


def is_followed(hop: Hop, status: int, headers: Mapping[str, str]) -> bool:
    """Whether an answer is a redirect that will be followed."""
    return status in REDIRECTS and hop.request.follow > 0 and bool(headers.get("Location"))


def coding(hop: Hop, status: int, headers: Mapping[str, str]) -> str | None:
    """The Content-Encoding of a body that is about to come; one whose announced length is over the bound is refused."""
    if hop.method == "HEAD" or status in BODYLESS:
        return None
    most = hop.request.max_bytes
    length = headers.get("Content-Length", "")
    if most is not None and length.isdigit() and int(length[:20]) > most:
        raise TooLarge(f"announced: {length[:20]} bytes")
    return headers.get("Content-Encoding")


def failure(hop: Hop, kind: str, text: str) -> FetchError:
    """The error of a message that has no acceptable answer."""
    url = without_credentials(hop.address.url)
    return FetchError(f"{hop.method} {url}: {text}", kind=kind, url=url)


def common_failure(hop: Hop, error: BaseException, seconds: float | None) -> FetchError | None:
    """The error for what means the same with every client, or None."""
    most = hop.request.max_bytes
    if isinstance(error, TooLarge):
        return failure(
            hop,
            "too_large",
            f"the body is larger than max_bytes={most} ({error}); stopped; raise max_bytes to take it",
        )
    if isinstance(error, BadCoding):
        return failure(hop, "protocol", str(error))
    if isinstance(error, TimeoutError) and seconds is not None:
        return timed_out(hop, seconds)
    return _untrusted(hop, error)


def _untrusted(hop: Hop, error: BaseException) -> FetchError | None:
    """The error for a TLS connection that did not come about; ssl's own error, the last of the chain, says why."""
    causes = [one for one in chain(error) if isinstance(one, ssl.SSLError)]
    if not causes:
        return None
    why = causes[-1]
    if isinstance(why, ssl.SSLCertVerificationError):
        return failure(hop, "tls", f"the certificate is refused ({why.verify_message}); nothing was sent")
    return failure(
        hop, "tls", f"no secure connection ({why.reason or why}); is it really https on this port?"
    )


def timed_out(hop: Hop, seconds: float) -> FetchError:
    """The error of a message that took longer than it had."""
    limit = hop.request.timeout
    if limit is not None and seconds >= limit * 0.999:
        told = f"timeout={limit:g} s; raise timeout= if the server is slow by nature"
    else:
        told = f"the {seconds:.3g} s that were left of its time"
    return failure(hop, "timeout", f"no whole answer in {told}")


def chain(error: BaseException | None) -> Iterable[BaseException]:
    """An error and what it came from, at most 8 of them."""
    for _ in range(8):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__
