"""A running system for a file of tests."""

from tests.e2e.conftest import system

__all__ = ["system"]
