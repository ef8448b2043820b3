"""The exceptions for a system that cannot start, or is asked to stop."""

from __future__ import annotations

NOT_AS_CONFIGURED, FAILED = 2, 1


class CannotStart(Exception):
    """The system cannot start; `code` is the exit code: 2 for what the user must change, 1 for a failure."""

    def __init__(self, message: str, code: int = NOT_AS_CONFIGURED) -> None:
        self.code = code
        super().__init__(message)


class Interrupted(Exception):
    """A signal asked to stop."""
