"""Floor 2: pure decisions; time and dice are arguments."""
