"""`atonce map` run in this process: functions, rows, results, outputs, resume, halting, refusals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.command import Run, environment, items, records

GEO = '''
import asyncio, os, time

def double(x):
    return 2 * int(x)

def locate(city):
    return {"lat": len(city), "lon": -1}

def with_names(name, size):
    return f"{name}:{size}"

async def slowly(x):
    await asyncio.sleep(0.01)
    return int(x) + 1

def flaky(x):
    """Fails the first time that it sees an item."""
    if os.path.exists(f"seen-{x}"):
        return x
    open(f"seen-{x}", "w").close()
    raise ConnectionError("not yet")

def strange(x):
    return {1, 2}

READY = []

def prepare():
    READY.append("model")

def uses(x):
    return READY + [x]
'''
CITIES = "name,size\nParis,2\nRome,3\nOslo,1\n"


@pytest.fixture(autouse=True)
def folder(run: Run) -> None:
    Path("geo.py").write_text(GEO)
    Path("numbers.txt").write_text("".join(f"{n}\n" for n in range(50)))
    Path("cities.csv").write_text(CITIES)


# -- functions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("func", ["geo.py:double", "geo:double", "./geo.py:double"])
def test_a_function_is_named_by_its_module_or_its_file(run: Run, func: str) -> None:
    ran = run("map", func, "numbers.txt", "-k")
    assert (ran.code, ran.lines) == (0, [str(2 * n) for n in range(50)])


@pytest.mark.parametrize("executor", ["process", "thread", "inline"])
def test_every_executor_gives_the_same(run: Run, executor: str) -> None:
    ran = run("map", "geo:double", "numbers.txt", "--executor", executor, "-q")
    assert (ran.code, sorted(ran.lines, key=int), ran.err) == (0, [str(2 * n) for n in range(50)], "")


def test_an_async_def_runs_on_the_loop_fifty_at_a_time(run: Run) -> None:
    ran = run("map", "geo:slowly", "numbers.txt", "-k")
    assert (ran.code, ran.lines) == (0, [str(n + 1) for n in range(50)])


@pytest.mark.parametrize("more", [[], ["--executor", "thread"]])
def test_an_expression_has_the_item_its_place_and_modules(run: Run, more: list[str]) -> None:
    ran = run("map", "-e", "math.floor(float(x)) + i", "-k", *more, ":::", "1.5", "2.5", "9")
    assert ran.lines == ["1", "3", "11"]


def test_results_are_strings_as_they_are_and_json_else(run: Run) -> None:
    ran = run("map", "-e", "[None, 'a b', x][int(x)] if x < '3' else {'x': [x, 1.5]}", "-k", ":::", *"0123")
    assert ran.lines == ["null", "a b", "2", '{"x":["3",1.5]}']


def test_init_is_called_once_in_each_worker(run: Run) -> None:
    for executor in ("process", "thread"):
        Path("geo.py").write_text(GEO)
        ran = run(
            "map", "geo:uses", "--init", "geo:prepare", "-j", "1", "--executor", executor, ":::", *"abcdef"
        )
        assert {json.loads(line)[0] for line in ran.lines} == {"model"}
    assert ran.code == 0


def test_an_init_that_fails_is_said_and_ends_the_run(run: Run) -> None:
    Path("bad.py").write_text("import os\nPID = os.getpid()\ndef start():\n    raise OSError('no model')\n")
    ran = run("map", "-e", "x", "--init", "bad:start", ":::", "1")
    assert ran.code == 2
    assert "no worker can begin: OSError: no model" in ran.err
    ran = run("map", "-e", "x", "--init", "bad:start", "--executor", "thread", ":::", "1")
    assert (ran.code, "--init bad:start failed: OSError: no model" in ran.err) == (2, True)


# -- rows ---------------------------------------------------------------------------------------------------------


def test_a_row_is_a_dictionary_a_value_or_keywords(run: Run) -> None:
    assert run("map", "-e", "x['name'] + x['size']", "cities.csv", "-k").lines == ["Paris2", "Rome3", "Oslo1"]
    assert run("map", "-e", "x", "cities.csv", "--arg", "name", "-k").lines == ["Paris", "Rome", "Oslo"]
    assert run("map", "geo:with_names", "cities.csv", "--kwargs", "-k").lines == [
        "Paris:2",
        "Rome:3",
        "Oslo:1",
    ]


def test_into_merge_and_fields_keep_the_row(run: Run) -> None:
    ran = run("map", "geo:locate", "cities.csv", "--arg", "name", "--into", "at", "-k", "--fields", "name")
    assert json.loads(ran.lines[0]) == {"name": "Paris", "at": {"lat": 5, "lon": -1}}
    ran = run("map", "geo:locate", "cities.csv", "--arg", "name", "--merge", "-k")
    assert json.loads(ran.lines[1]) == {"name": "Rome", "size": "3", "lat": 4, "lon": -1}


def test_batches_are_lists(run: Run) -> None:
    ran = run("map", "-e", "len(x)", "numbers.txt", "-n", "20", "-k")
    assert ran.lines == ["20", "20", "10"]


def test_a_table_comes_out_as_a_table_in_its_order(run: Run) -> None:
    for name in ("out.csv", "out.tsv"):
        assert run("map", "-e", "int(x['size']) * 2", "cities.csv", "--into", "twice", "-o", name).code == 0
    assert Path("out.csv").read_text() == "name,size,twice\nParis,2,4\nRome,3,6\nOslo,1,2\n"
    assert Path("out.tsv").read_text().splitlines()[1] == "Paris\t2\t4"
    run("map", "-e", "x['name']", "cities.csv", "-o", "out.txt")
    assert Path("out.txt").read_text() == "Paris\nRome\nOslo\n"


def test_parquet_keeps_the_types_of_its_columns(run: Run) -> None:
    schema = pa.schema([("n", pa.int16()), ("day", pa.date32()), ("t", pa.string())])
    rows = [{"n": 1, "day": 1, "t": "x"}, {"n": None, "day": 2, "t": None}]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), "in.parquet")
    ran = run("map", "-e", "(x['n'] or 0) + 0.5", "in.parquet", "--into", "half", "-o", "out.parquet")
    assert ran.code == 0
    found = pq.read_table("out.parquet")
    assert found.schema.field("n").type == pa.int16()
    assert found.schema.field("day").type == pa.date32()
    assert found.column("half").to_pylist() == [1.5, 0.5]


def test_a_row_without_a_result_stays_in_its_table_and_says_why(run: Run) -> None:
    ran = run("map", "-e", "1 // (int(x) - 2)", "cities.csv", "--arg", "size", "--into", "y", "-o", "out.csv")
    assert ran.code == 1
    assert Path("out.csv").read_text().splitlines()[1].startswith("Paris,2,,ZeroDivisionError: ")


# -- failures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", ["process", "thread"])
def test_a_failure_is_a_record_with_its_place_and_no_line_on_stdout(run: Run, executor: str) -> None:
    Path("numbers.txt").write_text("1\nx\n3\n")
    args = ["map", "geo:double", "numbers.txt", "--executor", executor]
    ran = run(*args)
    assert (ran.code, sorted(ran.lines)) == (1, ["2", "6"])
    assert "1  ValueError   e.g. x" in ran.err
    run(*args, "-o", "out.jsonl")
    [bad] = [row for row in items(Path("out.jsonl")) if not row["ok"]]
    assert (bad["in"], bad["err"]["kind"], bad["err"]["type"]) == ("x", "exception", "ValueError")
    assert bad["err"]["at"] == "geo.py:5"


@pytest.mark.parametrize("executor", ["process", "thread"])
def test_a_result_that_json_cannot_say_is_a_failure(run: Run, executor: str) -> None:
    ran = run("map", "geo:strange", "--executor", executor, "-o", "out.jsonl", ":::", "a")
    assert ran.code == 1
    assert "a result of type set cannot be written as JSON" in ran.err


@pytest.mark.parametrize("more", [[], ["--executor", "thread"]])
def test_a_retry_may_save_an_item(run: Run, more: list[str]) -> None:
    args = ["--retries", "2", "--retry-delay", "1ms", "-o", "out.jsonl", *more]
    ran = run("map", "geo:flaky", *args, ":::", "a", "b", "c")
    assert ran.code == 0
    assert [row["try"] for row in items(Path("out.jsonl"))] == [2, 2, 2]
    assert "retries: 3 spent, 3 items saved" in ran.err


def test_retried_items_keep_their_place_in_the_order(run: Run) -> None:
    Path("numbers.txt").write_text("".join(f"{n}\n" for n in range(300)))
    Path("odd.py").write_text(
        "import os\ndef f(x):\n    if int(x) % 50 == 7 and not os.path.exists('s' + x):\n"
        "        open('s' + x, 'w').close()\n        raise OSError('again')\n    return x\n"
    )
    ran = run("map", "odd:f", "numbers.txt", "-k", "--retries", "1", "--retry-delay", "1ms")
    assert (ran.code, ran.lines) == (0, [str(n) for n in range(300)])


def test_an_endless_loop_ends_at_its_timeout_and_costs_no_other_item(run: Run) -> None:
    Path("loop.py").write_text("def f(x):\n    while x == '77':\n        pass\n    return x\n")
    Path("numbers.txt").write_text("".join(f"{n}\n" for n in range(300)))
    ran = run("map", "loop:f", "numbers.txt", "--timeout", "300ms", "-o", "out.jsonl")
    rows = items(Path("out.jsonl"))
    assert ran.code == 1
    assert sorted(row["i"] for row in rows) == list(range(300))
    assert [(row["in"], row["err"]["kind"]) for row in rows if not row["ok"]] == [("77", "timeout")]


def test_a_worker_that_dies_costs_the_item_that_it_was_on(run: Run) -> None:
    Path("die.py").write_text("import os\ndef f(x):\n    if x == '77':\n        os._exit(3)\n    return x\n")
    Path("numbers.txt").write_text("".join(f"{n}\n" for n in range(300)))
    ran = run("map", "die:f", "numbers.txt", "-k", "-o", "out.jsonl")
    rows = items(Path("out.jsonl"))
    assert ran.code == 1
    assert [row["i"] for row in rows] == list(range(300))
    assert [(row["in"], row["err"]["kind"]) for row in rows if not row["ok"]] == [("77", "lost")]


def test_an_async_item_that_is_too_slow_is_cut(run: Run) -> None:
    Path("slow.py").write_text(
        "import asyncio\nasync def f(x):\n    await asyncio.sleep(float(x))\n    return x\n"
    )
    ran = run("map", "slow:f", "--timeout", "100ms", "-o", "out.jsonl", ":::", "0", "9")
    assert ran.code == 1
    assert {row["in"]: row["ok"] for row in items(Path("out.jsonl"))} == {"0": True, "9": False}


# -- resume -------------------------------------------------------------------------------------------------------


def test_resume_does_the_rest_of_an_input_that_was_edited_and_shuffled(run: Run) -> None:
    Path("a.txt").write_text("1\n2\n3\nx\n2\n")
    args = ["map", "geo:double", "-i", "a.txt", "-o", "out.jsonl"]
    assert run(*args).code == 1
    assert run(*args).code == 2
    Path("a.txt").write_text("9\nx\n2\n3\n2\n2\n")
    ran = run(*args, "--resume")
    assert ran.code == 1
    assert "resuming out.jsonl: 4 done, 1 failed (kept; --retry-failed runs them too)" in ran.err
    assert [row["in"] for row in items(Path("out.jsonl"))[5:]] in (["9", "2"], ["2", "9"])
    Path("geo.py").write_text(GEO.replace("2 * int(x)", "2 * int(x.replace('x', '0'))"))
    assert run(*args, "--retry-failed").code == 0
    last = items(Path("out.jsonl"))[-1]
    assert (last["in"], last["out"]) == ("x", 0)


def test_a_key_column_tells_rows_apart(run: Run) -> None:
    args = ["map", "-e", "x['size']", "cities.csv", "--key", "name", "-o", "out.jsonl"]
    run(*args)
    Path("cities.csv").write_text(CITIES.replace("Rome,3", "Rome,4").replace("Oslo", "Bonn"))
    run(*args, "--resume")
    assert [row["in"]["name"] for row in items(Path("out.jsonl"))[3:]] == ["Bonn"]


def test_a_changed_command_is_refused_with_the_difference(run: Run) -> None:
    run("map", "-e", "x", "numbers.txt", "-o", "out.jsonl")
    ran = run("map", "-e", "x + x", "numbers.txt", "-o", "out.jsonl", "--resume")
    assert ran.code == 2
    assert "    - map -e x\n    + map -e x + x\n" in ran.err
    assert run("map", "-e", "x + x", "numbers.txt", "-o", "out.jsonl", "--resume-anyway").code == 0
    assert run("map", "-e", "x", "numbers.txt", "-o", "out.jsonl", "-j", "3", "--resume-anyway").code == 0


def test_a_table_is_gone_on_with(run: Run) -> None:
    args = ["map", "-e", "x['name']", "cities.csv", "--into", "y", "-o", "out.csv"]
    run(*args, "--limit", "1")
    assert len(Path("out.csv").read_text().splitlines()) == 2
    assert run(*args, "--resume").code == 0
    assert [line.split(",")[0] for line in Path("out.csv").read_text().splitlines()[1:]] == [
        "Paris",
        "Rome",
        "Oslo",
    ]


def test_nothing_left_to_do_is_0(run: Run) -> None:
    args = ["map", "-e", "x", "numbers.txt", "-o", "out.jsonl"]
    run(*args)
    ran = run(*args, "--resume")
    assert (ran.code, "nothing left to do: 50 ended before" in ran.err) == (0, True)


# -- halting ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("halt", "code", "bad", "good"),
    [
        (["--fail-fast"], 3, 1, None),
        (["--max-errors", "3"], 3, 3, None),
        (["--halt", "now,success=2"], 0, None, 2),
        (["--halt", "soon,fail=50%"], 3, None, None),
    ],
)
def test_a_run_halts_when_it_is_told_to(
    run: Run, halt: list[str], code: int, bad: int | None, good: int | None
) -> None:
    Path("numbers.txt").write_text("".join(f"{n}\n" for n in range(2_000)))
    args = ["map", "-e", "1 // (int(x) % 2)", "numbers.txt", "-o", "out.jsonl", "-j", "1", *halt]
    assert run(*args).code == code
    rows = items(Path("out.jsonl"))
    assert len(rows) < 2_000
    assert bad is None or sum(not row["ok"] for row in rows) == bad
    assert good is None or sum(row["ok"] for row in rows) == good
    assert records(Path("out.jsonl"))[-1]["why"] == ("succeeded" if code == 0 else "halted")


def test_a_deadline_leaves_the_rest(run: Run) -> None:
    Path("nap.py").write_text("import time\ndef f(x):\n    time.sleep(0.05)\n")
    ran = run("map", "nap:f", "numbers.txt", "-o", "out.jsonl", "--deadline", "1200ms", "-j", "1")
    assert ran.code == 75
    assert len(items(Path("out.jsonl"))) < 50
    assert "left" in ran.err


# -- before anything starts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["geo:dubble", "numbers.txt"], 2, 'geo has no function "dubble". Did you mean "double"?'),
        (["goe:double", "numbers.txt"], 2, 'there is no module "goe". Did you mean "geo"?'),
        (["gео.py:f", "numbers.txt"], 2, "there is no file"),
        (["double", "numbers.txt"], 2, "a function is written module:function"),
        (["geo:READY", "numbers.txt"], 2, "READY of geo is no function"),
        (["geo:with_names", "numbers.txt"], 2, "cannot be called with one item: missing a required argument"),
        (["geo:double", "cities.csv", "--kwargs"], 2, "cannot be called with the columns name, size"),
        (["geo:double", "cities.csv", "--arg", "nome"], 2, "has no column 'nome': it has name, size"),
        (["geo:double", "numbers.txt", "--arg", "n"], 2, "lines have no column 'n'"),
        (["-e", "x +", "numbers.txt"], 2, "is no expression"),
        (
            ["-e", "nosuchname(x)", "numbers.txt"],
            2,
            "neither x (the item), i (its number), a builtin, nor a module",
        ),
        (["geo:slowly", "numbers.txt", "--executor", "process"], 2, "runs on the event loop"),
        (["geo:double", "numbers.txt", "--executor", "async"], 2, "is no async def"),
        (["geo:double", "missing.txt"], 74, "cannot read missing.txt"),
        (["geo:double", "numbers.txt", "-o", "no/such.jsonl"], 74, "cannot write no/such.jsonl"),
        (["geo:double", "numbers.txt", "-j", "0"], 2, "no number of jobs"),
        (["geo:double", "numbers.txt", "--halt", "whenever"], 2, "write now,fail=1"),
        (["geo:double", "numbers.txt", "--fail-fast", "--max-errors", "2"], 2, "give one of them"),
        (["geo:double", "numbers.txt", "--rate", "1/s", "--delay", "1s"], 2, "give one of them"),
        (["geo:double", "a", "b"], 2, "one input, please"),
        ([], 2, "what is to be called?"),
        (["geo:double", "numbers.txt", "--resume"], 2, "add -o FILE"),
    ],
)
def test_a_mistake_is_a_sentence_and_nothing_is_started(
    run: Run, args: list[str], code: int, said: str
) -> None:
    ran = run("map", *args)
    assert (ran.code, ran.out) == (code, b"")
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_a_module_that_cannot_be_imported_says_why(run: Run) -> None:
    Path("broken.py").write_text("import nosuchpackage\n")
    assert "broken cannot be imported: it needs nosuchpackage" in run("map", "broken:f", "numbers.txt").err


def test_a_dry_run_shows_three_items_and_how_many_there_are(run: Run) -> None:
    ran = run("map", "geo:double", "numbers.txt", "--skip", "10", "--dry-run", "-o", "out.jsonl")
    assert ran.lines == ["10\t10", "11\t11", "12\t12", "40 items, map geo:double: nothing was started"]
    assert not Path("out.jsonl").exists()


@pytest.mark.parametrize(
    "args",
    [
        ["-e", "int(x) * i", "numbers.txt"],
        ["-e", "math.sqrt(int(x))", "cities.csv", "--arg", "size"],
        ["geo.py:with_names", "cities.csv", "--kwargs"],
        ["geo:slowly", "numbers.txt"],
    ],
)
def test_the_program_that_explain_prints_gives_the_same_rows(run: Run, args: list[str]) -> None:
    ran = run("map", *args, "-k", "--timeout", "20s", "--retries", "1", "--explain")
    Path("same.py").write_bytes(ran.out)
    done = subprocess.run(
        [sys.executable, "same.py"],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
        timeout=30,
    )
    assert done.stdout.splitlines() == run("map", *args, "-k").lines
    assert done.stderr == ""


def test_strange_items_come_through(run: Run) -> None:
    names = ["My brother's 12\" *** record  (costs $$$).jpg", "a\nb", "\ttab", "", "ünï", "-x", "\udcff"]
    Path("names").write_bytes(b"".join(name.encode("utf-8", "surrogateescape") + b"\0" for name in names))
    ran = run("map", "-e", "x", "-0", "names", "-o", "out.jsonl", "-k")
    assert (ran.code, [row["in"] for row in items(Path("out.jsonl"))]) == (0, names)
    assert run("map", "-e", "x", "-0", "names", "-k").out == Path("names").read_bytes().replace(b"\0", b"\n")


def test_a_rate_spaces_the_starts(run: Run) -> None:
    began = time.monotonic()
    assert run("map", "-e", "x", "--rate", "50/s", ":::", *map(str, range(11))).code == 0
    assert time.monotonic() - began >= 0.2


def test_a_file_of_code_that_is_named_like_a_module_is_not_mixed_up_with_it(run: Run) -> None:
    Path("json.py").write_text("def f(x):\n    return 'mine ' + x\n")
    assert run("map", "./json.py:f", ":::", "a").lines == ["mine a"]
    assert os.path.exists("json.py")
