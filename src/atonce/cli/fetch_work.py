"""What `atonce fetch` does once its options are read; imported for a real run alone."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atonce._model.options import Rate, Retry
from atonce._verbs.stream import Stream
from atonce.cli import record
from atonce.cli.bodies import Bodies
from atonce.cli.descriptors import room_for
from atonce.cli.exits import Refusal
from atonce.cli.failure import described, host_of, not_json
from atonce.cli.inputs import Input
from atonce.cli.output import Output
from atonce.cli.progress import Progress, View
from atonce.cli.showing import choose
from atonce.cli.tally import Failure, Tally
from atonce.cli.terminal import Terminal
from atonce.cli.watch import Intake, Item, Watch
from atonce.cli.work import NextSteps, Plan, Work, perform
from atonce.http.many import fetch_stream
from atonce.http.response import Response

#: Seconds of the first pause between two attempts, and of the longest (a server's Retry-After may be longer).
BASE_DELAY = 0.5
MAX_DELAY = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchPlan:
    """The options of `atonce fetch`, as its command line reads them."""

    headers: tuple[tuple[str, str], ...]
    output: str | None
    overwrite: bool
    jobs: int
    per_host: int
    rate: Rate | None
    timeout: float | None
    retries: int
    deadline: float | None
    max_bytes: int
    ok: str
    body: str
    folder: Path | None
    keep_order: bool
    fail_fast: bool
    grace: float
    progress: str
    quiet: bool

    def spec(self) -> str:
        """The hash of what decides about the results."""
        names = sorted(name.lower() for name, _ in self.headers)
        return record.spec_of("fetch", method="GET", body=self.body, ok=self.ok, headers=names)

    def body_folder(self) -> Path | None:
        """Where the bodies go, None when they do not go into files."""
        if self.body != "file":
            if self.folder is not None:
                raise Refusal("--dir is where --body file puts bodies: add --body file")
            return None
        if self.folder is not None:
            return self.folder
        if self.output is None or self.output == "-":
            raise Refusal("--body file needs a place: add --dir FOLDER")
        return (
            Path(self.output).with_suffix("") if Path(self.output).suffix else Path(f"{self.output}.bodies")
        )


class FetchVerb:
    """What a fetch adds to the work."""

    def __init__(self, plan: FetchPlan, stream: Stream[Response], bodies: Bodies) -> None:
        self.stream: Stream[Any] = stream
        self._plan = plan
        self._bodies = bodies

    async def out(self, item: Item, value: Any) -> dict[str, Any]:
        """The `out` of an answer's record."""
        return await self._bodies.out(item, value)

    def failure(self, item: Item, error: BaseException) -> Failure:
        """Why a URL has no answer that can be recorded."""
        if isinstance(error, ValueError):
            return not_json(error, item.host)
        return described(error, item.host, self._plan.timeout, self._plan.max_bytes)


def run_fetch(plan: FetchPlan, source: Input, next_steps: NextSteps) -> int:
    """Fetch all that `source` has, and give the exit code."""
    terminal = Terminal.here()
    jobs = room_for(plan.jobs)
    tally = Tally()
    intake = Intake(source, host_of)
    watch = Watch("fetch", intake.taken, jobs, plan.per_host)
    view = View("fetch", tally, watch.busy, lambda: len(watch.slowed), plan.output)
    stream = _stream(plan, intake, jobs)
    folder = plan.body_folder()
    output = Output(plan.output, overwrite=plan.overwrite)
    progress = _progress(plan, view, terminal, output)
    if jobs < plan.jobs:
        progress.say(f"at most {jobs} requests at a time: the system allows no more open files (ulimit -n)")
    verb = FetchVerb(plan, stream, Bodies(plan.body, folder))
    work = Work(_plan(plan, source, output), verb, source, intake, watch, output, progress, tally)
    return perform(work, terminal, next_steps)


def _stream(plan: FetchPlan, intake: Intake, jobs: int) -> Stream[Response]:
    """The library's stream for a plan; what it refuses is a mistake on the command line."""
    try:
        return fetch_stream(
            intake,
            max_concurrency=jobs,
            per_host=plan.per_host,
            rate=plan.rate,
            ordered=plan.keep_order,
            headers=plan.headers,
            timeout=plan.timeout,
            retry=Retry(attempts=plan.retries + 1, base_delay=BASE_DELAY, max_delay=MAX_DELAY),
            max_bytes=plan.max_bytes,
            ok=plan.ok,
        )
    except (TypeError, ValueError) as error:
        raise Refusal(str(error)) from None


def _plan(plan: FetchPlan, source: Input, output: Output) -> Plan:
    head = None
    if output.name is not None:
        head = record.header(secrets.token_hex(4), "fetch", plan.spec(), source.path, time.time())
    return Plan(head, plan.grace, plan.deadline, plan.fail_fast, plan.quiet, plan.progress == "json")


def _progress(plan: FetchPlan, view: View, terminal: Terminal, output: Output) -> Progress:
    on_screen = output.name is None and output.is_tty
    return choose(plan.progress, view, terminal, quiet=plan.quiet, records_on_screen=on_screen)
