"""How many examples a law gets: more than the profile's where they are cheap, never fewer than the profile asks."""

from __future__ import annotations

from hypothesis import settings


def at_least(examples: int, steps: int = 50) -> settings:
    """The loaded profile with at least `examples` examples, of at least `steps` steps each where they have steps."""
    profile = settings.default
    assert profile is not None
    return settings(
        max_examples=max(examples, profile.max_examples),
        stateful_step_count=max(steps, profile.stateful_step_count),
    )
