"""Where the items of a run come from: bytes of any kind, read lazily into rows."""
