"""The Python program with the library that does what `atonce fetch` does (`--explain`)."""

from __future__ import annotations

from atonce.cli import explaining
from atonce.cli.exits import Refusal
from atonce.cli.fetch_work import FOLLOW, FetchPlan, column_of
from atonce.cli.rows.source import Source

_SHOWN = (
    "answer = outcome.value",
    'out = {"status": answer.status, "bytes": len(answer.body), "text": answer.text()}',
    'print(json.dumps({"in": outcome.input, "ok": True, "out": out}, ensure_ascii=False))',
)


def program(plan: FetchPlan, source: Source, jobs: int) -> str:
    """Its text, to save and run: it asks for the same URLs. Values of headers are left out: they may be secret."""
    shared = plan.shared
    if plan.url_template is not None or plan.robots or plan.body == "file":
        raise Refusal(
            "--explain shows fetch_stream, which has no --url-template, no --robots and no --body file: leave it out"
        )
    rows, needed = explaining.rows(shared, source)
    column = column_of(plan, source)
    urls = "rows()" if column is None else f"(row[{column!r}] for row in rows())"
    arguments = [urls, *explaining.options(shared, jobs), f"per_host={plan.per_host}"]
    arguments += [f"max_bytes={plan.max_bytes}", f"ok={plan.ok!r}"]
    if plan.sent.method != "GET":
        arguments.append(f"method={plan.sent.method!r}")
    if plan.sent.data is not None:
        arguments.append("data=...")
    if plan.follow != FOLLOW:
        arguments.append(f"follow={plan.follow}")
    if plan.insecure:
        arguments.append("verify=False")
    if plan.sent.headers:
        names = ", ".join(f'{name!r}: "..."' for name, _ in plan.sent.headers)
        arguments.append(f"headers={{{names}}}")
    return explaining.program(
        "fetch_stream", {"json", *needed}, [rows], arguments, _SHOWN, has_rate=shared.pace() is not None
    )
