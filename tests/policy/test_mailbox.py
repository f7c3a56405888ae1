"""The mailbox keeps its laws whoever sends, gives up, takes or closes, and in whatever order."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from atonce._policy.mailbox import Mailbox
from tests.policy.effort import at_least


class MailboxMachine(RuleBasedStateMachine):
    """A mailbox beside a naive model: one list of all that is to come, of which the first `limit` have a place."""

    @initialize(limit=st.integers(1, 4))
    def make(self, limit: int) -> None:
        self.mailbox: Mailbox[int] = Mailbox(limit)
        self.limit = limit
        self.inside: list[int] = []
        self.line: list[int] = []
        self.first: int | None = None
        self.idle_at: float | None = None
        self.closed = False
        self.sent = 0

    def new(self) -> int:
        self.sent += 1
        return self.sent

    @rule()
    def drop_in(self) -> None:
        message = self.new()
        has_place = not self.closed and len(self.inside) < self.limit
        assert self.mailbox.drop_in(message) is has_place
        if has_place:
            self.inside.append(message)
            self.idle_at = None

    @rule()
    def bring(self) -> None:
        message = self.new()
        assert self.mailbox.bring(message) is not self.closed
        if self.closed:
            return
        self.idle_at = None
        (self.inside if len(self.inside) < self.limit else self.line).append(message)

    @rule(which=st.integers(0, 50))
    def withdraw(self, which: int) -> None:
        everyone = [*self.inside, *self.line, 0]
        message = everyone[which % len(everyone)]
        assert self.mailbox.withdraw(message) is (message in self.line)
        if message in self.line:
            self.line.remove(message)

    @rule()
    def deliver(self) -> None:
        message = self.new()
        self.mailbox.deliver(message)
        if not self.closed:
            self.inside.append(message)
            self.idle_at = None

    @precondition(lambda self: self.first is None)
    @rule()
    def put_first(self) -> None:
        message = self.new()
        self.mailbox.put_first(message)
        if not self.closed:
            self.first = message

    @rule()
    def take(self) -> None:
        taken = self.mailbox.take()
        if self.first is not None:
            assert taken == self.first
            self.first = None
        elif self.inside:
            assert taken == self.inside.pop(0)
            if self.line and len(self.inside) < self.limit:
                self.inside.append(self.line.pop(0))
        else:
            assert taken is None

    @rule(until=st.integers(0, 10))
    def rest(self, until: int) -> None:
        may = not self.closed and not self.inside and self.first is None
        assert self.mailbox.rest(until) is may
        if may:
            self.idle_at = until

    @rule()
    def passed_by(self) -> None:
        self.mailbox.passed_by()
        self.idle_at = None

    @rule(now=st.integers(0, 10))
    def ask_whether_it_is_idle(self, now: int) -> None:
        due = self.idle_at is not None and now >= self.idle_at
        assert self.mailbox.is_idle(now) is due
        if due:
            assert not self.mailbox.is_idle(now)
            self.idle_at = None

    @rule(now=st.sampled_from([False] * 9 + [True]))
    def close(self, now: bool) -> None:
        if not now:
            return
        left = self.mailbox.close()
        assert left == [*([] if self.first is None else [self.first]), *self.inside, *self.line]
        self.inside, self.line, self.first, self.idle_at, self.closed = [], [], None, None, True

    @invariant()
    def it_counts_as_the_model(self) -> None:
        assert len(self.mailbox) == len(self.inside)
        assert self.mailbox.in_line == len(self.line)
        assert self.mailbox.is_empty() is (not self.inside and self.first is None)

    @invariant()
    def nobody_stands_in_line_before_a_free_place(self) -> None:
        assert not self.line or len(self.inside) >= self.limit

    def teardown(self) -> None:
        """Whatever happened, all that was taken in and not withdrawn comes out once, in order."""
        out = []
        while (message := self.mailbox.take()) is not None:
            out.append(message)
        assert out == [*([] if self.first is None else [self.first]), *self.inside, *self.line]


MailboxMachine.TestCase.settings = at_least(400, steps=30)
TestMailbox = MailboxMachine.TestCase
