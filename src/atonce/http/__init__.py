"""Real HTTP with limits on everything: `fetch`, `fetch_stream`, `parallel_fetch` (extra `http`)."""
