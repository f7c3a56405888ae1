"""`atonce fetch` against a real server, run in this process: records, exit codes, refusals, bodies, receipt."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.cli.command import Ran, Run, ended, items, records

# -- records and exit codes ---------------------------------------------------------------------------------------


def test_all_well_is_0_and_standard_output_has_a_record_for_each_url(run: Run, site: str) -> None:
    ran = run("fetch", f"{site}/a", f"{site}/b")
    assert ran.code == 0
    found = sorted(records(ran.out), key=lambda record: int(record["i"]))
    assert [(record["in"], record["ok"], record["out"]["text"]) for record in found] == [
        (f"{site}/a", True, "this is /a"),
        (f"{site}/b", True, "this is /b"),
    ]
    assert "2 ok" in ran.err


def test_failures_are_rows_and_1(run: Run, site: str) -> None:
    ran = run(
        "fetch", f"{site}/a", f"{site}/status/404", "no-scheme", "http://127.0.0.1:1/", "--retries", "0"
    )
    assert ran.code == 1
    failed = {record["in"]: record["err"] for record in records(ran.out) if not record["ok"]}
    assert {url: err["kind"] for url, err in failed.items()} == {
        f"{site}/status/404": "http",
        "no-scheme": "rejected",
        "http://127.0.0.1:1/": "connect",
    }
    assert failed[f"{site}/status/404"]["status"] == 404


def test_a_file_has_a_head_and_an_end_around_the_records(run: Run, site: str) -> None:
    Path("urls.txt").write_text(f"# mine\r\n{site}/a\r\n\r\n{site}/status/500\r\n")
    ran = run("fetch", "-i", "urls.txt", "-o", "pages.jsonl", "--retries", "0")
    head, *middle, end = records(Path("pages.jsonl"))
    assert (ran.code, ran.out) == (1, b"")
    assert (head["cmd"], head["input"], head["atonce"]) == ("fetch", "urls.txt", 1)
    assert len(middle) == 2
    assert (end["done"], end["ok"], end["failed"], end["why"]) == (2, 1, 1, "finished")
    assert "→ pages.jsonl" in ran.err
    assert "next:  atonce fetch -i urls.txt -o pages.jsonl --retries 0 --retry-failed" in ran.err
    assert "\n         atonce report pages.jsonl --html\n" in ran.err
    assert run("report", "pages.jsonl", "--html").code == 0
    assert Path("pages.html").is_file()


def test_of_a_pipe_the_report_alone_is_next(run: Run) -> None:
    done = ended("fetch", "-o", "my pages.jsonl", "--retries", "0", stdin=b"no-scheme\n")
    said = done.stderr.decode()
    assert done.returncode == 1
    assert "  next:  atonce report 'my pages.jsonl' --html\n" in said
    assert "--retry-failed" not in said


def test_a_run_without_a_journal_offers_no_report(run: Run) -> None:
    assert "atonce report" not in run("fetch", "no-scheme", "--retries", "0").err


def test_nothing_to_do_is_0(run: Run) -> None:
    Path("empty.txt").touch()
    ran = run("fetch", "-i", "empty.txt")
    assert (ran.code, ran.out) == (0, b"")
    assert "nothing to do" in ran.err


def test_keep_order_gives_records_in_the_order_of_the_input(run: Run, site: str) -> None:
    urls = [f"{site}/slow/{0.1 - number / 100:.2f}?{number}" for number in range(10)]
    ran = run("fetch", "-k", *urls, "--per-host", "10")
    assert [record["in"] for record in records(ran.out)] == urls


def test_without_it_the_first_done_is_first(run: Run, site: str) -> None:
    ran = run("fetch", f"{site}/slow/0.3", f"{site}/a")
    assert [record["i"] for record in records(ran.out)] == [1, 0]


def test_a_repeated_url_is_fetched_twice_and_has_two_keys(run: Run, site: str) -> None:
    ran = run("fetch", f"{site}/a", f"{site}/a")
    first, second = records(ran.out)
    assert {second["key"], first["key"]} == {
        first["key"].removesuffix("-2"),
        first["key"].removesuffix("-2") + "-2",
    }


def test_a_server_that_asks_to_wait_is_asked_again(run: Run, site: str) -> None:
    ran = run("fetch", f"{site}/busy/{os.getpid()}")
    [record] = records(ran.out)
    assert (ran.code, record["ok"], record["try"]) == (0, True, 2)
    assert record["s"] >= 0.05
    assert "retries: 1 spent, 1 item saved" in ran.err


def test_a_timeout_is_a_row_that_says_how_long_it_was(run: Run, site: str) -> None:
    ran = run("fetch", f"{site}/slow/5", "--timeout", "200ms", "--retries", "0")
    [record] = records(ran.out)
    assert (ran.code, record["err"]["kind"], record["err"]["msg"]) == (1, "timeout", "no answer in 200ms")


def test_fail_fast_stops_and_is_3(run: Run, site: str) -> None:
    ran = run("fetch", f"{site}/slow/5", f"{site}/status/404", "--fail-fast", "-o", "out.jsonl")
    assert ran.code == 3
    *rows, end = records(Path("out.jsonl"))[1:]
    assert {row["err"]["kind"] for row in rows} == {"http", "cancelled"}
    assert end["why"] == "halted"


def test_a_deadline_leaves_the_rest_unfailed_and_is_75(run: Run, site: str) -> None:
    ran = run("fetch", f"{site}/slow/5", f"{site}/a", "--deadline", "300ms", "-o", "out.jsonl")
    assert ran.code == 75
    [row, end] = records(Path("out.jsonl"))[1:]
    assert (row["in"], row["ok"], end["why"], end["failed"]) == (f"{site}/a", True, "deadline", 0)
    assert "1 left" in ran.err


def test_a_deadline_that_is_not_reached_changes_nothing(run: Run, site: str) -> None:
    assert run("fetch", f"{site}/a", "--deadline", "1m").code == 0


def test_ten_failures_with_three_causes_are_three_lines(run: Run, site: str) -> None:
    urls = [
        f"{site}/status/{code}?{n}" for code, times in ((404, 5), (410, 3), (403, 2)) for n in range(times)
    ]
    ran = run("fetch", *urls, "-q")
    assert (ran.code, ran.err) == (1, "")
    ran = run("fetch", *urls)
    assert [line.split()[:3] for line in ran.err.splitlines()[1:]] == [
        ["5", "HTTP", "404"],
        ["3", "HTTP", "410"],
        ["2", "HTTP", "403"],
    ]


# -- bodies -------------------------------------------------------------------------------------------------------


def only(ran: Ran) -> dict[str, Any]:
    [record] = records(ran.out)
    return record


def test_text_is_recorded_as_text_and_other_bytes_as_base64(run: Run, site: str) -> None:
    assert only(run("fetch", f"{site}/text/größe"))["out"]["text"] == "größe"
    assert only(run("fetch", f"{site}/raw"))["out"]["base64"].startswith("AAECAwQF")


def test_control_characters_of_a_page_are_escaped_on_their_way_to_the_screen(run: Run, site: str) -> None:
    ran = run("fetch", f"{site}/control")
    assert only(ran)["out"]["text"] == "\x1b[31m\x9b\u202e\u2028 end"
    assert "\x1b" not in ran.out.decode()
    assert "\x9b" not in ran.out.decode()


def test_json_is_recorded_as_json_and_what_is_none_fails(run: Run, site: str) -> None:
    record = only(run("fetch", "--body", "json", f"{site}/headers", "-H", "X-Mine: 7"))
    assert record["out"]["json"]["X-Mine"] == "7"
    assert only(run("fetch", "--body", "json", f"{site}/a"))["err"]["kind"] == "exception"
    assert "not JSON" in run("fetch", "--body", "json", f"{site}/infinite").err


def test_without_bodies_status_and_size_remain(run: Run, site: str) -> None:
    out = only(run("fetch", "--body", "none", f"{site}/big/1000"))["out"]
    assert (out["status"], out["bytes"]) == (200, 1000)
    assert not out.keys() & {"text", "base64", "json", "file"}


def test_bodies_go_into_files_whose_names_are_safe(run: Run, site: str) -> None:
    ran = run(
        "fetch", "--body", "file", "-o", "pages.jsonl", f"{site}/x/../../etc/passwd.html", f"{site}/raw"
    )
    assert ran.code == 0
    files = {record["in"]: Path(record["out"]["file"]) for record in items(Path("pages.jsonl"))}
    assert all(path.parent == Path("pages") for path in files.values())
    assert files[f"{site}/raw"].read_bytes() == bytes(range(256))
    assert sorted(path.suffix for path in files.values()) == [".bin", ".html"]
    assert not list(Path("pages").glob("*.part"))


def test_a_body_over_its_bound_is_rejected(run: Run, site: str) -> None:
    record = only(run("fetch", f"{site}/big/1001", "--max-bytes", "1K"))
    assert (record["err"]["kind"], record["err"]["why"]) == ("rejected", "too_large")
    assert only(run("fetch", f"{site}/big/1000", "--max-bytes", "1K"))["ok"]


def test_statuses_that_are_asked_for_are_no_failures(run: Run, site: str) -> None:
    assert run("fetch", f"{site}/status/404", "--ok", "2xx,404").code == 0


# -- what is refused before anything is sent ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--retires", "2"], "Did you mean"),
        (["-j", "0"], "'0' is no number of jobs"),
        (["-j", "two"], "write 8, +2, -1"),
        (["--timeout", "5 sec"], "write 30, 1.5s, 2m, 1h30m or 250ms"),
        (["--timeout", "0"], "above 0"),
        (["--rate", "10/day"], "rate is written '10/s'"),
        (["--max-bytes", "lots"], "write 500, 10K, 2M or 2MiB"),
        (["--ok", "fine"], "ok is written '2xx'"),
        (["-H", "Accept"], "a header is written 'Name: value'"),
        (["-H", "a b: c"], "header"),
        (["--dir", "x"], "add --body file"),
        (["--body", "file"], "add --dir"),
        (["--progress", "loud"], "loud"),
    ],
)
def test_a_mistake_on_the_command_line_is_2_and_a_sentence(
    run: Run, site: str, args: list[str], said: str
) -> None:
    ran = run("fetch", f"{site}/mistake", *args)
    assert (ran.code, ran.out) == (2, b"")
    assert said in ran.err
    assert ran.err.startswith("atonce: ")
    assert "Traceback" not in ran.err
    assert "/mistake" not in only(run("fetch", "--body", "json", f"{site}/asked"))["out"]["json"]


def test_an_unknown_verb_is_answered_with_a_known_one(run: Run) -> None:
    ran = run("fetsh")
    assert ran.code == 2
    assert "fetch" in ran.err


def test_an_output_that_is_there_is_not_touched_unless_told_to(run: Run, site: str) -> None:
    Path("out.jsonl").write_text("mine\n")
    ran = run("fetch", f"{site}/a", "-o", "out.jsonl")
    assert ran.code == 2
    assert "--overwrite" in ran.err
    assert Path("out.jsonl").read_text() == "mine\n"
    assert run("fetch", f"{site}/a", "-o", "out.jsonl", "--overwrite").code == 0
    assert len(records(Path("out.jsonl"))) == 3


@pytest.mark.parametrize(
    "args", [["-i", "missing.txt"], ["-i", "."], ["-o", "no/such/folder.jsonl", "x"], ["-o", ".", "x"]]
)
def test_what_cannot_be_read_or_written_is_74(run: Run, args: list[str]) -> None:
    ran = run("fetch", *args)
    assert (ran.code, ran.out) == (74, b"")
    assert "cannot " in ran.err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_said_and_74(run: Run, site: str) -> None:
    ran = run("fetch", f"{site}/a", "-o", "/dev/full")
    assert ran.code == 74
    assert "cannot write /dev/full: No space left on device" in ran.err


def test_an_output_may_be_a_device(run: Run, site: str) -> None:
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert run("fetch", f"{site}/a", "-o", "/dev/null").code == 0


# -- secrets and strange names ------------------------------------------------------------------------------------


def test_secrets_are_sent_and_appear_nowhere(run: Run, site: str) -> None:
    Path("secret.txt").write_text("# a comment\nAuthorization: Bearer from-a-file\n")
    with_user = site.replace("http://", "http://ann:swordfish@")
    ran = run(
        *["fetch", f"{with_user}/headers", f"{with_user}/status/500", "-o", "out.jsonl"],
        *["-H", "X-Api-Key: abcdef", "-H", "@secret.txt", "--retries", "0", "--body", "none"],
    )
    shown = ran.err + Path("out.jsonl").read_text()
    for secret in ("swordfish", "abcdef", "from-a-file", "ann"):
        assert secret not in shown
    assert "-H 'X-Api-Key: ***' -H @secret.txt" in ran.err
    sent = only(run("fetch", f"{with_user}/headers", "--body", "json", "-H", "@secret.txt"))["out"]["json"]
    assert sent["Authorization"] == "Bearer from-a-file"


def test_strange_names_are_items_like_others(run: Run, site: str) -> None:
    name = "My brother's 12\" *** record  (costs $$$).txt"
    Path(name).write_text(f"{site}/a b\n{site}/\x1b[31mred\n{site}/日本\n{site}/ok\n")
    ran = run("fetch", "-i", name, "-o", "out $1.jsonl")
    found = {record["in"]: record["ok"] for record in items(Path("out $1.jsonl"))}
    assert found == {
        f"{site}/a b": False,
        f"{site}/\x1b[31mred": False,
        f"{site}/日本": True,
        f"{site}/ok": True,
    }
    assert "\x1b" not in ran.err


def test_output_is_one_record_a_line_however_many_there_are(run: Run, site: str) -> None:
    Path("urls.txt").write_text("".join(f"{site}/text/{number}\n" for number in range(400)))
    ran = run("fetch", "-i", "urls.txt", "-o", "out.jsonl", "--per-host", "50")
    assert ran.code == 0
    assert sorted(record["i"] for record in items(Path("out.jsonl"))) == list(range(400))


def test_progress_as_json_is_json_to_the_last_line(run: Run, site: str) -> None:
    ran = run("fetch", f"{site}/a", "--progress", "json")
    beats = [json.loads(line) for line in ran.err.splitlines()]
    assert (beats[0]["done"], beats[-1]["done"], beats[-1]["why"]) == (0, 1, "finished")


# -- what is sent --------------------------------------------------------------------------------------------------


def echoed(run: Run, site: str, *args: str) -> dict[str, Any]:
    found: dict[str, Any] = only(run("fetch", f"{site}/echo", "--body", "json", *args))["out"]["json"]
    return found


def test_a_body_makes_it_a_post_unless_a_method_is_given(run: Run, site: str) -> None:
    Path("body.bin").write_bytes(b"a\nb")
    assert echoed(run, site)["method"] == "GET"
    assert echoed(run, site, "-X", "OPTIONS")["method"] == "OPTIONS"
    sent = echoed(run, site, "--data", "x=1")
    assert (sent["method"], sent["body"]) == ("POST", "x=1")
    sent = echoed(run, site, "--data", "@body.bin", "-X", "PUT")
    assert (sent["method"], sent["body"]) == ("PUT", "a\nb")
    sent = echoed(run, site, "--json", '{"a": [1, null]}')
    assert (sent["method"], json.loads(sent["body"])) == ("POST", {"a": [1, None]})
    assert sent["type"] == "application/json"
    assert json.loads(echoed(run, site, "--json", "null")["body"]) is None


def test_we_say_who_we_are(run: Run, site: str) -> None:
    assert echoed(run, site, "--user-agent", "shop/1.0")["agent"] == "shop/1.0"


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--data", "a", "--json", "1"], 2, "give one of them"),
        (["--json", "{a}"], 2, "--json is no JSON: "),
        (["--data", "@missing"], 74, "cannot read --data @missing: No such file"),
        (["--user-agent", "a", "-H", "user-agent: b"], 2, "give one of them"),
        (["-X", "G T"], 2, "method"),
    ],
)
def test_what_cannot_be_sent_is_said_before_the_output_is_there(
    run: Run, args: list[str], code: int, said: str
) -> None:
    ran = run("fetch", "http://127.0.0.1:9/", "-o", "out.jsonl", *args)
    assert (ran.code, said in ran.err, Path("out.jsonl").exists()) == (code, True, False), ran.err


def test_another_body_or_method_is_another_command_and_no_body_stands_in_the_journal(
    run: Run, site: str
) -> None:
    first = ["fetch", f"{site}/echo", "-o", "out.jsonl", "--body", "none"]
    assert run(*first, "--data", "swordfish").code == 0
    assert "swordfish" not in Path("out.jsonl").read_text()
    assert run(*first, "--data", "swordfish", "--resume").code == 0
    for other in (["--data", "another"], ["--data", "swordfish", "-X", "PUT"], []):
        ran = run(*first, *other, "--resume")
        assert (ran.code, "was made by a different command" in ran.err) == (2, True)


def test_what_is_not_idempotent_is_not_asked_again_unless_one_says_so(run: Run, site: str) -> None:
    more = ["--retries", "1", "--retry-delay", "1ms"]
    assert only(run("fetch", f"{site}/status/503", *more))["try"] == 2
    assert only(run("fetch", f"{site}/status/503", *more, "--data", "x"))["try"] == 1
    assert only(run("fetch", f"{site}/status/503", *more, "--data", "x", "--retry-on", "503"))["try"] == 2


def test_redirects_are_followed_as_far_as_asked_for(run: Run, site: str) -> None:
    assert only(run("fetch", f"{site}/away/3"))["ok"]
    assert only(run("fetch", f"{site}/away/3", "--follow", "3"))["ok"]
    for most in ("0", "2"):
        failed = only(run("fetch", f"{site}/away/3", "--follow", most, "--retries", "0"))
        assert failed["err"]["kind"] == "http"


def test_any_certificate_is_taken_when_that_is_asked_for(run: Run, tmp_path: Path) -> None:
    certificate = trustme.CA().issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "pem")
    code = (
        "import http.server, ssl, sys; s = http.server.HTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler);"
        "c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain(sys.argv[1]);"
        "s.socket = c.wrap_socket(s.socket, server_side=True); print(s.server_port, flush=True); s.serve_forever()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "pem")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        try:
            assert server.stdout is not None
            url = f"https://127.0.0.1:{int(server.stdout.readline())}/"
            assert only(run("fetch", url, "--retries", "0"))["err"]["kind"] == "connect"
            assert only(run("fetch", url, "--retries", "0", "--insecure"))["ok"]
        finally:
            server.kill()


def test_the_program_that_does_the_same_sends_the_same_and_shows_no_body(run: Run) -> None:
    more = ["--json", '"swordfish"', "--follow", "2", "--insecure"]
    shown = run("fetch", "--explain", *more, "http://127.0.0.1:9/").out.decode()
    assert "swordfish" not in shown
    for part in ("method='POST'", "data=...", "follow=2", "verify=False", "'Content-Type': \"...\""):
        assert part in shown
