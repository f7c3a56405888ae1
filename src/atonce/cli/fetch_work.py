"""What `atonce fetch` does once its options are read; imported for a real run alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from atonce._runtime.terminal import without_credentials
from atonce._verbs.stream import Stream
from atonce.cli.bodies import Bodies
from atonce.cli.descriptors import room_for
from atonce.cli.exits import Refusal
from atonce.cli.failure import described, host_of, not_json
from atonce.cli.following import Following
from atonce.cli.journal.spec import Spec, spec_of
from atonce.cli.rows.keys import canonical
from atonce.cli.rows.source import Source
from atonce.cli.running import Run
from atonce.cli.sending import Sent
from atonce.cli.shared import Shared
from atonce.cli.tally import Failure
from atonce.cli.work.units import Units
from atonce.cli.work.watch import Intake, Item, Watch
from atonce.cli.work.width import width_of
from atonce.http.lanes import FetchBackend
from atonce.http.many import fetch_stream
from atonce.http.response import Response

#: The most requests where the number changes by itself or by a file.
MOST_REQUESTS: Final = 1_000
#: Seconds that a request may take while the median is not known yet.
UNKNOWN: Final = 30.0
#: Redirects that are followed where nobody says how many.
FOLLOW: Final = 10
#: Columns that have the URL where nobody says which does.
URL_NAMES: Final = ("url", "link", "href")
_FIELD: Final = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchPlan:
    """The options of `atonce fetch`, as its command line reads them."""

    shared: Shared
    sent: Sent
    follow: int
    insecure: bool
    url_column: str | None
    url_template: str | None
    per_host: int
    max_bytes: int
    ok: str
    body: str
    folder: Path | None
    robots: bool
    explain: bool

    def robot(self) -> str | None:
        """The name under which robots.txt is obeyed: what the User-Agent begins with."""
        if not self.robots:
            return None
        if find_spec("protego") is None:
            raise Refusal("--robots needs a package: pip install 'atonce[robots]'")
        given = next((value for name, value in self.sent.headers if name.lower() == "user-agent"), "")
        return re.split(r"[/\s]", given, maxsplit=1)[0] or "atonce"

    def spec(self) -> Spec:
        """What decides about the results."""
        names = sorted(name.lower() for name, _ in self.sent.headers)
        shaping = {
            "--body": self.body,
            "--ok": self.ok,
            "-H": names,
            "--key": self.shared.key,
            "--url-column": self.url_column,
            "--url-template": self.url_template,
            "--follow": None if self.follow == FOLLOW else self.follow,
            **self.sent.shape(),
        }
        return spec_of("fetch", (), shaping)

    def body_folder(self) -> Path | None:
        """Where the bodies go, None when they do not go into files."""
        if self.body != "file":
            if self.folder is not None:
                raise Refusal("--dir is where --body file puts bodies: add --body file")
            return None
        if self.folder is not None:
            return self.folder
        if self.shared.output is None or self.shared.output == "-":
            raise Refusal("--body file needs a place: add --dir FOLDER")
        output = Path(self.shared.output)
        return output.with_suffix("") if output.suffix else Path(f"{output}.bodies")


class FetchAnswers:
    """How answers are recorded."""

    def __init__(self, plan: FetchPlan, bodies: Bodies) -> None:
        self._plan = plan
        self._bodies = bodies

    async def out(self, item: Item, value: Any) -> dict[str, Any]:
        """The `out` of an answer's record."""
        return await self._bodies.out(item, value)

    def failure(self, item: Item, error: BaseException) -> Failure:
        """Why a URL has no answer that can be recorded."""
        if isinstance(error, ValueError):
            return not_json(error, item.host)
        return described(error, item.host, self._plan.shared.fixed_timeout, self._plan.max_bytes)


def run_fetch(plan: FetchPlan, source: Source, following: Following) -> int:
    """Fetch all that `source` has, and give the exit code."""
    shared = plan.shared
    url_of = url_reader(plan, source)
    run = Run(shared, source, plan.spec(), has_keys=True, identity=_shown_text)
    if shared.dry_run:
        return run.dry(lambda row: without_credentials(url_of(row)))
    assert shared.jobs is not None
    width = width_of(shared.jobs, room_for(MOST_REQUESTS))
    jobs = room_for(shared.jobs.count) if width is None else width.most
    folder = plan.body_folder()
    robot = plan.robot()
    _ = _stream(plan, (), jobs)  # what it refuses is refused before the output is there
    intake = Intake(
        run.blocks(),
        argument=url_of,
        shown=_shown,
        host_of=lambda row: host_of(url_of(row)),
        width=width,
        is_wanted=source.is_wanted,
    )
    watch = Watch("fetch", intake.taken, jobs, plan.per_host)
    progress = run.progress(run.view(watch.busy, lambda: len(watch.slowed)))
    if jobs < shared.jobs.count:
        progress.say(f"at most {jobs} requests at a time: the system allows no more open files (ulimit -n)")
    answers = FetchAnswers(plan, Bodies(plan.body, folder))
    stream = _stream(plan, intake, jobs, in_order=run.keeps_order)
    backend = stream.spec.backend
    assert isinstance(backend, FetchBackend)
    backend.robot = robot
    verb = Units(stream, answers, intake, watch)
    return run.perform(verb, progress, following, width=width, share=shared.share, limit=backend.limit)


def url_reader(plan: FetchPlan, source: Source) -> Callable[[Any], str]:
    """How a row gives its URL."""
    if plan.url_template is not None:
        template = plan.url_template
        return lambda row: _filled(template, row)
    column = column_of(plan, source)
    return str if column is None else lambda row: _of_column(row, column)


def column_of(plan: FetchPlan, source: Source) -> str | None:
    """The column that has the URL; None where rows are URLs."""
    if plan.url_column is not None or not source.has_columns:
        return plan.url_column
    names = [name for name in source.columns() or () if name.lower() in URL_NAMES]
    if len(names) > 1:
        raise Refusal(f"which column has the URL, {' or '.join(names)}? Say it with --url-column")
    return names[0] if names else "url"


def _of_column(row: Any, column: str) -> str:
    if isinstance(row, str):
        return row
    try:
        return str(row[column])
    except (KeyError, TypeError, IndexError):
        raise Refusal(
            f"there is a row without the column {column!r}: --url-column says which has the URL"
        ) from None


def _filled(template: str, row: Any) -> str:
    """Put the values of a row, or a line, where the template has its names (or {})."""

    def value(match: re.Match[str]) -> str:
        return quote(_of_column(row, match[1]), safe="")

    if isinstance(row, str):
        return template.replace("{}", quote(row, safe=""))
    return _FIELD.sub(value, template)


def _shown(row: Any) -> Any:
    return without_credentials(row) if isinstance(row, str) else row


def _shown_text(row: Any) -> str:
    return canonical(_shown(row))


def _stream(plan: FetchPlan, urls: Any, jobs: int, *, in_order: bool = False) -> Stream[Response]:
    """The library's stream for a plan; what it refuses is a mistake on the command line."""
    shared = plan.shared
    again = shared.retry_on

    def is_wanted(error: BaseException) -> bool:
        assert again is not None
        return again.wants(described(error, None, None, plan.max_bytes), error)

    try:
        return fetch_stream(
            urls,
            max_concurrency=jobs,
            per_host=plan.per_host,
            rate=shared.pace(),
            ordered=in_order,
            method=plan.sent.method,
            headers=plan.sent.headers,
            data=plan.sent.data,
            follow=plan.follow,
            verify=not plan.insecure,
            timeout=UNKNOWN if shared.share is not None else shared.fixed_timeout,
            retry=shared.retry(None if again is None else is_wanted),
            max_bytes=plan.max_bytes,
            ok=plan.ok,
        )
    except (TypeError, ValueError) as error:
        raise Refusal(str(error)) from None
