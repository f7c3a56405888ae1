"""The records of a run, which are its output and its journal at once: written, read again, gone on with."""
