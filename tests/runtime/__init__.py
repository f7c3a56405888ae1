"""Time, ownership, context and crossing threads."""
