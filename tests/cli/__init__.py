"""The program: its pure parts, and the whole of it against a real server."""
