"""The examples run, and say what they should."""
