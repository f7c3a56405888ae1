"""Floor 1: frozen values that every other room may use."""
