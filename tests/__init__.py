"""The suite; it mirrors src/atonce."""
