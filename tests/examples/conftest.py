"""The web site that the examples ask besides their own."""
