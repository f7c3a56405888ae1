"""How many examples a law gets: more than the profile's where they are cheap, never fewer than the profile asks.

The profile `brief` asks for fewer than usual, and then every law gets its share of them.
"""

from __future__ import annotations

from hypothesis import settings

USUAL = 100
"""Examples that a law gets by default in the profiles that are not brief."""


def at_least(examples: int, steps: int = 50, *, shared: bool = True) -> settings:
    """The loaded profile with at least `examples` examples, of at least `steps` steps each where they have steps.

    Without `shared` they are not fewer under `brief`: for laws that check what their examples have reached.
    """
    profile = settings.default
    assert profile is not None
    if shared and profile.max_examples < USUAL:
        examples = examples * profile.max_examples // USUAL
    return settings(
        max_examples=max(examples, profile.max_examples),
        stateful_step_count=max(steps, profile.stateful_step_count),
    )
