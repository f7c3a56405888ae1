"""Streams: their laws under drawn workloads and seeded schedules, and each promise by itself."""
