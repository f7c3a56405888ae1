"""`aggregate`, `source` and `with_fallback`: many sources at once, none of which can spoil the others."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import Any

import pytest
from tests.verbs.acts import Probe, Stubborn, error_of, fail, forever, gate, give, notes, now, value_of
from tests.verbs.test_retry import Flaky

from atonce import MISSING, Failed, Ok, Retry, TaskTimeout, aggregate, source, with_fallback

virtual = pytest.mark.virtual


# -- aggregate ----------------------------------------------------------------------------------------------------


@virtual
async def test_it_gives_an_outcome_for_every_name_in_the_order_of_the_dict() -> None:
    got = await aggregate({"b": partial(give, 2, 2.0), "a": source(give, 1, 1.0)})
    assert list(got.items()) == [("b", Ok(2)), ("a", Ok(1))]


@virtual
async def test_all_are_asked_at_once() -> None:
    probe = Probe(seconds=1.0)
    began = now()
    await aggregate({str(n): probe.work for n in range(10)})
    assert probe.peak == 10
    assert now() - began == pytest.approx(1.0)


async def test_no_sources_give_no_outcomes() -> None:
    assert await aggregate({}) == {}


@virtual
async def test_one_that_fails_never_harms_the_others() -> None:
    error = ValueError("mine")
    got = await aggregate({"bad": source(fail, error), "good": source(give, 1, 5.0)})
    assert got == {"bad": Failed(error), "good": Ok(1)}


@virtual
async def test_a_failure_names_its_source() -> None:
    got = await aggregate({"prices": source(fail, ValueError("mine"))})
    assert "'prices'" in notes(error_of(got["prices"]))


@virtual
async def test_the_timeout_bounds_the_whole_and_the_early_keep_their_values() -> None:
    began = now()
    got = await aggregate({"early": source(give, 1, 1.0), "late": source(give, 2, 9.0)}, timeout=3.0)
    assert now() - began == pytest.approx(3.0)
    assert got["early"] == Ok(1)
    error = error_of(got["late"])
    assert isinstance(error, TaskTimeout)
    assert error.timeout == 3.0


@virtual
async def test_what_is_late_is_stopped_and_over() -> None:
    probe = Probe(seconds=100.0, cleanup=0.5)
    await aggregate({"late": probe.work}, timeout=1.0)
    assert (probe.cancelled, probe.running) == (1, 0)


@virtual
async def test_a_source_may_have_a_timeout_of_its_own() -> None:
    began = now()
    got = await aggregate({"short": source(forever, timeout=1.0), "long": source(give, 1, 4.0)})
    assert now() - began == pytest.approx(4.0)
    error = error_of(got["short"])
    assert isinstance(error, TaskTimeout)
    assert error.timeout == 1.0


@virtual
async def test_a_fallback_stands_for_a_failure_and_is_marked() -> None:
    got = await aggregate({"a": source(fail, ValueError("x"), fallback="cached")})
    assert got["a"] == Ok("cached")
    assert value_of(got["a"]) == "cached"
    assert got["a"].fallback


@virtual
async def test_a_fallback_says_what_it_stands_for_and_which_source_that_was() -> None:
    error = ValueError("x")
    got = await aggregate({"a": source(fail, error, fallback=1), "b": source(give, 2, fallback=0)})
    assert got["a"].error is error
    assert error.__notes__[-1] == "atonce: source 'a'"
    assert got["b"].error is None


@virtual
async def test_a_fallback_stands_for_what_is_late() -> None:
    got = await aggregate(
        {"a": source(forever, fallback=0), "b": source(forever, timeout=1.0, fallback=1)}, timeout=2.0
    )
    assert got == {"a": Ok(0), "b": Ok(1)}


@virtual
async def test_a_value_that_arrived_is_not_marked_as_a_fallback() -> None:
    got = await aggregate({"a": source(give, 1, fallback=0)})
    assert (got["a"], got["a"].fallback) == (Ok(1), False)


@virtual
async def test_none_is_a_fallback_like_any_other() -> None:
    got = await aggregate({"a": source(fail, ValueError("x"), fallback=None)})
    assert (got["a"], got["a"].fallback) == (Ok(None), True)


@virtual
async def test_without_a_fallback_the_failure_stays() -> None:
    got = await aggregate({"a": source(fail, ValueError("x"))})
    assert not got["a"].ok
    assert not got["a"].fallback


@virtual
async def test_a_source_may_be_tried_again() -> None:
    flaky = Flaky(2)
    got = await aggregate({"a": source(flaky.work, retry=Retry(attempts=3, base_delay=0))})
    assert got["a"] == Ok("done")
    assert got["a"].attempts == 3


@virtual
async def test_a_count_of_attempts_will_do() -> None:
    flaky = Flaky(1)
    got = await aggregate({"a": source(flaky.work, retry=2)})
    assert value_of(got["a"]) == "done"


@virtual
async def test_the_timeout_of_a_source_is_for_each_attempt() -> None:
    probe = Probe(seconds=100.0)
    began = now()
    got = await aggregate({"a": source(probe.work, timeout=1.0, retry=Retry(attempts=3, base_delay=0))})
    assert isinstance(error_of(got["a"]), TaskTimeout)
    assert now() - began == pytest.approx(3.0)
    assert (probe.begun, probe.running) == (3, 0)


@virtual
async def test_the_timeout_of_the_whole_cuts_the_attempts() -> None:
    probe = Probe(seconds=100.0)
    got = await aggregate({"a": source(probe.work, retry=9)}, timeout=1.0)
    assert isinstance(error_of(got["a"]), TaskTimeout)
    assert (probe.begun, probe.running) == (1, 0)


@virtual
async def test_arguments_are_passed_to_the_source() -> None:
    got = await aggregate({"a": source(lambda x, y: give((x, y)), 1, 2, on="loop")})
    assert value_of(got["a"]) == (1, 2)


async def test_plain_functions_run_in_threads() -> None:
    got = await aggregate({"a": threading.current_thread})
    assert value_of(got["a"]) is not threading.current_thread()


async def test_a_source_says_where_it_runs() -> None:
    got = await aggregate({"a": source(threading.current_thread, on="loop")})
    assert value_of(got["a"]) is threading.current_thread()


@virtual
async def test_names_may_be_anything_that_a_dict_takes() -> None:
    assert await aggregate({1: source(give, "one"), ("a", 2): source(give, "two")}) == {  # type: ignore[dict-item]  # laxer than typed
        1: Ok("one"),
        ("a", 2): Ok("two"),
    }


@virtual
async def test_cancelled_all_are_stopped_and_over_and_then_the_cancel_goes_on() -> None:
    probe = Probe(seconds=100.0, cleanup=0.5)
    asking = asyncio.create_task(aggregate({"a": probe.work, "b": probe.work}))
    await asyncio.sleep(1.0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (probe.cancelled, probe.running) == (2, 0)


@virtual
async def test_odd_exceptions_of_a_source_are_outcomes() -> None:
    got = await aggregate({"a": source(fail, SystemExit(3)), "b": source(fail, asyncio.CancelledError())})
    assert isinstance(error_of(got["a"]), SystemExit)
    assert not got["b"].ok


@virtual
async def test_a_source_that_swallows_its_cancel_does_not_spoil_the_others() -> None:
    stubborn = Stubborn()
    got = await aggregate({"stubborn": stubborn.work, "good": source(give, 1, 0.5)}, timeout=1.0)
    assert got["good"] == Ok(1)
    error = error_of(got["stubborn"])
    assert isinstance(error, TaskTimeout)
    assert error.abandoned
    await stubborn.let_go()


async def test_a_thread_that_does_not_look_is_given_up() -> None:
    with gate() as door:
        began = now()
        got = await aggregate({"blocked": door.work, "good": source(give, 1)}, timeout=0.05)
        assert now() - began < 1.0
        assert got["good"] == Ok(1)
        assert isinstance(error_of(got["blocked"]), TaskTimeout)


@pytest.mark.parametrize("wrong", [3, None, "sources", [lambda: 1], [("a", lambda: 1)]])
async def test_what_is_no_dict_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="aggregate takes a dict"):
        await aggregate(wrong)


@pytest.mark.parametrize("wrong", [3, None, lambda x: x])
async def test_one_bad_source_is_refused_before_any_is_asked(wrong: Any) -> None:
    probe = Probe()
    with pytest.raises(TypeError):
        await aggregate({"good": probe.work, "bad": wrong})
    assert probe.begun == 0


# -- source -------------------------------------------------------------------------------------------------------


def test_a_source_starts_nothing() -> None:
    probe = Probe()
    source(probe.work, 1, timeout=1.0, fallback=0, retry=3)
    assert probe.begun == 0


def test_a_source_checks_its_call_when_it_is_made() -> None:
    with pytest.raises(TypeError, match="argument"):
        source(lambda: 1, 2)


@virtual
async def test_a_source_may_be_asked_more_than_once() -> None:
    one = source(give, 1, fallback=0)
    assert [await aggregate({"a": one}), await aggregate({"a": one, "b": one})] == [
        {"a": Ok(1)},
        {"a": Ok(1), "b": Ok(1)},
    ]


def test_missing_is_not_none_and_says_its_name() -> None:
    assert repr(MISSING) == "MISSING"
    assert source(forever).fallback is MISSING


# -- with_fallback ------------------------------------------------------------------------------------------------


@virtual
async def test_with_fallback_gives_outcomes_in_the_order_of_the_list() -> None:
    assert await with_fallback([partial(give, 1, 2.0), partial(give, 2, 1.0)], fallback=0) == [Ok(1), Ok(2)]


@virtual
async def test_the_fallback_stands_for_each_that_fails_or_is_late() -> None:
    got = await with_fallback(
        [partial(fail, ValueError("x")), forever, partial(give, 3)], timeout=1.0, fallback=0
    )
    assert got == [Ok(0), Ok(0), Ok(3)]
    assert [outcome.fallback for outcome in got] == [True, True, False]


@virtual
async def test_no_fallback_given_the_failure_stays() -> None:
    error = ValueError("x")
    got = await with_fallback([partial(fail, error), forever], timeout=1.0)
    assert got[0] == Failed(error)
    assert isinstance(error_of(got[1]), TaskTimeout)


@virtual
async def test_fallback_none_is_a_fallback() -> None:
    assert await with_fallback([partial(fail, ValueError("x"))], fallback=None) == [Ok(None)]


@virtual
async def test_a_source_in_the_list_may_have_limits_of_its_own() -> None:
    got = await with_fallback(
        [source(forever, timeout=1.0, fallback="own"), partial(give, 1, 2.0)], fallback="common"
    )
    assert got == [Ok("own"), Ok(1)]


async def test_with_fallback_of_nothing_is_empty() -> None:
    assert await with_fallback([], fallback=0) == []


@virtual
async def test_with_fallback_asks_all_at_once() -> None:
    began = now()
    await with_fallback([partial(give, 1, 2.0)] * 10)
    assert now() - began == pytest.approx(2.0)


@pytest.mark.parametrize("wrong", [3, None, "fns", give])
async def test_with_fallback_refuses_what_is_no_list(wrong: Any) -> None:
    with pytest.raises(TypeError):
        await with_fallback(wrong)
