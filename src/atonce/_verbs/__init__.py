"""Floor 5: one public verb family a file."""
