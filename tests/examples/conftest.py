"""The web site that the examples ask besides their own."""

from tests.cli.conftest import site

__all__ = ["site"]
