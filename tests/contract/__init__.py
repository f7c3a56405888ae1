"""One suite for every backend: what the verbs may rely on, whoever runs the work."""
