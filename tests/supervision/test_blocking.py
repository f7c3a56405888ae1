"""`atonce.blocking.Supervisor`: the same, for code without an event loop."""

from __future__ import annotations

import inspect
import threading
import time
from typing import Any

import pytest

import atonce
from atonce import blocking
from tests.verbs.acts import fail, forever, gate, give


def test_both_faces_have_the_same_methods_with_the_same_parameters_and_words() -> None:
    here = {name for name in dir(atonce.Supervisor) if not name.startswith("_")} - {"serve"}
    assert here == {name for name in dir(blocking.Supervisor) if not name.startswith("_")}
    assert inspect.signature(atonce.Supervisor) == inspect.signature(blocking.Supervisor)
    for name in here - {"name"}:
        one, other = getattr(atonce.Supervisor, name), getattr(blocking.Supervisor, name)
        assert list(inspect.signature(one).parameters) == list(inspect.signature(other).parameters)
        assert one.__doc__ == other.__doc__
        assert one.__doc__


def test_tasks_children_and_streams_of_a_script() -> None:
    with blocking.Supervisor(max_children=10, name="script") as sup:
        assert blocking.whereis("script") is sup
        assert sup.spawn(give, 1).result() == 1
        assert sup.spawn_nolink(sum, [1, 2]).result() == 3
        assert sup.parallel_map([1, 2], give, max_concurrency=2) == [1, 2]
        assert [outcome.unwrap() for outcome in sup.stream([1, 2], give, max_concurrency=2)] == [1, 2]
        child = sup.start_child(forever, restart="permanent", name="watch")
        assert sup.ready(child) is child
        assert sup.whereis("watch") is child
        assert sup.children() == [child]
        sup.idle()
        assert sup.terminate_child(child.id)
        assert not sup.terminate_child(child)
        assert sup.count_children() == 0
        assert sup.statistics().running == 0
    assert blocking.whereis("script") is None
    with pytest.raises(RuntimeError, match="does not run"):
        sup.children()


def test_leaving_stops_what_runs() -> None:
    with blocking.Supervisor() as sup:
        task, child = sup.spawn_nolink(forever), sup.start_child(forever, restart="permanent")
    assert isinstance(task.outcome(), atonce.Failed)
    assert child.state == "ended"


def test_waiting_for_places_blocks_the_iterating_thread_alone() -> None:
    with blocking.Supervisor(max_children=1, on_full="wait") as sup, gate() as closed:
        sup.spawn_nolink(closed.work)
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.extend(sup.stream([1], give, max_concurrency=1)))
        thread.start()
        while not sup.statistics().waiting:
            time.sleep(0.001)
        closed.open()
        thread.join(10)
        assert found == [atonce.Ok(1)]


def test_a_supervisor_that_gives_up_stops_all_at_once_and_says_so_at_the_end_of_the_block() -> None:
    with pytest.raises(atonce.RestartLimit) as caught, blocking.Supervisor(max_restarts=1) as sup:
        other = sup.spawn_nolink(forever)
        sup.start_child(fail, KeyError("x"), restart="permanent")
        with pytest.raises(atonce.TaskStopped):
            other.result()
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_linked_failure_ends_the_block_and_is_raised_at_its_end() -> None:
    with pytest.raises(KeyError), blocking.Supervisor() as sup:
        other = sup.spawn_nolink(forever)
        sup.spawn(fail, KeyError("x"))
        with pytest.raises(atonce.TaskStopped):
            other.result()


def test_a_linked_failure_inside_a_scope_is_that_scopes() -> None:
    with blocking.Supervisor() as sup:
        with pytest.raises(KeyError), blocking.scope():
            sup.spawn(fail, KeyError("x"))
        assert sup.spawn_nolink(give, 1).result() == 1


def test_a_static_child_that_does_not_come_up_is_raised_from_the_with_statement() -> None:
    class Broken:
        name = None

        async def serve(self, ready: Any) -> None:
            raise LookupError("no database")

    with pytest.raises(LookupError), blocking.Supervisor(children=[atonce.Child(Broken())]):
        raise AssertionError("the block is not entered")


def test_bad_arguments_fail_in_the_call() -> None:
    with pytest.raises(ValueError, match="max_children"):
        blocking.Supervisor(max_children=-1)
    with blocking.Supervisor(max_children=1) as sup:
        with pytest.raises(TypeError):
            sup.spawn(give)  # type: ignore[call-overload]  # wrong on purpose
        sup.spawn_nolink(forever)
        with pytest.raises(atonce.TooManyChildren):
            sup.start_child(forever)
