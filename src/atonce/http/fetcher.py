"""`Fetcher`: one call's options bound to a client and its places; each URL goes through it as a `Job`."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace

from atonce._model.errors import FetchError, HttpStatusError
from atonce._model.options import Retry
from atonce._policy.backoff import again
from atonce._runtime.clock import clock_of
from atonce.http.address import BadAddress, address_of, redirected, without_credentials
from atonce.http.client import Answer, Client, failure, is_followed, timed_out
from atonce.http.gate import Gate
from atonce.http.quota import used_up
from atonce.http.request import Hop, Request, first_hop, next_hop
from atonce.http.response import Response, make_response
from atonce.http.retries import IDEMPOTENT, is_transient, retry_after
from atonce.http.robots import Robots
from atonce.http.status import phrase
from atonce.http.watch import Watch


class Job:
    """One URL and what its attempts have come to so far."""

    __slots__ = ("attempt", "began", "hop", "paused", "since", "until", "url")

    def __init__(self, url: object) -> None:
        self.url: object = url
        self.hop: Hop | None = None
        self.attempt: int = 0
        self.paused: float = 0.0
        #: When the first attempt was begun, for tenacity's stop objects.
        self.since: float | None = None
        #: When the running attempt got its first place.
        self.began: float | None = None
        #: When all time is up; known once the first attempt has its place.
        self.until: float | None = None

    def first_hop(self, request: Request) -> Hop:
        """The message that asks the URL; `FetchError` of kind "refused" when it may not be asked."""
        if self.hop is None:
            try:
                self.hop = first_hop(request, address_of(self.url))
            except BadAddress as error:
                url = without_credentials(self.url)
                raise FetchError(
                    f"{request.method} {url}: {error}; nothing was sent", kind="refused", url=url
                ) from None
        return self.hop


class Fetcher:
    """Makes the attempts of one call, each in places of `gate`, and says which failures are to be tried again.

    Among many fetches (`in_turn`) a request goes out one turn of the loop after it could: all answers of a turn are
    taken in first. Doing the same thing many times in a row keeps it in the processor's caches, which saves a tenth
    of the CPU time of a request where the turn costs a hundredth.
    """

    def __init__(
        self,
        request: Request,
        client: Client,
        gate: Gate,
        watch: Watch | None = None,
        *,
        in_turn: bool = False,
        robots: Robots | None = None,
    ) -> None:
        self.request = request
        self._robots = robots
        self._watch = watch
        self._in_turn = in_turn
        self._client = client
        self._gate = gate
        self._clock = clock_of(asyncio.get_running_loop())
        self._retry = request.retry
        if self._retry.retry_on is Exception:
            self._retry = replace(self._retry, retry_on=self._wanted)

    async def attempt(self, job: Job) -> Response:
        """Try once; a `FetchError` carries the seconds until it should be tried again."""
        job.attempt += 1
        job.began = None
        if job.since is None:
            job.since = self._clock()
        try:
            return await self._travel(job, job.first_hop(self.request))
        except FetchError as error:
            error.__dict__["again_in"] = self._again_in(job, error)
            raise

    async def _travel(self, job: Job, hop: Hop) -> Response:
        """Send the message and follow its redirects; the time in places counts, the wait for them does not."""
        request, gate, clock = self.request, self._gate, self._clock
        spent = 0.0
        for _ in range(request.follow + 1):
            place = hop.address.place
            pause = 0.0 if self._robots is None else await self._robots.delay(hop.address)
            waited = await gate.enter(place)
            if pause:
                gate.hold(place, pause)
            try:
                if self._in_turn and not waited:
                    await asyncio.sleep(0)
                began = clock()
                seconds = self._time_left(job, hop, spent, began)
                if self._watch is not None and seconds == self._watch.timeout:
                    answer = await self._watched(hop, self._watch, began)
                else:
                    answer = await self._client.send(hop, seconds)
            finally:
                gate.leave(place)
            spent += clock() - began
            wait = used_up(answer.headers, time.time())
            if wait is not None:
                gate.hold(place, wait)
            if not is_followed(hop, answer.status, answer.headers):
                return self._response(hop, answer, spent, job.attempt)
            hop = self._redirected(hop, answer)
        start = job.first_hop(request)
        raise failure(
            start,
            "redirect",
            f"more than follow={request.follow} redirects, the last to {hop.address.url[:200]}",
        )

    async def _watched(self, hop: Hop, watch: Watch, began: float) -> Answer:
        """Send a message whose time is kept by the watch that it shares with the others of its run."""
        task = asyncio.current_task()
        assert task is not None
        watch.start(task, began)
        try:
            answer = await self._client.send(hop, None)
        except BaseException as error:
            if watch.end(task):
                raise timed_out(hop, watch.timeout) from error
            raise
        if watch.end(task):
            raise timed_out(hop, watch.timeout)
        return answer

    def _time_left(self, job: Job, hop: Hop, spent: float, now: float) -> float | None:
        """Seconds for the next message, None without a limit."""
        request = self.request
        if job.began is None:
            job.began = now
            if job.until is None and request.deadline is not None:
                job.until = now + request.deadline
        timeout = request.timeout if self._watch is None else self._watch.timeout
        left = None if timeout is None else timeout - spent
        if job.until is not None:
            left = job.until - now if left is None else min(left, job.until - now)
        if left is not None and left <= 0.0:
            raise failure(
                hop, "timeout", f"no time was left after {job.attempt - 1} attempts and {spent:.3g} s"
            )
        return left

    def _response(self, hop: Hop, answer: Answer, spent: float, attempt: int) -> Response:
        url = hop.address.url
        response = make_response(answer.status, url, answer.headers, answer.body, spent, attempt)
        if answer.status in self.request.ok:
            return response
        text = f"{hop.method} {without_credentials(url)}: {phrase(answer.status)}; ok= says which statuses are good"
        raise HttpStatusError(text, status=answer.status, response=response, url=url)

    def _redirected(self, hop: Hop, answer: Answer) -> Hop:
        try:
            target = redirected(hop.address, answer.headers["location"])
        except BadAddress as error:
            raise failure(hop, "redirect", f"{answer.status} leads nowhere: {error}; not followed") from None
        return next_hop(hop, answer.status, target)

    def _again_in(self, job: Job, error: FetchError) -> float | None:
        """Seconds until the next attempt, None when there is none (or no time for it)."""
        now = self._clock()
        elapsed = 0.0 if job.since is None else now - job.since
        delay = again(self._retry, error, job.attempt, job.paused, random.random, elapsed)
        if delay is None or (job.until is not None and now + delay >= job.until):
            return None
        job.paused = delay
        return delay

    def _wanted(self, error: BaseException) -> bool | float:
        """The rule for a `Retry` that has none of its own; a number is the server's Retry-After."""
        if (
            not isinstance(error, FetchError)
            or self.request.method not in IDEMPOTENT
            or not is_transient(error)
        ):
            return False
        if not isinstance(error, HttpStatusError):
            return True
        asked = retry_after(error.response.headers.get("retry-after"), time.time())
        return True if asked is None else asked


def as_told(attempts: int) -> Retry:
    """The `Retry` for whoever makes the attempts of a `Fetcher`: it does what each error says."""
    return Retry(attempts=attempts, retry_on=_told)


def _told(error: BaseException) -> float | None:
    """How long the failed attempt said to wait."""
    delay: float | None = getattr(error, "again_in", None)
    return delay
