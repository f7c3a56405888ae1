"""What a run tells other programs while it goes on: a log of events, metrics, spans."""
