"""What `atonce map` does once its options are read; imported for a real run alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, Final

from atonce._model.call import is_async
from atonce._model.options import Retry
from atonce._runtime.cpus import cpus
from atonce._verbs.stream import Stream, stream
from atonce.cli.exits import Refusal
from atonce.cli.following import Following
from atonce.cli.jobs import Jobs
from atonce.cli.journal.spec import Spec, spec_of
from atonce.cli.map import explain
from atonce.cli.map.answers import MapAnswers, bare_line, why_failed
from atonce.cli.map.batch import Order
from atonce.cli.map.batches import ENDLESS, SLICE, Batches
from atonce.cli.map.board import Board
from atonce.cli.map.job import Job, caller
from atonce.cli.map.target import NoTarget, Target, check_call
from atonce.cli.rows.source import Source
from atonce.cli.running import Run, shown_json
from atonce.cli.settings.taking import was_set
from atonce.cli.shared import Shared
from atonce.cli.work.units import Units, record_line
from atonce.cli.work.watch import Intake, Watch
from atonce.cli.work.width import width_of

#: The most that there are where the number changes by itself or by a file: workers for each CPU, coroutines, threads.
MOST_PROCESSES: Final = 4
MOST_ON_LOOP: Final = 1_000
MOST_THREADS: Final = 256
#: How many coroutines run at a time where nobody says.
ON_LOOP: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class MapPlan:
    """The options of `atonce map`, as its command line reads them."""

    shared: Shared
    name: str
    is_expression: bool
    arg: str | None
    kwargs: bool
    into: str | None
    merge: bool
    fields: str | None
    batch: int
    init: str | None
    executor: str
    explain: bool

    def spec(self) -> Spec:
        """What decides about the results."""
        first = ["-e", self.name] if self.is_expression else [self.name]
        shaping = {
            "--arg": self.arg,
            "--kwargs": self.kwargs,
            "--into": self.into,
            "--merge": self.merge,
            "--fields": self.fields,
            "--batch": None if self.batch == 1 else self.batch,
            "--key": self.shared.key,
        }
        return spec_of("map", first, shaping)

    def job(self) -> Job:
        """The same as it travels to workers."""
        if self.into is not None and self.merge:
            raise Refusal("--into and --merge both say where the result goes: give one of them")
        if self.arg is not None and self.kwargs:
            raise Refusal("--arg and --kwargs both say what is passed: give one of them")
        output = self.shared.output
        fields = None if self.fields is None else tuple(part.strip() for part in self.fields.split(","))
        return Job(
            target=Target(self.name, self.is_expression),
            arg=self.arg,
            kwargs=self.kwargs,
            into=self.into,
            merge=self.merge,
            fields=fields,
            records=output is not None and output != "-",
            init=None if self.init is None else Target(self.init),
        )


def run_map(plan: MapPlan, source: Source, following: Following) -> int:
    """Map all that `source` has, and give the exit code."""
    shared = plan.shared
    job = plan.job()
    function = checked(plan, job, source)
    executor = executor_for(plan, function)
    jobs = shared.jobs or Jobs(ON_LOOP if executor == "async" else cpus())
    if plan.explain:
        print(explain.program(job, shared, source, executor, jobs.count))
        return 0
    whole = job.makes_rows or job.fields is not None
    run = Run(shared, source, plan.spec(), batch=plan.batch, whole_rows=whole)
    if shared.dry_run:
        return run.dry(shown_json)
    if executor == "process":
        return _in_batches(plan, job, run, jobs, following)
    return _one_by_one(plan, job, function, run, executor, jobs, following)


def checked(plan: MapPlan, job: Job, source: Source) -> Callable[..., Any]:
    """Find the function, and see that it can be called with what the input has."""
    columns = source.columns()
    for name in [job.arg, *(job.fields or ()), plan.shared.key]:
        if name is not None and columns is not None and name not in columns:
            raise Refusal(f"{source.path} has no column {name!r}: it has {', '.join(columns)}")
        if name is not None and not source.has_columns:
            raise Refusal(f"lines have no column {name!r}: --input-format says what the input is")
    try:
        if job.init is not None:
            job.init.load()
        function = job.target.load()
        if not job.target.expression:
            names = columns or [] if job.kwargs else []
            if not job.kwargs or names:
                check_call(job.target, function, () if job.kwargs else (None,), names)
    except NoTarget as error:
        raise Refusal(str(error)) from None
    return function


def executor_for(plan: MapPlan, function: Callable[..., Any]) -> str:
    """Where it runs; a setting holds for the functions that it fits."""
    coroutine = is_async(function)
    executor = plan.executor
    fits = (executor == "async") is coroutine
    if executor == "auto" or (not fits and was_set("executor")):
        return "async" if coroutine else "process"
    if executor == "async" and not fits:
        raise Refusal(f"{plan.name} is no async def: --executor process or thread runs it")
    if not fits:
        raise Refusal(f"{plan.name} is an async def: it runs on the event loop, leave out --executor")
    if inspect.isasyncgenfunction(function):
        raise Refusal(f"{plan.name} is an async generator: give a function that returns its result")
    return executor


def _retry(shared: Shared) -> Retry:
    again = shared.retry_on

    def is_wanted(error: BaseException) -> bool:
        assert again is not None
        return again.wants(why_failed(error, shared.fixed_timeout), error)

    return shared.retry(None if again is None else is_wanted)


def _in_batches(plan: MapPlan, job: Job, run: Run, wanted: Jobs, following: Following) -> int:
    shared = plan.shared
    width = width_of(wanted, MOST_PROCESSES * cpus())
    jobs = wanted.count if width is None else width.most
    halt = shared.halting()
    board = Board(8 * jobs + 16)
    until = None if halt is None else halt.why
    job = replace(job, origin=perf_counter())
    order = Order(job, SLICE, until, shared.retries + 1, shared.retry_on, board.path, board.slots)
    with closing(board):
        verb = Batches(
            run.blocks(),
            order,
            board,
            jobs=jobs,
            keep_order=run.keeps_order,
            timeout=shared.fixed_timeout,
            retry=_retry(shared),
            rate=shared.pace(),
            close=run.source.want_no_more,
            width=width,
            has_share=shared.share is not None,
        )
        progress = run.progress(run.view(verb.busy))
        return run.perform(verb, progress, following, width=width, share=shared.share)


def _begin(init: Target) -> None:
    """Call what is to be called before all else, where that is this process."""
    try:
        init.load()()
    except Exception as error:
        raise Refusal(f"--init {init.name} failed: {type(error).__name__}: {error}") from None


def _one_by_one(
    plan: MapPlan,
    job: Job,
    function: Callable[..., Any],
    run: Run,
    executor: str,
    wanted: Jobs,
    following: Following,
) -> int:
    shared = plan.shared
    width = width_of(wanted, MOST_ON_LOOP if executor == "async" else MOST_THREADS)
    jobs = 1 if executor == "inline" else wanted.count if width is None else width.most
    if job.init is not None:
        _begin(job.init)
    intake = Intake(
        run.blocks(), with_place=job.target.takes_pairs, width=width, is_wanted=run.source.is_wanted
    )
    share = shared.share
    verb: Stream[Any] = stream(
        intake,
        caller(job, function),
        max_concurrency=jobs,
        ordered=run.keeps_order,
        timeout=shared.timeout if share is None else ENDLESS,
        retry=_retry(shared) if shared.retries else None,
        rate=shared.pace(),
        on=None if executor == "async" else "thread",
        name="map",
    )
    watch = Watch("map", intake.taken, jobs, None)
    units = Units(
        verb, MapAnswers(job, shared.fixed_timeout), intake, watch, record_line if job.records else bare_line
    )
    progress = run.progress(run.view(watch.busy))
    return run.perform(units, progress, following, width=width, share=share)
