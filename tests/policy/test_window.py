"""The window keeps its laws whatever its two sides do, and in whatever order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from atonce._policy.window import Window
from tests.policy.effort import at_least


class WindowMachine(RuleBasedStateMachine):
    """A window beside a naive model: where each item is, and the orders in which they were given and left."""

    @initialize(bound=st.integers(1, 5), buffer=st.integers(1, 6), ordered=st.booleans())
    def make(self, bound: int, buffer: int, ordered: bool) -> None:
        self.bound, self.buffer, self.ordered = bound, buffer, ordered
        self.window: Window[tuple[str, int]] = Window(bound, buffer, ordered)
        self.started = 0
        self.running: list[int] = []
        self.resting: list[int] = []
        self.given: list[int] = []
        self.left: list[int] = []

    def waiting(self) -> int:
        return len(self.given) - len(self.left)

    @precondition(lambda self: self.window.may_start())
    @rule()
    def start(self) -> None:
        assert len(self.running) < self.bound
        assert self.waiting() + len(self.resting) < self.buffer
        index = self.window.start()
        assert index == self.started
        self.started += 1
        self.running.append(index)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def give(self, data: st.DataObject) -> None:
        index = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.window.give(index, ("result of", index))
        self.given.append(index)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def rest(self, data: st.DataObject) -> None:
        self.resting.append(self.running.pop(data.draw(st.integers(0, len(self.running) - 1))))
        self.window.rest()

    @precondition(lambda self: self.resting and self.window.may_resume())
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        assert len(self.running) < self.bound
        self.running.append(self.resting.pop(data.draw(st.integers(0, len(self.resting) - 1))))
        self.window.resume()

    @precondition(lambda self: self.window.ready)
    @rule()
    def leave(self) -> None:
        name, index = self.window.leave()
        assert name == "result of"
        expected = len(self.left) if self.ordered else self.given[len(self.left)]
        assert index == expected
        self.left.append(index)

    @invariant()
    def it_counts_as_the_model(self) -> None:
        window = self.window
        assert (window.started, window.running, window.resting) == (
            self.started,
            len(self.running),
            len(self.resting),
        )
        assert (window.given, window.left) == (len(self.given), len(self.left))
        assert window.is_idle() == (not self.running and not self.resting and not self.waiting())

    @invariant()
    def it_keeps_its_bounds(self) -> None:
        assert len(self.running) <= self.bound
        assert self.started - len(self.left) <= self.bound + self.buffer
        assert self.started <= self.window.pull_limit()

    @invariant()
    def it_may_start_exactly_when_there_is_a_place_and_room(self) -> None:
        has_place, has_room = len(self.running) < self.bound, self.waiting() + len(self.resting) < self.buffer
        assert self.window.may_start() == (has_place and has_room)
        assert self.window.may_resume() == has_place

    @invariant()
    def everything_may_leave_that_does_not_wait_for_a_head(self) -> None:
        if self.ordered:
            finished, head = set(self.given), 0
            while head in finished:
                head += 1
            assert len(self.window.ready) == head - len(self.left)
        else:
            assert len(self.window.ready) == self.waiting()

    def teardown(self) -> None:
        if not hasattr(self, "window"):
            return
        while self.running or self.resting:
            index = (self.running or self.resting).pop()
            self.window.give(index, ("result of", index))
            self.given.append(index)
        while self.window.ready:
            self.left.append(self.window.leave()[1])
        assert sorted(self.left) == list(range(self.started)), "lost or twice"
        assert self.left == (sorted(self.given) if self.ordered else self.given)


class HoldingMachine(WindowMachine):
    """The same with lanes that hold items before they start them: `running` is what they were handed."""

    @precondition(lambda self: self.window.may_start_ahead())
    @rule()
    def start(self) -> None:
        assert self.waiting() + len(self.resting) + max(0, len(self.running) - self.bound) < self.buffer
        index = self.window.start()
        assert index == self.started
        self.started += 1
        self.running.append(index)

    @precondition(lambda self: self.resting)
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        self.running.append(self.resting.pop(data.draw(st.integers(0, len(self.resting) - 1))))
        self.window.resume()

    @invariant()
    def it_keeps_its_bounds(self) -> None:
        assert self.started - len(self.left) <= self.bound + self.buffer
        assert self.started <= self.window.pull_limit()

    @invariant()
    def it_may_start_exactly_when_there_is_a_place_and_room(self) -> None:
        inside = self.started - len(self.left)
        if len(self.running) >= self.bound:
            assert self.window.may_start_ahead() == (inside < self.bound + self.buffer)
        else:
            assert self.window.may_start_ahead() == self.window.may_start()


WindowMachine.TestCase.settings = at_least(300)
HoldingMachine.TestCase.settings = at_least(300)
TestHoldingWindow = HoldingMachine.TestCase
TestWindow = WindowMachine.TestCase


def test_an_empty_window_has_nothing_to_give() -> None:
    with pytest.raises(IndexError):
        Window[Any](1, 1, ordered=True).leave()


def test_a_slow_head_idles_no_place_until_the_buffer_is_full() -> None:
    window: Window[int] = Window(bound=2, buffer=3, ordered=True)
    head = window.start()
    for _ in range(3):
        assert window.may_start()
        window.give(window.start(), 0)
    assert not window.may_start()
    assert not window.ready
    window.give(head, 0)
    assert len(window.ready) == 4


def test_a_resting_item_leaves_its_place_and_keeps_its_room() -> None:
    window: Window[int] = Window(bound=1, buffer=2, ordered=False)
    window.start()
    window.rest()
    assert window.may_start()
    window.start()
    window.rest()
    assert not window.may_start(), "two rest, and the buffer has room for two results"
    assert window.may_resume()


@pytest.mark.parametrize("ordered", [True, False])
def test_a_million_items_leave_nothing_in_the_window(ordered: bool) -> None:
    window: Window[int] = Window(bound=100, buffer=200, ordered=ordered)
    running: list[int] = []
    for _ in range(20_000):
        while window.may_start():
            running.append(window.start())
        running.reverse()
        while running:
            window.give(running.pop(), 0)
        while window.ready:
            window.leave()
    assert window.is_idle()
    assert window._parked == {}
    assert window.left == window.started >= 1_000_000
