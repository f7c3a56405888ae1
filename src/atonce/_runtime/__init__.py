"""Floor 3: the rooms that know time, ownership, context and crossing threads."""
