"""The receipt says how it went in a few lines that fit the screen."""

from __future__ import annotations

from atonce._runtime.terminal import Signs
from atonce.cli.receipt import Ending, cut, lines
from atonce.cli.tally import Failure, Tally


def plain(text: str, colour: str) -> str:
    return text


def shown(tally: Tally, ending: Ending, width: int = 80, signs: Signs | None = None) -> list[str]:
    return list(lines(tally, ending, signs or Signs(), plain, width))


def a_run() -> Tally:
    tally = Tally(10_000)
    for number in range(9_941):
        tally.well(f"http://host{number % 9}.example/", 0.083, 1 if number % 99 else 2)
    for number in range(41):
        host = "slow.example" if number < 38 else "b.example"
        tally.badly(f"http://{host}/{number}", Failure("timeout", "E", "m", "timeout after 5s", host=host), 3)
    for number in range(12):
        tally.badly(f"http://c/{number}", Failure("http", "E", "m", "HTTP 404", host=f"host{number}"))
    for _ in range(6):
        tally.badly("https://typo.exmaple/", Failure("dns", "E", "m", "dns: name not found", host=None))
    return tally


def test_ten_thousand_items_and_three_causes_are_a_few_lines() -> None:
    ending = Ending(24.3, "finished", "pages.jsonl", 182_000_000, [("again", "atonce fetch x")])
    assert shown(a_run(), ending, 90) == [
        "✓ 9,941 ok   ✗ 59 failed   10,000 in 24.3s   412/s   → pages.jsonl (182 MB)",
        "  p50 83 ms   p95 83 ms   p99 83 ms   slowest ok 83 ms  http://host0.example/",
        "  41  timeout after 5s      38 of them on slow.example",
        "  12  HTTP 404              e.g. http://c/0",
        "   6  dns: name not found   e.g. https://typo.exmaple/",
        "  retries: 183 spent, 101 items saved",
        "  again:  atonce fetch x",
    ]


def test_a_stopped_run_says_what_is_left() -> None:
    first = shown(a_run(), Ending(1.0, "interrupted"))[0]
    assert first.startswith("■ stopped   ✓ 9,941 ok   ✗ 59 failed   0 left")


def test_an_empty_input_is_nothing_to_do() -> None:
    assert shown(Tally(0), Ending(0.01)) == ["nothing to do: the input has no items"]


def test_few_times_have_no_percentiles() -> None:
    tally = Tally(1)
    tally.well("http://a/", 0.5, 1)
    assert shown(tally, Ending(0.6))[1] == "  slowest ok 500 ms  http://a/"


def test_lines_fit_eighty_columns_but_for_the_command() -> None:
    tally = Tally()
    for number in range(300):
        url = f"https://a-rather-long-host-name.example/{'deep/' * 20}{number}"
        tally.well(url, 0.01 * number, 1)
        failure = Failure("http", "E", "m", f"HTTP {400 + number % 5}", "x" * 200, "a" * 60)
        tally.badly(url, failure)
    assert max(len(line) for line in shown(tally, Ending(3.0))[1:]) <= 80


def test_many_causes_are_summed_up() -> None:
    tally = Tally()
    for number in range(20):
        tally.badly("x", Failure("http", "E", "m", f"cause {number}"))
    assert "8  with 8 other causes" in shown(tally, Ending(1.0))[-1]


def test_a_terminal_without_unicode_gets_words() -> None:
    text = "\n".join(shown(a_run(), Ending(1.0, "interrupted", "out"), signs=Signs.ascii()))
    assert text.isascii()


def test_a_long_text_is_cut_in_its_middle() -> None:
    assert cut("abcdefghijklmnopqrstuvwxyz", 13) == "abcde...vwxyz"
    assert cut("short", 3) == "short"
